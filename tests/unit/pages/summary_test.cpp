// Summaries: packing, joining (worked vectors) and repair of the tree.
// SPDX-License-Identifier: MIT
#include "pages/summary.hpp"

#include <gtest/gtest.h>

#include <random>

namespace cairn::pages {

void PrintTo(Summary summary, std::ostream* out) {
    *out << "(" << summary.start() << ", " << summary.longest() << ", " << summary.end() << ")";
}

namespace {

constexpr std::size_t region_pages = Summary::field_limit;

TEST(Summary, PacksThreeFieldsOf21Bits) {
    EXPECT_EQ(Summary().word(), 0u);
    EXPECT_EQ(Summary::all_free(512).word(), 0x0008000040000200u);
    const Summary summary(1, region_pages - 1, region_pages / 2);
    EXPECT_EQ(summary.start(), 1u);
    EXPECT_EQ(summary.longest(), region_pages - 1);
    EXPECT_EQ(summary.end(), region_pages / 2);
}

TEST(Summary, AWholeFreeRegionIsBit63Alone) {
    const Summary whole = Summary::all_free(region_pages);
    EXPECT_EQ(whole.word(), std::uint64_t{1} << 63);
    EXPECT_EQ(whole.start(), region_pages);
    EXPECT_EQ(whole.longest(), region_pages);
    EXPECT_EQ(whole.end(), region_pages);
}

TEST(Summary, JoinsNeighbours) {
    const struct {
        Summary left, right, joined;
    } cases[] = {
        {{512, 512, 512}, {10, 40, 0}, {522, 522, 0}},
        {{3, 20, 5}, {512, 512, 512}, {3, 517, 517}},
        {{0, 0, 0}, {7, 9, 2}, {0, 9, 2}},
        {{0, 30, 20}, {20, 30, 0}, {0, 40, 0}},
        {{512, 512, 512}, {512, 512, 512}, {1024, 1024, 1024}},
    };
    for (const auto& c : cases) {
        Summary children[SummaryTree::fanout] = {};
        children[0] = c.left;
        children[1] = c.right;
        const Summary joined = SummaryTree::merge(children, 512);
        EXPECT_EQ(joined.start(), c.joined.start());
        EXPECT_EQ(joined.longest(), c.joined.longest());
        EXPECT_EQ(joined.end(), 0u) << "six full chunks follow";
        children[6] = c.left;
        children[7] = c.right;
        EXPECT_EQ(SummaryTree::merge(children, 512).end(), c.joined.end());
    }
}

TEST(SummaryTree, HasFiveLevelsOverARegion) {
    EXPECT_EQ(SummaryTree::pages_at(0), region_pages);
    EXPECT_EQ(SummaryTree::pages_at(1), 2ull * 1024 * 1024 * 1024 / base::page_bytes);
    EXPECT_EQ(SummaryTree::pages_at(2), 256ull * 1024 * 1024 / base::page_bytes);
    EXPECT_EQ(SummaryTree::pages_at(3), 32ull * 1024 * 1024 / base::page_bytes);
    EXPECT_EQ(SummaryTree::pages_at(4), 512u);
}

TEST(SummaryTree, RepairsAllThatStandsOverChangedLeaves) {
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    static SummaryTree tree;
    for (unsigned round = 0; round < 3000; ++round) {
        const std::size_t first = random() % SummaryTree::leaf_count;
        const std::size_t last = std::min(first + random() % 40, SummaryTree::leaf_count - 1);
        const bool is_free = random() % 3 > 0;
        for (std::size_t i = first; i <= last; ++i) {
            const std::size_t rest = random() % 512;
            tree.set_leaf(i, is_free ? Summary::all_free(512) : Summary(rest / 2, rest, rest / 3));
        }
        tree.refresh(first, last);
        if (round % 50 == 0) tree.verify();
    }
    tree.verify();
    for (std::size_t i = 0; i < SummaryTree::leaf_count; ++i) tree.set_leaf(i, Summary::all_free(512));
    tree.refresh(0, SummaryTree::leaf_count - 1);
    EXPECT_EQ(tree.root(), Summary::all_free(region_pages));
    tree.verify();
    EXPECT_FALSE(tree.set_leaf(7, Summary::all_free(512)));
    EXPECT_TRUE(tree.set_leaf(4095, Summary()));
    tree.refresh(4095, 4095);
    EXPECT_EQ(tree.root(), Summary(region_pages - 512, region_pages - 512, 0));
}

using SummaryTreeDeathTest = testing::Test;

TEST(SummaryTreeDeathTest, VerifySeesAStaleParent) {
    static SummaryTree tree;
    tree.set_leaf(5, Summary::all_free(512));
    EXPECT_DEATH(tree.verify(), "merge");
}

}  // namespace
}  // namespace cairn::pages
