// The pacer's steps one by one, with worked numbers, and at the edges where arithmetic breaks.
// SPDX-License-Identifier: MIT
#include "gc/pacer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace cairn::gc {
namespace {

constexpr std::uint64_t kib = 1 << 10;
constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t gib = std::uint64_t{1} << 30;
constexpr std::uint64_t ms = 1'000'000;
constexpr std::uint64_t second = 1000 * ms;

double in_mib(std::uint64_t bytes) {
    return static_cast<double>(bytes) / mib;
}

HeapSnapshot heap_of(std::uint64_t live, std::uint64_t scan, std::uint64_t stacks = 0,
                     std::uint64_t globals = 0) {
    HeapSnapshot heap;
    heap.live_bytes = live;
    heap.heap_scan_bytes = scan;
    heap.stack_scan_bytes = stacks;
    heap.global_scan_bytes = globals;
    return heap;
}

// A pacer after one cycle that marked as said; the program allocated `pace` bytes while the workers, a
// quarter of four CPUs, scanned one.
Pacer after_cycle(std::uint64_t marked, std::uint64_t heap_scan, std::uint64_t stacks, std::uint64_t globals,
                  double pace = 0, PacerSettings settings = {}) {
    Pacer pacer;
    PacerTuning tuning;
    tuning.runway_margin = 1;  // so that figures are the worked ones
    tuning.head_start = 0;
    pacer.tune(tuning);
    pacer.configure(settings, 0);
    pacer.commit(heap_of(0, 0), true);
    (void)pacer.start_cycle(heap_of(marked, heap_scan, stacks, globals), 4, false);
    CycleResult result;
    result.now_ns = second;
    result.marked_bytes = marked;
    result.heap_scan_work = heap_scan;
    result.stack_scan_work = stacks;
    result.global_scan_work = globals;
    result.live_at_end =
        marked + static_cast<std::uint64_t>(pace * static_cast<double>(heap_scan + stacks + globals));
    result.duration_ns = 100 * ms;
    result.worker_ns = 100 * ms;
    pacer.end_cycle(result);
    pacer.commit(heap_of(marked, heap_scan, stacks, globals), true);
    return pacer;
}

// ---- workers ----------------------------------------------------------------------------------------------

TEST(Workers, AreAQuarterOfTheCpus) {
    struct Case {
        unsigned cpus, dedicated;
        double fraction;
    };
    for (const Case& c : {Case{1, 0, .25}, Case{2, 0, .25}, Case{3, 0, .25}, Case{4, 1, 0}, Case{5, 1, 0},
                          Case{6, 1, .0833}, Case{7, 2, 0}, Case{8, 2, 0}, Case{9, 2, 0}, Case{10, 3, 0},
                          Case{13, 3, 0}, Case{14, 4, 0}, Case{16, 4, 0}}) {
        const WorkerSplit split = split_workers(c.cpus);
        EXPECT_EQ(split.dedicated, c.dedicated) << c.cpus;
        EXPECT_NEAR(split.fraction, c.fraction, 0.0001) << c.cpus;
    }
}

TEST(Workers, FractionsAreOneThread) {
    struct Case {
        unsigned cpus, threads;
        double share;
    };
    for (const Case& c : {Case{0, 1, .5}, Case{1, 1, .5}, Case{2, 1, .5}, Case{3, 1, 1. / 3}, Case{4, 1, .25},
                          Case{6, 2, 1. / 3}, Case{8, 2, .25}, Case{64, 16, .25}}) {
        const WorkerPlan plan = plan_workers(c.cpus);
        EXPECT_EQ(plan.threads, c.threads) << c.cpus;
        EXPECT_NEAR(plan.share, c.share, 0.0001) << c.cpus;
    }
    for (unsigned cpus = 0; cpus < 5000; ++cpus) {
        const WorkerPlan plan = plan_workers(cpus);
        EXPECT_GE(plan.threads, 1u) << cpus;
        EXPECT_GT(plan.share, 0.16) << cpus;
        EXPECT_LE(plan.share, 0.5) << cpus;
    }
}

// ---- goals ------------------------------------------------------------------------------------------------

TEST(PercentGoal, CountsRootsAsHeap) {
    EXPECT_EQ(percent_goal(100 * mib, 3 * mib, 100), 203 * mib);
    EXPECT_EQ(percent_goal(100 * mib, 0, 0), 100 * mib);
    EXPECT_EQ(percent_goal(100 * mib, 0, 50), 150 * mib);
    EXPECT_EQ(percent_goal(100 * mib, 3 * mib, -1), no_bound);
    EXPECT_EQ(percent_goal(UINT64_MAX / 2, UINT64_MAX / 2, INT32_MAX), no_bound) << "saturates";
}

TEST(PercentGoal, HasAFloorOf4MiBAt100) {
    for (const auto& [percent, floor] :
         {std::pair{100, 4 * mib}, {50, 2 * mib}, {200, 8 * mib}, {0, 0 * mib}}) {
        Pacer pacer;
        pacer.configure({percent, no_bound}, 0);
        pacer.commit(heap_of(0, 0), true);
        EXPECT_EQ(pacer.goal(), floor);
    }
}

TEST(LimitGoal, IsWhatTheLimitLeavesLessHeadroom) {
    HeapSnapshot heap;
    heap.mapped_ready_bytes = 400 * mib;
    heap.free_backed_bytes = 30 * mib;
    heap.object_bytes = 300 * mib;
    EXPECT_NEAR(in_mib(limit_goal(512 * mib, heap, 0)), 428.74, 0.01);
    heap.mapped_ready_bytes = 530 * mib;  // 200 MiB are other than objects, 18 over
    EXPECT_NEAR(in_mib(limit_goal(512 * mib, heap, 0)), 294 * 0.97, 0.01);
    EXPECT_EQ(limit_goal(512 * mib, heap, 290 * mib), 290 * mib) << "never below what lives";
    EXPECT_EQ(limit_goal(100 * mib, heap, 7 * mib), 7 * mib) << "nothing left";
    EXPECT_EQ(limit_goal(0, heap, 7 * mib), 7 * mib);
    EXPECT_EQ(limit_goal(no_bound, heap, 7 * mib), no_bound);
    heap = {};
    EXPECT_EQ(limit_goal(mib + mib / 2, heap, 0), mib) << "at least the headroom";
    EXPECT_EQ(limit_goal(10 * mib, heap, 0), 9 * mib) << "at least 1 MiB of headroom";
}

TEST(LimitGoal, WinsWhenItIsLess) {
    Pacer pacer = after_cycle(100 * mib, 60 * mib, 2 * mib, mib, 0, {100, 150 * mib});
    EXPECT_TRUE(pacer.is_limit_goal());
    EXPECT_EQ(pacer.goal(), 150 * mib - 150 * mib / 100 * 3);
    pacer.configure({100, 500 * mib}, 0);
    pacer.commit(heap_of(100 * mib, 60 * mib, 2 * mib, mib), true);
    EXPECT_FALSE(pacer.is_limit_goal());
    EXPECT_EQ(pacer.goal(), 203 * mib);
    pacer.configure({-1, 500 * mib}, 0);
    pacer.commit(heap_of(100 * mib, 60 * mib, 2 * mib, mib), true);
    EXPECT_EQ(pacer.goal(), 485 * mib);
}

// ---- trigger ----------------------------------------------------------------------------------------------

TEST(Trigger, IsTheRunwayBeforeTheGoal) {
    struct Case {
        double cons_mark, trigger;  // MiB
    };
    // Bytes allocated per byte marked with the same CPU time; three times as much with three quarters of it.
    for (const Case& c : {Case{0, 199}, Case{0.05, 193.55}, Case{0.2, 172.42}, Case{7, 172.42}}) {
        const Pacer pacer = after_cycle(100 * mib, 60 * mib, 2 * mib, mib, 3 * c.cons_mark);
        EXPECT_EQ(pacer.goal(), 203 * mib);
        EXPECT_NEAR(in_mib(pacer.runway()), 63 * 3 * c.cons_mark, 0.01);
        EXPECT_NEAR(in_mib(pacer.trigger()), c.trigger, 0.01) << c.cons_mark;
        EXPECT_FALSE(pacer.should_start(pacer.trigger() - 1));
        EXPECT_TRUE(pacer.should_start(pacer.trigger()));
    }
}

TEST(Trigger, HasBounds) {
    struct Case {
        const char* name;
        std::uint64_t marked, goal, runway, not_before;
        double trigger;  // MiB
    };
    for (const Case& c : {Case{"small, early", 0, 4 * mib, gib, 0, 2.8125},
                          {"small, late", 0, 4 * mib, 0, 0, 3.8125},
                          {"nothing between", 9 * mib, 9 * mib, mib, 0, 9},
                          {"goal below", 9 * mib, 8 * mib, 0, 0, 8},
                          {"sweeping", 0, 4 * mib, gib, 3 * mib + mib / 2, 3.5},
                          {"sweeping late", 0, 4 * mib, 0, 3 * mib + mib * 9 / 10, 3.9},
                          {"sweeping later", 0, 4 * mib, 0, 7 * mib, 4}})
        EXPECT_NEAR(in_mib(trigger_for(c.marked, c.goal, c.runway, c.not_before, {})), c.trigger, 0.001)
            << c.name;
    EXPECT_EQ(trigger_for(0, no_bound, 0, 0, {}), no_bound);
}

TEST(Trigger, MayBeAllowedEarlier) {
    PacerTuning tuning;
    tuning.earliest_trigger_64ths = 16;
    EXPECT_EQ(trigger_for(0, 64 * mib, gib, 0, tuning), 16 * mib);
    EXPECT_EQ(trigger_for(0, 64 * mib, 40 * mib, 0, tuning), 24 * mib);
}

TEST(Trigger, ComesAfterSweepingHadItsChance) {
    Pacer pacer;
    pacer.configure({}, 0);
    pacer.commit(heap_of(10 * mib, 0), false);
    EXPECT_EQ(pacer.goal(), 11 * mib);
    EXPECT_EQ(pacer.trigger(), 11 * mib);
    pacer.commit(heap_of(10 * mib, 0), true);
    EXPECT_EQ(pacer.goal(), 4 * mib);
}

TEST(Trigger, NeverWhenOffOrBeforeTheFirstCommit) {
    Pacer pacer;
    EXPECT_FALSE(pacer.should_start(gib));
    EXPECT_FALSE(pacer.should_start(UINT64_MAX));
    pacer.configure({-1, no_bound}, 0);
    pacer.commit(heap_of(gib, gib), true);
    EXPECT_EQ(pacer.goal(), no_bound);
    EXPECT_FALSE(pacer.should_start(UINT64_MAX));
}

TEST(Goal, GivesNoPercentForWhatWasAllocatedWhileMarking) {
    Pacer pacer;
    pacer.configure({}, 0);
    pacer.commit(heap_of(0, 0), true);
    (void)pacer.start_cycle(heap_of(100 * mib, 100 * mib), 4, false);
    CycleResult result;
    result.marked_bytes = 120 * mib;
    result.black_bytes = 20 * mib;
    result.heap_scan_work = 100 * mib;
    pacer.end_cycle(result);
    pacer.commit(heap_of(120 * mib, 100 * mib), true);
    EXPECT_EQ(pacer.goal(), 220 * mib);
}

// ---- the runway is learnt ---------------------------------------------------------------------------------

struct Measured {
    std::uint64_t allocated = 30 * mib, work = 60 * mib, worker_ms = 100, assist_ms = 0, idle_ms = 0;
    std::uint64_t duration_ms = 100;
    bool is_forced = false;
    bool is_stopped = false;
};

double pace_after(Pacer& pacer, const Measured& m) {
    (void)pacer.start_cycle(heap_of(150 * mib, 60 * mib), 4, m.is_forced);
    CycleResult result;
    result.marked_bytes = 100 * mib;
    result.heap_scan_work = m.work;
    result.live_at_end = 150 * mib + m.allocated;
    result.duration_ns = m.duration_ms * ms;
    result.worker_ns = m.worker_ms * ms;
    result.assist_ns = m.assist_ms * ms;
    result.idle_ns = m.idle_ms * ms;
    result.is_stopped = m.is_stopped;
    pacer.end_cycle(result);
    pacer.commit(heap_of(100 * mib, 60 * mib), true);
    return pacer.pace();
}

TEST(Runway, IsWhatWasAllocatedWhileWorkersMarked) {
    Pacer pacer;
    EXPECT_DOUBLE_EQ(pace_after(pacer, {}), 0.5);
}

TEST(Runway, TakesAssistsOut) {
    // As many CPU milliseconds of assists as of workers: without them marking had taken twice as long, and
    // the program had had 3 CPUs, not 2.
    Pacer pacer;
    EXPECT_DOUBLE_EQ(pace_after(pacer, {.assist_ms = 100}), 0.5 * 2 * 3 / 2);
}

TEST(Runway, FollowsTheShareThatWorkersGot) {
    // Other programs took half the workers' time: the program allocates 3.5 CPUs' worth meanwhile.
    Pacer pacer;
    EXPECT_NEAR(pace_after(pacer, {.worker_ms = 50}), 0.5, 1e-9);
    EXPECT_NEAR(pace_after(pacer, {.worker_ms = 0}), 0.5, 1e-9) << "not measured: as planned";
}

TEST(Runway, IsTheLongestOfFiveCycles) {
    Pacer pacer;
    EXPECT_DOUBLE_EQ(pace_after(pacer, {.allocated = 60 * mib}), 1);
    for (int i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(pace_after(pacer, {}), 1) << i;
    EXPECT_DOUBLE_EQ(pace_after(pacer, {}), 0.5);
    EXPECT_DOUBLE_EQ(pace_after(pacer, {.allocated = 45 * mib}), 0.75);
}

TEST(Runway, LearnsNothingWhereNothingIsToLearn) {
    for (const Measured& m :
         {Measured{.allocated = 0}, {.work = 0}, {.duration_ms = 0}, {.is_forced = true}}) {
        Pacer pacer;
        EXPECT_EQ(pace_after(pacer, m), 0);
        EXPECT_DOUBLE_EQ(pace_after(pacer, {}), 0.5);
        EXPECT_DOUBLE_EQ(pace_after(pacer, m), 0.5);
    }
}

TEST(Runway, IsNotNeededWhereAllIsMarkedInOneStop) {
    Pacer pacer;
    EXPECT_DOUBLE_EQ(pace_after(pacer, {}), 0.5);
    const Measured stopped{.allocated = 0, .is_stopped = true};
    for (int i = 0; i < 4; ++i) EXPECT_DOUBLE_EQ(pace_after(pacer, stopped), 0.5) << i;
    EXPECT_EQ(pace_after(pacer, stopped), 0);
}

// ---- young cycles -----------------------------------------------------------------------------------------

// A cycle after which `marked` is kept.
void end_cycle(Pacer& pacer, std::uint64_t marked, bool is_young) {
    (void)pacer.start_cycle(heap_of(marked + mib, marked), 4, false, is_young);
    CycleResult result;
    result.marked_bytes = marked;
    result.heap_scan_work = is_young ? mib : marked;
    result.live_at_end = marked + mib;
    result.duration_ns = ms;
    result.is_young = is_young;
    result.keeps_marks = true;
    pacer.end_cycle(result);
    pacer.commit(heap_of(marked, marked), true);
}

TEST(Young, LeavesTheGoalWhereTheLastFullCyclePutIt) {
    Pacer pacer;
    pacer.configure({}, 0);
    end_cycle(pacer, 100 * mib, false);
    EXPECT_EQ(pacer.goal(), 200 * mib);
    for (const std::uint64_t kept : {110, 120, 149}) {
        end_cycle(pacer, kept * mib, true);
        EXPECT_EQ(pacer.goal(), 200 * mib) << kept;
        EXPECT_FALSE(pacer.wants_full_cycle()) << kept;
    }
    end_cycle(pacer, 151 * mib, true);
    EXPECT_EQ(pacer.goal(), 200 * mib);
    EXPECT_TRUE(pacer.wants_full_cycle()) << "half of the room is taken";
    end_cycle(pacer, 151 * mib, false);
    EXPECT_EQ(pacer.goal(), 302 * mib);
    EXPECT_FALSE(pacer.wants_full_cycle());
}

TEST(Young, HasAQuarterOfTheRoomAtLeast) {
    Pacer pacer;
    pacer.configure({}, 0);
    end_cycle(pacer, 100 * mib, false);
    end_cycle(pacer, 190 * mib, true);
    EXPECT_EQ(pacer.goal(), 215 * mib);
}

TEST(Young, ExpectsTheWorkOfItsKind) {
    Pacer pacer;
    pacer.configure({}, 0);
    end_cycle(pacer, 100 * mib, false);
    EXPECT_EQ(pacer.expected_work(), 0u) << "no young cycle yet";
    end_cycle(pacer, 110 * mib, true);
    EXPECT_EQ(pacer.expected_work(), mib);
    end_cycle(pacer, 160 * mib, true);
    EXPECT_EQ(pacer.expected_work(), 100 * mib) << "a full one is next";
}

TEST(Young, IsNotForHeapsAtTheirLimit) {
    Pacer pacer;
    pacer.configure({.memory_limit_bytes = 120 * mib}, 0);
    end_cycle(pacer, 100 * mib, false);
    EXPECT_TRUE(pacer.wants_full_cycle());
}

// ---- assists ----------------------------------------------------------------------------------------------

TEST(Assist, OwesWorkLeftOverBytesLeft) {
    Pacer pacer = after_cycle(100 * mib, 60 * mib, 2 * mib, mib, 3 * 0.2);
    (void)pacer.start_cycle(heap_of(170 * mib, 100 * mib, 2 * mib, mib), 4, false);
    const AssistTerms& terms = pacer.revise(heap_of(170 * mib, 100 * mib, 2 * mib, mib), 20 * mib);
    EXPECT_NEAR(terms.work_per_byte, 43. / 33, 1e-9);
    EXPECT_NEAR(terms.bytes_per_work, 33. / 43, 1e-9);
}

TEST(Assist, IsNeitherSmallNorLarge) {
    AssistTerms terms{43. / 33, 33. / 43, 65536, no_bound};
    EXPECT_EQ(terms.work_for(1024, 1024), 65'536u);
    EXPECT_EQ(terms.bytes_for(65'536), 50'295 + 1);
    EXPECT_EQ(terms.work_for(mib, mib), static_cast<std::uint64_t>(mib * 43. / 33));
    terms.smallest_work = 8 * kib;
    terms.largest_work = 32 * kib;
    EXPECT_EQ(terms.work_for(1, 1), 8 * kib);
    EXPECT_EQ(terms.work_for(8 * kib, 8 * kib), static_cast<std::uint64_t>(8 * kib * 43. / 33));
    EXPECT_EQ(terms.work_for(gib, 8 * kib), 32 * kib);
    EXPECT_EQ(terms.work_for(UINT64_MAX, 1), 32 * kib);
    EXPECT_EQ(terms.work_for(gib, mib), 4 * mib);
    EXPECT_EQ(terms.work_for(mib, mib), static_cast<std::uint64_t>(mib * 43. / 33));
    for (std::uint64_t debt = 1; debt < 24 * kib; debt += 7)
        EXPECT_GE(terms.bytes_for(terms.work_for(debt, debt)), static_cast<std::int64_t>(debt));
}

TEST(Assist, WorkNeverEndsBeforeTheCycle) {
    Pacer pacer = after_cycle(100 * mib, 60 * mib, 2 * mib, mib);
    (void)pacer.start_cycle(heap_of(199 * mib, 60 * mib, 2 * mib, mib), 4, false);
    EXPECT_NEAR(pacer.revise(heap_of(199 * mib, 60 * mib, 2 * mib, mib), 63 * mib).work_per_byte,
                1000. / (4 * mib), 1e-9);
}

TEST(Assist, MoreWorkThanExpectedMovesTheGoal) {
    Pacer pacer = after_cycle(100 * mib, 60 * mib, 2 * mib, mib);
    (void)pacer.start_cycle(heap_of(173 * mib, 120 * mib, 2 * mib, mib), 4, false);
    // 70 of at most 123 are done, 63 were expected: 30 MiB of runway become 30 * 123 / 63.
    const double goal = 173 + 30. * 123 / 63;
    EXPECT_NEAR(pacer.revise(heap_of(180 * mib, 120 * mib, 2 * mib, mib), 70 * mib).work_per_byte,
                (123. - 70) / (goal - 180), 1e-6);
    // The hard goal is (1 + percent / 100) times the goal.
    (void)pacer.start_cycle(heap_of(110 * mib, 2000 * mib), 4, false);
    EXPECT_NEAR(pacer.revise(heap_of(180 * mib, 2000 * mib), 70 * mib).work_per_byte,
                (2000. - 70) / (406 - 180), 1e-6);
}

TEST(Assist, BeyondTheGoalATenthIsLeft) {
    Pacer pacer = after_cycle(100 * mib, 60 * mib, 2 * mib, mib);
    (void)pacer.start_cycle(heap_of(199 * mib, 120 * mib, 2 * mib, mib), 4, false);
    EXPECT_NEAR(pacer.revise(heap_of(204 * mib, 120 * mib, 2 * mib, mib), 20 * mib).work_per_byte,
                (123. - 20) / (203 * 1.1 - 204), 1e-6);
    EXPECT_NEAR(pacer.revise(heap_of(gib, 120 * mib, 2 * mib, mib), 20 * mib).work_per_byte, 103. * mib,
                1e-3);
}

TEST(Assist, GrowsWithEachPercentBeyondTheGoal) {
    Pacer pacer = after_cycle(100 * mib, 60 * mib, 2 * mib, mib);
    (void)pacer.start_cycle(heap_of(199 * mib, 120 * mib, 2 * mib, mib), 4, false);
    struct Case {
        std::uint64_t live, largest;
    };
    for (const Case& c : {Case{199 * mib, 32 * kib},
                          {203 * mib, 32 * kib},
                          {204 * mib, 32 * kib},
                          {206 * mib, 64 * kib},
                          {208 * mib, 128 * kib},
                          {224 * mib, 256 * kib},
                          {UINT64_MAX, 256 * kib}})
        EXPECT_EQ(pacer.revise(heap_of(c.live, 120 * mib, 2 * mib, mib), 0).largest_work, c.largest)
            << c.live;
}

TEST(Assist, StartsWithALoanThatIsPaidBack) {
    Pacer pacer = after_cycle(100 * mib, 60 * mib, 2 * mib, 2 * mib);
    PacerTuning tuning;
    tuning.head_start = 1. / 16;
    tuning.runway_margin = 1;
    pacer.tune(tuning);
    const HeapSnapshot heap = heap_of(172 * mib, 120 * mib, 2 * mib, 2 * mib);
    (void)pacer.start_cycle(heap, 4, false);
    EXPECT_EQ(pacer.start_credit(), 4 * mib);
    EXPECT_EQ(pacer.goal(), 204 * mib);
    EXPECT_NEAR(pacer.terms().work_per_byte, (64. + 4) / 32, 1e-9)
        << "what all bytes pay is the work and the loan";
}

TEST(Assist, LateStartHasARunwayOfItsHeapsSize) {
    Pacer pacer = after_cycle(100 * mib, 60 * mib, 2 * mib, mib);
    (void)pacer.start_cycle(heap_of(gib, 60 * mib), 4, false);
    EXPECT_EQ(pacer.goal(), gib + 4 * mib);
    Pacer small = after_cycle(0, 0, 0, 0);
    (void)small.start_cycle(heap_of(4 * mib, 0), 4, false);
    EXPECT_EQ(small.goal(), 4 * mib + 4 * mib / 32);
    (void)small.start_cycle(heap_of(4 * mib - 1, 0), 4, false);
    // A start that is not late is not moved.
    for (std::uint64_t marked = mib; marked < 100 * gib; marked = marked * 5 / 4) {
        Pacer normal = after_cycle(marked, marked / 2, 0, 0);
        const std::uint64_t goal = normal.goal();
        (void)normal.start_cycle(heap_of(normal.trigger(), marked), 4, false);
        EXPECT_EQ(normal.goal(), goal) << marked;
    }
}

TEST(Assist, ForcedCyclesWithoutAGoalOweNothingToSpeakOf) {
    Pacer pacer;
    pacer.configure({-1, no_bound}, 0);
    pacer.commit(heap_of(gib, gib), true);
    (void)pacer.start_cycle(heap_of(gib, gib), 4, true);
    EXPECT_EQ(pacer.start_credit(), 0u);
    EXPECT_GT(pacer.terms().work_per_byte, 0);
    EXPECT_LT(pacer.terms().work_per_byte, 1e-9);
    EXPECT_GT(pacer.terms().bytes_for(kib), std::int64_t{1} << 40);
    EXPECT_EQ(pacer.terms().bytes_for(UINT64_MAX), (std::int64_t{1} << 62) + 1);
}

// ---- sweeping and the clock -------------------------------------------------------------------------------

TEST(Sweeping, PaysPagesBeforeTheTrigger) {
    const Pacer pacer = after_cycle(100 * mib, 60 * mib, 2 * mib, mib, 3);
    const SweepPace pace = pacer.sweep_pace(100 * mib, 20'000, 0);
    EXPECT_NEAR(pace.pages_per_byte, 20'000 / (71.42 * mib), 1e-7);
    EXPECT_NEAR(pace.pages_per_byte * 8192, 2.19, 0.01);
    EXPECT_FALSE(pace.owes(100 * mib, 100, 0, 0));
    EXPECT_TRUE(pace.owes(100 * mib, 8192, 1, 0));
    EXPECT_FALSE(pace.owes(100 * mib, 8192, 2, 0));
    EXPECT_FALSE(pace.owes(100 * mib, 8192, 1, 1)) << "the caller is about to sweep one";
    EXPECT_NEAR(static_cast<double>(pace.pages_due(pacer.trigger() - mib, 0)), 20'000, 1);
    EXPECT_FALSE(pace.owes(50 * mib, 100, 0, 0)) << "live may sink below its basis";
    EXPECT_FALSE(SweepPace{}.owes(gib, gib, 0, 0)) << "nothing to sweep";
}

TEST(Sweeping, HasAPaceWhateverTheTrigger) {
    const Pacer pacer = after_cycle(100 * mib, 60 * mib, 0, 0);
    EXPECT_NEAR(pacer.sweep_pace(gib, 20'000, 0).pages_per_byte, 20'000. / 8192, 1e-9);
    EXPECT_EQ(pacer.sweep_pace(gib, 20'000, 30'000).pages_per_byte, 0);
    Pacer off;
    off.configure({-1, no_bound}, 0);
    off.commit(heap_of(0, 0), true);
    EXPECT_LT(off.sweep_pace(gib, 20'000, 0).pages_per_byte, 1e-9);
}

TEST(Clock, ForcesACycleAfterTwoMinutes) {
    Pacer pacer;
    pacer.configure({}, 1000 * second);
    EXPECT_EQ(pacer.next_forced_at(), 1120 * second);
    pacer.configure({200, no_bound}, 1060 * second);
    EXPECT_EQ(pacer.next_forced_at(), 1120 * second) << "the clock is not set anew";
    (void)pacer.start_cycle(heap_of(0, 0), 1, true);
    CycleResult result;
    result.now_ns = 1100 * second;
    pacer.end_cycle(result);
    EXPECT_EQ(pacer.next_forced_at(), 1220 * second);
    pacer.configure({-1, no_bound}, 1130 * second);
    EXPECT_EQ(pacer.next_forced_at(), no_bound);
}

// ---- whatever comes in ------------------------------------------------------------------------------------

void expect_sane(const Pacer& pacer) {
    ASSERT_LE(pacer.trigger(), pacer.goal());
    if (pacer.trigger() < pacer.marked()) ASSERT_EQ(pacer.trigger(), pacer.goal());
    ASSERT_TRUE(std::isfinite(pacer.pace()) && pacer.pace() >= 0) << pacer.pace();
    const AssistTerms& terms = pacer.terms();
    ASSERT_TRUE(std::isfinite(terms.work_per_byte) && terms.work_per_byte > 0) << terms.work_per_byte;
    ASSERT_TRUE(std::isfinite(terms.bytes_per_work) && terms.bytes_per_work > 0) << terms.bytes_per_work;
    ASSERT_GE(terms.bytes_for(terms.work_for(UINT64_MAX, UINT64_MAX)), 1);
}

TEST(Pacer, StaysSaneOnNonsense) {
    std::mt19937_64 random(20'240'611);
    const auto any = [&]() -> std::uint64_t {
        switch (random() % 6) {
        case 0: return 0;
        case 1: return random() % 3;
        case 2: return UINT64_MAX - random() % 3;
        default: return random() >> random() % 64;
        }
    };
    const auto any_heap = [&] { return HeapSnapshot{any(), any(), any(), any(), any(), any(), any()}; };
    Pacer pacer;
    for (int i = 0; i < 200'000; ++i) {
        switch (random() % 6) {
        case 0: pacer.configure({static_cast<std::int32_t>(any()), any()}, any()); [[fallthrough]];
        case 1: pacer.commit(any_heap(), random() % 2 != 0); break;
        case 2: (void)pacer.start_cycle(any_heap(), static_cast<unsigned>(any()), random() % 2 != 0); break;
        case 3: (void)pacer.revise(any_heap(), any()); break;
        case 4:
            pacer.end_cycle({any(), any(), any(), any(), any(), any(), any(), any(), any(), any()});
            break;
        default: {
            const SweepPace pace = pacer.sweep_pace(any(), any(), any());
            ASSERT_TRUE(std::isfinite(pace.pages_per_byte) && pace.pages_per_byte >= 0);
            (void)pace.owes(any(), any(), any(), any());
        }
        }
        if (pacer.trigger() != no_bound) expect_sane(pacer);
        if (testing::Test::HasFatalFailure()) FAIL() << "step " << i;
    }
}

}  // namespace
}  // namespace cairn::gc
