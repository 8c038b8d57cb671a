// What the collector knows of one thread: where it stands, what of its memory is a root.
//
// State       set by    meaning                                                 position valid
//   running   thread    runs user code, or ours (runtime_depth > 0)             no
//   stopped   thread    parked, by the signal or on its way out of ours         yes
//   blocked   thread    in a declared blocking region                           yes
//   gone      stopper   ended without a word; its stack may be unmapped         no roots
// and beside each a flag `wanted`: somebody wants it stopped. A thread leaves `stopped` and `blocked` only
// while that flag is clear, so "stopped or blocked, and wanted" means that it stands still. `held` likewise
// keeps it there, for a program that suspends a thread; the world goes on without it. All is one atomic word;
// each move is one exchange.
//
// The record belongs to whoever embeds it and stays mapped for ever: the signal handler finds it through
// thread-local storage at any time.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "base/list.hpp"
#include "gc/fibers.hpp"
#include "gc/stack_position.hpp"
#include "os/threads.hpp"

namespace cairn::gc {

class World;

enum class ThreadState : std::uint32_t { running, stopped, blocked, gone };

struct ThreadRecord {
    static constexpr std::uint32_t wanted = 4;  // the flags beside a ThreadState
    static constexpr std::uint32_t held = 8;

    base::ListLink<ThreadRecord> link;             // [lock] the world's
    World* world = nullptr;                        // [fixed] while attached
    std::uint32_t tid = 0;                         // [fixed] while attached
    os::MemoryRange stack;                         // [fixed] while attached
    os::MemoryRange block;                         // [fixed] static TLS and libc's record: a root
    std::uintptr_t thread_pointer = 0;             // [fixed] for os::block_of_module()
    std::atomic<std::uint32_t> state{0};           // [atomic] a ThreadState, perhaps `wanted` or `held`
    std::atomic<std::uint32_t> is_signalled{0};    // [atomic] 1: a signal is on its way, send no second
    std::atomic<std::uint32_t> is_insisted{0};     // [atomic] likewise of the signal that passes masks
    bool is_deaf = false;                          // [lock] it blocks the stop signal, or did
    std::atomic<std::uint32_t> runtime_depth{0};   // [owner] and its signal handler; a guess for others
    std::uint32_t blocking_depth = 0;              // [owner]
    const os::StopContext* context = nullptr;      // [owner] while parked in the handler: its registers
    StackPosition position;                        // [owner] while parked or blocked otherwise
    // Fibers: `fiber` is what it runs on, or is about to; nullptr: its own stack.
    FiberRecord* fiber = nullptr;                  // [owner]
    os::MemoryRange previous_stack;                // [owner] of the fiber it ran on before the last switch
    StackPosition own_left_at;                     // [owner] where it left its own stack for a fiber
    // Ours for handlers, when the thread runs fibers and has none: kept for the record's next thread.
    os::MemoryRange signal_stack;                  // [owner]
    bool has_signal_stack = false;                 // [owner] this thread has one, its own or ours

    [[nodiscard]] ThreadState thread_state() const {
        // acquire: pairs with the exchange by which the thread came to rest
        return static_cast<ThreadState>(state.load(std::memory_order_acquire) & (wanted - 1));
    }
    [[nodiscard]] bool is_attached() const { return world != nullptr; }
    // Visits (low, high), whole words, of all roots of this thread. Needs: it stands still, or is the
    // caller's own and noted its position (World::stop_all() does).
    template <class Visit>
    void visit_roots(Visit visit) const;

private:
    enum class Place : std::uint8_t { own_stack, fiber, previous_stack, alternate_stack, elsewhere };
    [[nodiscard]] Place place_of(std::uintptr_t sp) const;
    // What is live of a stack we do not know, and of the one we left for it.
    [[nodiscard]] static os::MemoryRange unknown_stack(std::uintptr_t sp);
    // The lowest word in `memory` that points into `left`, or 0.
    [[nodiscard]] static std::uintptr_t lowest_into(os::MemoryRange left, os::MemoryRange memory);
    template <class Visit>
    void visit_stacks(std::uintptr_t sp, Visit visit) const;
    template <class Visit>
    void visit_under_handler(os::MemoryRange handler, Visit visit) const;
    template <class Visit>
    void visit_own_left(Visit visit) const;
    template <class Visit>
    static void visit_from(std::uintptr_t sp, os::MemoryRange stack, Visit visit) {
        std::uintptr_t low = sp - os::red_zone_bytes;
        if (sp >= stack.low && low < stack.low) low = stack.low;
        visit(low & ~(sizeof(void*) - 1), stack.high & ~(sizeof(void*) - 1));
    }
};

// ---- the roots of a thread

template <class Visit>
void ThreadRecord::visit_roots(Visit visit) const {
    if (thread_state() == ThreadState::gone) return;
    if (!block.is_empty()) visit(block.low, block.high);
    if (context == nullptr) {
        position.visit_copied(visit);
        visit_stacks(position.sp, visit);
        return;
    }
    for (const os::MemoryRange& area : context->registers)
        if (!area.is_empty()) visit(area.low, area.high);
    visit_stacks(context->sp, visit);
}

// The stack it stands on from there upward, and those that it left: its own for a fiber, a fiber that it has
// said it will enter, any of them for a signal handler.
template <class Visit>
void ThreadRecord::visit_stacks(std::uintptr_t sp, Visit visit) const {
    switch (place_of(sp)) {
        case Place::own_stack:
            visit_from(sp, stack, visit);
            if (fiber != nullptr) fiber->visit_resting(visit);
            return;
        case Place::fiber:
            visit_from(sp, fiber->stack, visit);
            visit_own_left(visit);
            return;
        case Place::previous_stack:
            visit_from(sp, previous_stack, visit);
            visit_own_left(visit);
            if (fiber != nullptr) fiber->visit_resting(visit);
            return;
        case Place::alternate_stack:
            visit_from(sp, context->alternate_stack, visit);
            visit_under_handler({sp & ~(sizeof(void*) - 1), context->alternate_stack.high}, visit);
            return;
        case Place::elsewhere:
            visit_from(sp, unknown_stack(sp), visit);
            if (fiber != nullptr) fiber->visit_resting(visit);
            visit_whole_stack(stack, visit);
            return;
    }
}

// A handler runs on its alternate stack: the interrupted stack pointer is among the words that the kernel put
// there, so the lowest word that points into a stack is where that stack was left, or below.
template <class Visit>
void ThreadRecord::visit_under_handler(os::MemoryRange handler, Visit visit) const {
    const std::uintptr_t own = lowest_into(stack, handler);
    if (own != 0) visit_from(own, stack, visit);
    if (fiber != nullptr) {
        const std::uintptr_t left = lowest_into(fiber->stack, handler);
        if (left != 0) visit_from(left, fiber->stack, visit);
        else fiber->visit_resting(visit);
        visit_own_left(visit);
    } else if (own == 0) {
        visit_whole_stack(stack, visit);
    }
    // It may have been interrupted between saying that it switches and doing so. What it left long ago may
    // be unmapped by now.
    const std::uintptr_t left = lowest_into(previous_stack, handler);
    if (left != 0 && os::mapping_of(left).contains(previous_stack.high - 1))
        visit_from(left, previous_stack, visit);
}

// While it runs on a fiber, or is about to come back from one.
template <class Visit>
void ThreadRecord::visit_own_left(Visit visit) const {
    if (!own_left_at.is_known()) {
        visit_whole_stack(stack, visit);
        return;
    }
    own_left_at.visit_copied(visit);
    const std::uintptr_t sp = own_left_at.sp - StackPosition::switch_bytes;
    visit_from(sp > stack.low ? sp : stack.low, stack, visit);
}

}  // namespace cairn::gc
