// Page allocator: named cases. Random ones are in tests/property.
// SPDX-License-Identifier: MIT
#include "pages/page_alloc.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace cairn::pages {
namespace {

using base::chunk_bytes;
using base::chunk_pages;
using base::page_bytes;

constexpr std::uintptr_t start = 0xc000000000;
constexpr std::size_t os_page = 4096;
constexpr std::size_t huge_page = 2 << 20;

constexpr std::uintptr_t page(std::size_t index) {
    return start + index * page_bytes;
}

class PageAllocTest : public testing::Test {
protected:
    PageAllocTest() { alloc.initialize(metadata); }
    ~PageAllocTest() override { alloc.verify(); }

    void grow(std::size_t chunks, std::uintptr_t base = start) {
        ASSERT_TRUE(alloc.grow(base, chunks * chunk_bytes));
    }
    // Takes every free page one chunk at a time and frees it again: now the memory is here.
    void touch_all() {
        std::vector<std::uintptr_t> chunks;
        while (const PageRun run = alloc.allocate(chunk_pages)) chunks.push_back(run.base);
        for (const std::uintptr_t base : chunks) alloc.free(base, chunk_pages);
    }
    ByteRun take_unscavenged(std::size_t max_bytes, bool is_forced) {
        return alloc.take_unscavenged(max_bytes, is_forced, os_page, huge_page);
    }

    Metadata metadata;
    PageAlloc alloc;
};

constinit PageAlloc in_static_storage;

TEST_F(PageAllocTest, HasNothingBeforeItGrows) {
    EXPECT_FALSE(alloc.allocate(1));
    EXPECT_FALSE(alloc.allocate_aligned(1, 1 << 20));
    EXPECT_FALSE(alloc.allocate_at(start, 1));
    EXPECT_FALSE(take_unscavenged(1 << 20, true));
    EXPECT_FALSE(alloc.is_free(start));
    EXPECT_EQ(alloc.free_pages(), 0u);
    EXPECT_EQ(metadata.mapped_bytes(), 0u);
    EXPECT_EQ(in_static_storage.free_pages(), 0u);
}

TEST_F(PageAllocTest, NewPagesAreFreeAndScavenged) {
    grow(2);
    EXPECT_EQ(alloc.free_pages(), 1024u);
    EXPECT_EQ(alloc.scavenged_pages(), 1024u);
    const PageRun run = alloc.allocate(3);
    EXPECT_EQ(run.base, start);
    EXPECT_EQ(run.scavenged_bytes, 3 * page_bytes);
    alloc.free(run.base, 3);
    EXPECT_EQ(alloc.allocate(4).scavenged_bytes, page_bytes) << "three of the four were used before";
}

TEST_F(PageAllocTest, TakesTheLowestRunThatFits) {
    grow(1);
    ASSERT_TRUE(alloc.allocate(20));
    alloc.free(page(2), 1);
    alloc.free(page(5), 3);
    alloc.free(page(10), 5);
    EXPECT_EQ(alloc.allocate(4).base, page(10));
    EXPECT_EQ(alloc.allocate(2).base, page(5));
    EXPECT_EQ(alloc.allocate(1).base, page(2));
    EXPECT_EQ(alloc.allocate(2).base, page(20));
    EXPECT_EQ(alloc.allocate(1).base, page(7));
}

TEST_F(PageAllocTest, RunsStraddleChunks) {
    grow(4);
    EXPECT_EQ(alloc.allocate(500).base, start);
    EXPECT_EQ(alloc.allocate(1000).base, page(500))
        << "the end of one chunk, a whole one, the start of the third";
    EXPECT_EQ(alloc.allocate(548).base, page(1500));
    EXPECT_FALSE(alloc.allocate(1));
    EXPECT_EQ(alloc.search_address(), ~std::uintptr_t{0});
    alloc.free(page(500), 1000);
    EXPECT_EQ(alloc.search_address(), page(500));
    EXPECT_EQ(alloc.allocate(1000).base, page(500));
}

TEST_F(PageAllocTest, RunsStraddleEveryLevelOfTheTree) {
    // A whole region and a chunk on each side: its root says 2^21 in one bit.
    constexpr std::uintptr_t region_start = 0x8000000000;
    constexpr std::size_t region_chunks = 4096;
    grow(region_chunks + 2, region_start - chunk_bytes);
    EXPECT_EQ(alloc.allocate((region_chunks + 2) * chunk_pages).base, region_start - chunk_bytes);
    EXPECT_FALSE(alloc.allocate(1));
    alloc.free(region_start - page_bytes, region_chunks * chunk_pages + 2);
    EXPECT_FALSE(alloc.allocate(region_chunks * chunk_pages + 3));
    EXPECT_EQ(alloc.allocate(region_chunks * chunk_pages + 2).base, region_start - page_bytes);
}

TEST_F(PageAllocTest, RunsDoNotStraddleWhatIsNotOurs) {
    grow(1);
    grow(1, start + 2 * chunk_bytes);
    grow(1, 0xc400000000 + 4 * chunk_bytes);
    EXPECT_FALSE(alloc.allocate(513));
    EXPECT_EQ(alloc.allocate(512).base, start);
    EXPECT_EQ(alloc.allocate(512).base, start + 2 * chunk_bytes);
    EXPECT_EQ(alloc.allocate(512).base, 0xc400000000 + 4 * chunk_bytes);
    alloc.free(start, 512);
    grow(1, start + chunk_bytes);
    EXPECT_EQ(alloc.allocate(1024).base, start);
}

TEST_F(PageAllocTest, GrowthBelowLowersTheSearch) {
    grow(1, 0x7f0000000000);
    EXPECT_EQ(alloc.allocate(512).base, 0x7f0000000000u);
    grow(1);
    EXPECT_EQ(alloc.allocate(1).base, start);
    EXPECT_EQ(alloc.search_address(), page(1));
}

TEST_F(PageAllocTest, AlignsBase) {
    grow(3);
    ASSERT_TRUE(alloc.allocate(1));
    EXPECT_EQ(alloc.allocate_aligned(3, 4 * page_bytes).base, page(4));
    EXPECT_EQ(alloc.allocate_aligned(1, page_bytes).base, page(1));
    EXPECT_EQ(alloc.allocate_aligned(513, chunk_bytes).base, page(512));
    EXPECT_FALSE(alloc.allocate_aligned(1, chunk_bytes)) << "no chunk has its first page free";
}

TEST_F(PageAllocTest, AlignsPastManyRunsThatDoNotFit) {
    grow(2);
    ASSERT_TRUE(alloc.allocate(1024));
    for (std::size_t i = 1; i < 1000; i += 4) alloc.free(page(i), 2);  // two pages, never at an even index
    EXPECT_FALSE(alloc.allocate_aligned(2, 2 * page_bytes));
    alloc.free(page(1002), 2);
    EXPECT_EQ(alloc.allocate_aligned(2, 2 * page_bytes).base, page(1002))
        << "an exact fit behind 250 misfits";
    alloc.free(page(1005), 7);
    EXPECT_EQ(alloc.allocate_aligned(4, 4 * page_bytes).base, page(1008)) << "the one run with room to align";
}

TEST_F(PageAllocTest, TakesExactlyThesePagesOrNothing) {
    grow(2);
    ASSERT_TRUE(alloc.allocate(510));
    EXPECT_FALSE(alloc.allocate_at(page(509), 2));
    EXPECT_FALSE(alloc.allocate_at(page(1020), 5)) << "reaches beyond what is ours";
    EXPECT_FALSE(alloc.allocate_at(0x1000000000, 1));
    const PageRun run = alloc.allocate_at(page(510), 20);
    EXPECT_EQ(run.base, page(510));
    EXPECT_EQ(run.scavenged_bytes, 20 * page_bytes);
    EXPECT_EQ(alloc.allocate(1).base, page(530));
}

TEST_F(PageAllocTest, ScavengesFromTheHighestAddressDown) {
    grow(2);
    const auto take_64k = [this] { return alloc.take_unscavenged(64 * 1024, true, os_page, 0); };
    EXPECT_FALSE(take_64k()) << "all is with the OS already";
    touch_all();
    EXPECT_EQ(alloc.scavenged_pages(), 0u);
    const ByteRun first = take_64k();
    EXPECT_EQ(first.base, page(1016));
    EXPECT_EQ(first.bytes, 64u * 1024);
    EXPECT_FALSE(alloc.is_free(first.base)) << "nobody may take it meanwhile";
    EXPECT_EQ(alloc.free_pages(), 1016u);
    alloc.verify();
    const ByteRun second = take_64k();
    EXPECT_EQ(second.base, page(1008));
    alloc.give_back_scavenged(first.base, first.bytes);
    alloc.give_back_scavenged(second.base, second.bytes);
    EXPECT_EQ(alloc.free_pages(), 1024u);
    EXPECT_EQ(alloc.scavenged_pages(), 16u);
    std::size_t bytes = 0;
    while (const ByteRun run = take_unscavenged(chunk_bytes, true)) {
        bytes += run.bytes;
        alloc.give_back_scavenged(run.base, run.bytes);
    }
    EXPECT_EQ(bytes, 1008 * page_bytes);
    EXPECT_EQ(alloc.scavenged_pages(), 1024u);
}

TEST_F(PageAllocTest, ScavengingReturnsAtLeastAnOsPageAndKeepsHugePagesWhole) {
    grow(1);
    touch_all();
    ASSERT_TRUE(alloc.allocate(3));
    const ByteRun small = alloc.take_unscavenged(1, true, os_page, 0);
    EXPECT_EQ(small.bytes, page_bytes);
    const ByteRun wide = alloc.take_unscavenged(1, true, 65536, 0);
    EXPECT_EQ(wide.bytes, 65536u);
    EXPECT_EQ(wide.base % 65536, 0u);
    EXPECT_EQ(wide.base, page(496)) << "504..511 lacks a page";
    const ByteRun rest = take_unscavenged(2 << 20, true);
    EXPECT_EQ(rest.base, page(504)) << "the seven pages above";
    const ByteRun top = take_unscavenged(1 << 20, true);
    EXPECT_EQ(top.base, page(368)) << "the huge page 256..511 is broken already: no more than asked for";
    alloc.free(start, 3);
    const ByteRun joined = take_unscavenged(1 << 20, true);
    EXPECT_EQ(joined.base, page(0)) << "a boundary lies inside, so the huge page below goes as a whole";
    EXPECT_EQ(joined.bytes, 368 * page_bytes);
    for (const ByteRun& run : {small, wide, rest, top, joined})
        alloc.give_back_scavenged(run.base, run.bytes);
}

TEST_F(PageAllocTest, BackgroundLeavesWhatThisGenerationFreed) {
    grow(2);
    touch_all();
    EXPECT_FALSE(take_unscavenged(chunk_bytes, false));
    alloc.advance_generation();
    const ByteRun run = take_unscavenged(chunk_bytes, false);
    EXPECT_EQ(run.base, page(512));
    alloc.give_back_scavenged(run.base, run.bytes);
    EXPECT_EQ(take_unscavenged(chunk_bytes, false).base, start);
    alloc.give_back_scavenged(start, chunk_bytes);
}

TEST_F(PageAllocTest, BackgroundLeavesDenseChunks) {
    grow(1);
    ASSERT_TRUE(alloc.allocate(512));
    alloc.advance_generation();
    alloc.free(page(100), 12);
    alloc.advance_generation();
    EXPECT_FALSE(take_unscavenged(chunk_bytes, false)) << "500 of 512 pages in use";
    alloc.free(page(200), 100);
    alloc.advance_generation();
    alloc.free(page(0), 1);
    EXPECT_EQ(take_unscavenged(chunk_bytes, false).base, page(200));
    alloc.give_back_scavenged(page(200), 100 * page_bytes);
    alloc.advance_generation();
    ASSERT_EQ(alloc.allocate_at(page(200), 100).scavenged_bytes, 100 * page_bytes);
    alloc.advance_generation();
    alloc.free(page(200), 100);
    EXPECT_FALSE(take_unscavenged(chunk_bytes, false)) << "dense when this generation began";
    EXPECT_EQ(take_unscavenged(chunk_bytes, true).base, page(200)) << "forced: density does not matter";
    alloc.give_back_scavenged(page(200), 100 * page_bytes);
}

using PageAllocDeathTest = PageAllocTest;

TEST_F(PageAllocDeathTest, GrowingTwiceOverTheSameRangeIsFatal) {
    grow(1);
    EXPECT_DEATH((void)alloc.grow(start, chunk_bytes), "is_grown");
    EXPECT_DEATH((void)alloc.grow(start + page_bytes, chunk_bytes), "is_aligned");
}

}  // namespace
}  // namespace cairn::pages
