// The C names of the textbook allocators: every policy opens, serves, counts and closes.
// SPDX-License-Identifier: MIT
#include <cairn/textbook.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace {

TEST(TextbookApi, EveryPolicyServesCountsAndChecks) {
    for (std::size_t i = 0; cairn_textbook_policy_name(i) != nullptr; ++i) {
        const std::string name = cairn_textbook_policy_name(i);
        SCOPED_TRACE(name);
        ASSERT_NE(cairn_textbook_policy_meaning(i), nullptr);
        cairn_textbook* heap = cairn_textbook_open(name.c_str(), 1 << 20);
        ASSERT_NE(heap, nullptr);
        void* a = cairn_textbook_allocate(heap, 1000, 16);
        ASSERT_NE(a, nullptr);
        std::memset(a, 1, 1000);
        void* b = cairn_textbook_allocate(heap, 1000, 4096);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b) % 4096, 0u);
        EXPECT_EQ(cairn_textbook_resize(heap, b, 2000), name == "bump" ? 0 : 1);
        cairn_textbook_free(heap, a);
        EXPECT_EQ(cairn_textbook_allocate(heap, 1 << 20, 16), nullptr);
        cairn_textbook_counts counts{};
        cairn_textbook_counts_get(heap, &counts);
        EXPECT_EQ(counts.allocations, 2u);
        EXPECT_EQ(counts.frees, 1u);
        EXPECT_EQ(counts.failures, 1u);
        EXPECT_GE(counts.peak_used_bytes, 2000u);
        EXPECT_GE(counts.extent_bytes, 5000u);
        EXPECT_EQ(cairn_textbook_check(heap), nullptr);
        cairn_textbook_close(heap);
    }
}

TEST(TextbookApi, UnknownNamesAndImpossibleRegionsAreRefused) {
    EXPECT_EQ(cairn_textbook_open("worst-fit", 1 << 20), nullptr);
    EXPECT_EQ(cairn_textbook_open("bump", 0), nullptr);
    EXPECT_EQ(cairn_textbook_open("bump", ~std::size_t{0}), nullptr);
    EXPECT_EQ(cairn_textbook_policy_name(1000), nullptr);
    EXPECT_EQ(cairn_textbook_policy_meaning(1000), nullptr);
    cairn_textbook_close(nullptr);
}

}  // namespace
