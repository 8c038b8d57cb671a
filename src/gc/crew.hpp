// Crew: further marker threads, for machines with more CPUs and for marking with the world stopped.
//
// A session is open while the leader (who runs the cycle) marks. Helpers take work from the pool, mark until
// none is there, and look again until the session is closed. `busy` counts those that may hold work: when it
// is 0 and the pool is dry after the session was closed, nothing is hidden.
//
//   session  even: closed, helpers sleep; odd: open
//
// Threads are started by hire(), and stay. The kernel may wake one on the leader's CPU though others are
// idle, and let it run there: the leader would lose a time slice, 4 ms, in the middle of a stop. So a helper
// that finds itself there moves away.
//
// Floor: gc. The leader's calls are [owner]; helpers touch atomics and the pool.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "gc/marker.hpp"
#include "os/threads.hpp"

namespace cairn::gc {

class Crew {
public:
    static constexpr unsigned most_helpers = 15;

    constexpr Crew() = default;

    void initialize(const MarkSpace& space) { space_ = &space; }

    // Has `helpers` threads at hand; fewer when the OS refuses them. Needs: the world is not stopped, since
    // making a thread takes locks of libc's, which a stopped thread may hold.
    void hire(unsigned helpers);
    // Has up to `helpers` of those that were hired mark from now on.
    void open(unsigned helpers);
    // The session ends; a helper that is in the middle of a piece of work ends that first, and nobody waits.
    void dismiss();
    // Of a session that was dismissed: waits so long for helpers to end. False: one still is at it.
    bool await_helpers(std::uint64_t ns);
    // No helper holds work after this. Returns: what they did since open().
    MarkCount close();
    [[nodiscard]] bool is_open() const { return is_open_; }
    // relaxed: a hint while the session is open
    [[nodiscard]] bool is_idle() const { return busy_.load(std::memory_order_acquire) == 0; }
    // CPU time of helpers in sessions so far.
    [[nodiscard]] std::uint64_t cpu_ns() const { return cpu_ns_.value(); }

    // The child of a fork has no helpers.
    void reset_in_child();

private:
    static void thread_entry(void* self);
    void run();
    void work(std::uint32_t session);
    void nap(std::uint32_t session, unsigned leader_cpu);

    const MarkSpace* space_ = nullptr;        // [fixed]
    bool is_open_ = false;                    // [owner] the leader; until close()
    unsigned started_ = 0;                    // [owner] the leader
    std::atomic<std::uint32_t> session_{0};   // [atomic]
    std::atomic<std::uint32_t> wanted_{0};    // [atomic] helpers that may join this session
    std::atomic<unsigned> leader_cpu_{0};     // [atomic] when the session began
    std::atomic<std::uint32_t> busy_{0};      // [atomic]
    base::Counter marked_bytes_;              // [atomic] since the last close()
    base::Counter marked_objects_;            // [atomic]
    base::Counter scanned_bytes_;             // [atomic]
    base::Counter cpu_ns_;                    // [atomic]
};

}  // namespace cairn::gc
