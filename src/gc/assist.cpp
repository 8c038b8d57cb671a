// Assists: who allocates while a cycle marks, marks in proportion; and the barrier's way to the markers.
//
// A thread's balance sinks by what it may allocate from the spans it takes. Below zero it pays: first with
// what the workers have done beyond what was asked of anybody, then by marking itself, in steps so small that
// a stop need not wait. Where nothing is left to mark nothing is owed.
// SPDX-License-Identifier: MIT
#include "gc/collector.hpp"
#include "os/process.hpp"

namespace cairn::gc {

using base::Guard;

namespace {

// Scan work between two looks at whether somebody wants to stop the world.
constexpr std::uint64_t step_bytes = 4096;

bool is_stop_wanted(const Mutator& mutator) {
    // relaxed: a hint; leaving the runtime decides
    return (mutator.thread.state.load(std::memory_order_relaxed) & ThreadRecord::wanted) != 0;
}

}  // namespace

std::uint64_t Collector::take_credit(std::uint64_t work) {
    std::int64_t there = credit_.load(std::memory_order_relaxed);  // relaxed, both: an amount alone
    while (there > 0) {
        const auto taken = static_cast<std::int64_t>(work) < there ? static_cast<std::int64_t>(work) : there;
        // relaxed: as above
        if (credit_.compare_exchange_weak(there, there - taken, std::memory_order_relaxed))
            return static_cast<std::uint64_t>(taken);
    }
    return 0;
}

// Marks until `work` is done, nothing is left or a stop is wanted; says how much was done.
std::uint64_t Collector::mark_for(Mutator& mutator, std::uint64_t work, bool& is_dry) {
    assisting_.fetch_add(1, std::memory_order_acq_rel);  // acq_rel: see mark_until_dry()
    Marker marker(space_);
    while (!is_dry && marker.count.scanned_bytes < work && !is_stop_wanted(mutator))
        is_dry = marker.drain(step_bytes);
    marker.flush();
    add_counts(marker.count);
    assisting_.fetch_sub(1, std::memory_order_acq_rel);  // acq_rel: see mark_until_dry()
    return marker.count.scanned_bytes;
}

// Who waits for the cycle has nothing better to do. True: nothing was left.
bool Collector::help_mark(Mutator& mutator) {
    InRuntime inside(mutator);
    bool is_dry = false;
    if (is_marking()) (void)mark_for(mutator, UINT64_MAX, is_dry);
    return is_dry;
}

void Collector::assist(Mutator& mutator, std::size_t allocated) {
    // relaxed: a hint
    if (is_limiting_.load(std::memory_order_relaxed)) return;
    AssistTerms terms;
    {
        Guard guard(lock_);
        terms = terms_;
    }
    std::uint64_t work = terms.work_for(static_cast<std::uint64_t>(-mutator.assist_balance), allocated);
    const std::uint64_t paid = take_credit(work);
    mutator.assist_balance += terms.bytes_for(paid);
    if (paid >= work) return;  // what is still owed is paid by the next allocations
    const std::uint64_t start_ns = os::monotonic_ns();
    bool is_dry = false;
    mutator.assist_balance += terms.bytes_for(mark_for(mutator, work - paid, is_dry));
    if (is_dry && mutator.assist_balance < 0) mutator.assist_balance = 0;
    const std::uint64_t spent = os::monotonic_ns() - start_ns;
    mutator.assist_ns += spent;
    assist_ns_.add(spent);
}

void Collector::hand_over(BarrierBuffer& buffer) {
    for (unsigned done = 0; done < buffer.count;) {
        WorkBuffer* work = pool_.take_empty();
        if (work == nullptr) {
            pool_.note_overflow();
            break;
        }
        while (done < buffer.count && !work->is_full()) work->words[work->count++] = buffer.words[done++];
        pool_.put(work);
    }
    buffer.count = 0;
}

// A word that leads to an object not marked yet: what was allocated in this cycle never does.
bool Collector::is_white(std::uintptr_t word) const {
    if (word == 0 || !space_.objects->bounds().holds(word)) return false;
    const Slot slot = Marker::resolve(space_, word);
    return slot.start != 0 && !space_.objects->is_marked(slot.start);
}

void Collector::shade(Mutator& mutator, std::uintptr_t first, std::uintptr_t second) {
    InRuntime inside(mutator);
    // A stop may have ended the cycle between the caller's test and here.
    if (!is_marking()) return;
    BarrierBuffer& buffer = mutator.barrier;
    if (buffer.count + 2 > BarrierBuffer::capacity) {
        hand_over(buffer);
        barrier_flushes_.add(1);
    }
    if (is_white(first)) buffer.words[buffer.count++] = first;
    if (is_white(second)) buffer.words[buffer.count++] = second;
}

void Collector::grey(std::uintptr_t word) {
    // Markers believe that the words of buffers are within bounds; an argument of a cleanup may be anything.
    if (!is_marking() || !space_.objects->bounds().holds(word)) return;
    Guard guard(grey_lock_);
    if (shared_grey_ != nullptr && shared_grey_->is_full()) {
        pool_.put(shared_grey_);
        shared_grey_ = nullptr;
    }
    if (shared_grey_ == nullptr) shared_grey_ = pool_.take_empty();
    if (shared_grey_ == nullptr) pool_.note_overflow();
    else shared_grey_->words[shared_grey_->count++] = word;
}

void Collector::flush_shared_grey() {
    Guard guard(grey_lock_);
    if (shared_grey_ != nullptr) pool_.put(shared_grey_);
    shared_grey_ = nullptr;
}

Greyer Collector::greyer() {
    Greyer verbs;
    verbs.context = this;
    verbs.grey = [](void* self, std::uintptr_t word) { static_cast<Collector*>(self)->grey(word); };
    verbs.scan_object = [](void* context, std::uintptr_t object) {
        auto& self = *static_cast<Collector*>(context);
        Marker marker(self.space_);
        marker.scan_fields(object);
        marker.flush();
    };
    return verbs;
}

}  // namespace cairn::gc
