// Old marks: the window, and what is lost when it moves.
// SPDX-License-Identifier: MIT
#include "pages/old_marks.hpp"

#include <gtest/gtest.h>

namespace cairn::pages {
namespace {

constexpr std::uintptr_t mib = std::uintptr_t{1} << 20;
constexpr std::uintptr_t low = std::uintptr_t{0xc0} << 32;

TEST(OldMarks, AWordForEachKiBOfTheWindow) {
    OldMarks old;
    EXPECT_EQ(old.word(low), nullptr);
    ASSERT_TRUE(old.cover({low, 64 * mib}));
    ASSERT_NE(old.word(low), nullptr);
    EXPECT_EQ(old.word(low), old.word(low + 1023));
    EXPECT_EQ(old.word(low) + 1, old.word(low + 1024));
    EXPECT_EQ(*old.word(low + 64 * mib - 1), 0u);
    EXPECT_EQ(old.word(low - 1), nullptr);
    EXPECT_EQ(old.word(low + (std::uintptr_t{1} << 40)), nullptr);
}

TEST(OldMarks, KeepsItsNotesWhileTheHeapGrowsIntoTheWindow) {
    OldMarks old;
    ASSERT_TRUE(old.cover({low, 64 * mib}));
    *old.word(low + 5 * mib) = 77;
    old.set_noted(true);
    ASSERT_TRUE(old.cover({low, 256 * mib}));
    EXPECT_TRUE(old.was_noted());
    EXPECT_EQ(*old.word(low + 5 * mib), 77u);
    // Beyond it all is new.
    ASSERT_TRUE(old.cover({low - 64 * mib, 1024 * mib}));
    EXPECT_FALSE(old.was_noted());
    EXPECT_EQ(*old.word(low + 5 * mib), 0u);
    ASSERT_NE(old.word(low + 900 * mib), nullptr);
}

TEST(OldMarks, LeavesHeapsAloneThatAreTooWide) {
    OldMarks old;
    EXPECT_FALSE(old.cover({low, std::uintptr_t{1} << 45}));
    EXPECT_EQ(old.word(low), nullptr);
    EXPECT_FALSE(old.was_noted());
}

}  // namespace
}  // namespace cairn::pages
