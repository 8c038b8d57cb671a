// CPU limiter: bounds the collector's share of the CPUs to about one half, so that a memory limit below what
// lives makes a program slow, never stuck.
//
// A leaky bucket. The collector's CPU time fills it, the program's drains it; it holds one second of every
// CPU. While it is full the collector helps itself to no more of the program's threads: no assists, no
// releasing of memory by whoever allocates. Below full all is allowed, so short bursts cost nothing.
//
//   phase     of a window of d nanoseconds on n CPUs the collector has
//   off       what assists took
//   mark      d * n * the workers' share, and what assists took
//   stopped   all d * n
//
// CPUs that had nothing to do are left out of the window: they would count for the program and hide that its
// one thread does nothing but assist. An assist is accounted for when it ends, perhaps with more time than
// the window has; sums are signed, so what one window has too much the others have too little.
//
// Stopping assists does not bound cycles that follow each other without a break, since each stops the world.
// So a cycle is affordable only when the bucket has room for as much as the last one filled in.
//
// Pure arithmetic: whoever calls has the clock and serialises the calls.
// Floor: gc. Locks: none; [owner] is who moves cycles on. Source: Go mgclimit.go (BSD-3); differs in the
// affordable cycle, in signed sums, and in naming the phases.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace cairn::gc {

// CPU time since the last call, on all CPUs together.
struct CpuTime {
    std::uint64_t assist_ns = 0;  // by threads of the program on the collector's work
    std::uint64_t idle_ns = 0;    // by nobody: CPUs times time, less what the process used
};

class CpuLimiter {
public:
    static constexpr std::uint64_t capacity_ns_per_cpu = 1'000'000'000;
    // A window is at most so long before the caller should account for it.
    static constexpr std::uint64_t update_period_ns = 10'000'000;

    enum class Phase : std::uint8_t { off, mark, stopped };

    constexpr CpuLimiter() = default;

    // Sets how many CPUs there are; the bucket keeps what it holds as far as it still fits.
    void set_cpus(unsigned cpus, std::uint64_t now_ns);
    // Accounts for the time since the last call. A clock that goes back is ignored.
    void update(std::uint64_t now_ns, CpuTime spent = {});
    // The same, then a new phase. `worker_share`: of all CPUs, for Phase::mark; kept through Phase::stopped.
    void enter(Phase phase, std::uint64_t now_ns, CpuTime spent = {}, double worker_share = 0.25);

    // True: no assists, no releasing of memory on the program's time.
    [[nodiscard]] bool is_limiting() const { return fill_ns_ >= capacity_ns_; }
    // False: the last cycle is not yet paid for, a cycle that is not forced should wait.
    [[nodiscard]] bool can_afford_cycle() const;

    [[nodiscard]] Phase phase() const { return phase_; }
    [[nodiscard]] std::uint64_t fill_ns() const { return fill_ns_; }
    [[nodiscard]] std::uint64_t capacity_ns() const { return capacity_ns_; }
    // Collector time that found the bucket full; a statistic.
    [[nodiscard]] std::uint64_t overflow_ns() const { return overflow_ns_; }

private:
    void account(std::int64_t net_ns);

    std::uint64_t capacity_ns_ = capacity_ns_per_cpu;  // [owner]
    std::uint64_t fill_ns_ = 0;                        // [owner] at most capacity_ns_
    std::uint64_t overflow_ns_ = 0;                    // [owner]
    std::uint64_t last_ns_ = 0;                        // [owner]
    std::int64_t cycle_net_ns_ = 0;                    // [owner] filled in since the cycle began
    std::uint64_t cycle_cost_ns_ = 0;                  // [owner] by the last cycle, at least 0
    double worker_share_ = 0.25;                       // [owner]
    unsigned cpus_ = 1;                                // [owner]
    Phase phase_ = Phase::off;                         // [owner]
};

}  // namespace cairn::gc
