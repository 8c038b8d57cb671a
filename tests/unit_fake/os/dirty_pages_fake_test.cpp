// The fake dirty tracker tells the truth, and refuses or forgets when told.
// SPDX-License-Identifier: MIT
#include "os/fake_dirty_pages.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "os/dirty_pages.hpp"
#include "os/fake.hpp"
#include "os/memory.hpp"

namespace cairn::os {
namespace {

class FakeDirtyPages : public testing::Test {
protected:
    FakeDirtyPages() {
        fake::reset();
        fake::allow_dirty_tracking(true);
        memory_ = static_cast<unsigned char*>(alloc(bytes, stat_));
        start_ = reinterpret_cast<std::uintptr_t>(memory_);
    }
    ~FakeDirtyPages() override {
        fake::allow_dirty_tracking(false);
        fake::reset();
    }

    // Numbers of the pages reported.
    std::vector<std::size_t> collect(bool is_rearmed = true) {
        std::vector<std::size_t> found;
        is_known_ = tracker_.collect(start_, bytes, is_rearmed, [&](auto low, auto high) {
            for (; low < high; low += page_bytes()) found.push_back((low - start_) / page_bytes());
        });
        return found;
    }

    static constexpr std::size_t bytes = 4 * 4096;
    using Found = std::vector<std::size_t>;

    Stat stat_;
    DirtyTracker tracker_;
    unsigned char* memory_;
    std::uintptr_t start_;
    bool is_known_ = false;
};

TEST_F(FakeDirtyPages, TellsTheTruth) {
    ASSERT_TRUE(tracker_.start() && tracker_.watch(start_, bytes) && tracker_.arm(start_, bytes));
    EXPECT_EQ(fake::armed_pages(), 4u);
    EXPECT_EQ(collect(), Found{});
    memory_[4096] = 1;
    EXPECT_EQ(collect(false), Found{1});
    EXPECT_EQ(collect(), Found{1});
    EXPECT_EQ(collect(), Found{});
    EXPECT_TRUE(is_known_);
    tracker_.disarm(start_, bytes);
    EXPECT_EQ(fake::armed_pages(), 0u);
    EXPECT_EQ(collect(), (Found{0, 1, 2, 3}));
}

TEST_F(FakeDirtyPages, LosesWhenTold) {
    ASSERT_TRUE(tracker_.start() && tracker_.arm(start_, bytes));
    fake::lose_dirty_tracking();
    EXPECT_EQ(collect(), (Found{0, 1, 2, 3}));
    EXPECT_FALSE(is_known_);
    EXPECT_EQ(collect(), Found{});
    EXPECT_TRUE(is_known_);
}

TEST_F(FakeDirtyPages, RefusesUnlessAllowed) {
    fake::allow_dirty_tracking(false);
    EXPECT_FALSE(tracker_.start());
    EXPECT_STRNE(tracker_.unavailable_reason(), "");
    EXPECT_FALSE(tracker_.watch(start_, bytes) || tracker_.arm(start_, bytes));
    EXPECT_EQ(collect(), (Found{0, 1, 2, 3}));
    EXPECT_FALSE(is_known_);
}

TEST_F(FakeDirtyPages, PagesWithoutMemoryAreSkipped) {
    ASSERT_TRUE(tracker_.start() && tracker_.arm(start_, bytes));
    unused(memory_ + 4096, 4096);
    EXPECT_EQ(collect(), Found{});
    used(memory_ + 4096, 4096, 4096);
    memory_[4096] = 7;
    EXPECT_EQ(collect(), Found{1});
}

TEST_F(FakeDirtyPages, AForkedChildStartsAnew) {
    ASSERT_TRUE(tracker_.start() && tracker_.arm(start_, bytes));
    tracker_.after_fork_child();
    EXPECT_FALSE(tracker_.is_started());
    ASSERT_TRUE(tracker_.start());
    EXPECT_EQ(collect(), (Found{0, 1, 2, 3}));
}

}  // namespace
}  // namespace cairn::os
