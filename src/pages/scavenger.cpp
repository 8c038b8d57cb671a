// The scavenger: goal, pace and release. See scavenger.hpp.
// SPDX-License-Identifier: MIT
#include "pages/scavenger.hpp"

#include "base/bits.hpp"
#include "os/memory.hpp"
#include "pages/page_alloc.hpp"

namespace cairn::pages {

namespace {

// 2^-x for x >= 0 without libm: whole halvings, then a cubic, right at 0 and 1 and off by 0.0001 between.
double power_of_half(double x) {
    if (x >= 63) return 0;
    const auto whole = static_cast<unsigned>(x);
    const double rest = x - whole;
    const double part = 1 - rest * (0.69315 - rest * (0.2402 - rest * 0.04705));
    return part / static_cast<double>(std::uint64_t{1} << whole);
}

}  // namespace

std::uint64_t RetainGoal::update(std::uint64_t in_use_bytes, std::uint64_t now_ns, std::uint64_t unit_bytes) {
    if (now_ns > last_ns_) {
        peak_ *= power_of_half(static_cast<double>(now_ns - last_ns_) / half_life_ns);
        last_ns_ = now_ns;
    }
    if (peak_ < static_cast<double>(in_use_bytes)) peak_ = static_cast<double>(in_use_bytes);
    const double goal = peak_ * 1.10;
    if (goal >= static_cast<double>(no_goal / 2)) return no_goal;
    return base::align_up(static_cast<std::uint64_t>(goal), unit_bytes);
}

// ---- pace -------------------------------------------------------------------------------------------------

std::uint64_t ScavengePacer::sleep_after(const Batch& batch) {
    const auto worked = static_cast<double>(charged_ns(batch.worked_ns, batch.released_bytes));
    const double period = batch.elapsed_ns == 0 ? worked : static_cast<double>(batch.elapsed_ns);
    if (is_rested_) {
        is_rested_ = false;
    } else if (cooldown_ns_ > batch.elapsed_ns) {
        cooldown_ns_ -= batch.elapsed_ns;
    } else {
        cooldown_ns_ = 0;
        if (period > 0) steer(worked / period, period);
    }
    double sleep = (worked < batch_ns ? static_cast<double>(batch_ns) : worked) / ratio_;

    // The steepest rate since the backlog began: a rate of what is left now would slow down for ever.
    const double needed = static_cast<double>(batch.backlog_bytes + batch.released_bytes) / deadline_ns;
    if (needed > bytes_per_ns_) bytes_per_ns_ = needed;
    if (bytes_per_ns_ > 0) {
        const double allowed = static_cast<double>(batch.released_bytes) / bytes_per_ns_ - worked;
        if (sleep > allowed) sleep = allowed < 0 ? 0 : allowed;
    }
    if (batch.backlog_bytes == 0) bytes_per_ns_ = 0;
    return sleep < longest_sleep_ns ? static_cast<std::uint64_t>(sleep) : longest_sleep_ns;
}

void ScavengePacer::rest() {
    bytes_per_ns_ = 0;
    is_rested_ = true;
}

// One step of the controller: `share` of a core was taken during the last `period_ns`.
void ScavengePacer::steer(double share, double period_ns) {
    const double error = target_share - share;
    const double raw = gain * error + integral_;
    const double output = raw < least_ratio ? least_ratio : raw > most_ratio ? most_ratio : raw;
    // The last term takes back what clamping cut off, so that the integral does not wind up.
    const double cut = output - raw;
    const double integral = integral_ + gain * period_ns / integral_ns * error + period_ns / reset_ns * cut;
    if (!(integral > -1e300 && integral < 1e300)) {
        integral_ = target_share;
        ratio_ = least_ratio;
        cooldown_ns_ = deadline_ns;
        return;
    }
    integral_ = integral;
    ratio_ = output;
}

// ---- release ----------------------------------------------------------------------------------------------

std::size_t Scavenger::release(PageAlloc& pages, HeapLock& lock, std::size_t max_bytes, bool is_forced) {
    const std::size_t os_page = os::page_bytes();
    const std::size_t huge_page = os::huge_page_bytes();
    std::size_t released = 0;
    while (released < max_bytes) {
        const std::size_t left = max_bytes - released;
        const std::size_t most = left < ScavengePacer::quantum_bytes ? left : ScavengePacer::quantum_bytes;
        lock.lock();
        const ByteRun run = pages.take_unscavenged(most, is_forced, os_page, huge_page);
        lock.unlock();
        if (run.bytes == 0) break;
        // The run counts as allocated, so nobody else can have it while the OS takes the memory.
        os::unused(reinterpret_cast<void*>(run.base), run.bytes);
        lock.lock();
        pages.give_back_scavenged(run.base, run.bytes);
        lock.unlock();
        released += run.bytes;
    }
    return released;
}

}  // namespace cairn::pages
