// The locks of Cairn: one ordered list of ranks, and a lock of four bytes that spins briefly and then sleeps.
//
// Locks are taken in rising rank only; debug builds count what each thread holds and stop at the first
// breach. Locks of one rank are taken in the order of their array, and together only around fork. A lock is
// held briefly and nothing is allocated or logged under it. Sleeping is a futex behind os_calls.hpp, so a
// preempted owner costs a switch, not a spin (20 forks with a spinlock took 700 times longer than with a
// futex).
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "base/check.hpp"
#include "base/os_calls.hpp"

namespace cairn::base {

// Outermost first. A line, a reason.
enum class Rank : std::uint8_t {
    world,        // the list of threads: held from the stop of the world until it goes on
    fibers,       // the list of fibers: a few links at a time, by a thread that cannot be stopped then
    runtime,      // start-up, settings, thread caches, fork: holds still while all below are taken
    roots,        // the root set: takes only metadata below
    central,      // one size class: magazines and spans with free slots; calls span_alloc
    span_set,     // growing a span set's spine
    ephemerons,   // the list of ephemeron maps; a map's own lock is taken under it
    specials,     // the records of one span; one ephemeron map
    stacks,       // idle stacks of fibers
    heap,         // pages, spans, arenas; the collector's shared buffer of grey words
    metadata,     // pools of our own records: taken under any of the above
    leaf,         // held over a few loads and stores, takes nothing
};

// Debug builds: what the calling thread holds. note_taken() stops the program when a higher rank is among it.
void note_taken(Rank rank);
void note_released(Rank rank);
// Whether it holds any: a thread that does must not be stopped.
[[nodiscard]] bool holds_locks();
// While the calling thread forks and all others are outside of our code, it takes every lock there is, and
// handlers of two owners do so one after the other: the order is of no matter then.
void note_fork(bool is_forking);

inline void cpu_pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Word: 0 free, 1 held, 2 held and somebody may sleep.
template <Rank rank>
class RankedLock {
public:
    constexpr RankedLock() = default;
    RankedLock(const RankedLock&) = delete;
    RankedLock& operator=(const RankedLock&) = delete;

    void lock() {
        if constexpr (debug_build) note_taken(rank);
        std::uint32_t expected = 0;
        // acquire: pairs with the release in unlock()
        if (word_.compare_exchange_strong(expected, 1, std::memory_order_acquire, std::memory_order_relaxed))
            return;
        lock_contended();
    }

    [[nodiscard]] bool try_lock() {
        if (!try_take()) return false;
        if constexpr (debug_build) note_taken(rank);
        return true;
    }

    void unlock() {
        if constexpr (debug_build) note_released(rank);
        // release: publishes what the owner wrote to the next lock()
        if (word_.exchange(0, std::memory_order_release) == 2) os_wake(word_, false);
    }

    // Only after fork, in the child, where the owner no longer exists.
    void reset_after_fork() {
        if constexpr (debug_build) note_released(rank);
        word_.store(0, std::memory_order_relaxed);  // relaxed: the child has one thread
    }

    [[nodiscard]] bool is_held() const {
        return word_.load(std::memory_order_relaxed) != 0;  // relaxed: for assertions of the owner only
    }

private:
    [[nodiscard]] bool try_take() {
        std::uint32_t expected = 0;
        // acquire: pairs with the release in unlock()
        return word_.compare_exchange_strong(expected, 1, std::memory_order_acquire,
                                             std::memory_order_relaxed);
    }

    __attribute__((noinline)) void lock_contended() {
        for (unsigned spin = 0; spin < spin_limit; ++spin) {
            cpu_pause();
            // relaxed: only a hint; try_take() orders
            if (word_.load(std::memory_order_relaxed) == 0 && try_take()) return;
        }
        // acquire: pairs with the release in unlock(); 2 stays so that unlock() wakes the next sleeper
        while (word_.exchange(2, std::memory_order_acquire) != 0) os_wait(word_, 2);
    }

    static constexpr unsigned spin_limit = 60;  // about 1 us: a critical section is shorter than a switch

    std::atomic<std::uint32_t> word_{0};  // [atomic]
};

template <class Lock>
class [[nodiscard]] Guard {
public:
    explicit Guard(Lock& lock) : lock_(lock) { lock_.lock(); }
    ~Guard() { lock_.unlock(); }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

private:
    Lock& lock_;
};

}  // namespace cairn::base
