// Page bitmaps: searches and measures against counting page by page.
// SPDX-License-Identifier: MIT
#include "pages/page_bitmap.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace cairn::pages {
namespace {

constexpr unsigned none = PageBits::bit_count;

unsigned naive_find_zeros(const PageBits& bits, unsigned count, unsigned from) {
    unsigned run = 0;
    for (unsigned i = from; i < PageBits::bit_count; ++i) {
        run = bits.test(i) ? 0 : run + 1;
        if (run == count) return i + 1 - count;
    }
    return none;
}

FreeRuns naive_free_runs(const PageBits& bits) {
    FreeRuns runs;
    unsigned run = 0;
    for (unsigned i = 0; i < PageBits::bit_count; ++i) {
        run = bits.test(i) ? 0 : run + 1;
        if (run == i + 1) runs.start = run;
        runs.longest = std::max(runs.longest, run);
    }
    runs.end = run;
    return runs;
}

// Bits in runs of random length up to `longest`.
PageBits random_bits(std::mt19937_64& random, unsigned longest) {
    PageBits bits;
    for (unsigned i = 0; i < PageBits::bit_count;) {
        const unsigned length = std::min<unsigned>(1 + random() % longest, PageBits::bit_count - i);
        if (random() % 2 == 0) bits.set(i, length);
        i += length;
    }
    return bits;
}

TEST(PageBits, RangesTouchOnlyTheirPages) {
    const struct {
        unsigned first, count;
    } cases[] = {{0, 1}, {63, 2}, {64, 64}, {0, 512}, {511, 1}, {5, 130}, {192, 320}};
    for (const auto& c : cases) {
        SCOPED_TRACE(testing::Message() << c.first << "+" << c.count);
        PageBits bits;
        bits.set(c.first, c.count);
        for (unsigned i = 0; i < PageBits::bit_count; ++i) {
            ASSERT_EQ(bits.test(i), i >= c.first && i < c.first + c.count) << i;
        }
        EXPECT_EQ(bits.count(), c.count);
        EXPECT_EQ(bits.count(c.first, c.count), c.count);
        EXPECT_EQ(bits.find_one(0), c.first);
        EXPECT_EQ(bits.find_zero(c.first), c.first + c.count);
        bits.clear(c.first, c.count);
        EXPECT_EQ(bits.count(), 0u);
        EXPECT_EQ(bits.find_one(0), none);
    }
}

TEST(PageBits, FindsRunsInsideAcrossAndOverWholeWords) {
    PageBits bits;
    bits.set(0, 512);
    bits.clear(10, 3);     // inside a word
    bits.clear(60, 8);     // across two words
    bits.clear(120, 140);  // over two whole words
    bits.clear(508, 4);    // at the end
    const struct {
        unsigned count, from, found;
    } cases[] = {
        {1, 0, 10},      {3, 0, 10},       {4, 0, 60},     {8, 0, 60},     {9, 0, 120},   {64, 0, 120},
        {65, 0, 120},    {140, 0, 120},    {141, 0, none}, {1, 11, 11},    {3, 11, 60},   {8, 61, 120},
        {100, 130, 130}, {140, 121, none}, {4, 260, 508},  {5, 260, none}, {1, 511, 511}, {512, 0, none},
    };
    for (const auto& c : cases)
        EXPECT_EQ(bits.find_zeros(c.count, c.from), c.found) << c.count << " from " << c.from;
    EXPECT_EQ(PageBits().find_zeros(512, 0), 0u);
}

TEST(PageBits, MeasuresFreeRuns) {
    const auto runs_of = [](const PageBits& bits) {
        const FreeRuns runs = bits.free_runs();
        return testing::Message() << runs.start << " " << runs.longest << " " << runs.end;
    };
    PageBits bits;
    EXPECT_EQ(runs_of(bits).GetString(), "512 512 512");
    bits.set(0, 512);
    EXPECT_EQ(runs_of(bits).GetString(), "0 0 0");
    bits.clear(1, 62);  // the longest run that has a one on each side within a word
    EXPECT_EQ(runs_of(bits).GetString(), "0 62 0");
    bits.clear(0, 1);
    EXPECT_EQ(runs_of(bits).GetString(), "63 63 0");
    bits.clear(448, 64);
    EXPECT_EQ(runs_of(bits).GetString(), "63 64 64");
}

TEST(PageBits, AgreesWithCountingPageByPage) {
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    for (const unsigned longest : {1u, 2u, 5u, 20u, 70u, 200u, 512u}) {
        for (unsigned round = 0; round < 400; ++round) {
            const PageBits bits = random_bits(random, longest);
            const FreeRuns runs = bits.free_runs();
            const FreeRuns expected = naive_free_runs(bits);
            ASSERT_EQ(runs.start, expected.start);
            ASSERT_EQ(runs.longest, expected.longest);
            ASSERT_EQ(runs.end, expected.end);
            const unsigned count = 1 + random() % (longest * 2);
            const unsigned from = random() % PageBits::bit_count;
            const unsigned wanted = std::min(count, PageBits::bit_count);
            ASSERT_EQ(bits.find_zeros(wanted, from), naive_find_zeros(bits, wanted, from));
            ASSERT_EQ(bits.find_zero(from), naive_find_zeros(bits, 1, from));
        }
    }
}

TEST(ChunkBitmap, ClosesGroupsThatAreNotWholeOsPages) {
    EXPECT_EQ(ChunkBitmap::close_groups(0x8421, 1), 0x8421u);
    EXPECT_EQ(ChunkBitmap::close_groups(0x8421, 2), 0xcc33u);
    EXPECT_EQ(ChunkBitmap::close_groups(0x0400, 4), 0x0f00u);
    EXPECT_EQ(ChunkBitmap::close_groups(std::uint64_t{1} << 63, 64), ~std::uint64_t{0});
    EXPECT_EQ(ChunkBitmap::close_groups(0, 64), 0u);
}

TEST(ChunkBitmap, FindsTheHighestRunWorthReturning) {
    ChunkBitmap chunk;
    chunk.in_use.set(0, 512);
    chunk.in_use.clear(20, 300);  // free: 20..319
    chunk.in_use.clear(400, 7);   // free: 400..406
    chunk.scavenged.set(403, 4);  // of which here: 400..402
    const struct {
        ScavengeRequest request;
        unsigned first, count;
    } cases[] = {
        {{.minimum = 1, .maximum = 8, .huge = 0}, 400, 3},
        {{.minimum = 1, .maximum = 2, .huge = 0}, 401, 2},
        {{.minimum = 2, .maximum = 8, .huge = 0}, 400, 2},
        {{.minimum = 4, .maximum = 8, .huge = 0}, 312, 8},
        {{.minimum = 4, .maximum = 512, .huge = 0}, 20, 300},
        {{.minimum = 8, .maximum = 512, .huge = 0}, 24, 296},
        {{.minimum = 64, .maximum = 512, .huge = 0}, 64, 256},
        {{.minimum = 4, .maximum = 100, .huge = 64}, 192, 128},   // 220 would break 192..255
        {{.minimum = 4, .maximum = 8, .huge = 64}, 256, 64},      // 256..319 is a whole huge page
        {{.minimum = 4, .maximum = 8, .huge = 128}, 312, 8},      // 256..383 is not
        {{.minimum = 4, .maximum = 100, .huge = 256}, 220, 100},  // 0..255 is not free as a whole
    };
    for (const auto& c : cases) {
        const ChunkBitmap::Run run = chunk.find_unscavenged(c.request);
        EXPECT_EQ(run.first, c.first)
            << c.request.minimum << " " << c.request.maximum << " " << c.request.huge;
        EXPECT_EQ(run.count, c.count)
            << c.request.minimum << " " << c.request.maximum << " " << c.request.huge;
    }
    ChunkBitmap full;
    full.in_use.set(0, 512);
    EXPECT_EQ(full.find_unscavenged({}).count, 0u);
    EXPECT_EQ(ChunkBitmap().find_unscavenged({.minimum = 1, .maximum = 512, .huge = 256}).count, 512u);
}

}  // namespace
}  // namespace cairn::pages
