// The limiter's bucket: what fills and drains it, its ends, and that a collector bound by it leaves the
// program half the CPUs.
// SPDX-License-Identifier: MIT
#include "gc/cpu_limiter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace cairn::gc {
namespace {

using Phase = CpuLimiter::Phase;
constexpr std::uint64_t ms = 1'000'000;
constexpr std::uint64_t second = 1000 * ms;

CpuLimiter limiter_of(unsigned cpus) {
    CpuLimiter limiter;
    limiter.set_cpus(cpus, 0);
    return limiter;
}

TEST(CpuLimiter, HoldsASecondOfEachCpu) {
    EXPECT_EQ(limiter_of(1).capacity_ns(), second);
    EXPECT_EQ(limiter_of(16).capacity_ns(), 16 * second);
    EXPECT_EQ(limiter_of(0).capacity_ns(), second);
    EXPECT_FALSE(limiter_of(1).is_limiting());
    EXPECT_TRUE(limiter_of(1).can_afford_cycle());
}

TEST(CpuLimiter, AWindowIsSplitByPhase) {
    struct Case {
        const char* name;
        Phase phase;
        double share;
        CpuTime spent;
        std::int64_t change_ms;  // in a window of 10 ms on 4 CPUs
    };
    for (const Case& c : {Case{"program alone", Phase::off, 0, {}, -40},
                          {"a quarter for workers", Phase::mark, .25, {}, -20},
                          {"half for workers", Phase::mark, .5, {}, 0},
                          {"and assists", Phase::mark, .5, {4 * ms, 0}, 8},
                          {"assists alone", Phase::off, 0, {30 * ms, 0}, 20},
                          {"idle CPUs count for nobody", Phase::mark, .25, {10 * ms, 20 * ms}, 20},
                          {"all idle", Phase::off, 0, {0, 40 * ms}, 0},
                          {"more idle than there is", Phase::off, 0, {0, 400 * ms}, 0},
                          {"an assist that began long ago", Phase::off, 0, {400 * ms, 0}, 760},
                          {"stopped", Phase::stopped, 0, {}, 40},
                          {"stopped, counted once", Phase::stopped, 0, {40 * ms, 40 * ms}, 40}}) {
        CpuLimiter limiter = limiter_of(4);
        limiter.enter(Phase::stopped, 0);
        limiter.enter(c.phase, 100 * ms, {}, c.share);  // 400 ms are in it
        ASSERT_EQ(limiter.fill_ns(), 400 * ms);
        limiter.update(110 * ms, c.spent);
        EXPECT_EQ(limiter.fill_ns(), static_cast<std::uint64_t>(400 + c.change_ms) * ms) << c.name;
    }
}

TEST(CpuLimiter, WhenAnAssistIsAccountedForDoesNotMatter) {
    CpuLimiter early = limiter_of(2), late = limiter_of(2);
    for (CpuLimiter* limiter : {&early, &late}) {
        limiter->enter(Phase::stopped, 0);
        limiter->enter(Phase::mark, 100 * ms, {}, 0.5);
    }
    for (std::uint64_t i = 1; i <= 20; ++i) {
        early.update((100 + i) * ms, {ms, 0});
        late.update((100 + i) * ms, {i == 20 ? 20 * ms : 0, 0});
    }
    EXPECT_EQ(early.fill_ns(), 240 * ms);
    EXPECT_EQ(late.fill_ns(), 240 * ms);
}

TEST(CpuLimiter, LimitsWhileFull) {
    CpuLimiter limiter = limiter_of(2);
    limiter.enter(Phase::stopped, 0);
    limiter.update(second - 1);
    EXPECT_FALSE(limiter.is_limiting());
    limiter.update(second);
    EXPECT_TRUE(limiter.is_limiting());
    EXPECT_EQ(limiter.overflow_ns(), 0u);
    limiter.enter(Phase::mark, second + ms, {}, 0.5);
    EXPECT_EQ(limiter.overflow_ns(), 2 * ms);
    EXPECT_EQ(limiter.fill_ns(), 2 * second);
    limiter.update(second + 2 * ms);
    EXPECT_TRUE(limiter.is_limiting()) << "as much in as out";
    limiter.enter(Phase::off, second + 2 * ms);
    limiter.update(second + 2 * ms + 1);
    EXPECT_FALSE(limiter.is_limiting());
    limiter.update(100 * second);
    EXPECT_EQ(limiter.fill_ns(), 0u) << "never negative";
}

TEST(CpuLimiter, ACycleMustBePaidBeforeTheNext) {
    CpuLimiter limiter = limiter_of(2);
    const auto cycle = [&](std::uint64_t from, std::uint64_t stopped_ns) {
        limiter.enter(Phase::stopped, from);
        limiter.enter(Phase::mark, from + stopped_ns, {}, 0.5);
        limiter.enter(Phase::off, from + stopped_ns + 10 * ms);
    };
    cycle(0, 5 * ms);
    EXPECT_TRUE(limiter.can_afford_cycle()) << "the bucket is far from full";
    limiter.enter(Phase::stopped, 20 * ms);
    limiter.enter(Phase::off, 2 * second);
    ASSERT_TRUE(limiter.is_limiting());
    EXPECT_FALSE(limiter.can_afford_cycle()) << "it cost more than the bucket holds";
    limiter.update(2 * second + 500 * ms - 1);
    EXPECT_FALSE(limiter.can_afford_cycle());
    limiter.update(2 * second + 500 * ms);
    EXPECT_TRUE(limiter.can_afford_cycle()) << "but never more than half the bucket is waited for";
    cycle(3 * second, second);
    ASSERT_TRUE(limiter.is_limiting());
    cycle(4 * second + 10 * ms, 5 * ms);
    EXPECT_FALSE(limiter.can_afford_cycle());
    limiter.update(4 * second + 30 * ms);
    EXPECT_TRUE(limiter.can_afford_cycle()) << "5 ms of stop are paid by 5 ms of program";
}

TEST(CpuLimiter, FollowsTheNumberOfCpus) {
    CpuLimiter limiter = limiter_of(8);
    limiter.enter(Phase::stopped, 0);
    limiter.update(500 * ms);
    EXPECT_EQ(limiter.fill_ns(), 4 * second);
    limiter.set_cpus(2, 500 * ms);
    EXPECT_EQ(limiter.fill_ns(), 2 * second);
    EXPECT_TRUE(limiter.is_limiting());
    limiter.set_cpus(4, 500 * ms);
    EXPECT_FALSE(limiter.is_limiting());
}

TEST(CpuLimiter, ClockMayJump) {
    CpuLimiter limiter = limiter_of(2);
    limiter.enter(Phase::stopped, second);
    const std::uint64_t fill = limiter.fill_ns();
    limiter.update(second / 2);
    EXPECT_EQ(limiter.fill_ns(), fill);
    limiter.update(UINT64_MAX);
    EXPECT_TRUE(limiter.is_limiting());
    limiter.enter(Phase::off, UINT64_MAX);
    limiter.update(0);
    EXPECT_TRUE(limiter.is_limiting());
}

TEST(CpuLimiter, FillStaysInTheBucketOnNonsense) {
    std::mt19937_64 random(7);
    CpuLimiter limiter;
    for (int i = 0; i < 100'000; ++i) {
        const std::uint64_t now = random() >> random() % 64;
        const CpuTime spent{random() >> random() % 64, random() >> random() % 64};
        switch (random() % 3) {
        case 0: limiter.set_cpus(static_cast<unsigned>(random() >> random() % 64), now); break;
        case 1: limiter.update(now, spent); break;
        default:
            limiter.enter(static_cast<Phase>(random() % 3), now, spent,
                          (static_cast<double>(random() % 100) - 20) / 40 / (random() % 9 == 0 ? 0 : 1));
        }
        ASSERT_LE(limiter.fill_ns(), limiter.capacity_ns()) << i;
    }
}

// A program whose heap stands at its limit: cycle after cycle, as soon as the limiter lets it, each with a
// stop and with assists that take what they may. Returns the program's share of all CPUs in the long run.
double share_of_program(unsigned cpus, double share, std::uint64_t stop_us, std::uint64_t mark_us) {
    CpuLimiter limiter = limiter_of(cpus);
    double program = 0, total = 0;
    std::uint64_t now = 0;
    const auto pass = [&](std::uint64_t us, double program_share, CpuTime spent) {
        now += us * 1000;
        limiter.update(now, spent);
        if (now < 20 * second) return;  // until the bucket is full the collector may take more
        total += static_cast<double>(us);
        program += static_cast<double>(us) * program_share;
    };
    while (now < 60 * second) {
        if (!limiter.can_afford_cycle()) {
            pass(std::max<std::uint64_t>(50, stop_us / 100), 1, {});
            continue;
        }
        limiter.enter(Phase::stopped, now);
        pass(stop_us, 0, {});
        limiter.enter(Phase::mark, now, {}, share);
        for (std::uint64_t left = mark_us; left > 0;) {
            const std::uint64_t step = std::min<std::uint64_t>(left, 10'000);
            const double assists = limiter.is_limiting() ? 0 : (1 - share) * 0.8;
            const double ns = assists * static_cast<double>(step * cpus) * 1000;
            pass(step, 1 - share - assists, {static_cast<std::uint64_t>(ns), 0});
            left -= step;
        }
        limiter.enter(Phase::off, now);
        pass(20, 1, {});
    }
    return program / total;
}

TEST(CpuLimiter, LeavesTheProgramHalf) {
    for (const unsigned cpus : {1u, 2u, 16u})
        for (const double share : {0.0, 0.25, 0.5})
            for (const std::uint64_t stop_us : {20u, 500u, 30'000u, 700'000u})
                for (const std::uint64_t mark_us : {0u, 100u, 5'000u, 1'000'000u}) {
                    if (stop_us + mark_us < 500) continue;
                    // Only half a bucket is waited for, whatever a cycle cost.
                    const double least = stop_us > 500'000 ? 0.4 : 0.45;
                    EXPECT_GT(share_of_program(cpus, share, stop_us, mark_us), least)
                        << cpus << " CPUs, share " << share << ", stop " << stop_us << " us, mark " << mark_us
                        << " us";
                }
}

}  // namespace
}  // namespace cairn::gc
