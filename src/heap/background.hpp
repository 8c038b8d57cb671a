// The background thread's work: gives idle memory back to the OS while the program does something else, or
// nothing.
//
// It runs only while there is something to give back, and ends a few seconds after: a program that never
// frees much has no thread of ours. It knows nothing but the heap it is handed; the goal follows recent use
// (pages/scavenger.hpp).
//   1  depots that nobody touched since the last look go home, which empties spans;
//   2  free pages beyond the goal are returned, highest addresses first, about 1 % of a core;
//   3  sleeps as the pacer says, or until woken.
//
// Floor: heap. Runs on os::spawn_background's thread: only raw OS calls, no thread cache.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "heap/heap.hpp"
#include "pages/scavenger.hpp"

namespace cairn::heap {

class Background {
public:
    constexpr Background() = default;
    // `has_thread` false: never starts one, as for programs that must stay single-threaded or whose sandbox
    // kills on clone.
    void initialize(Heap& heap, bool has_thread, bool traces) {
        heap_ = &heap;
        has_thread_ = has_thread;
        traces_ = traces;
    }

    // Starts the thread unless it runs; where the OS refuses one, does a little of its work instead. Cost: a
    // fence and a few loads when it runs. Any thread, no lock held.
    void start_if_needed();

private:
    static void run(void* self);
    void loop();
    [[nodiscard]] bool try_start();
    [[nodiscard]] std::uint64_t backlog(std::uint64_t now_ns);
    void release_batch(std::uint64_t backlog_bytes);
    void trace(std::uint64_t released_bytes) const;

    Heap* heap_ = nullptr;              // [fixed]
    bool has_thread_ = true;            // [fixed]
    bool traces_ = false;               // [fixed]
    pages::RetainGoal goal_;            // [owner] the background thread
    pages::ScavengePacer pacer_;        // [owner]
    std::uint64_t last_batch_end_ns_ = 0;  // [owner]
    std::atomic<bool> is_ending_{false};   // [atomic] the thread had nothing to do at its last look
    // [atomic] no new try before; 0 until the OS first refuses a thread
    std::atomic<std::uint64_t> retry_at_ns_{0};
};

}  // namespace cairn::heap
