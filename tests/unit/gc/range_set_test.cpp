// Sets of ranges against a bit for each address.
// SPDX-License-Identifier: MIT
#include "gc/range_set.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <random>
#include <utility>
#include <vector>

namespace cairn::gc {
namespace {

using Pairs = std::vector<std::pair<std::uintptr_t, std::uintptr_t>>;

class Ranges : public testing::Test {
protected:
    Ranges() {
        set_.initialize(metadata_);
        other_.initialize(metadata_);
    }

    static Pairs all(const RangeSet& set) {
        Pairs pairs;
        RangeCursor cursor(set);
        for (RangeSet::Range range = cursor.next(); range.high != 0; range = cursor.next())
            pairs.emplace_back(range.low, range.high);
        return pairs;
    }
    static Pairs joint(const RangeSet& a, const RangeSet& b) {
        Pairs pairs;
        JointCursor cursor(a, b);
        for (RangeSet::Range range = cursor.next(); range.high != 0; range = cursor.next())
            pairs.emplace_back(range.low, range.high);
        return pairs;
    }

    pages::Metadata metadata_;
    RangeSet set_;
    RangeSet other_;
};

TEST_F(Ranges, JoinsWhatTouches) {
    ASSERT_TRUE(set_.add(10, 20) && set_.add(30, 40));
    EXPECT_EQ(all(set_), (Pairs{{10, 20}, {30, 40}}));
    ASSERT_TRUE(set_.add(20, 30));
    EXPECT_EQ(all(set_), (Pairs{{10, 40}}));
    ASSERT_TRUE(set_.add(15, 16));
    EXPECT_EQ(all(set_), (Pairs{{10, 40}})) << "adding twice is adding once";
    EXPECT_EQ(set_.bytes(), 30u);
    EXPECT_EQ(set_.count(), 1u);
}

TEST_F(Ranges, RemovingCuts) {
    ASSERT_TRUE(set_.add(10, 40) && set_.remove(20, 30));
    EXPECT_EQ(all(set_), (Pairs{{10, 20}, {30, 40}}));
    ASSERT_TRUE(set_.remove(0, 12));
    ASSERT_TRUE(set_.remove(38, 100));
    ASSERT_TRUE(set_.remove(20, 30));
    EXPECT_EQ(all(set_), (Pairs{{12, 20}, {30, 38}}));
    ASSERT_TRUE(set_.remove(0, 1000));
    EXPECT_EQ(all(set_), Pairs{});
}

TEST_F(Ranges, EmptyAndExtremeOnes) {
    ASSERT_TRUE(set_.add(10, 10) && set_.add(20, 10) && set_.remove(5, 5) && set_.remove(1, 2));
    EXPECT_EQ(all(set_), Pairs{});
    EXPECT_EQ(set_.first_above(0).high, 0u);
    ASSERT_TRUE(set_.add(UINTPTR_MAX - 8, UINTPTR_MAX));
    EXPECT_TRUE(set_.contains(UINTPTR_MAX - 1));
    ASSERT_TRUE(set_.add(0, UINTPTR_MAX));
    EXPECT_EQ(all(set_), (Pairs{{0, UINTPTR_MAX}}));
    set_.clear();
    EXPECT_EQ(set_.bytes(), 0u);
}

TEST_F(Ranges, TwoSetsAsOne) {
    ASSERT_TRUE(set_.add(10, 20) && set_.add(40, 50) && set_.add(60, 61));
    EXPECT_EQ(joint(set_, other_), all(set_));
    EXPECT_EQ(joint(other_, set_), all(set_));
    ASSERT_TRUE(other_.add(20, 25) && other_.add(26, 45) && other_.add(48, 70));
    EXPECT_EQ(joint(set_, other_), (Pairs{{10, 25}, {26, 70}}));
    EXPECT_EQ(joint(other_, set_), (Pairs{{10, 25}, {26, 70}}));
}

TEST_F(Ranges, AgreeWithABitPerAddress) {
    constexpr std::uintptr_t top = 400;
    std::mt19937 random(7);
    for (unsigned round = 0; round < 40; ++round) {
        std::vector<bool> model(top + 1), other_model(top + 1);
        set_.clear();
        other_.clear();
        for (unsigned step = 0; step < 300; ++step) {
            const bool is_first = random() % 4 != 0;
            RangeSet& set = is_first ? set_ : other_;
            std::vector<bool>& bits = is_first ? model : other_model;
            const std::uintptr_t low = random() % top;
            const std::uintptr_t high = std::min<std::uintptr_t>(top, low + random() % 40);
            const bool is_added = random() % 5 < 3;
            ASSERT_TRUE(is_added ? set.add(low, high) : set.remove(low, high));
            for (std::uintptr_t at = low; at < high; ++at) bits[at] = is_added;
        }
        const auto pairs_of = [&](auto&& is_in) {
            Pairs pairs;
            for (std::uintptr_t at = 0; at < top; ++at) {
                if (!is_in(at)) continue;
                if (pairs.empty() || pairs.back().second != at) pairs.emplace_back(at, at);
                ++pairs.back().second;
            }
            return pairs;
        };
        const Pairs expected = pairs_of([&](std::uintptr_t at) { return model[at]; });
        ASSERT_EQ(all(set_), expected);
        ASSERT_EQ(set_.count(), expected.size());
        ASSERT_EQ(joint(set_, other_),
                  pairs_of([&](std::uintptr_t at) { return model[at] || other_model[at]; }));
        for (std::uintptr_t at = 0; at < top; ++at) ASSERT_EQ(set_.contains(at), model[at]) << at;
    }
}

TEST_F(Ranges, AHundredThousandInAnyOrder) {
    constexpr std::uintptr_t count = 100'000;
    const auto before = std::chrono::steady_clock::now();
    for (std::uintptr_t i = 0; i < count; ++i) {
        const std::uintptr_t low = i * 7919 % count * 64 + 4096;
        ASSERT_TRUE(set_.add(low, low + 32));
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - before;
    EXPECT_EQ(set_.count(), count);
    EXPECT_EQ(set_.bytes(), count * 32);
    const Pairs pairs = all(set_);
    ASSERT_EQ(pairs.size(), count);
    for (std::uintptr_t i = 0; i < count; ++i) ASSERT_EQ(pairs[i].first, i * 64 + 4096);
    std::printf("[   COST   ] %.0f ns to add one of 100,000 ranges\n", took.count() / count);
    ASSERT_TRUE(set_.remove(0, 4096 + count / 2 * 64));
    EXPECT_EQ(set_.count(), count / 2);
    EXPECT_LT(metadata_.mapped_bytes(), 8u << 20);
}

}  // namespace
}  // namespace cairn::gc
