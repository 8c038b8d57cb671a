// The learnt speed: large cycles say more than small ones, late ones more than early ones.
// SPDX-License-Identifier: MIT
#include "gc/learnt_speed.hpp"

#include <gtest/gtest.h>

namespace cairn::gc {
namespace {

TEST(LearntSpeed, IsWhatIsAskedForUntilSomethingWasNoted) {
    LearntSpeed speed;
    EXPECT_EQ(speed.each_ns(12), 12);
    speed.note(5000, 1000);
    EXPECT_EQ(speed.each_ns(12), 5);
}

TEST(LearntSpeed, CyclesCountForAsMuchAsTheyDid) {
    LearntSpeed speed;
    // A thousand at 40 ns each, with what a cycle does besides; a million at 5.
    for (int i = 0; i < 20; ++i) speed.note(i % 2 == 0 ? 40'000 : 5'000'000, i % 2 == 0 ? 1000 : 1'000'000);
    EXPECT_NEAR(speed.each_ns(0), 5, 0.1);
}

TEST(LearntSpeed, ThePastFades) {
    LearntSpeed speed;
    speed.note(40'000'000, 1'000'000);
    for (int i = 0; i < 20; ++i) speed.note(5'000'000, 1'000'000);
    EXPECT_NEAR(speed.each_ns(0), 5, 0.1);
}

TEST(LearntSpeed, DoubtMakesItFasterByAndBy) {
    LearntSpeed speed;
    speed.note(10'000, 1000);
    for (int i = 0; i < 14; ++i) speed.doubt();
    EXPECT_LT(speed.each_ns(0), 5);
    EXPECT_GT(speed.each_ns(0), 4);
}

}  // namespace
}  // namespace cairn::gc
