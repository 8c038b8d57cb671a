// Fibers: stacks that threads run on by turns, known to the collector.
//
// A fiber is any range of memory that the program uses as a stack: one of heap/stack_spans.hpp, or of a
// library of its own. Two kinds:
//   tracked    the program says when a thread leaves and enters it (World::switch_fiber): scanned from where
//              it was left, beside the program;
//   untracked  nobody says anything: scanned whole in every stop, as far as it was ever touched.
//
// A tracked fiber belongs at any time to one of three, by its state:
//   resting    nobody runs on it; the collector may claim it
//   claimed    the collector reads it; who wants to run on it waits that long
//   awaited    claimed, and somebody waits
//   entered    a thread runs on it, or is about to: scanned with that thread (World)
// Where a thread really runs is decided by its stack pointer, never by the state alone: it may be stopped
// between saying so and doing so.
//
// In a cycle each fiber is scanned once beside the program; those that ran since are scanned again in the
// last stop, no others. Two lists hold them: those still to scan, and those scanned in this cycle. Entering a
// scanned one moves it back; that is the only time that entering takes a lock.
//
// Locks: Rank::fibers. Callers cannot be stopped meanwhile (World sees to it).
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "base/list.hpp"
#include "base/lock.hpp"
#include "gc/stack_position.hpp"
#include "os/threads.hpp"

namespace cairn::gc {

enum class FiberState : std::uint32_t { resting, claimed, awaited, entered };

struct FiberRecord {
    base::ListLink<FiberRecord> link;             // [lock] of the set
    os::MemoryRange stack;                        // [fixed] while registered
    StackPosition left_at;                        // [owner] who runs on it; the claimer reads
    std::atomic<std::uint32_t> state{0};          // [atomic] a FiberState
    std::atomic<std::uint32_t> scanned_cycle{0};  // [atomic] written under the lock; 0: never
    bool is_tracked = true;                       // [fixed] while registered
    bool is_listed = false;                       // [lock] of the set

    // What is live while no thread runs on it. Needs: stopped or claimed.
    template <class Visit>
    void visit_resting(Visit visit) const;
};

// Visits (low, high) of what a stack may hold of which only the bounds are known.
template <class Visit>
void visit_whole_stack(os::MemoryRange stack, Visit visit) {
    os::visit_touched(
        stack,
        [](void* argument, os::MemoryRange part) { (*static_cast<Visit*>(argument))(part.low, part.high); },
        &visit);
}

template <class Visit>
void FiberRecord::visit_resting(Visit visit) const {
    if (!is_tracked || !left_at.is_known()) {
        visit_whole_stack(stack, visit);
        return;
    }
    left_at.visit_copied(visit);
    const std::uintptr_t sp = left_at.sp & ~(sizeof(void*) - 1);
    visit(sp - stack.low > left_at.switch_bytes ? sp - left_at.switch_bytes : stack.low, stack.high);
}

class FiberSet {
public:
    constexpr FiberSet() = default;

    // Registers a stack; `stack` is what may be read and written of it. The record stays the caller's.
    void add(FiberRecord& fiber, os::MemoryRange stack, bool is_tracked);
    // Needs: no thread runs on it. Waits while the collector reads it; twice is harmless.
    void remove(FiberRecord& fiber);

    // A thread is about to run on `fiber`; waits while the collector reads it. Cost: a compare and exchange.
    void enter(FiberRecord& fiber);
    // The thread stops running on it; left_at is noted.
    static void leave(FiberRecord& fiber) {
        // release: left_at, to the claimer and to the next thread
        fiber.state.store(static_cast<std::uint32_t>(FiberState::resting), std::memory_order_release);
    }

    // ---- the collector's

    // From here on every fiber is to scan again. Needs: the world stopped.
    void begin_cycle();
    // Takes a resting fiber that is not scanned yet in this cycle, or nullptr when all of them are.
    [[nodiscard]] FiberRecord* claim_next();
    // Gives it back, scanned.
    void release(FiberRecord& fiber);
    // Visits (low, high) of all that is still to scan: untracked fibers, and tracked ones that rest and ran
    // since they were scanned. Needs: the world stopped; with `all` the scanned ones too.
    template <class Visit>
    void visit_unscanned(Visit visit, bool all = false) {
        for (const FiberRecord* fiber = to_scan_.first(); fiber != nullptr; fiber = Fibers::next(fiber))
            if (is_resting(*fiber)) fiber->visit_resting(visit);
        for (const FiberRecord* fiber = untracked_.first(); fiber != nullptr; fiber = Fibers::next(fiber))
            fiber->visit_resting(visit);
        if (!all) return;
        for (const FiberRecord* fiber = scanned_.first(); fiber != nullptr; fiber = Fibers::next(fiber))
            if (is_resting(*fiber)) fiber->visit_resting(visit);
    }
    // The registered fiber that holds `address`, or nullptr. Cost: looks at all. Needs: the world stopped.
    [[nodiscard]] const FiberRecord* find(std::uintptr_t address) const;
    [[nodiscard]] std::size_t count() const;

    void lock() { lock_.lock(); }
    void unlock() { lock_.unlock(); }
    // In a forked child: all stay registered, for their memory is there; `survivor` says which one is run on.
    void reset_in_child(const FiberRecord* survivor);

private:
    using Fibers = base::List<FiberRecord, &FiberRecord::link>;

    [[nodiscard]] static bool is_resting(const FiberRecord& fiber) {
        // acquire: pairs with leave()
        return fiber.state.load(std::memory_order_acquire) == static_cast<std::uint32_t>(FiberState::resting);
    }
    [[nodiscard]] bool is_scanned_locked(const FiberRecord& fiber) const;
    [[nodiscard]] Fibers& list_of_locked(const FiberRecord& fiber);
    void mark_unscanned(FiberRecord& fiber);

    mutable base::RankedLock<base::Rank::fibers> lock_;
    Fibers to_scan_;                       // [lock] tracked; not scanned in this cycle, or run on since
    Fibers scanned_;                       // [lock] tracked; scanned in this cycle
    Fibers untracked_;                     // [lock]
    std::atomic<std::uint32_t> cycle_{1};  // [stopped]
};

}  // namespace cairn::gc
