// The scavenger: returns free pages to the OS, highest addresses first, at a pace nobody notices.
//
//   RetainGoal     how much the heap may keep: what it used lately and a tenth more, so that a program that
//                  swings between small and large does not pay the OS for each swing.
//   ScavengePacer  how long to sleep between batches: about 1 % of a core, but a backlog is gone within 5 s.
//   Scavenger      one release: claim a run under the heap lock, give it back without the lock, free it as
//                  returned.
//
// Goals and pace are pure arithmetic: times and sizes come in, a decision goes out; there is no clock here.
// The background thread, the memory limit and malloc_trim() above drive the same three parts.
//
// Source: Go mgcscavenge.go (BSD-3) Differs: the retain goal follows recent use instead of
// collector cycles; pacing has a deadline, because a heap without cycles has no other event that would speed
// it up; the controller integrates over 1 s, not 3.2 ms, which made bursts between sleeps of a second.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/lock.hpp"

namespace cairn::pages {

class PageAlloc;

inline constexpr std::uint64_t no_goal = UINT64_MAX;

// What background scavenging works towards; it stops when both are met.
struct ScavengeGoals {
    std::uint64_t retain_bytes = no_goal;  // in use and free but still backed
    std::uint64_t limit_bytes = no_goal;   // compared with what the process has mapped and ready
};

// Bytes to release until both goals are met; 0 when they are.
[[nodiscard]] constexpr std::uint64_t scavenge_backlog(const ScavengeGoals& goals,
                                                       std::uint64_t retained_bytes,
                                                       std::uint64_t ready_bytes) {
    const auto excess = [](std::uint64_t have, std::uint64_t goal) { return have > goal ? have - goal : 0; };
    const std::uint64_t over_retain = excess(retained_bytes, goals.retain_bytes);
    const std::uint64_t over_limit = excess(ready_bytes, goals.limit_bytes);
    return over_retain > over_limit ? over_retain : over_limit;
}

// Background work starts at 95 % of the memory limit, so that allocation rarely has to release memory itself.
[[nodiscard]] constexpr std::uint64_t limit_goal(std::uint64_t memory_limit_bytes) {
    if (memory_limit_bytes == no_goal) return no_goal;
    return memory_limit_bytes / 100 * 95 + memory_limit_bytes % 100 * 95 / 100;
}

class RetainGoal {
public:
    constexpr RetainGoal() = default;
    // Takes the bytes in use at `now_ns` (never going back); returns 1.10 x max(in use, recent peak), rounded
    // up to `unit_bytes`. The peak halves every second.
    [[nodiscard]] std::uint64_t update(std::uint64_t in_use_bytes, std::uint64_t now_ns,
                                       std::uint64_t unit_bytes = 4096);
    [[nodiscard]] std::uint64_t peak_bytes() const { return static_cast<std::uint64_t>(peak_); }

private:
    static constexpr double half_life_ns = 1e9;

    double peak_ = 0;            // [owner]
    std::uint64_t last_ns_ = 0;  // [owner]
};

// A PI controller over the share of a core that scavenging takes.
class ScavengePacer {
public:
    static constexpr std::size_t quantum_bytes = 64 * 1024;       // one release: about 7 us of madvise
    static constexpr std::uint64_t batch_ns = 1'000'000;          // shorter ones would be all wake-up
    static constexpr double target_share = 0.01;                  // of one core
    static constexpr std::uint64_t deadline_ns = 5'000'000'000;   // a backlog is gone within this time
    static constexpr std::uint64_t longest_sleep_ns = 1'000'000'000;

    struct Batch {
        std::uint64_t worked_ns = 0;       // CPU time of the batch; 0 when the clock did not move
        std::uint64_t elapsed_ns = 0;      // wall time since the previous batch ended, this one included
        std::uint64_t released_bytes = 0;
        std::uint64_t backlog_bytes = 0;   // still to release after it
    };

    constexpr ScavengePacer() = default;

    // True when the batch has run long enough (or, with a clock that stands still, released enough).
    [[nodiscard]] static constexpr bool is_batch_done(std::uint64_t worked_ns, std::uint64_t released_bytes) {
        return charged_ns(worked_ns, released_bytes) >= batch_ns;
    }
    // How long to sleep after `batch`.
    [[nodiscard]] std::uint64_t sleep_after(const Batch& batch);
    // The goals are met or nothing is left to release: the next backlog starts its own deadline, and the idle
    // time until then teaches the controller nothing.
    void rest();

    [[nodiscard]] double work_per_sleep() const { return ratio_; }

private:
    static constexpr double least_ratio = 0.001;
    static constexpr double most_ratio = 1000;
    static constexpr double gain = 0.3375;
    static constexpr double integral_ns = 1e9;
    static constexpr double reset_ns = 1e9;
    static constexpr std::uint64_t assumed_page_ns = 10'000;  // per 4 KiB, when the clock did not move

    [[nodiscard]] static constexpr std::uint64_t charged_ns(std::uint64_t worked_ns,
                                                            std::uint64_t released_bytes) {
        return worked_ns != 0 ? worked_ns : released_bytes / 4096 * assumed_page_ns;
    }
    void steer(double share, double period_ns);

    double ratio_ = target_share;              // [owner] work : sleep
    double integral_ = target_share;           // [owner]
    double bytes_per_ns_ = 0;                  // [owner] rate that meets the deadline of the present backlog
    bool is_rested_ = true;                    // [owner] the time before this batch was no sleep of ours
    std::uint64_t cooldown_ns_ = 0;            // [owner] time to ignore the controller after it overflowed
};

class Scavenger {
public:
    using HeapLock = base::RankedLock<base::Rank::heap>;

    constexpr Scavenger() = default;

    // Releases `max_bytes` of free pages if there are so many, a little more where a run is extended to whole
    // OS and huge pages. `is_forced`: also chunks so densely used that they should stay huge pages.
    // Returns: bytes released. Needs: `lock` not held; taken and dropped for each run.
    std::size_t release(PageAlloc& pages, HeapLock& lock, std::size_t max_bytes, bool is_forced);
};

}  // namespace cairn::pages
