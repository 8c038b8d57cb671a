// Finding, sweeping and placing the spans of a central list.
// SPDX-License-Identifier: MIT
#include "heap/central.hpp"

#include <new>

namespace cairn::heap {

namespace {

// A span in no set, swept: everything it says is published before its state, so that whoever acquires it sees
// it all.
void set_generation(Span* span, std::uint32_t generation) {
    // release: the span's fields come before
    span->sweep_generation.store(generation, std::memory_order_release);
}

std::uint32_t generation_of(const Span* span) {
    return span->sweep_generation.load(std::memory_order_acquire);  // acquire: pairs with set_generation()
}

}  // namespace

bool try_acquire_for_sweep(Span& span, std::uint32_t heap_generation) {
    // The entry of a large object that the program freed may lead to a record that has become something else.
    // Only its generation may be asked then: that of a span that is not swept is odd, and never matches.
    std::uint32_t unswept = heap_generation - 2;
    // relaxed: spares the exchange; the exchange decides
    if (span.sweep_generation.load(std::memory_order_relaxed) != unswept) return false;
    // acq_rel: acquire pairs with whoever placed the span, release keeps earlier looks at it before the
    // claim; relaxed on failure: nothing of the span is read then
    return span.sweep_generation.compare_exchange_strong(
        unswept, heap_generation - 1, std::memory_order_acq_rel, std::memory_order_relaxed);
}

void ensure_swept(Span& span, SpanAlloc& spans) {
    if (!is_swept(span.kind)) return;
    // relaxed: changes only while the world is stopped, and starting it synchronises
    const std::uint32_t generation = spans.sweep_generation.load(std::memory_order_relaxed);
    for (unsigned attempt = 0;; ++attempt) {
        const SweepState state = sweep_state(generation_of(&span), generation);
        if (state == SweepState::swept || state == SweepState::cached) return;
        CAIRN_ASSERT(state != SweepState::invalid && state != SweepState::cached_stale);
        if (try_acquire_for_sweep(span, generation)) {
            spans.hooks().sweep(span, false);
            return;
        }
        SpanSetAtomics::pause(attempt);
    }
}

void Central::initialize(SweptShared& shared, ShapeId shape) {
    shared_ = &shared;
    shape_ = shape;
}

Span* Central::cache_span(LocalPages* local) {
    const Hooks& hooks = shared_->spans->hooks();
    const SizeClass& row = size_classes[shared_->shapes[shape_].size_class];
    hooks.reclaim(row.span_bytes, 0);
    const std::uint32_t generation = shared_->generation();

    Span* span = partial_[swept_half(generation)].pop(shared_->blocks);
    if (span == nullptr) span = sweep_for_span(generation);
    if (span == nullptr && !shared_->strays->is_empty()) {
        span = shared_->strays->take(shape_);
        if (span != nullptr && sweep_state(generation_of(span), generation) == SweepState::cached_stale) {
            set_generation(span, generation - 1);
            hooks.sweep(*span, true);
        }
    }
    if (span == nullptr) {
        hooks.reclaim(0, row.span_pages);
        span = grow(local);
        if (span == nullptr) return nullptr;
    }
    CAIRN_CHECK(span->alloc_count < span->slots);
    return span;
}

// Steps 3 and 4. The budget is tested after its use, so 101 spans may be looked at.
Span* Central::sweep_for_span(std::uint32_t generation) {
    const Hooks& hooks = shared_->spans->hooks();
    const unsigned unswept = 1 - swept_half(generation);
    int budget = sweep_budget;
    for (; budget >= 0; --budget) {
        Span* span = partial_[unswept].pop(shared_->blocks);
        if (span == nullptr) break;
        if (!try_acquire_for_sweep(*span, generation)) continue;
        hooks.sweep(*span, true);
        return span;
    }
    for (; budget >= 0; --budget) {
        Span* span = full_[unswept].pop(shared_->blocks);
        if (span == nullptr) break;
        if (!try_acquire_for_sweep(*span, generation)) continue;
        hooks.sweep(*span, true);
        if (span->alloc_count != span->slots) return span;
        place_swept(span);
    }
    return nullptr;
}

Span* Central::grow(LocalPages* local) {
    const Shape& shape = shared_->shapes[shape_];
    CAIRN_ASSERT(shape.size_class != 0);
    if (shape.kind == ObjectKind::conservative) shared_->conservative_spans.add(1);
    return shared_->spans->allocate(size_classes[shape.size_class].span_pages, shape.kind, shape.size_class,
                                    local, shape_);
}

void Central::uncache_span(Span* span) {
    const std::uint32_t generation = shared_->generation();
    const SweepState state = sweep_state(generation_of(span), generation);
    CAIRN_CHECK(state == SweepState::cached || state == SweepState::cached_stale);
    if (state == SweepState::cached_stale) {
        // Ours alone: nobody sweeps a cached span, so no exchange is needed. The sweep places or frees it.
        set_generation(span, generation - 1);
        shared_->spans->hooks().sweep(*span, false);
        return;
    }
    set_generation(span, generation);
    place_swept(span);
}

void Central::place_swept(Span* span) {
    const std::uint32_t generation = shared_->generation();
    CAIRN_ASSERT(sweep_state(generation_of(span), generation) == SweepState::swept);
    if (try_place(span, generation)) return;
    set_generation(span, generation + 3);
    shared_->strays->keep(span);
}

void Central::place_large(Span* span) {
    CAIRN_ASSERT(span->is_large());
    const std::uint32_t generation = shared_->generation();
    if (push(full_[swept_half(generation)], span)) return set_generation(span, generation);
    set_generation(span, generation + 3);
    shared_->strays->keep(span);
}

bool Central::try_place(Span* span, std::uint32_t generation) {
    const bool is_full = span->alloc_count == span->slots;
    SpanSet& set = (is_full || span->is_large() ? full_ : partial_)[swept_half(generation)];
    return push(set, span);
}

bool Central::push(SpanSet& set, Span* span) {
    if (!shared_->placed.holds(shape_)) shared_->placed.add(shape_);
    return set.push(span, shared_->blocks);
}

Span* Central::pop_unswept() {
    const unsigned unswept = 1 - swept_half(shared_->generation());
    if (Span* span = full_[unswept].pop(shared_->blocks)) return span;
    return partial_[unswept].pop(shared_->blocks);
}

void Central::reset_unswept() {
    const unsigned unswept = 1 - swept_half(shared_->generation());
    partial_[unswept].reset(shared_->blocks);
    full_[unswept].reset(shared_->blocks);
}

Central::Population Central::population() const {
    const unsigned swept = swept_half(shared_->generation());
    return {partial_[swept].count(), full_[swept].count(), partial_[1 - swept].count(),
            full_[1 - swept].count()};
}

void Central::reset_locks_after_fork() {
    for (unsigned half = 0; half < 2; ++half) {
        partial_[half].reset_lock_after_fork();
        full_[half].reset_lock_after_fork();
    }
}

void Central::verify() const {
    for (unsigned half = 0; half < 2; ++half) {
        partial_[half].verify();
        full_[half].verify();
    }
}

void Strays::keep(Span* span) {
    base::Guard guard(lock_);
    spans_.push_back(span);
    count_.store(spans_.count(), std::memory_order_relaxed);  // relaxed: a hint
}

Span* Strays::take(ShapeId shape) {
    base::Guard guard(lock_);
    for (Span* span = spans_.first(); span != nullptr; span = spans_.next(span)) {
        if (span->shape != shape || span->alloc_count == span->slots) continue;
        spans_.remove(span);
        count_.store(spans_.count(), std::memory_order_relaxed);  // relaxed: a hint
        return span;
    }
    return nullptr;
}

Span* Strays::take_any() {
    base::Guard guard(lock_);
    Span* span = spans_.pop_front();
    count_.store(spans_.count(), std::memory_order_relaxed);  // relaxed: a hint
    return span;
}

bool Centrals::initialize(SpanAlloc& spans) {
    shared_.spans = &spans;
    shared_.strays = &strays_;
    shared_.blocks.initialize(spans.metadata());
    if (!shared_.shapes.initialize(spans.metadata())) return false;
    void* table = spans.metadata().allocate(max_shapes * sizeof(Central), alignof(Central));
    if (table == nullptr) return false;
    auto* first = static_cast<Central*>(table);
    for (unsigned shape = 0; shape < max_shapes; ++shape)
        (new (first + shape) Central)->initialize(shared_, static_cast<ShapeId>(shape));
    table_ = first;
    return true;
}

bool Centrals::rehome_strays() {
    for (std::size_t left = strays_.count(); left > 0; --left) {
        Span* span = strays_.take_any();
        if (span == nullptr) break;
        of(*span).uncache_span(span);  // a stray again when there still is no memory
    }
    return strays_.is_empty();
}

void Centrals::reset_locks_after_fork() {
    if (!is_initialized()) return;
    strays_.reset_lock_after_fork();
    shared_.shapes.reset_lock_after_fork();
    for (unsigned shape = 0; shape < max_shapes; ++shape) table_[shape].reset_locks_after_fork();
}

void Centrals::verify() {
    if (!is_initialized()) return;
    for (unsigned shape = 0; shape < max_shapes; ++shape) table_[shape].verify();
}

}  // namespace cairn::heap
