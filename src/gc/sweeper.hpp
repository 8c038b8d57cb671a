// Sweeper: makes the slots of unmarked objects free, a span at a time: marks become the allocated bits.
//
// Who sweeps, all through sweep():
//   1  the collector's thread, span after span, when a cycle has ended (sweep_one);
//   2  whoever needs a span of a shape, from its central list (heap/central.hpp);
//   3  whoever allocates, in proportion, so that sweeping is done before the next cycle begins (pay_debt);
//   4  whoever is about to grow the heap: pages of dead spans come first (reclaim);
//   5  the collector with the world stopped: spans in caches.
//
// A span is swept by who took it from g-2 to g-1 (try_acquire_for_sweep), or holds it cached. Mark bits are 0
// again afterwards and stay 0 until the next cycle marks.
//
// Floor: gc. Locks: none held by callers. Source: Go mgcsweep.go (BSD-3); differs in bits that lie in the
// object map, and in a page reclaimer that sweeps in list order.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/telemetry.hpp"
#include "gc/pacer.hpp"
#include "heap/swept_heap.hpp"

namespace cairn::gc {

class Sweeper {
public:
    // What hangs on objects of a span; called before its bits are replaced. May set marks.
    using SweepSpecials = void (*)(void* context, heap::Span& span);

    constexpr Sweeper() = default;

    void initialize(heap::SweptHeap& heap, SweepSpecials specials, void* context, bool poisons) {
        heap_ = &heap;
        specials_ = specials;
        context_ = context;
        poisons_ = poisons;
    }

    // The heap's hook. Needs: the caller owns the span (generation g-1). `is_kept`: it places the span
    // itself; else it goes to its central list, or to the page heap when nothing in it lives.
    // Returns: slots that became free.
    std::size_t sweep(heap::Span& span, bool is_kept);

    // Sweeps some span that needs it; pages it had, 0: none is left to take. Any thread inside the runtime.
    std::size_t sweep_one();
    // The same until pages are freed, at most `budget` spans. Returns: pages freed.
    std::size_t reclaim(std::size_t pages, unsigned budget);
    // Sweeps until the debt for `bytes` is paid. Cost: a few loads when there is none.
    void pay_debt(std::size_t bytes);

    // World stopped, after the generation grew: everything is unswept from here.
    void begin(const SweepPace& pace);
    // Takes a new pace, as when the goal moved.
    void set_pace(const SweepPace& pace);
    // Nothing is left, and nobody is at it any more.
    [[nodiscard]] bool is_done() const {
        // acquire, both: what sweepers did is visible
        return is_drained_.load(std::memory_order_acquire) && active_.load(std::memory_order_acquire) == 0;
    }
    [[nodiscard]] std::uint64_t pages_swept() const { return pages_swept_.value(); }
    [[nodiscard]] std::uint64_t freed_bytes() const { return freed_bytes_.value(); }
    [[nodiscard]] std::uint64_t freed_objects() const { return freed_objects_.value(); }

    // In the child of a fork there are no other sweepers.
    void reset_after_fork() { active_.store(0, std::memory_order_relaxed); }  // relaxed: one thread

private:
    [[nodiscard]] std::size_t sweep_bits(heap::Span& span);
    [[nodiscard]] heap::Span* take_unswept();
    void poison(const heap::Span& span) const;

    heap::SweptHeap* heap_ = nullptr;        // [fixed]
    SweepSpecials specials_ = nullptr;       // [fixed]
    void* context_ = nullptr;                // [fixed]
    bool poisons_ = false;                   // [fixed]
    std::atomic<unsigned> cursor_{0};        // [atomic] shapes below have no unswept span left
    std::atomic<unsigned> active_{0};        // [atomic] threads in sweep_one()
    std::atomic<bool> is_drained_{true};     // [atomic]
    // [atomic] the pace, in parts: a mixture of two is as good as either
    std::atomic<double> pages_per_byte_{0};
    std::atomic<std::uint64_t> live_basis_{0};   // [atomic]
    std::atomic<std::uint64_t> pages_basis_{0};  // [atomic]
    base::Counter pages_swept_;              // [atomic]
    base::Counter freed_bytes_;              // [atomic]
    base::Counter freed_objects_;            // [atomic]
};

}  // namespace cairn::gc
