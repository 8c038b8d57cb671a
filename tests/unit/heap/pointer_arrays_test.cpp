// Arrays of pointers: each size from its own pool, recycled, never mixed.
// SPDX-License-Identifier: MIT
#include "heap/pointer_arrays.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace cairn::heap {
namespace {

class PointerArraysTest : public testing::Test {
protected:
    void SetUp() override { arrays.initialize(metadata); }
    pages::Metadata metadata;
    PointerArrays arrays;
};

TEST_F(PointerArraysTest, EverySizeIsWritableToItsEndAndOverlapsNothing) {
    std::vector<std::pair<void**, unsigned>> all;
    for (unsigned entries = PointerArrays::min_entries; entries <= PointerArrays::max_entries; entries *= 2) {
        for (unsigned i = 0; i < 9; ++i) {
            void** array = arrays.allocate(entries);
            ASSERT_NE(array, nullptr);
            std::fill(array, array + entries, static_cast<void*>(array));
            all.emplace_back(array, entries);
        }
    }
    for (const auto& [array, entries] : all) {
        EXPECT_EQ(std::count(array, array + entries, static_cast<void*>(array)), entries);
    }
}

TEST_F(PointerArraysTest, AFreedArrayServesItsSizeAgain) {
    void** small = arrays.allocate(16);
    void** large = arrays.allocate(2048);
    arrays.free(small, 16);
    arrays.free(large, 2048);
    EXPECT_NE(arrays.allocate(32), small);
    EXPECT_EQ(arrays.allocate(2048), large);
    EXPECT_EQ(arrays.allocate(16), small);
}

TEST_F(PointerArraysTest, ReuseNeedsNoMoreMemory) {
    for (unsigned entries : {16u, 64u, 2048u}) arrays.free(arrays.allocate(entries), entries);
    const std::uint64_t mapped = metadata.mapped_bytes();
    for (unsigned i = 0; i < 1000; ++i) {
        for (unsigned entries : {16u, 64u, 2048u}) arrays.free(arrays.allocate(entries), entries);
    }
    EXPECT_EQ(metadata.mapped_bytes(), mapped);
}

TEST_F(PointerArraysTest, WorksAfterAForkTookItsLocks) {
    arrays.lock_all();
    arrays.reset_locks_after_fork();
    EXPECT_NE(arrays.allocate(16), nullptr);
    arrays.lock_all();
    arrays.unlock_all();
    EXPECT_NE(arrays.allocate(2048), nullptr);
}

}  // namespace
}  // namespace cairn::heap
