// Page cache: 64 pages without a lock.
// SPDX-License-Identifier: MIT
#include "pages/page_cache.hpp"

#include <gtest/gtest.h>

#include "pages/page_alloc.hpp"

namespace cairn::pages {
namespace {

using base::page_bytes;

constexpr std::uintptr_t start = 0xc000080000;

TEST(PageCache, StartsEmpty) {
    PageCache cache;
    EXPECT_TRUE(cache.is_empty());
    EXPECT_FALSE(cache.allocate(1));
    EXPECT_EQ(cache.free_pages(), 0u);
}

TEST(PageCache, TakesTheLowestRunThatFits) {
    PageCache cache(start, 0b1111'0110'1ull, 0);
    EXPECT_EQ(cache.allocate(3).base, start + 5 * page_bytes);
    EXPECT_EQ(cache.allocate(1).base, start);
    EXPECT_EQ(cache.allocate(2).base, start + 2 * page_bytes);
    EXPECT_FALSE(cache.allocate(2));
    EXPECT_EQ(cache.allocate(1).base, start + 8 * page_bytes);
    EXPECT_TRUE(cache.is_empty());
}

TEST(PageCache, TakesAllPagesAtOnce) {
    PageCache cache(start, ~std::uint64_t{0}, 0);
    EXPECT_EQ(cache.allocate(PageCache::capacity_pages).base, start);
    EXPECT_TRUE(cache.is_empty());
}

TEST(PageCache, CountsTheScavengedPagesOfARun) {
    PageCache cache(start, 0xff, 0b0011'1100);
    EXPECT_EQ(cache.scavenged_pages(), 4u);
    EXPECT_EQ(cache.allocate(3).scavenged_bytes, page_bytes);
    EXPECT_EQ(cache.allocate(4).scavenged_bytes, 3 * page_bytes);
    EXPECT_EQ(cache.allocate(1).scavenged_bytes, 0u);
}

TEST(PageCache, BacksWhatFollowsARunUpToAUnit) {
    constexpr std::size_t unit = 8 * page_bytes;
    PageCache cache(start, ~std::uint64_t{0}, ~std::uint64_t{1 << 12});
    ASSERT_EQ(cache.allocate(3).scavenged_bytes, 3 * page_bytes);
    EXPECT_EQ(cache.take_ahead(start + 3 * page_bytes, unit), 5 * page_bytes);
    EXPECT_EQ(cache.scavenged_pages(), 64u - 1 - 8);
    EXPECT_EQ(cache.free_pages(), 61u) << "still free";
    EXPECT_EQ(cache.take_ahead(start + 3 * page_bytes, unit), 0u) << "backed already";
    EXPECT_EQ(cache.allocate(6).scavenged_bytes, page_bytes) << "the rest was ahead";
    EXPECT_EQ(cache.take_ahead(start + 9 * page_bytes, unit), 3 * page_bytes) << "up to a backed one";
    EXPECT_EQ(cache.take_ahead(start + 16 * page_bytes, unit), 0u) << "ends with a unit";
    EXPECT_EQ(cache.take_ahead(start + 64 * page_bytes, unit), 0u) << "ends with the cache";
}

TEST(PageCache, TakesAllFreePagesOfTheFirstGroupAndGivesThemBack) {
    Metadata metadata;
    PageAlloc alloc;
    alloc.initialize(metadata);
    PageCache none = alloc.allocate_cache();
    EXPECT_TRUE(none.is_empty());
    none.flush(alloc);
    ASSERT_TRUE(alloc.grow(0xc000000000, base::chunk_bytes));
    ASSERT_TRUE(alloc.allocate(70));  // the first group and six pages of the second
    alloc.free(0xc000000000 + 66 * page_bytes, 2);

    PageCache cache = alloc.allocate_cache();
    EXPECT_EQ(cache.base(), 0xc000000000 + 64 * page_bytes);
    EXPECT_EQ(cache.free_pages(), 60u);
    EXPECT_EQ(cache.scavenged_pages(), 58u);
    EXPECT_FALSE(alloc.is_free(0xc000000000 + 66 * page_bytes));
    EXPECT_EQ(alloc.allocate(1).base, 0xc000000000 + 128 * page_bytes) << "what the cache holds is not free";
    EXPECT_EQ(cache.allocate(1).scavenged_bytes, 0u);
    alloc.verify();

    cache.flush(alloc);
    EXPECT_TRUE(cache.is_empty());
    EXPECT_EQ(alloc.allocate(1).base, 0xc000000000 + 67 * page_bytes);
    EXPECT_EQ(alloc.free_pages(), 512u - 64 - 6 - 1);
    alloc.verify();
}

}  // namespace
}  // namespace cairn::pages
