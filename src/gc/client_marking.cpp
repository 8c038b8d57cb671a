// The calls of client marking, and what they may ask of the marker.
// SPDX-License-Identifier: MIT
#include "gc/client_marking.hpp"

#include "gc/collector.hpp"
#include "os/process.hpp"

namespace cairn::gc {

void ClientSink::push(std::uintptr_t word) { marker_.push(word); }

void ClientSink::push_range(std::uintptr_t low, std::uintptr_t high) { marker_.push_roots(low, high); }

void ClientSink::scan_fields(std::uintptr_t object) { marker_.scan_fields(object); }

bool ClientSink::is_marked(std::uintptr_t object) const {
    return collector_.mark_space().objects->is_marked(object);
}

void ClientSink::mark_only(std::uintptr_t object) { marker_.mark_only(object); }

void ClientSink::drain() { (void)collector_.drain_stopped(marker_, UINT64_MAX); }
bool ClientSink::is_young() const { return collector_.now_.is_young; }
bool ClientSink::ages() const { return collector_.now_.ages; }

// ---- the collector's side

bool Collector::may_begin() const {
    return environment_->client == nullptr || environment_->client->may_begin();
}

void Collector::tell(CycleEvent event) const {
    if (environment_->client != nullptr) environment_->client->event(event);
}

// Stops the world where no thread is about to leave a critical section of the client. Guile's stack of
// frames, for one, has moved by then, and the pointer to its end has not; a thread that waited for the end
// of a section would be found just there, time and again.
bool Collector::stop_settled(ThreadRecord* self) {
    constexpr unsigned most_tries = 50;
    constexpr unsigned most_looks = 200;
    tell(CycleEvent::stops);
    for (unsigned tries = 0;; ++tries) {
        // A thread of the program has noted where our frames begin: what they hold keeps nothing alive.
        if (!world_.stop_all(self, self != nullptr)) {
            tell(CycleEvent::stop_failed);
            return false;
        }
        if (environment_->client == nullptr || tries == most_tries) break;
        const Mutator* leaving = nullptr;
        world_.for_each([&](ThreadRecord& thread) {
            const Mutator& mutator = Mutator::of(thread);
            // relaxed: the thread stands still
            if (&thread != self && mutator.is_leaving_section.load(std::memory_order_relaxed))
                leaving = &mutator;
        });
        if (leaving == nullptr) break;
        world_.resume_all();
        for (unsigned i = 0; i < most_looks; ++i) {
            // Records stay mapped. relaxed: a hint, the next stop looks again
            if (!leaving->is_leaving_section.load(std::memory_order_relaxed)) break;
            os::yield_cpu();
        }
    }
    tell(CycleEvent::has_stopped);
    return true;
}

void Collector::resume_settled() {
    tell(CycleEvent::resumes);
    world_.resume_all();
    tell(CycleEvent::has_resumed);
}

// Whatever the front end has to push. `is_ahead`: stop 1, where deferred objects of the last cycle are
// scanned as far as they were not freed meanwhile.
void Collector::push_client_roots(Marker& marker, bool is_ahead) {
    if (environment_->client == nullptr) return;
    ClientSink sink(*this, marker);
    environment_->client->push_roots(sink);
    scanned_deferred_ = 0;
    if (!is_ahead || now_.is_young) return;  // those of a young cycle are old: all are scanned in the stop
    constexpr std::size_t most_ahead = 64;
    const std::size_t count = deferred_.count();
    for (std::size_t i = 0; i < count && i < most_ahead; ++i) scan_deferred(marker, deferred_.at(i));
    deferred_.drop_first(count);
}

void Collector::scan_deferred(Marker& marker, std::uintptr_t object) {
    const Slot slot = Marker::resolve(space_, object);
    if (slot.start != object || !space_.objects->is_allocated(object)) return;
    const heap::Shape& shape = (*space_.shapes)[slot.shape];
    if (shape.rule != heap::ScanRule::deferred && shape.rule != heap::ScanRule::described) return;
    ClientSink sink(*this, marker);
    environment_->client->scan_deferred(sink, object, shape.tag);
}

// Needs: the world stopped. False: there was none that was not scanned in this stop.
bool Collector::scan_all_deferred(Marker& marker) {
    if (scanned_deferred_ == 0) deferred_.drop_repeated();
    const std::size_t before = scanned_deferred_;
    while (scanned_deferred_ < deferred_.count()) scan_deferred(marker, deferred_.at(scanned_deferred_++));
    return scanned_deferred_ != before;
}

}  // namespace cairn::gc
