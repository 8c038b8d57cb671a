// Page allocator when the OS gives no memory for its records: growth says no, and nothing has changed.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "os/fake.hpp"
#include "pages/page_alloc.hpp"

namespace cairn::pages {
namespace {

namespace fake = os::fake;
using base::chunk_bytes;

constexpr std::uintptr_t start = 0xc000000000;

TEST(PageAllocRefused, GrowthFailsAtEachRecordAndSucceedsLater) {
    // The table of regions, then a record each for the two regions of the range.
    for (std::uint64_t nth = 1; nth <= 3; ++nth) {
        SCOPED_TRACE(nth);
        fake::reset();
        Metadata metadata;
        PageAlloc alloc;
        alloc.initialize(metadata);
        fake::fail(fake::Move::alloc, nth);
        constexpr std::uintptr_t below_boundary = 0xc400000000 - chunk_bytes;
        EXPECT_FALSE(alloc.grow(below_boundary, 2 * chunk_bytes));
        EXPECT_EQ(alloc.free_pages(), 0u);
        EXPECT_FALSE(alloc.is_free(below_boundary));
        EXPECT_FALSE(alloc.allocate(1));
        alloc.verify();
        ASSERT_TRUE(alloc.grow(below_boundary, 2 * chunk_bytes));
        EXPECT_EQ(alloc.allocate(1024).base, below_boundary);
        alloc.verify();
    }
}

TEST(PageAllocRefused, WhatIsThereKeepsWorking) {
    fake::reset();
    Metadata metadata;
    PageAlloc alloc;
    alloc.initialize(metadata);
    ASSERT_TRUE(alloc.grow(start, chunk_bytes));
    fake::fail(fake::Move::alloc, 1, fake::for_ever);
    EXPECT_FALSE(alloc.grow(0x7f0000000000, chunk_bytes)) << "another region needs a record";
    EXPECT_TRUE(alloc.grow(start + chunk_bytes, chunk_bytes)) << "the same region does not";
    EXPECT_EQ(alloc.allocate(1024).base, start);
    alloc.free(start, 1024);
    EXPECT_EQ(alloc.free_pages(), 1024u);
    alloc.verify();
}

TEST(PageAllocRefused, RecordsAreAFewHundredKibibytesARegionAndMostlyUntouched) {
    fake::reset();
    Metadata metadata;
    PageAlloc alloc;
    alloc.initialize(metadata);
    ASSERT_TRUE(alloc.grow(start, chunk_bytes));
    EXPECT_LT(metadata.mapped_bytes(), 1u << 20);
}

}  // namespace
}  // namespace cairn::pages
