// The bucket's arithmetic: windows split between program and collector, saturating at both ends.
// SPDX-License-Identifier: MIT
#include "gc/cpu_limiter.hpp"

#include <algorithm>

namespace cairn::gc {

namespace {

// Nothing is longer: 2^50 ns are 13 days, and with a thousand CPUs sums still fit 63 bits.
constexpr std::uint64_t longest_ns = std::uint64_t{1} << 50;
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
    const std::uint64_t window_ns = std::min(now_ns - last_ns_, longest_ns) * cpus_;
    last_ns_ = now_ns;
    if (phase_ == Phase::stopped) {
        account(static_cast<std::int64_t>(window_ns));
        return;
    }
    std::uint64_t collector_ns = std::min(spent.assist_ns, longest_ns);
    if (phase_ == Phase::mark)
        collector_ns += static_cast<std::uint64_t>(static_cast<double>(window_ns) * worker_share_);
    const std::uint64_t busy_ns = window_ns - std::min(spent.idle_ns, window_ns);
    // the collector's part in, the program's out: busy_ns is both
    account(static_cast<std::int64_t>(2 * collector_ns) - static_cast<std::int64_t>(busy_ns));
}

void CpuLimiter::enter(Phase phase, std::uint64_t now_ns, CpuTime spent, double worker_share) {
    update(now_ns, spent);
    if (phase_ == Phase::off && phase != Phase::off) cycle_net_ns_ = 0;
    if (phase_ != Phase::off && phase == Phase::off)
        cycle_cost_ns_ = static_cast<std::uint64_t>(std::max<std::int64_t>(cycle_net_ns_, 0));
    phase_ = phase;
    // a share that is no number counts as the whole
    if (phase == Phase::mark) worker_share_ = worker_share >= 0 && worker_share <= 1 ? worker_share : 1;
}

bool CpuLimiter::can_afford_cycle() const {
    // At most half the bucket is waited for: a long cycle is no reason to let memory grow for minutes.
    return capacity_ns_ - fill_ns_ >= std::min(cycle_cost_ns_, capacity_ns_ / 2);
}

void CpuLimiter::account(std::int64_t net_ns) {
    const auto most = static_cast<std::int64_t>(longest_ns * most_cpus);
    cycle_net_ns_ = std::clamp(cycle_net_ns_ + net_ns, -most, most);
    if (net_ns <= 0) {
        fill_ns_ -= std::min(fill_ns_, static_cast<std::uint64_t>(-net_ns));
        return;
    }
    const auto more_ns = static_cast<std::uint64_t>(net_ns);
    const std::uint64_t room_ns = capacity_ns_ - fill_ns_;
    if (more_ns > room_ns) overflow_ns_ += more_ns - room_ns;
    fill_ns_ += std::min(more_ns, room_ns);
}

}  // namespace cairn::gc
