// Plans from traces that no program wrote: forged ones, cut ones, and what must be left out of them.
// SPDX-License-Identifier: MIT
#include "replay/plan.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "trace/writer.hpp"

namespace cairn::replay {
namespace {

using trace::Event;
using trace::Op;

class PlanTest : public testing::Test {
protected:
    PlanTest() : path_(std::filesystem::temp_directory_path() / ("cairn-plan-" + std::to_string(getpid()))) {
        EXPECT_TRUE(writer_.open(path_, {{"prog", "-x"}, 7, "2024-05-01T12:00:00Z", false}));
    }
    ~PlanTest() override { std::filesystem::remove(path_); }

    void take(std::uint64_t bytes, std::uint64_t align = 0) {
        const Op op = align != 0 ? Op::allocate_align : Op::allocate;
        writer_.add({op, 0, 0, writer_.next_id(), bytes, align, ++time_});
    }
    void give(std::uint64_t id) { writer_.add({Op::release, 1, 0, id, 0, 0, ++time_}); }
    void resize(std::uint64_t id, std::uint64_t bytes) {
        writer_.add({Op::reallocate, 0, 0, id, bytes, 0, ++time_});
    }
    bool load() {
        return plan_.load(path_, [](double) {});
    }

    std::filesystem::path path_;
    trace::Writer writer_;
    Plan plan_;
    std::uint64_t time_ = 0;
};

TEST_F(PlanTest, ObjectsTakeSlotsThatAreUsedAgain) {
    take(100);
    take(200, 64);
    give(1);
    take(300);
    resize(2, 1000);
    give(2);
    give(3);
    ASSERT_TRUE(writer_.finish({}));
    ASSERT_TRUE(load()) << plan_.error();
    const PlanHead& head = plan_.head();
    EXPECT_EQ(head.events, 7u);
    EXPECT_EQ(head.slots, 2u);
    EXPECT_EQ(head.takes, 3u);
    EXPECT_EQ(head.gives, 3u);
    EXPECT_EQ(head.resizes, 1u);
    EXPECT_EQ(head.peak_live_bytes, 1300u);
    EXPECT_EQ(head.peak_event, 4u);
    EXPECT_EQ(head.peak_live_objects, 2u);
    EXPECT_EQ(head.taken_bytes, 1600u);
    EXPECT_EQ(head.largest_bytes, 1000u);
    const PlannedEvent* events = plan_.events();
    EXPECT_EQ(events[3].slot, events[0].slot);
    EXPECT_EQ(events[1].align_shift, 6);
    EXPECT_EQ(events[4].step, Step::resize);
    EXPECT_EQ(plan_.threads(), 2u);
    EXPECT_EQ(plan_.command(), (std::vector<std::string>{"prog", "-x"}));
    EXPECT_EQ(plan_.warning(), "");
}

TEST_F(PlanTest, WhatNobodyAllocatedIsCountedAndLeftOut) {
    take(10);
    give(0);
    give(1);
    give(1);
    resize(1, 50);
    writer_.add({Op::fail, 0, 0, 0, 1 << 30, 0, ++time_});
    writer_.add({Op::thread_end, 0, 0, 0, 0, 0, ++time_});
    ASSERT_TRUE(writer_.finish({}));
    ASSERT_TRUE(load()) << plan_.error();
    EXPECT_EQ(plan_.head().events, 2u);
    EXPECT_EQ(plan_.head().unknown_gives, 1u);
    EXPECT_EQ(plan_.head().repeated_gives, 1u);
    EXPECT_EQ(plan_.head().unknown_resizes, 1u);
    EXPECT_EQ(plan_.head().failures, 1u);
}

TEST_F(PlanTest, ATraceWithoutItsEndIsPlayedUpToThere) {
    for (int i = 0; i < 1000; ++i) take(16);
    writer_.flush();
    ASSERT_TRUE(load()) << plan_.error();
    EXPECT_EQ(plan_.head().events, 1000u);
    EXPECT_NE(plan_.warning(), "");
}

TEST_F(PlanTest, NothingToPlayIsSaid) {
    ASSERT_TRUE(writer_.finish({}));
    EXPECT_FALSE(load());
    EXPECT_EQ(plan_.error(), "has no allocations to replay");
}

TEST_F(PlanTest, WhatIsNoTraceIsSaid) {
    std::ofstream(path_) << "#!/bin/sh\necho hello\n";
    EXPECT_FALSE(load());
    EXPECT_NE(plan_.error(), "");
}

TEST_F(PlanTest, AMillionEventsGrowInPlace) {
    for (std::uint64_t i = 1; i <= 500'000; ++i) {
        take(i % 1000);
        give(i);
    }
    ASSERT_TRUE(writer_.finish({}));
    ASSERT_TRUE(load()) << plan_.error();
    EXPECT_EQ(plan_.head().events, 1'000'000u);
    EXPECT_EQ(plan_.head().slots, 1u);
    EXPECT_EQ(plan_.events()[999'998].bytes, 0u) << "take of 500,000 % 1000";
    EXPECT_EQ(plan_.events()[999'999].step, Step::give);
}

}  // namespace
}  // namespace cairn::replay
