// Swept cache: one thread's spans of the kinds a collector frees, one a size class and kind; the tiny
// allocator.
//
// An allocation of at most 32 KiB climbs
//   1  tiny (no pointers, below 16 bytes): a piece of the current 16-byte block, else a new block by 2;
//   2  the next free slot of the current span, by its alloc_cache: no lock, no atomic read-modify-write;
//   3  the next group of 64 slots of that span;
//   4  the central list: the full span is exchanged for one with a free slot (refill).
// Then it is zeroed if asked and the span is dirty, published, and counted towards the next sample.
//
// A tiny block lives while any piece of it does. What is requested decides the alignment of a piece: a
// multiple of 8 gets 8, of 4 gets 4, of 2 gets 2. Of the old and the new block the one with more room stays
// current.
//
// A class without a span points to a stand-in that is full, so that steps 2 and 3 need no test for it.
//
// The cache belongs to one generation of the collector: after a cycle prepare_for_sweep() must run before the
// next allocation, because what the cached spans call free may be garbage that is not swept yet.
//
// Floor: heap. Everything is [owner] unless marked. Not for explicit spans: those have magazines
// (thread_cache.hpp). Source: Go mcache.go, malloc.go (BSD-3)
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "heap/central.hpp"
#include "heap/object_kind.hpp"
#include "heap/sampler.hpp"
#include "heap/size_class.hpp"
#include "heap/span.hpp"

namespace cairn::heap {

// Where the next piece of a 16-byte block goes; the arithmetic alone.
struct TinyBlock {
    std::uintptr_t base = 0;  // 0: none
    std::size_t offset = 0;   // first unused byte

    static constexpr std::size_t align_of(std::size_t bytes) {
        if (bytes % 8 == 0) return 8;
        if (bytes % 4 == 0) return 4;
        return bytes % 2 == 0 ? 2 : 1;
    }
    // Takes `bytes` (1..15) of the block; 0 when there is no room.
    [[nodiscard]] constexpr std::uintptr_t take(std::size_t bytes) {
        const std::size_t align = align_of(bytes);
        const std::size_t at = (offset + align - 1) & ~(align - 1);
        if (base == 0 || at + bytes > tiny_bytes) return 0;
        offset = at + bytes;
        return base + at;
    }
    // Offers a new block of which `bytes` are used: it becomes the current one if it has more room.
    constexpr void offer(std::uintptr_t fresh, std::size_t bytes) {
        if (base == 0 || bytes < offset) *this = {fresh, bytes};
    }
};

class SweptCache {
public:
    constexpr SweptCache() {
        for (Span*& span : spans_) span = &stand_in_;
    }

    // Joins a heap; `local` (may be nullptr) is the thread's own pages, `seed` any number that differs
    // between threads.
    void attach(Centrals& centrals, LocalPages* local, std::uint64_t seed);
    [[nodiscard]] bool is_attached() const { return centrals_ != nullptr; }

    // Takes at least `bytes` (at most max_small_bytes; 0 counts as 1), aligned to 16 from 16 bytes up, zeroed
    // if `zero` or if the kind is typed, whose every word the collector believes. nullptr when the OS
    // refuses.
    [[nodiscard]] void* allocate(std::size_t bytes, ObjectKind kind, bool zero) {
        CAIRN_ASSERT(bytes <= max_small_bytes && is_swept(kind));
        bytes += bytes == 0;
        if (kind == ObjectKind::noscan && bytes < tiny_bytes) return allocate_tiny(bytes);
        return allocate_slot(malloc_class_of(bytes), kind, zero);
    }

    // The same for a class already chosen, as by a type whose size and alignment are known when it is
    // compiled.
    [[nodiscard]] void* allocate_slot(unsigned size_class, ObjectKind kind, bool zero) {
        CAIRN_ASSERT(size_class != 0 && is_current());
        Span* span = spans_[index_of(size_class, kind)];
        std::uintptr_t slot = span->take_next_fast();
        if (slot == 0) [[unlikely]] {
            slot = take_next_slow(size_class, kind);
            if (slot == 0) return nullptr;
            span = spans_[index_of(size_class, kind)];
        }
        void* object = reinterpret_cast<void*>(slot);
        if ((zero || kind == ObjectKind::typed) && span->needs_zero)
            __builtin_memset(object, 0, span->slot_bytes);
        // release: the slot's contents come before any store of its address; a collector pairs with its
        // acquire load
        std::atomic_thread_fence(std::memory_order_release);
        until_sample_ -= static_cast<std::int64_t>(span->slot_bytes);
        if (until_sample_ < 0) [[unlikely]]
            take_sample(object, span->slot_bytes);
        return object;
    }

    // Gives every span back and forgets the tiny block: at the end of a thread, and before statistics that
    // must be exact.
    void release_all();
    // After a cycle, before the next allocation: the same, and joins the heap's generation.
    void prepare_for_sweep();
    // The generation of the last prepare_for_sweep(); the collector checks that all caches have the heap's.
    [[nodiscard]] std::uint32_t flush_generation() const {
        return flush_generation_.load(std::memory_order_acquire);  // acquire: pairs with prepare_for_sweep()
    }

    // Adds what was allocated since the last time to the heap's counters, keeping the spans.
    void flush_counts();

    // The current tiny block, 0 when there is none: a root while it is current.
    [[nodiscard]] std::uintptr_t tiny_block() const { return tiny_.base; }
    // The current span, nullptr when there is none.
    [[nodiscard]] const Span* current(unsigned size_class, ObjectKind kind) const {
        const Span* span = spans_[index_of(size_class, kind)];
        return span == &stand_in_ ? nullptr : span;
    }

private:
    static constexpr std::size_t index_of(unsigned size_class, ObjectKind kind) {
        return swept_index(kind) * size_class_count + size_class;
    }
    [[nodiscard]] bool is_current() const { return flush_generation() == centrals_->shared().generation(); }

    [[nodiscard]] void* allocate_tiny(std::size_t bytes);
    [[nodiscard]] std::uintptr_t take_next_slow(unsigned size_class, ObjectKind kind);
    [[nodiscard]] Span* refill(unsigned size_class, ObjectKind kind);
    void take_sample(void* object, std::size_t slot_bytes);
    void follow_sample_mean();
    void count_allocations(Span& span);
    void count_tiny_objects();

    static constinit Span stand_in_;  // [fixed] full, never written

    Span* spans_[swept_kind_count * size_class_count];
    std::int64_t until_sample_ = INT64_MAX;  // bytes; below zero: sample
    TinyBlock tiny_;
    Centrals* centrals_ = nullptr;  // [fixed]
    LocalPages* local_ = nullptr;   // [fixed]
    Sampler sampler_;
    std::uint64_t tiny_objects_ = 0;                  // since the last flush of counts
    std::atomic<std::uint32_t> flush_generation_{0};  // [atomic] written by the owner
};

}  // namespace cairn::heap
