// The age policy on programs of known yields: which way it ends in, and what the other costs meanwhile.
// SPDX-License-Identifier: MIT
#include "gc/age_policy.hpp"

#include <gtest/gtest.h>

namespace cairn::gc {
namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;
constexpr std::uint64_t ms = 1'000'000;

// Bytes freed and time taken by a cycle of either kind; of a young one that follows k others. As much is
// allocated between two cycles as the first of them freed.
struct Program {
    std::uint64_t full_freed, full_ns, young_freed, young_ns, worse_each;
};

struct Lived {
    unsigned young = 0, full = 0;
    bool ended_with_young = false;
};

Lived live(const Program& program, unsigned cycles) {
    AgePolicy policy;
    Lived lived;
    unsigned in_a_row = 0;
    std::uint64_t kept = 0;  // garbage that young cycles left
    std::uint64_t room = program.full_freed;
    bool has_marks = false;
    for (unsigned i = 0; i < cycles; ++i) {
        if (has_marks && policy.prefers_young()) {
            const std::uint64_t lost = std::min(program.young_freed, in_a_row++ * program.worse_each);
            kept += lost;
            policy.note(true, room, program.young_freed - lost, program.young_ns);
            room = program.young_freed - lost;
            ++lived.young;
        } else {
            policy.note(false, room, program.full_freed + kept, program.full_ns);
            room = program.full_freed;
            in_a_row = 0;
            kept = 0;
            ++lived.full;
        }
        has_marks = policy.wants_young_cycles();
    }
    lived.ended_with_young = policy.wants_young_cycles();
    return lived;
}

TEST(AgePolicy, LivesWithYoungCyclesWhereTheyFreeMuchForLittle) {
    const Lived lived = live({4 * mib, 4 * ms, 3 * mib, ms / 2, 0}, 200);
    EXPECT_TRUE(lived.ended_with_young);
    EXPECT_GT(lived.young, 150u);
}

TEST(AgePolicy, LivesWithoutThemWhereWhatIsNewLives) {
    const Lived lived = live({4 * mib, 4 * ms, mib / 4, 3 * ms, 0}, 200);
    EXPECT_FALSE(lived.ended_with_young);
    EXPECT_LT(lived.young, 12u) << "tried shortly, and seldom";
    EXPECT_GE(lived.young, 2u) << "but tried";
}

TEST(AgePolicy, EndsARowOfYoungCyclesWhenTheyFreeLessThanTheMean) {
    // Each frees half a MiB less than the one before: after some a full one pays.
    const Lived lived = live({4 * mib, 4 * ms, 4 * mib, ms, mib / 2}, 400);
    EXPECT_TRUE(lived.ended_with_young);
    EXPECT_GT(lived.young, lived.full);
    EXPECT_GT(lived.full, 40u);
}

TEST(AgePolicy, ChangesItsMindWhenTheProgramDoes) {
    AgePolicy policy;
    bool was_young = false;
    const auto cycle = [&](bool is_young_good) {
        const bool is_young = policy.prefers_young();
        const std::uint64_t young_freed = is_young_good ? 4 * mib : mib / 4;
        policy.note(is_young, was_young ? young_freed : 4 * mib, is_young ? young_freed : 4 * mib,
                    is_young ? ms : 4 * ms);
        was_young = is_young;
    };
    for (int i = 0; i < 100; ++i) cycle(true);
    EXPECT_TRUE(policy.wants_young_cycles());
    for (int i = 0; i < 600; ++i) cycle(false);
    unsigned young = 0;
    for (int i = 0; i < 100; ++i) {
        young += policy.prefers_young();
        cycle(false);
    }
    EXPECT_LT(young, 12u);
    for (int i = 0; i < 1200; ++i) cycle(true);
    EXPECT_TRUE(policy.wants_young_cycles());
}

TEST(AgePolicy, TakesACycleWithoutTimeOrGain) {
    AgePolicy policy;
    for (int i = 0; i < 100; ++i) policy.note(policy.prefers_young(), 0, 0, 0);
    policy.note(false, mib, mib, ms);
}

TEST(AgePolicy, SurvivorsStayYoungWhereMostOfThemDie) {
    AgePolicy policy;
    EXPECT_TRUE(policy.ages_survivors());
    policy.note_fate(mib, mib / 4);
    EXPECT_TRUE(policy.ages_survivors());
    policy.note_fate(1000, 1000);
    EXPECT_TRUE(policy.ages_survivors()) << "so little tells nothing";
    policy.note_fate(mib, mib * 3 / 4);
    EXPECT_FALSE(policy.ages_survivors());
    policy.note_fate(mib, mib / 3);
    EXPECT_FALSE(policy.ages_survivors()) << "to age them is the greater risk";
    policy.note_fate(mib, mib / 8);
    EXPECT_TRUE(policy.ages_survivors());
}

TEST(AgePolicy, TriesYoungCyclesOnceMoreWhenSurvivorsStayYoung) {
    AgePolicy policy;
    // Young cycles are bad while they age; full ones are lived with for long.
    for (int i = 0; i < 200; ++i) {
        const bool is_young = policy.prefers_young();
        policy.note(is_young, 4 * mib, is_young ? mib / 8 : 4 * mib, ms);
    }
    for (int i = 0; i < 100 && !policy.wants_young_cycles(); ++i) policy.note(false, 4 * mib, 4 * mib, ms);
    for (int i = 0; i < 100 && policy.wants_young_cycles(); ++i) policy.note(false, mib / 8, mib / 8, ms);
    ASSERT_FALSE(policy.wants_young_cycles()) << "the other way, and just begun";
    policy.note_fate(mib, mib);
    unsigned cycles = 0;
    for (; cycles < 1000 && !policy.wants_young_cycles(); ++cycles) policy.note(false, 4 * mib, 4 * mib, ms);
    for (unsigned i = 0; i < 50; ++i) {
        const bool is_young = policy.prefers_young();
        policy.note(is_young, 4 * mib, 4 * mib, is_young ? ms / 4 : ms);
    }
    EXPECT_TRUE(policy.wants_young_cycles());
}

TEST(AgePolicy, LearnsFromAProgramThatGrows) {
    // Nothing dies; full cycles read all there is, young ones what is new.
    AgePolicy policy;
    std::uint64_t heap = mib;
    for (int i = 0; i < 12; ++i) {
        const bool is_young = policy.prefers_young();
        const std::uint64_t made = is_young ? heap / 4 : heap;
        heap += made;
        policy.note(is_young, made, 0, (is_young ? made : heap) / 64);
    }
    EXPECT_TRUE(policy.wants_young_cycles());
}

}  // namespace
}  // namespace cairn::gc
