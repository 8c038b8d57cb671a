// The scavenger's arithmetic, simulated: goals, pace and deadline; and releases over real memory.
// SPDX-License-Identifier: MIT
#include "pages/scavenger.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "base/bits.hpp"
#include "os/memory.hpp"
#include "pages/address_space.hpp"
#include "pages/page_alloc.hpp"

namespace cairn::pages {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

constexpr std::uint64_t ms = 1'000'000;
constexpr std::uint64_t second = 1000 * ms;
constexpr std::uint64_t gib = std::uint64_t{1} << 30;

// ---- goals ------------------------------------------------------------------------------------------------

TEST(ScavengeGoals, TheWorseGoalDecides) {
    struct Case {
        ScavengeGoals goals;
        std::uint64_t retained, ready, expected;
    };
    for (const Case& c : {Case{{}, gib, gib, 0}, Case{{100, no_goal}, 150, 0, 50},
                          Case{{100, no_goal}, 100, 0, 0},
                          Case{{100, 1000}, 110, 1050, 50}, Case{{100, 1000}, 190, 1050, 90},
                          Case{{no_goal, 1000}, 5000, 999, 0}, Case{{0, 0}, 7, 5, 7}})
        EXPECT_EQ(scavenge_backlog(c.goals, c.retained, c.ready), c.expected);
}

TEST(ScavengeGoals, LimitGoalIs95PercentOfTheLimit) {
    EXPECT_EQ(limit_goal(no_goal), no_goal);
    EXPECT_EQ(limit_goal(1000), 950u);
    EXPECT_EQ(limit_goal(256 * mib), 256 * mib * 95 / 100);
    EXPECT_EQ(limit_goal(0), 0u);
    EXPECT_LT(limit_goal(no_goal - 1), no_goal - 1);
}

TEST(RetainGoal, IsATenthAboveUseInWholePages) {
    RetainGoal goal;
    EXPECT_EQ(goal.update(0, 0), 0u);
    EXPECT_EQ(goal.update(100 * mib, second), 110 * mib);
    EXPECT_EQ(goal.update(100 * mib + 1, second), 110 * mib + 4096);
    EXPECT_EQ(goal.update(100 * mib + 1, second, 65536) % 65536, 0u);
}

TEST(RetainGoal, PeakHalvesEverySecondInAnySteps) {
    for (const std::uint64_t step : {second / 100, second / 10, second / 3, second, 2 * second}) {
        RetainGoal goal;
        std::uint64_t now = second;
        (void)goal.update(gib, now);
        while (now < 5 * second) {
            now += step;
            (void)goal.update(0, now);
        }
        const double seconds = static_cast<double>(now - second) / second;
        const double expected = static_cast<double>(gib) * std::exp2(-seconds);
        EXPECT_NEAR(static_cast<double>(goal.peak_bytes()), expected, expected * 0.01) << step;
    }
}

TEST(RetainGoal, FollowsUseUpAtOnceAndNeverBelowIt) {
    RetainGoal goal;
    (void)goal.update(gib, second);
    EXPECT_GE(goal.update(gib / 2, 60 * second), gib / 2 + gib / 20);
    EXPECT_LE(goal.update(gib / 2, 61 * second), gib / 2 + gib / 20 + 4096);
    EXPECT_GE(goal.update(2 * gib, 61 * second), 2 * gib);
    EXPECT_GE(goal.update(2 * gib, 59 * second), 2 * gib) << "a clock that goes back changes nothing";
    EXPECT_EQ(goal.update(UINT64_MAX / 2, 62 * second), no_goal);
    EXPECT_EQ(goal.update(0, UINT64_MAX), 0u);
}

// ---- pace -------------------------------------------------------------------------------------------------

// A machine: what release costs, how late sleeps end, and how the heap's use moves.
struct Simulation {
    double ns_per_byte = 77.0 * ms / gib;  // 4 KiB pages; huge ones cost a twentieth
    std::uint64_t late_ns = 0;
    std::uint64_t now = 10 * second;
    std::uint64_t backed = 0;  // in use or free, not returned
    std::uint64_t worked = 0;
    RetainGoal goal;
    ScavengePacer pacer;
    std::uint64_t last_end = 10 * second;

    // One wake-up: a batch and its sleep, or a rest of 100 ms.
    void step(std::uint64_t in_use) {
        const ScavengeGoals goals{goal.update(in_use, now), no_goal};
        if (scavenge_backlog(goals, backed, 0) < ScavengePacer::quantum_bytes) {
            pacer.rest();
            now += 100 * ms;
            last_end = now;
            return;
        }
        ScavengePacer::Batch batch;
        double cost = 0;
        while (!ScavengePacer::is_batch_done(batch.worked_ns, 0) &&
               scavenge_backlog(goals, backed, 0) >= ScavengePacer::quantum_bytes) {
            cost += ScavengePacer::quantum_bytes * ns_per_byte;
            backed -= ScavengePacer::quantum_bytes;
            batch.released_bytes += ScavengePacer::quantum_bytes;
            batch.worked_ns = static_cast<std::uint64_t>(cost);
        }
        now += batch.worked_ns;
        worked += batch.worked_ns;
        batch.elapsed_ns = now - last_end;
        batch.backlog_bytes = scavenge_backlog(goals, backed, 0);
        last_end = now;
        now += pacer.sleep_after(batch) + late_ns;
    }
};

TEST(ScavengePacer, ReturnsASpikeOfAGibibyteWithinTenSeconds) {
    struct Case {
        const char* name;
        double ns_per_byte;
        std::uint64_t late_ns;
    };
    for (const Case& c :
         {Case{"small pages", 77.0 * ms / gib, 0}, Case{"huge pages", 3.4 * ms / gib, 0},
          Case{"late wake-ups", 77.0 * ms / gib, 5 * ms}, Case{"slow", 400.0 * ms / gib, 0}}) {
        Simulation s;
        s.ns_per_byte = c.ns_per_byte;
        s.late_ns = c.late_ns;
        (void)s.goal.update(gib, s.now);
        s.backed = gib;
        const std::uint64_t start = s.now;
        while (s.now < start + 10 * second) s.step(0);
        EXPECT_LE(s.backed, gib / 10) << c.name;
        EXPECT_LE(static_cast<double>(s.worked) / (10 * second), 0.1) << c.name;
    }
}

// Steady churn that one percent of a core can follow is followed with about that, not in bursts.
TEST(ScavengePacer, SteadyBacklogTakesAboutOnePercentOfACore) {
    for (const std::uint64_t late_ns : {std::uint64_t{0}, 1 * ms, 20 * ms}) {
        ScavengePacer pacer;
        std::uint64_t now = 0, worked = 0, longest = 0, last_end = 0;
        while (now < 60 * second) {
            ScavengePacer::Batch batch{1 * ms, 0, 0, 0};
            now += batch.worked_ns;
            worked += batch.worked_ns;
            batch.elapsed_ns = now - last_end;
            last_end = now;
            const std::uint64_t sleep = pacer.sleep_after(batch);
            if (now > 5 * second && sleep > longest) longest = sleep;
            now += sleep + late_ns;
        }
        const double share = static_cast<double>(worked) / static_cast<double>(now);
        EXPECT_GT(share, 0.008) << late_ns;
        EXPECT_LT(share, 0.012) << late_ns;
        EXPECT_LT(longest, 300 * ms) << late_ns;
    }
}

TEST(ScavengePacer, ABacklogIsGoneWithinItsDeadline) {
    for (const std::uint64_t backlog : {64 * mib, gib, 8 * gib, 40 * gib}) {
        Simulation s;
        s.backed = backlog;
        const std::uint64_t start = s.now;
        while (s.backed >= ScavengePacer::quantum_bytes && s.now < start + 60 * second) s.step(0);
        EXPECT_LE(s.now - start, ScavengePacer::deadline_ns * 11 / 10) << backlog;
    }
}

TEST(ScavengePacer, SmallBacklogIsNotHurried) {
    Simulation s;
    s.backed = 64 * mib;
    const std::uint64_t start = s.now;
    while (s.backed >= ScavengePacer::quantum_bytes) s.step(0);
    EXPECT_GE(s.now - start, 200 * ms);
    EXPECT_LE(static_cast<double>(s.worked) / static_cast<double>(s.now - start), 0.03);
}

TEST(ScavengePacer, OscillationBetweenSmallAndLargeIsLeftAlone) {
    Simulation s;
    s.backed = gib;
    const std::uint64_t start = s.now;
    for (int swing = 0; s.now < start + 20 * second; ++swing) {
        const std::uint64_t in_use = swing % 2 == 0 ? gib : gib / 8;
        const std::uint64_t until = s.now + 50 * ms;
        while (s.now < until) s.step(in_use);
        if (s.backed < in_use) s.backed = in_use;
    }
    EXPECT_LE(s.worked, 200 * ms) << "ten swings a second must not cost the OS's price each time";
}

TEST(ScavengePacer, IdleTimeDoesNotBuyABurst) {
    ScavengePacer pacer;
    for (int i = 0; i < 50; ++i) {
        pacer.rest();
        EXPECT_GE(pacer.sleep_after({1 * ms, 3600 * second, 0, 0}), 90 * ms);
    }
}

TEST(ScavengePacer, AClockThatStandsStillStillEndsBatchesAndSleeps) {
    EXPECT_FALSE(ScavengePacer::is_batch_done(0, 99 * 4096));
    EXPECT_TRUE(ScavengePacer::is_batch_done(0, 100 * 4096));
    ScavengePacer pacer;
    for (int i = 0; i < 100; ++i) EXPECT_GT(pacer.sleep_after({0, 0, 100 * 4096, 0}), 0u);
}

TEST(ScavengePacer, SleepsAtMostASecondWhateverItIsTold) {
    ScavengePacer pacer;
    for (const ScavengePacer::Batch& batch :
         {ScavengePacer::Batch{}, {UINT64_MAX, 1, 0, 0}, {1, UINT64_MAX, 0, 0},
          {UINT64_MAX, UINT64_MAX, 0, 0},
          {0, 0, UINT64_MAX / 2, UINT64_MAX / 2}, {1 * ms, 2 * ms, 0, gib}, {1 * ms, 100 * ms, gib, 0}}) {
        EXPECT_LE(pacer.sleep_after(batch), ScavengePacer::longest_sleep_ns);
        EXPECT_GT(pacer.work_per_sleep(), 0);
    }
}

// ---- release ----------------------------------------------------------------------------------------------

class ScavengerTest : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_TRUE(space_.initialize(LayoutModel::sparse, metadata_));
        pages_.initialize(metadata_);
        AddressSpace::Grown leftover;
        const AddressSpace::Grown grown = space_.grow(2048, leftover);
        ASSERT_EQ(grown.bytes, 2048 * base::page_bytes);
        ASSERT_TRUE(pages_.grow(grown.base, grown.bytes));
        const PageRun all = pages_.allocate(2048);
        ASSERT_EQ(all.base, grown.base);
        base_ = all.base;
        os::used(reinterpret_cast<void*>(base_), grown.bytes, all.scavenged_bytes);
    }

    Metadata metadata_;
    AddressSpace space_;
    PageAlloc pages_;
    Scavenger::HeapLock lock_;
    Scavenger scavenger_;
    std::uintptr_t base_ = 0;
};

TEST_F(ScavengerTest, ReleasesTheHighestPagesFirst) {
    auto* words = reinterpret_cast<std::uint64_t*>(base_);
    constexpr std::size_t page_words = base::page_bytes / 8;
    for (std::size_t page = 0; page < 2048; ++page) words[page * page_words] = page + 1;
    pages_.free(base_, 2048);
    const std::uint64_t ready = os::mapped_ready();
    const std::size_t released = scavenger_.release(pages_, lock_, 4 * mib, true);
    EXPECT_GE(released, 4 * mib);
    EXPECT_LE(released, 8 * mib);
    EXPECT_EQ(os::mapped_ready(), ready - released);
    EXPECT_EQ(pages_.scavenged_pages() * base::page_bytes, released);
    const std::size_t kept = 2048 - pages_.scavenged_pages();
    EXPECT_EQ(words[(kept - 1) * page_words], kept);
    EXPECT_EQ(words[2047 * page_words], 0u) << "returned memory reads as zero on Linux";
    pages_.verify();
    EXPECT_FALSE(lock_.is_held());
}

TEST_F(ScavengerTest, ReleasesEverythingFreeAndNothingInUse) {
    pages_.free(base_, 1000);
    pages_.free(base_ + 1001 * base::page_bytes, 1047);
    auto* kept = reinterpret_cast<std::uint64_t*>(base_ + 1000 * base::page_bytes);
    *kept = 42;
    EXPECT_EQ(scavenger_.release(pages_, lock_, SIZE_MAX, true), 2047 * base::page_bytes);
    EXPECT_EQ(scavenger_.release(pages_, lock_, SIZE_MAX, true), 0u);
    EXPECT_EQ(*kept, 42u);
    EXPECT_EQ(pages_.scavenged_pages(), 2047u);
    EXPECT_EQ(pages_.free_pages(), 2047u);
    pages_.verify();
}

TEST_F(ScavengerTest, ReleasesNothingWhenNothingIsAsked) {
    pages_.free(base_, 2048);
    EXPECT_EQ(scavenger_.release(pages_, lock_, 0, true), 0u);
    EXPECT_EQ(pages_.scavenged_pages(), 0u);
}

}  // namespace
}  // namespace cairn::pages
