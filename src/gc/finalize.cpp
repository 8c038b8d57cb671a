// Attaching records, greying from them, and what the sweep makes of them.
// SPDX-License-Identifier: MIT
#include "gc/finalize.hpp"

#include "heap/central.hpp"
#include "heap/swept_cache.hpp"

namespace cairn::gc {

using heap::Special;
using heap::SpecialKind;

namespace {

std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

std::size_t slot_of(const heap::Span& span, const Special& record) {
    return span.slot_of(span.base + record.offset);
}

}  // namespace

void Finalizer::initialize(heap::SpanAlloc& spans, const pages::ObjectMap& objects, const MarkPhase& phase,
                           const RunnerEnvironment& environment,
                           void (*sample_freed)(void* bucket, std::size_t slot_bytes)) {
    spans_ = &spans;
    objects_ = &objects;
    phase_ = &phase;
    sample_freed_ = sample_freed;
    specials_.initialize(spans);
    weak_.initialize(spans, objects, specials_, phase);
    ephemerons_.initialize(spans, objects, weak_, phase);
    ids_.initialize(spans.metadata());
    queue_.initialize(specials_);
    runner_.initialize(queue_, phase, environment);
}

// ---- attaching

// Tiny objects share a block, so an address in the middle of one may be an object's start.
bool Finalizer::is_start(const CollectedObject& object, const void* address) const {
    if (object.start == number(address)) return true;
    return object.span->kind == heap::ObjectKind::noscan && object.span->slot_bytes <= heap::tiny_bytes;
}

Attached Finalizer::set_finalizer(void* object, void (*function)(void*, void*), void* argument,
                                  const void* descriptor) {
    const CollectedObject found = object_at(*spans_, *objects_, number(object));
    if (!found) return Attached::no_object;
    if (!is_start(found, object)) return Attached::not_the_start;
    auto* record = specials_.make<heap::FinalizerSpecial>();
    if (record == nullptr) return Attached::out_of_memory;
    record->function = function;
    record->argument = argument;
    record->descriptor = descriptor;
    if (!specials_.add(*found.span, number(object), record)) {
        specials_.free(record);
        return Attached::already;
    }
    if (phase_->is_marking()) {
        // The root job may have passed this span.
        const Greyer greyer = phase_->greyer();
        greyer.scan_object(greyer.context, found.start);
        greyer(argument);
    }
    runner_.want_thread();
    return Attached::ok;
}

bool Finalizer::remove_finalizer(void* object) {
    const CollectedObject found = object_at(*spans_, *objects_, number(object));
    if (!found) return false;
    Special* record = specials_.remove(*found.span, number(object), SpecialKind::finalizer);
    if (record == nullptr) return false;
    specials_.free(record);
    return true;
}

std::uint64_t Finalizer::add_cleanup(const void* address, void (*function)(void*), void* argument) {
    const CollectedObject found = object_at(*spans_, *objects_, number(address));
    if (!found) return 0;
    auto* record = specials_.make<heap::CleanupSpecial>();
    if (record == nullptr) return 0;
    record->function = function;
    record->argument = argument;
    const std::uint64_t id = record->id = ids_.take(number(address));
    if (id == 0) {
        specials_.free(record);
        return 0;
    }
    const bool is_added = specials_.add(*found.span, number(address), record);
    CAIRN_CHECK(is_added);  // cleanups may be many
    if (phase_->is_marking()) phase_->greyer()(argument);
    runner_.want_thread();
    return id;
}

// The id is asked twice: before the span is swept, to know the span, and after, when the object cannot die
// before the caller leaves the runtime.
bool Finalizer::cancel_cleanup(std::uint64_t id) {
    std::uintptr_t address = ids_.find(id);
    if (address == 0) return false;
    if (heap::Span* span = spans_->span_of(address)) heap::ensure_swept(*span, *spans_);
    address = ids_.find(id);
    heap::Span* span = address == 0 ? nullptr : spans_->span_of(address);
    if (span == nullptr) return false;
    Special* record = specials_.take_if(*span, [id](Special& candidate) {
        return candidate.kind == SpecialKind::cleanup &&
               static_cast<heap::CleanupSpecial&>(candidate).id == id;
    });
    if (record == nullptr) return false;
    ids_.drop(id);
    specials_.free(record);
    return true;
}

// ---- marking

void Finalizer::begin_mark() {
    shards_.restart(spans_->addresses());
    ephemerons_.begin_mark();
    is_queue_marked_.store(false, std::memory_order_relaxed);  // relaxed: the world is stopped
}

void Finalizer::mark_span(heap::Span& span, const Greyer& greyer) {
    specials_.for_each(span, [&](Special& record) {
        if (record.kind == SpecialKind::finalizer) {
            greyer.scan_object(greyer.context, span.slot_address(slot_of(span, record)));
            greyer(static_cast<heap::FinalizerSpecial&>(record).argument);
        } else if (record.kind == SpecialKind::cleanup) {
            greyer(static_cast<heap::CleanupSpecial&>(record).argument);
        }
    });
}

bool Finalizer::run_root_job(const Greyer& greyer) {
    // relaxed, both: only who does the job is decided
    if (!is_queue_marked_.load(std::memory_order_relaxed) &&
        !is_queue_marked_.exchange(true, std::memory_order_relaxed)) {  // relaxed: as above
        queue_.mark(greyer);
        return true;
    }
    if (specials_.in_use(SpecialKind::finalizer) + specials_.in_use(SpecialKind::cleanup) == 0) return false;
    SpecialShards::Shard shard;
    if (!shards_.claim(shard)) return false;
    shard.for_each_span([&](heap::Span& span) { mark_span(span, greyer); });
    return true;
}

void Finalizer::mark_dirty(std::uintptr_t low, std::uintptr_t high, const Greyer& greyer) {
    for (std::uintptr_t at = low; at < high;) {
        heap::Span* span = spans_->span_of(at);
        if (span == nullptr) {
            at = base::align_down(at, base::page_bytes) + base::page_bytes;
            continue;
        }
        at = span->end();
        if (!spans_->addresses().has_specials(span->base)) continue;
        specials_.for_each(*span, [&](Special& record) {
            if (record.kind != SpecialKind::finalizer) return;
            const std::uintptr_t start = span->slot_address(slot_of(*span, record));
            if (start < high && start + span->slot_bytes > low) greyer.scan_object(greyer.context, start);
        });
    }
}

void Finalizer::mark_all(const Greyer& greyer) {
    queue_.mark(greyer);
    SpecialShards shards;
    shards.restart(spans_->addresses());
    SpecialShards::Shard shard;
    while (shards.claim(shard)) shard.for_each_span([&](heap::Span& span) { mark_span(span, greyer); });
}

// ---- sweeping

// `first` is the first record of its slot; the rest of the slot's follow it.
Finalizer::Fate Finalizer::fate_of(heap::Span& span, const Special& first, std::size_t slot) const {
    const std::uintptr_t start = span.slot_address(slot);
    if (objects_->is_marked(start)) return Fate::alive;
    for (const Special* record = &first; record != nullptr && slot_of(span, *record) == slot;
         record = record->next) {
        if (record->kind != SpecialKind::finalizer) continue;
        (void)objects_->try_mark(start);
        return Fate::brought_back;
    }
    return Fate::dead;
}

bool Finalizer::is_due(Special& record, Fate fate) {
    switch (fate) {
    case Fate::alive: return record.kind == SpecialKind::reachable;
    case Fate::brought_back:
        return record.kind == SpecialKind::finalizer || record.kind == SpecialKind::weak_handle ||
               record.kind == SpecialKind::reachable;
    case Fate::dead: break;
    }
    return true;
}

void Finalizer::sweep(heap::Span& span) {
    std::size_t slot = SIZE_MAX;
    Fate fate = Fate::alive;
    Special* due = specials_.take_if(span, [&](Special& record) {
        if (slot_of(span, record) != slot) {
            slot = slot_of(span, record);
            fate = fate_of(span, record, slot);
        }
        if (record.kind == SpecialKind::reachable)
            static_cast<heap::ReachableSpecial&>(record).is_reachable = fate == Fate::alive;
        return is_due(record, fate);
    });
    if (due != nullptr) dispose(span, due);
}

// Handles first, then the calls, then the rest.
void Finalizer::dispose(heap::Span& span, Special* due) {
    Special* calls = nullptr;
    Special** calls_end = &calls;
    for (Special *record = due, *next = nullptr; record != nullptr; record = next) {
        next = record->next;
        switch (record->kind) {
        case SpecialKind::weak_handle: weak_.detach(static_cast<heap::WeakHandleSpecial*>(record)); break;
        case SpecialKind::profile:
            sample_freed_(static_cast<heap::ProfileSpecial*>(record)->bucket, span.slot_bytes);
            specials_.free(record);
            break;
        case SpecialKind::reachable:  // who asked frees it
            static_cast<heap::ReachableSpecial*>(record)->is_done = true;
            break;
        case SpecialKind::tiny_block:
        case SpecialKind::pin_counter: specials_.free(record); break;
        case SpecialKind::finalizer:
        case SpecialKind::cleanup:
            record->next = nullptr;
            *calls_end = record;
            calls_end = &record->next;
        }
    }
    if (calls != nullptr) queue_records(span, calls);
}

// While marking, which is not when sweeps run, the queue's own root job may have passed.
void Finalizer::queue_records(heap::Span& span, Special* due) {
    const bool is_marking = phase_->is_marking();
    Special* last = nullptr;
    std::uint64_t count = 0;
    for (Special* record = due; record != nullptr; record = record->next) {
        if (record->kind == SpecialKind::cleanup) ids_.drop(static_cast<heap::CleanupSpecial*>(record)->id);
        record->offset += span.base;
        if (is_marking) FinalizerQueue::grey_call(FinalizerQueue::call_of(*record), phase_->greyer());
        last = record;
        ++count;
    }
    queue_.append(due, last, count);
    runner_.wake();
}

void Finalizer::forget_object(void* object) {
    const CollectedObject found = object_at(*spans_, *objects_, number(object));
    if (!found || !spans_->addresses().has_specials(found.span->base)) return;
    heap::ensure_swept(*found.span, *spans_);
    const std::size_t slot = found.span->slot_of(found.start);
    const auto is_of_slot = [&](Special& record) { return slot_of(*found.span, record) == slot; };
    Special* finalizers = specials_.take_if(*found.span, [&](Special& record) {
        return record.kind == SpecialKind::finalizer && is_of_slot(record);
    });
    for (Special *record = finalizers, *next = nullptr; record != nullptr; record = next) {
        next = record->next;
        specials_.free(record);
    }
    Special* due = specials_.take_if(*found.span, is_of_slot);
    if (due != nullptr) dispose(*found.span, due);
}

void Finalizer::queue_all() {
    SpecialShards shards;
    shards.restart(spans_->addresses());
    SpecialShards::Shard shard;
    while (shards.claim(shard)) {
        shard.for_each_span([&](heap::Span& span) {
            heap::ensure_swept(span, *spans_);
            Special* due = specials_.take_if(span, [](Special& record) {
                return record.kind == SpecialKind::finalizer || record.kind == SpecialKind::cleanup;
            });
            if (due != nullptr) queue_records(span, due);
        });
    }
}

// ---- fork

void Finalizer::lock_for_fork() {
    // Specials' pools are not locked one by one: whoever forks holds all threads outside the runtime.
    ephemerons_.lock_for_fork();
    weak_.lock_for_fork();
    ids_.lock_for_fork();
    queue_.lock_for_fork();
    shards_.lock_for_fork();
}

void Finalizer::unlock_after_fork() {
    shards_.unlock_after_fork();
    queue_.unlock_after_fork();
    ids_.unlock_after_fork();
    weak_.unlock_after_fork();
    ephemerons_.unlock_after_fork();
}

void Finalizer::reset_in_child() {
    shards_.reset_lock_after_fork();
    queue_.reset_in_child();
    ids_.reset_lock_after_fork();
    weak_.reset_locks_after_fork();
    ephemerons_.reset_locks_after_fork();
    specials_.reset_locks_after_fork();
    runner_.reset_in_child();
}

}  // namespace cairn::gc
