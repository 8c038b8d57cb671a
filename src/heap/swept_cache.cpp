// The slow half of the swept cache: runs, refill, tiny blocks, samples, counts.
// SPDX-License-Identifier: MIT
#include "heap/swept_cache.hpp"

#include <cstring>

namespace cairn::heap {

namespace {

// Tiny pieces live in 16-byte slots.
constexpr ShapeId tiny_shape = shape_of_class(size_class_of(tiny_bytes), ObjectKind::noscan);

// A run that must be zeroed is taken in pieces that stay in the first-level cache until they are used.
constexpr std::size_t zeroed_run_bytes = 4096;

std::size_t unused_bytes(const Span& span) {
    return std::size_t{span.slots - std::size_t{span.alloc_count}} * span.slot_bytes;
}

std::size_t rest_bytes(const AllocationRun& run) { return run.limit - run.cursor; }

}  // namespace

bool SweptCache::attach(Centrals& centrals, LocalPages* local, std::uint64_t seed) {
    if (runs_ == nullptr) {
        // Kept for the next thread that gets this record; fresh metadata is zero, and release_all() leaves it
        // so.
        pages::Metadata& metadata = centrals.shared().spans->metadata();
        runs_ = static_cast<AllocationRun*>(metadata.allocate(max_shapes * sizeof(AllocationRun), 64));
        active_ = static_cast<ShapeId*>(metadata.allocate(max_shapes * sizeof(ShapeId)));
        returned_ = static_cast<ReturnedSlots*>(metadata.allocate(max_shapes * sizeof(ReturnedSlots), 64));
        if (runs_ == nullptr || active_ == nullptr || returned_ == nullptr) return false;
    }
    centrals_ = &centrals;
    local_ = local;
    sampler_.seed(seed);
    // relaxed: a setting alone
    sampler_.set_mean(centrals.shared().sample_mean.load(std::memory_order_relaxed));
    until_sample_ = sampler_.next();
    return true;
}

void* SweptCache::allocate_tiny(std::size_t bytes) {
    if (const std::uintptr_t piece = tiny_.take(bytes)) {
        ++tiny_objects_;
        return reinterpret_cast<void*>(piece);
    }
    void* block = allocate_shape(tiny_shape);
    if (block == nullptr) return nullptr;
    // relaxed: see may_be_tiny_block()
    centrals_->shared().has_tiny_blocks.store(true, std::memory_order_relaxed);
    std::memset(block, 0, tiny_bytes);  // always: later pieces are handed out without a look
    tiny_.offer(reinterpret_cast<std::uintptr_t>(block), bytes);
    ++tiny_objects_;
    return block;
}

void SweptCache::activate(AllocationRun& run, unsigned shape) {
    run.slot_bytes = centrals_->shapes()[shape].slot_bytes;
    run.is_listed = 1;
    active_[active_count_++] = static_cast<ShapeId>(shape);
}

bool SweptCache::was_given_back(std::uintptr_t slot) {
    return reinterpret_cast<const ReturnedLink*>(slot)->is_intact(slot);
}

void SweptCache::seal(std::uintptr_t slot) {
    constexpr std::uintptr_t none = ~std::uintptr_t{0};
    *reinterpret_cast<ReturnedLink*>(slot) = {none, ReturnedLink::seal_of(slot, none)};
}

void* SweptCache::allocate_slow(unsigned shape) {
    if (has_returned(shape)) {
        count_returned(shape);
        if (const std::uintptr_t slot = take_returned(shape)) return reinterpret_cast<void*>(slot);
    }
    AllocationRun& run = runs_[shape];
    CAIRN_ASSERT(centrals_->shapes()[shape].size_class != 0);
    if (run.is_listed == 0) activate(run, shape);
    while (run.span == nullptr || !take_run(run))
        if (!refill(run, shape)) return nullptr;
    return reinterpret_cast<void*>(run.try_take());
}

// Step 3. What is handed out later must be zero where the collector scans.
bool SweptCache::take_run(AllocationRun& run) {
    Span& span = *run.span;
    SweptShared& shared = centrals_->shared();
    const bool must_zero = span.needs_zero && !is_unzeroed_shape(span.shape);
    std::size_t most = span.slots;
    if (must_zero) most = span.slot_bytes >= zeroed_run_bytes ? 1 : zeroed_run_bytes / span.slot_bytes;
    const bool is_black = shared.is_marking();
    const Span::Run taken = span.take_run(shared.spans->objects(), most, is_black, must_zero);
    if (taken.slots == 0) return false;
    const std::size_t bytes = taken.slots * span.slot_bytes;
    if (is_black) shared.black_bytes.add(bytes);
    run.cursor = taken.base;
    run.limit = taken.base + bytes;
    until_sample_ -= static_cast<std::int64_t>(bytes);
    if (until_sample_ < 0) [[unlikely]] take_samples(taken.base, span.slot_bytes);
    return true;
}

// Step 4. Exchanges the full current span for one with a free slot.
bool SweptCache::refill(AllocationRun& run, unsigned shape) {
    Central& central = centrals_->of(shape);
    SweptShared& shared = centrals_->shared();
    if (run.span != nullptr) {
        CAIRN_CHECK(run.span->alloc_count == run.span->slots);
        count_allocations(run);
        central.uncache_span(run.span);
        run.span = nullptr;
    }
    count_tiny_objects();
    follow_sample_mean();
    Span* span = central.cache_span(local_);
    if (span == nullptr) return false;
    span->alloc_count_before_cache = span->alloc_count;
    // release: what was read and written of the span so far comes before other threads see it cached
    span->sweep_generation.store(shared.generation() + 3, std::memory_order_release);
    run.span = span;
    // The whole rest is taken for used at once: too much on purpose, so that a trigger is early rather than
    // late.
    const std::size_t may_use = unused_bytes(*span);
    shared.live_bytes.add(may_use);
    cached_bytes_ += may_use;
    return true;
}

void SweptCache::count_allocations(const AllocationRun& run) {
    Span& span = *run.span;
    const std::size_t handed_out = span.alloc_count - rest_bytes(run) / span.slot_bytes;
    const std::uint64_t taken = handed_out - span.alloc_count_before_cache;
    SweptShared& shared = centrals_->shared();
    shared.objects[span.size_class].add(taken);
    shared.allocated_bytes.add(taken * span.slot_bytes);
    span.alloc_count_before_cache = static_cast<std::uint16_t>(handed_out);
}

void SweptCache::count_returned(unsigned shape) {
    ReturnedSlots& slots = returned_[shape];
    if (slots.given == 0 && slots.reused == 0) return;
    const Shape& of = centrals_->shapes()[shape];
    SweptShared& shared = centrals_->shared();
    const std::uint64_t reused_bytes = std::uint64_t{slots.reused} * of.slot_bytes;
    shared.given_back_bytes.add(std::uint64_t{slots.given} * of.slot_bytes);
    shared.objects[of.size_class].add(slots.reused);
    shared.allocated_bytes.add(reused_bytes);
    // Each was freed as often: the sweep will find a slot in use or not, and nothing of its lives before.
    shared.freed_bytes.add(reused_bytes);
    shared.freed_objects.add(slots.reused);
    slots.given = slots.reused = 0;
}

void SweptCache::count_tiny_objects() {
    if (tiny_objects_ != 0) centrals_->shared().tiny_objects.add(tiny_objects_);
    tiny_objects_ = 0;
}

void SweptCache::flush_counts() {
    if (!is_attached()) return;
    count_tiny_objects();
    for (unsigned i = 0; i < active_count_; ++i) {
        count_returned(active_[i]);
        if (runs_[active_[i]].span != nullptr) count_allocations(runs_[active_[i]]);
    }
}

void SweptCache::release_all() {
    if (!is_attached()) return;
    SweptShared& shared = centrals_->shared();
    tiny_ = {};
    count_tiny_objects();
    for (unsigned i = 0; i < active_count_; ++i) {
        AllocationRun& run = runs_[active_[i]];
        Span* span = run.span;
        const AllocationRun left = run;
        run = {};
        count_returned(active_[i]);
        returned_[active_[i]].first = 0;
        if (span == nullptr) continue;
        count_allocations(left);
        if (left.cursor != left.limit)
            span->return_rest(shared.spans->objects(), left.cursor, rest_bytes(left) / left.slot_bytes);
        shared.live_bytes.subtract(unused_bytes(*span));
        centrals_->of(*span).uncache_span(span);
    }
    active_count_ = 0;
}

void SweptCache::sweep_stale() {
    if (!is_attached()) return;
    SweptShared& shared = centrals_->shared();
    const std::uint32_t generation = shared.generation();
    for (unsigned i = 0; i < active_count_; ++i) {
        AllocationRun& run = runs_[active_[i]];
        if (run.span == nullptr) continue;
        Span& span = *run.span;
        count_allocations(run);
        // relaxed, both: the owner is stopped, and nobody else sweeps a cached span
        CAIRN_CHECK(span.sweep_generation.load(std::memory_order_relaxed) == generation + 1);
        span.sweep_generation.store(generation - 1, std::memory_order_relaxed);  // relaxed: as above
        shared.spans->hooks().sweep(span, true);
        // Marked for this cycle alone: what will be handed out is new to the next.
        if (run.cursor != run.limit)
            shared.spans->objects().unmark_run(run.cursor, rest_bytes(run) / run.slot_bytes, run.slot_bytes);
        // What is left of the run stays in use for the sweep, and is not handed out yet for the count.
        span.alloc_count_before_cache =
            static_cast<std::uint16_t>(span.alloc_count - rest_bytes(run) / run.slot_bytes);
        shared.live_bytes.add(unused_bytes(span));
        // release: as refill()
        span.sweep_generation.store(generation + 3, std::memory_order_release);
    }
}

void SweptCache::mark_runs() {
    if (!is_attached()) return;
    SweptShared& shared = centrals_->shared();
    const pages::ObjectMap& objects = shared.spans->objects();
    for (unsigned i = 0; i < active_count_; ++i) {
        const AllocationRun& run = runs_[active_[i]];
        count_returned(active_[i]);
        returned_[active_[i]].first = 0;
        if (run.cursor == run.limit) continue;
        objects.mark_run(run.cursor, rest_bytes(run) / run.slot_bytes, run.slot_bytes);
        shared.black_bytes.add(rest_bytes(run));
    }
    if (tiny_.base != 0 && objects.try_mark(tiny_.base)) shared.black_bytes.add(tiny_bytes);
}

// A run is sampled as a whole: its slot at which the countdown passes zero stands for the distance.
void SweptCache::take_samples(std::uintptr_t first, std::size_t slot_bytes) {
    until_sample_ = sampler_.next();
    centrals_->shared().spans->hooks().sampled(reinterpret_cast<void*>(first), slot_bytes);
}

void SweptCache::follow_sample_mean() {
    // relaxed: a setting alone
    const std::uint64_t mean = centrals_->shared().sample_mean.load(std::memory_order_relaxed);
    if (mean == sampler_.mean()) return;
    sampler_.set_mean(mean);
    until_sample_ = sampler_.next();
}

}  // namespace cairn::heap
