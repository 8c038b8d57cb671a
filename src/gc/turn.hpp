// Turn: who may run a cycle, or fork, and how the collector's thread hears that there is something to do.
//
//   free ──try_take(), take()──▶ taken ──end()──────▶ free
//                                  └────hand_over()──▶ handed ──the collector's thread──▶ free
//
// A thread of the program that takes the turn for a cycle may hand it over, with what it wrote. Only the
// collector's thread goes on with it: when it takes requests, or when it wants a turn of its own, which would
// else wait for ever for what it is to do itself.
//
// Requests are bits, gathered until the collector's thread takes them all. A thread that asks for a cycle
// again and again may look first whether the bit is set. One that hands over may not: it would have to see
// that the collector's thread has not taken the bit yet, and that thread that the turn is handed, each before
// its own store is visible to the other. Nor may one that waits for an answer.
//
// The algorithm is a template over its atomics, so that tests/litmus runs this very code through every
// interleaving.
//
// Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "base/os_calls.hpp"
#include "os/threads.hpp"

namespace cairn::gc {

// What the product runs on; tests/litmus has another.
struct TurnAtomics {
    using Word = std::atomic<std::uint32_t>;
    static void wait(Word& word, std::uint32_t expected) { base::os_wait(word, expected); }
    static void wait_for(Word& word, std::uint32_t expected, std::uint64_t ns) {
        os::wait_for(word, expected, ns);
    }
    static void wake(Word& word, bool all) { base::os_wake(word, all); }
};

template <class Atomics>
class BasicTurn {
public:
    // Bits of a request.
    static constexpr std::uint32_t cycle_wanted = 1;
    static constexpr std::uint32_t cycle_forced = 2;
    static constexpr std::uint32_t turn_given = 4;  // hand_over()

    constexpr BasicTurn() = default;

    // ---- the turn

    [[nodiscard]] bool try_take() {
        std::uint32_t state = free;
        // acquire: after the one before; relaxed: somebody else has it
        return state_.compare_exchange_strong(state, taken, std::memory_order_acquire,
                                              std::memory_order_relaxed);
    }
    // Waits for it. Not for the collector's thread.
    void take() {
        take_or([] { return false; });
    }
    // The collector's thread: calls go_on() for what was handed over before; that ends the turn.
    template <class GoOn>
    void take_by_collector(GoOn go_on) {
        take_or([&] {
            if (!is_handed()) return false;
            go_on();
            return true;
        });
    }
    void end() {
        state_.store(free, std::memory_order_release);  // release: to the next
        Atomics::wake(state_, true);
    }
    // Everything the caller wrote goes along.
    void hand_over() {
        state_.store(handed, std::memory_order_release);  // release: the cycle so far, to is_handed()
        Atomics::wake(state_, true);                      // the collector's thread may wait for a turn
        request(turn_given);
    }
    // For the collector's thread: the turn is its own.
    [[nodiscard]] bool is_handed() const {
        return state_.load(std::memory_order_acquire) == handed;  // acquire: pairs with hand_over()
    }

    // ---- requests

    void request(std::uint32_t bits) {
        // relaxed: a hint; the thread that finds the trigger passed again asks again
        if (bits == cycle_wanted && (requests_.load(std::memory_order_relaxed) & bits) != 0) return;
        // release: what led to it is seen by the thread. An exchange: the bit is taken after this, or it was
        // before and is set anew.
        requests_.fetch_or(bits, std::memory_order_release);
        Atomics::wake(requests_, false);
    }
    // The collector's thread: all bits since the last call.
    [[nodiscard]] std::uint32_t take_requests() {
        return requests_.exchange(0, std::memory_order_acquire);  // acquire: pairs with request()
    }
    // The collector's thread: sleeps until there is one, at most so long.
    void wait_for_request(std::uint64_t ns) { Atomics::wait_for(requests_, 0, ns); }

    // The child of a fork: nobody asks.
    void reset_requests() { requests_.store(0, std::memory_order_relaxed); }  // relaxed: one thread

private:
    enum State : std::uint32_t { free, taken, handed };

    template <class TryElse>
    void take_or(TryElse try_else) {
        while (!try_take()) {
            // relaxed: only to sleep by; try_take() orders
            const std::uint32_t state = state_.load(std::memory_order_relaxed);
            if (state != free && !try_else()) Atomics::wait(state_, state);
        }
    }

    typename Atomics::Word state_{free};  // [atomic]
    typename Atomics::Word requests_{0};  // [atomic] bits
};

using Turn = BasicTurn<TurnAtomics>;

}  // namespace cairn::gc
