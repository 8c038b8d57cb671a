// The slow half of the swept cache: tiny blocks, refill, flush, samples, counts.
// SPDX-License-Identifier: MIT
#include "heap/swept_cache.hpp"

namespace cairn::heap {

constinit Span SweptCache::stand_in_;

namespace {

// Tiny pieces live in 16-byte slots.
constexpr unsigned tiny_class = size_class_of(tiny_bytes);

std::size_t unused_bytes(const Span& span) {
    return std::size_t{span.slots - std::size_t{span.alloc_count}} * span.slot_bytes;
}

}  // namespace

void SweptCache::attach(Centrals& centrals, LocalPages* local, std::uint64_t seed) {
    centrals_ = &centrals;
    local_ = local;
    sampler_.seed(seed);
    // relaxed: a setting alone
    sampler_.set_mean(centrals.shared().sample_mean.load(std::memory_order_relaxed));
    until_sample_ = sampler_.next();
    // release: pairs with flush_generation(); a new cache holds no span, so it is of any generation
    flush_generation_.store(centrals.shared().generation(), std::memory_order_release);
}

void* SweptCache::allocate_tiny(std::size_t bytes) {
    CAIRN_ASSERT(is_current());
    if (const std::uintptr_t piece = tiny_.take(bytes)) {
        ++tiny_objects_;
        return reinterpret_cast<void*>(piece);
    }
    // Always zeroed: later pieces are handed out without a look.
    void* block = allocate_slot(tiny_class, ObjectKind::noscan, true);
    if (block == nullptr) return nullptr;
    tiny_.offer(reinterpret_cast<std::uintptr_t>(block), bytes);
    ++tiny_objects_;
    return block;
}

std::uintptr_t SweptCache::take_next_slow(unsigned size_class, ObjectKind kind) {
    Span* span = spans_[index_of(size_class, kind)];
    unsigned slot = span->next_free_index();
    if (slot == span->slots) {
        span = refill(size_class, kind);
        if (span == nullptr) return 0;
        slot = span->next_free_index();
        CAIRN_CHECK(slot < span->slots);
    }
    span->free_index = static_cast<std::uint16_t>(slot + 1);
    ++span->alloc_count;
    return span->slot_address(slot);
}

// Exchanges the full current span for one with a free slot.
Span* SweptCache::refill(unsigned size_class, ObjectKind kind) {
    Span*& current = spans_[index_of(size_class, kind)];
    Central& central = centrals_->of(size_class, kind);
    SweptShared& shared = centrals_->shared();
    if (current != &stand_in_) {
        CAIRN_CHECK(current->alloc_count == current->slots);
        current->free_index = current->slots;
        count_allocations(*current);
        central.uncache_span(current);
        current = &stand_in_;
    }
    count_tiny_objects();
    follow_sample_mean();
    Span* span = central.cache_span(local_);
    if (span == nullptr) return nullptr;
    span->alloc_count_before_cache = span->alloc_count;
    // release: what was read and written of the span so far comes before other threads see it cached
    span->sweep_generation.store(shared.generation() + 3, std::memory_order_release);
    current = span;
    // The whole rest is taken for used at once: too much on purpose, so that a trigger is early rather than
    // late.
    const std::size_t may_use = unused_bytes(*span);
    shared.live_bytes.add(may_use);
    shared.spans->hooks().allocated(may_use);
    return span;
}

void SweptCache::count_allocations(Span& span) {
    const std::uint64_t taken = std::uint64_t{span.alloc_count} - span.alloc_count_before_cache;
    SweptShared& shared = centrals_->shared();
    shared.objects[span.size_class].add(taken);
    shared.allocated_bytes.add(taken * span.slot_bytes);
    span.alloc_count_before_cache = span.alloc_count;
}

void SweptCache::count_tiny_objects() {
    if (tiny_objects_ != 0) centrals_->shared().tiny_objects.add(tiny_objects_);
    tiny_objects_ = 0;
}

void SweptCache::flush_counts() {
    if (!is_attached()) return;
    count_tiny_objects();
    for (Span* span : spans_)
        if (span != &stand_in_) count_allocations(*span);
}

void SweptCache::release_all() {
    if (!is_attached()) return;
    SweptShared& shared = centrals_->shared();
    const std::uint32_t generation = shared.generation();
    tiny_ = {};
    count_tiny_objects();
    for (Span*& current : spans_) {
        Span* span = current;
        if (span == &stand_in_) continue;
        count_allocations(*span);
        // relaxed: the owner wrote it; a generation that changed since was seen when the world was started
        const bool is_stale = span->sweep_generation.load(std::memory_order_relaxed) == generation + 1;
        // After a cycle live_bytes was set anew, without our expectations.
        if (!is_stale) shared.live_bytes.subtract(unused_bytes(*span));
        current = &stand_in_;
        centrals_->of(*span).uncache_span(span);
    }
}

void SweptCache::prepare_for_sweep() {
    if (!is_attached()) return;
    const std::uint32_t generation = centrals_->shared().generation();
    const std::uint32_t flushed = flush_generation();
    if (flushed == generation) return;
    CAIRN_CHECK(flushed == generation - 2);  // a cache that slept through a cycle holds spans nobody swept
    release_all();
    // release: the spans were given back before
    flush_generation_.store(generation, std::memory_order_release);
}

void SweptCache::take_sample(void* object, std::size_t slot_bytes) {
    until_sample_ = sampler_.next();
    centrals_->shared().spans->hooks().sampled(object, slot_bytes);
}

void SweptCache::follow_sample_mean() {
    // relaxed: a setting alone
    const std::uint64_t mean = centrals_->shared().sample_mean.load(std::memory_order_relaxed);
    if (mean == sampler_.mean()) return;
    sampler_.set_mean(mean);
    until_sample_ = sampler_.next();
}

}  // namespace cairn::heap
