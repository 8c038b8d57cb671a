// Swept cache: one thread's runs of free slots of the kinds a collector frees, one a shape; the tiny
// allocator.
//
// An allocation climbs
//   1  tiny (no pointers, below 16 bytes): a piece of the current 16-byte block, else a new block by 2;
//   2  the next slot of the shape's run: a pointer that goes up, no lock, no atomic read-modify-write;
//   3  the next run of free slots of the current span (take_run), zeroed as a whole where slots must be;
//   4  the central list: the full span is exchanged for one with a free slot (refill).
//
//   span   | used | used | free | free | free | used | free | free |
//                        cursor ─▶        limit
//
// The allocated bits of a run are set when it is taken, and its marks too while the collector marks, so that
// step 2 writes nothing but the cursor. The rest of a run that nobody was handed yet counts as in use:
// zeroed, it keeps nothing alive. At the start of marking the collector marks the rest of every run
// (mark_runs), so a thread may go on with its run through the whole cycle; nothing has to be flushed from
// outside, and a thread may be stopped at any instruction of step 2.
//
// When a cycle ends the collector sweeps every cached span while the owners are stopped (sweep_stale), so a
// thread never allocates from a span that is not swept.
//
// A slot that the program freed by itself (give_back) is handed out again by the thread that freed it, before
// step 3. It stays allocated for the sweep, so nothing else takes it; when a cycle begins the lists are
// forgotten, and that cycle's sweep frees what is on them as any garbage. Its first words are a link that no
// marker takes for a pointer and a seal on it: who finds it broken, by a write to freed memory, forgets the
// list.
//
// A tiny block lives while any piece of it does. What is requested decides the alignment of a piece: a
// multiple of 8 gets 8, of 4 gets 4, of 2 gets 2. Of the old and the new block the one with more room stays
// current.
//
// Floor: heap. Everything is [owner] unless marked; the collector reads and changes it while the owner is
// stopped outside of the slow paths. Not for explicit spans: those have magazines (thread_cache.hpp).
// Source: Go mcache.go, malloc.go (BSD-3); bump in free runs: Immix (Blackburn & McKinley 2008).
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "heap/central.hpp"
#include "heap/object_kind.hpp"
#include "heap/sampler.hpp"
#include "heap/shape.hpp"
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

// What is left of the current run of a shape. All zero: no run, no span.
struct AllocationRun {
    std::uintptr_t cursor;
    std::uintptr_t limit;
    std::uint32_t slot_bytes;  // 0 until the shape is first used
    std::uint32_t is_listed;   // among the cache's active shapes
    Span* span;                // nullptr: none

    // Takes a slot; 0 when the run is empty.
    [[nodiscard, gnu::always_inline]] std::uintptr_t try_take() {
        const std::uintptr_t slot = cursor;
        if (slot == limit) [[unlikely]] return 0;
        if (slot == 0) __builtin_unreachable();  // so that callers test once
        cursor = slot + slot_bytes;
        return slot;
    }
};

// The first words of a slot that was given back.
struct ReturnedLink {
    std::uintptr_t next;  // inverted: no address of the heap
    std::uintptr_t seal;

    [[nodiscard]] static constexpr std::uintptr_t seal_of(std::uintptr_t slot, std::uintptr_t next) {
        return (slot ^ next) * 0x9e37'79b9'7f4a'7c15 | std::uintptr_t{1} << 63;  // nor this
    }
    [[nodiscard]] bool is_intact(std::uintptr_t slot) const { return seal == seal_of(slot, next); }
};

// Slots of one shape that were given back; the last one first.
struct ReturnedSlots {
    std::uintptr_t first;  // 0: none
    std::uint32_t reused;  // since the last flush of counts
    std::uint32_t given;   // likewise; a thread that frees more between two cycles counts some too few
};

class SweptCache {
public:
    constexpr SweptCache() = default;

    // Joins a heap; `local` (may be nullptr) is the thread's own pages, `seed` any number that differs
    // between threads. False when the OS refuses the table of runs.
    [[nodiscard]] bool attach(Centrals& centrals, LocalPages* local, std::uint64_t seed);
    [[nodiscard]] bool is_attached() const { return centrals_ != nullptr; }

    // Takes at least `bytes` (at most max_small_bytes; 0 counts as 1), aligned to 16 from 16 bytes up, zeroed
    // if asked and always for kinds that are scanned. nullptr when the OS refuses.
    [[nodiscard]] void* allocate(std::size_t bytes, ObjectKind kind, bool is_zeroed) {
        CAIRN_ASSERT(bytes <= max_small_bytes && is_swept(kind));
        bytes += bytes == 0;
        if (kind == ObjectKind::noscan && bytes < tiny_bytes) return allocate_tiny(bytes);
        void* object = allocate_shape(shape_of_class(swept_class_of(bytes), kind));
        if (is_zeroed && kind == ObjectKind::noscan && object != nullptr) __builtin_memset(object, 0, bytes);
        return object;
    }

    // Takes a slot of a shape: zero but for noscan shapes. nullptr when the OS refuses.
    [[nodiscard, gnu::always_inline]] void* allocate_shape(unsigned shape) {
        const std::uintptr_t slot = runs_[shape].try_take();
        if (slot == 0) [[unlikely]] return allocate_slow(shape);
        return reinterpret_cast<void*>(slot);
    }
    // Steps 3 and 4.
    [[nodiscard]] void* allocate_slow(unsigned shape);
    // Step 3 alone: 0 when the current span has no more. Needs: the run is empty.
    [[nodiscard]] std::uintptr_t take_next_run(unsigned shape) {
        AllocationRun& run = runs_[shape];
        return run.span != nullptr && take_run(run) ? run.try_take() : 0;
    }

    // Keeps a slot that nobody uses any more for this thread's next allocations of the shape. False: it was
    // kept already. Needs: no cycle marks, its span is swept, it is no tiny block, the shape is active.
    [[gnu::always_inline]] bool give_back(unsigned shape, std::uintptr_t slot);
    // The last one given back, zero where slots must be; 0: none, or it is time for allocate_slow().
    [[nodiscard, gnu::always_inline]] std::uintptr_t take_returned(unsigned shape);
    // The thread has had slots of the shape, or is about to.
    [[nodiscard]] bool is_active(unsigned shape) const { return runs_[shape].is_listed != 0; }
    void make_active(unsigned shape) {
        if (!is_active(shape)) activate(runs_[shape], shape);
    }
    [[nodiscard]] bool has_returned(unsigned shape) const { return returned_[shape].first != 0; }
    // Whether the slot looks like one that was given back: a seal that no program writes by chance.
    [[nodiscard]] static bool was_given_back(std::uintptr_t slot);
    // Makes it look so, for one that only its sweep will take. Needs: nobody uses it.
    static void seal(std::uintptr_t slot);
    // Several objects may live in a slot of this shape.
    [[nodiscard]] bool may_be_tiny_block(unsigned shape) const {
        return shape == shape_of_class(size_class_of(tiny_bytes), ObjectKind::noscan) &&
               // relaxed: who has a piece of one has made it, or was told by who did
               centrals_->shared().has_tiny_blocks.load(std::memory_order_relaxed);
    }

    // Gives every span back and forgets the tiny block: at the end of a thread, and before statistics that
    // must be exact.
    void release_all();

    // The collector, owner stopped, after the generation grew: sweeps the cached spans, which stay cached.
    void sweep_stale();
    // The collector, owner stopped, at the start of marking: marks what is left of each run, and the tiny
    // block; counts what was given back, and forgets it.
    void mark_runs();

    // Adds what was allocated since the last time to the heap's counters, keeping the spans.
    void flush_counts();

    // Bytes of spans that were cached since the last call: what the thread may use before its next refill.
    [[nodiscard]] std::size_t take_cached_bytes() {
        const std::size_t bytes = cached_bytes_;
        cached_bytes_ = 0;
        return bytes;
    }

    // The current tiny block, 0 when there is none.
    [[nodiscard]] std::uintptr_t tiny_block() const { return tiny_.base; }
    // The current span of a shape, nullptr when there is none.
    [[nodiscard]] const Span* current(unsigned shape) const { return runs_[shape].span; }
    // For front ends that inline step 2.
    [[nodiscard]] AllocationRun* runs() const { return runs_; }
    [[nodiscard]] Centrals& centrals() const { return *centrals_; }

private:
    // Slots that are used again and again are counted when they are so many.
    static constexpr std::uint32_t most_uncounted = 1024;

    [[nodiscard]] void* allocate_tiny(std::size_t bytes);
    [[nodiscard]] bool take_run(AllocationRun& run);
    [[nodiscard]] bool refill(AllocationRun& run, unsigned shape);
    void activate(AllocationRun& run, unsigned shape);
    void count_allocations(const AllocationRun& run);
    void count_returned(unsigned shape);
    void take_samples(std::uintptr_t first, std::size_t bytes);
    void follow_sample_mean();
    void count_tiny_objects();

    AllocationRun* runs_ = nullptr;          // [fixed] max_shapes
    ReturnedSlots* returned_ = nullptr;      // [fixed] max_shapes
    ShapeId* active_ = nullptr;              // shapes whose runs were ever used
    unsigned active_count_ = 0;
    std::size_t cached_bytes_ = 0;
    std::int64_t until_sample_ = INT64_MAX;  // bytes; below zero: sample
    TinyBlock tiny_;
    Centrals* centrals_ = nullptr;  // [fixed]
    LocalPages* local_ = nullptr;   // [fixed]
    Sampler sampler_;
    std::uint64_t tiny_objects_ = 0;  // since the last flush of counts
};

inline bool SweptCache::give_back(unsigned shape, std::uintptr_t slot) {
    auto* link = reinterpret_cast<ReturnedLink*>(slot);
    if (link->is_intact(slot)) return false;
    CAIRN_ASSERT(is_active(shape));
    if (!is_unzeroed_shape(static_cast<ShapeId>(shape)))
        __builtin_memset(link, 0, runs_[shape].slot_bytes);
    ReturnedSlots& slots = returned_[shape];
    link->next = ~slots.first;
    link->seal = ReturnedLink::seal_of(slot, link->next);
    slots.first = slot;
    ++slots.given;
    return true;
}

inline std::uintptr_t SweptCache::take_returned(unsigned shape) {
    ReturnedSlots& slots = returned_[shape];
    const std::uintptr_t slot = slots.first;
    if (slot == 0 || slots.reused >= most_uncounted) return 0;
    auto* link = reinterpret_cast<ReturnedLink*>(slot);
    if (!link->is_intact(slot)) [[unlikely]] return slots.first = 0;
    slots.first = ~link->next;
    *link = {};
    ++slots.reused;
    return slot;
}

}  // namespace cairn::heap
