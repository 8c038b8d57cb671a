// The bucket's arithmetic: windows split between program and collector, saturating at both ends.
// SPDX-License-Identifier: MIT
#include "gc/cpu_limiter.hpp"

#include <algorithm>

namespace cairn::gc {

namespace {

// No window is longer: 2^53 ns are 104 days, and times a thousand CPUs they still fit 64 bits.
constexpr std::uint64_t longest_window_ns = std::uint64_t{1} << 53;
constexpr unsigned most_cpus = 1024;

}  // namespace

void CpuLimiter::set_cpus(unsigned cpus, std::uint64_t now_ns) {
    update(now_ns);
    cpus_ = std::clamp(cpus, 1u, most_cpus);
    capacity_ns_ = capacity_ns_per_cpu * cpus_;
    fill_ns_ = std::min(fill_ns_, capacity_ns_);
}

void CpuLimiter::update(std::uint64_t now_ns, CpuTime spent) {
    if (now_ns < last_ns_) return;
    const std::uint64_t window_ns = std::min(now_ns - last_ns_, longest_window_ns) * cpus_;
    last_ns_ = now_ns;
    if (phase_ == Phase::stopped) {
        account(0, window_ns);
        return;
    }
    std::uint64_t collector_ns = std::min(spent.assist_ns, window_ns);
    if (phase_ == Phase::mark) {
        const auto worker_ns = static_cast<std::uint64_t>(static_cast<double>(window_ns) * worker_share_);
        collector_ns = std::min(collector_ns + worker_ns, window_ns);
    }
    const std::uint64_t busy_ns = window_ns - std::min(spent.idle_ns, window_ns);
    account(busy_ns - std::min(collector_ns, busy_ns), collector_ns);
}

void CpuLimiter::enter(Phase phase, std::uint64_t now_ns, CpuTime spent, double worker_share) {
    update(now_ns, spent);
    if (phase_ == Phase::off && phase != Phase::off) {
        cycle_program_ns_ = 0;
        cycle_collector_ns_ = 0;
    }
    if (phase_ != Phase::off && phase == Phase::off)
        cycle_cost_ns_ = cycle_collector_ns_ - std::min(cycle_program_ns_, cycle_collector_ns_);
    phase_ = phase;
    // a share that is no number counts as the whole
    if (phase == Phase::mark) worker_share_ = worker_share >= 0 && worker_share <= 1 ? worker_share : 1;
}

bool CpuLimiter::can_afford_cycle() const {
    // At most half the bucket is waited for: a long cycle is no reason to let memory grow for minutes.
    return capacity_ns_ - fill_ns_ >= std::min(cycle_cost_ns_, capacity_ns_ / 2);
}

void CpuLimiter::account(std::uint64_t program_ns, std::uint64_t collector_ns) {
    cycle_program_ns_ += program_ns;
    cycle_collector_ns_ += collector_ns;
    if (program_ns >= collector_ns) {
        fill_ns_ -= std::min(fill_ns_, program_ns - collector_ns);
        return;
    }
    const std::uint64_t more_ns = collector_ns - program_ns;
    const std::uint64_t room_ns = capacity_ns_ - fill_ns_;
    if (more_ns > room_ns) overflow_ns_ += more_ns - room_ns;
    fill_ns_ += std::min(more_ns, room_ns);
}

}  // namespace cairn::gc
