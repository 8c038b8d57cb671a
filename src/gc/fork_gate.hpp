// Fork gate: while it is closed no thread enters our own code, so that a fork copies whole structures.
//
// The world cannot stay stopped over a fork: libc takes locks of its own in there, which a stopped thread may
// hold. So the forking thread closes the gate, stops the world once and lets it go on: from then on every
// other thread is outside of our code, or waits at the gate. Step 2 of an allocation (the bump) passes it:
// a child finds a run with its cursor before or after the slot, and nobody who was given it.
//
// Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "base/os_calls.hpp"
#include "gc/world.hpp"

namespace cairn::gc {

class ForkGate {
public:
    constexpr ForkGate() = default;

    // Enters the runtime, after waiting while the gate is closed. Cost: a load more than World's.
    void enter(ThreadRecord& thread) {
        for (;;) {
            World::enter_runtime(thread);
            // relaxed, twice: who entered before it was closed is waited for by the stop; who enters after
            // the stop sees it closed. Nested entries belong to one that has passed.
            if (closed_.load(std::memory_order_relaxed) == 0) [[likely]] return;
            if (thread.runtime_depth.load(std::memory_order_relaxed) > 1) return;  // relaxed: as above
            if (is_owner(thread)) return;
            World::leave_runtime(thread);
            wait(thread);
        }
    }

    // The same without waiting: false when it is closed.
    [[nodiscard, gnu::always_inline]] bool try_enter(ThreadRecord& thread) {
        World::enter_runtime(thread);
        if (closed_.load(std::memory_order_relaxed) == 0) [[likely]] return true;  // relaxed: as above
        World::leave_runtime(thread);
        return false;
    }

    // Needs: one closer at a time.
    void close(const ThreadRecord* owner) {
        owner_.store(owner, std::memory_order_relaxed);  // relaxed: ordered by the stop that follows
        closed_.store(1, std::memory_order_relaxed);     // relaxed: the stop orders it
    }
    void open() {
        closed_.store(0, std::memory_order_release);  // release: what the fork left, to those who waited
        base::os_wake(closed_, true);
    }

private:
    [[nodiscard]] bool is_owner(const ThreadRecord& thread) const {
        return owner_.load(std::memory_order_relaxed) == &thread;  // relaxed: its own value or another's
    }
    void wait(ThreadRecord& thread) {
        World::enter_blocking(thread);
        while (closed_.load(std::memory_order_acquire) != 0) base::os_wait(closed_, 1);  // acquire: open()
        World::leave_blocking(thread);
    }

    std::atomic<std::uint32_t> closed_{0};                // [atomic]
    std::atomic<const ThreadRecord*> owner_{nullptr};     // [atomic]
};

// Of the process; here because the shortest way in passes it.
inline constinit ForkGate fork_gate;

}  // namespace cairn::gc
