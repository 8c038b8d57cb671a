// The one owner of all state: the heap, its options, its background thread, and who is attached.
//
// Started by the first allocation, whoever makes it and however early; never stopped or destroyed, since
// other libraries free after our destructors. A thread gets its cache on its first slow path and loses it in
// the second round of its key destructors; what runs after that (libc frees four times more) uses the central
// lists directly.
//
// Floor: api. Locks: start_lock_ (Rank::runtime) around the start only.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "api/options.hpp"
#include "heap/background.hpp"
#include "heap/heap.hpp"

namespace cairn::gc {
struct CollectorStats;
}

namespace cairn::api {

class Runtime {
public:
    constexpr Runtime() = default;

    // True when the heap is ready; starts it when needed. False only when the OS refuses the first few pages.
    [[nodiscard]] bool ensure_started() {
        // acquire: pairs with the release in start(): the heap is complete
        return state_.load(std::memory_order_acquire) == State::ready || start();
    }
    [[nodiscard]] bool is_started() const {
        return state_.load(std::memory_order_acquire) == State::ready;  // acquire: pairs with start()
    }

    heap::Heap heap;
    heap::Background background;
    Options options;                     // [fixed] once started
    std::uint64_t start_ns = 0;          // [fixed]

    // The calling thread's cache, attached when it has none; the blank one when that is impossible.
    heap::ThreadCache& current_cache();
    // Gives the calling thread's cache back; from now on it allocates without one.
    void retire_thread();

    // What the heap asks of us; a collector adds its answers before its first object is made.
    [[nodiscard]] static heap::Hooks& hooks();

    // Writes the report the options ask for; called at exit. `collector`: what one did, if there is one.
    void report_if_asked(const gc::CollectorStats* collector = nullptr);

private:
    enum class State : std::uint8_t { none, ready };

    [[nodiscard]] bool start();

    base::RankedLock<base::Rank::runtime> start_lock_;
    std::atomic<State> state_{State::none};  // [atomic]
};

// Hidden, constant-initialised, never destroyed.
extern constinit Runtime runtime;

// The thread's cache: the blank one at first. Initial-exec: one load from the thread pointer.
extern __thread heap::ThreadCache* thread_cache __attribute__((tls_model("initial-exec")));

}  // namespace cairn::api
