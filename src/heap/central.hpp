// Central list: the spans of one shape, shared by all threads, in four span sets.
//
//                    partial (some slot free)        full (no slot free)
//   swept            partial_[g/2 % 2]               full_[g/2 % 2]
//   unswept          partial_[1 - g/2 % 2]           full_[1 - g/2 % 2]
//
// When the heap's generation g grows by 2 the roles swap, and every swept span has become unswept without a
// visit.
//
// A span for a cache is found in this order:
//   1  sweep debt for its bytes is paid (hook reclaim);
//   2  a partial swept span;
//   3  a partial unswept one, swept here (hook sweep): then it has a free slot;
//   4  a full unswept one, swept here: perhaps a slot became free, else it goes to the full swept ones;
//   5  a new span from the page heap, after the hook reclaim tried to free as many pages.
// Steps 3 and 4 share 100 failures: that bounds the wait, and the garbage left behind to about 1 %.
//
// Who may sweep is decided by one exchange, sweep_generation g-2 to g-1. Others (the collector's sweeper, the
// page reclaimer) may sweep a span that still lies in an unswept set; whoever pops it then loses the exchange
// and forgets it: the entry was stale, the span is placed, or freed, by its sweeper. Span records are never
// unmapped.
//
// Strays: a set that cannot grow for want of memory refuses a span. It is then kept as if a cache held it
// (g+3), in one list for all classes, so no sweeper takes it away; the next one who needs a span of its class
// uses it, and the collector rehomes the list before each cycle.
//
// Class 0 holds large objects: only so that the sweeper finds them.
//
// Floor: heap. Locks: callers hold none. Source: Go mcentral.go (BSD-3)
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/config.hpp"
#include "base/list.hpp"
#include "base/lock.hpp"
#include "base/telemetry.hpp"
#include "heap/object_kind.hpp"
#include "heap/sampler.hpp"
#include "heap/shape.hpp"
#include "heap/size_class.hpp"
#include "heap/span.hpp"
#include "heap/span_alloc.hpp"
#include "heap/span_set.hpp"
#include "pages/old_marks.hpp"

namespace cairn::heap {

// What a span's generation says next to the heap's g. The value is span - heap, modulo 2^32.
enum class SweepState : std::uint8_t { unswept, sweeping, swept, cached_stale, cached, invalid };

constexpr SweepState sweep_state(std::uint32_t span_generation, std::uint32_t heap_generation) {
    switch (span_generation - heap_generation) {
    case 0xffff'fffe: return SweepState::unswept;
    case 0xffff'ffff: return SweepState::sweeping;
    case 0: return SweepState::swept;
    case 1: return SweepState::cached_stale;
    case 3: return SweepState::cached;
    default: return SweepState::invalid;
    }
}

// Takes the right to sweep `span`: true for one caller in each generation.
[[nodiscard]] bool try_acquire_for_sweep(Span& span, std::uint32_t heap_generation);

// Sees to it that `span` is swept in this generation: sweeps it, or waits for who does. Explicit and manual
// spans need none. (Spans in caches are swept while the world is stopped at the end of a cycle, so none is
// stale here.)
void ensure_swept(Span& span, SpanAlloc& spans);

class Strays;

// What all centrals and caches of one heap share.
struct SweptShared {
    SpanAlloc* spans = nullptr;  // [fixed]
    Strays* strays = nullptr;    // [fixed]
    Shapes shapes;               // look-ups lock-free
    SpanBlockPool blocks;        // [atomic]
    ShapeIds placed;             // [atomic] of which a span ever was in a set
    // [atomic] while marking: what is allocated is marked at birth. Changes while the world is stopped.
    std::atomic<bool> allocates_black{false};
    base::Counter black_bytes;   // [atomic] allocated so, in this cycle
    // What the sweep leaves of the marks, for the next cycle to begin with. Changes while the world is
    // stopped, or while no sweep and no cycle is under way.
    enum class MarksLeft : std::uint8_t { none, all, all_and_noted, noted };
    std::atomic<MarksLeft> marks_left{MarksLeft::none};  // [atomic] see above
    pages::OldMarks old_marks;  // [owner] who runs cycles; words by who sweeps
    [[nodiscard]] bool has_marks() const {
        // relaxed: who asks has stopped the world, or runs cycles; nobody else changes it
        return marks_left.load(std::memory_order_relaxed) != MarksLeft::none;
    }
    // [atomic] mean distance of allocation samples in bytes; 0 = none. Caches follow at their next refill.
    std::atomic<std::uint64_t> sample_mean{default_sample_mean_bytes};
    // Bytes of swept kinds that may be in use: a cached span counts as a whole. The collector sets it anew
    // each cycle.
    base::Counter live_bytes;  // [atomic]
    // [atomic] slots handed out so far; caches add theirs when they let a span go
    base::Counter allocated_bytes;
    base::Counter freed_bytes, freed_objects;             // [atomic] large, or used again: seen by no sweep
    base::Counter given_back_bytes;                       // [atomic] freed by the program, reused or not
    base::Counter conservative_spans;                     // [atomic] made so far
    std::atomic<bool> has_tiny_blocks{false};             // [atomic] one was made
    base::Counter tiny_objects;                           // [atomic] parts of tiny blocks handed out
    std::array<base::Counter, size_class_count> objects;  // [atomic] slots handed out, by class

    [[nodiscard]] bool is_marking() const {
        // relaxed: changes only while the world is stopped, and starting it synchronises
        return allocates_black.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint32_t generation() const {
        // relaxed: changes only while the world is stopped, and starting it synchronises
        return spans->sweep_generation.load(std::memory_order_relaxed);
    }
};

class alignas(base::cache_line_bytes) Central {
public:
    constexpr Central() = default;

    void initialize(SweptShared& shared, ShapeId shape);

    // Takes a span with a free slot, swept; in no set. nullptr when the OS refuses.
    [[nodiscard]] Span* cache_span(LocalPages* local);
    // Takes a span back from a cache. Sweeps it when a cycle ended meanwhile.
    void uncache_span(Span* span);
    // Puts a swept span (generation g) where others find it: for the sweeper.
    void place_swept(Span* span);
    // Puts a large span where the next sweeper finds it, and only then calls it swept: from there on its
    // owner may free it, and the record be another span's.
    void place_large(Span* span);

    // For the sweeper: some unswept span, full ones first; it may be stale (see above). nullptr when there is
    // none.
    [[nodiscard]] Span* pop_unswept();
    // Empties the indices of the two unswept sets. Needs: they are empty, the world is stopped.
    void reset_unswept();

    [[nodiscard]] ShapeId shape() const { return shape_; }

    // Spans in the sets now; for tests and reports.
    struct Population {
        std::uint32_t partial_swept, full_swept, partial_unswept, full_unswept;
    };
    [[nodiscard]] Population population() const;

    void reset_locks_after_fork();
    // Checks the sets. Needs: no other thread in the heap.
    void verify() const;

private:
    static constexpr int sweep_budget = 100;

    [[nodiscard]] static unsigned swept_half(std::uint32_t generation) { return generation / 2 % 2; }
    [[nodiscard]] Span* sweep_for_span(std::uint32_t generation);
    [[nodiscard]] Span* grow(LocalPages* local);
    [[nodiscard]] bool try_place(Span* span, std::uint32_t generation);
    [[nodiscard]] bool push(SpanSet& set, Span* span);

    SpanSet partial_[2];
    SpanSet full_[2];
    SweptShared* shared_ = nullptr;  // [fixed]
    ShapeId shape_ = 0;              // [fixed]
};
static_assert(sizeof(Central) == 2 * base::cache_line_bytes);

// Spans no set had room for. Empty but for a machine out of memory.
class Strays {
public:
    constexpr Strays() = default;
    // Keeps a span that is marked cached.
    void keep(Span* span);
    // Takes one of the shape with a free slot, still marked cached (perhaps stale); nullptr when
    // there is none.
    [[nodiscard]] Span* take(ShapeId shape);
    // Takes any; nullptr when there is none.
    [[nodiscard]] Span* take_any();
    // relaxed: a hint
    [[nodiscard]] bool is_empty() const { return count_.load(std::memory_order_relaxed) == 0; }
    // relaxed: a hint
    [[nodiscard]] std::size_t count() const { return count_.load(std::memory_order_relaxed); }
    void reset_lock_after_fork() { lock_.reset_after_fork(); }

private:
    base::RankedLock<base::Rank::leaf> lock_;
    base::List<Span, &Span::link> spans_;  // [lock]
    std::atomic<std::size_t> count_{0};    // [atomic] copy of the list's, so that looking costs no lock
};

// All centrals of a heap, one a shape, and what they share.
class Centrals {
public:
    constexpr Centrals() = default;

    // `spans` is initialised and outlives this. False when the OS refuses the tables.
    [[nodiscard]] bool initialize(SpanAlloc& spans);
    [[nodiscard]] bool is_initialized() const { return table_ != nullptr; }

    // The shape's central; made when a new shape is first used.
    [[nodiscard]] Central& of(unsigned shape) { return table_[shape]; }
    [[nodiscard]] Central& of(const Span& span) { return table_[span.shape]; }
    [[nodiscard]] SweptShared& shared() { return shared_; }
    [[nodiscard]] Shapes& shapes() { return shared_.shapes; }

    // The shape of objects of `size_class` (0: large) with these pointers, its central ready.
    [[nodiscard]] ShapeId intern(unsigned size_class, const PointerMap& map) {
        return shared_.shapes.intern(size_class, map);
    }

    // Uncaches every stray: sweeps it if a cycle ended, and tries again to place it. Needs: no mark phase.
    // Returns: false when memory still is short and some stay strays.
    bool rehome_strays();

    // Each central's, for those that may need it: in a stop, where to look at them all is a part of its time.
    void reset_unswept() {
        shared_.placed.for_each([this](unsigned shape) { table_[shape].reset_unswept(); });
    }

    void reset_locks_after_fork();
    void verify();

private:
    SweptShared shared_;
    Strays strays_;
    Central* table_ = nullptr;  // [fixed] max_shapes
};

}  // namespace cairn::heap
