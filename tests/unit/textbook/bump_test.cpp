// The bump pointer: alignment, growth by chunks, checkpoints, and the end of its region.
// SPDX-License-Identifier: MIT
#include "textbook/bump.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

namespace cairn::textbook {
namespace {

constexpr std::size_t mib = 1024 * 1024;

std::uintptr_t at(const void* address) {
    return reinterpret_cast<std::uintptr_t>(address);
}

TEST(Bump, ObjectsFollowEachOther) {
    Region region;
    ASSERT_TRUE(region.open(mib));
    Bump bump(region);
    const std::uintptr_t first = at(bump.allocate(24, 8));
    EXPECT_EQ(first, region.base());
    EXPECT_EQ(at(bump.allocate(1, 1)), first + 24);
    EXPECT_EQ(at(bump.allocate(1, 1)), first + 25);
    EXPECT_EQ(at(bump.allocate(8, 8)), first + 32);
    EXPECT_EQ(at(bump.allocate(16)), first + 48) << "16 is the default alignment";
    EXPECT_EQ(bump.statistics().allocations, 5u);
    EXPECT_EQ(bump.statistics().used_bytes, 64u);
    EXPECT_FALSE(bump.check());
}

TEST(Bump, AlignsToWhatIsAsked) {
    Region region;
    ASSERT_TRUE(region.open(64 * mib));
    Bump bump(region);
    for (std::size_t align = 1; align <= 4 * mib; align *= 2) {
        const std::uintptr_t object = at(bump.allocate(3, align));
        ASSERT_NE(object, 0u) << align;
        EXPECT_EQ(object % align, 0u) << align;
    }
}

TEST(Bump, ZeroBytesHaveAnAddressOfTheirOwn) {
    Region region;
    ASSERT_TRUE(region.open(mib));
    Bump bump(region);
    void* a = bump.allocate(0, 1);
    void* b = bump.allocate(0, 1);
    EXPECT_NE(a, nullptr);
    EXPECT_NE(a, b);
}

TEST(Bump, MemoryIsThereAndKeepsWhatIsWritten) {
    Region region;
    ASSERT_TRUE(region.open(256 * mib));
    Bump bump(region);
    std::mt19937_64 random(1);
    std::vector<std::pair<unsigned char*, std::size_t>> objects;
    for (int i = 0; i < 20'000; ++i) {
        const std::size_t bytes = i % 1000 == 0 ? mib : random() % 4000;
        auto* object = static_cast<unsigned char*>(bump.allocate(bytes));
        ASSERT_NE(object, nullptr);
        std::memset(object, i & 255, bytes);
        objects.emplace_back(object, bytes);
    }
    for (std::size_t i = 0; i < objects.size(); ++i) {
        const auto [object, bytes] = objects[i];
        if (bytes > 0) ASSERT_TRUE(object[0] == (i & 255) && object[bytes - 1] == (i & 255)) << i;
    }
    EXPECT_LT(bump.statistics().growths, 100u) << "chunks grow with the region";
    EXPECT_FALSE(bump.check());
}

TEST(Bump, RollbackGivesBackWhatCameLater) {
    Region region;
    ASSERT_TRUE(region.open(16 * mib));
    Bump bump(region);
    auto* kept = static_cast<char*>(bump.allocate(100));
    std::memset(kept, 7, 100);
    const Bump::Checkpoint outer = bump.checkpoint();
    void* first = bump.allocate(5 * mib);
    const Bump::Checkpoint inner = bump.checkpoint();
    void* second = bump.allocate(5 * mib);
    bump.rollback(inner);
    EXPECT_EQ(bump.allocate(5 * mib), second);
    bump.rollback(outer);
    EXPECT_EQ(bump.allocate(5 * mib), first);
    bump.rollback(outer);
    EXPECT_EQ(bump.statistics().used_bytes, 100u);
    EXPECT_GE(bump.statistics().extent_bytes, 10 * mib) << "the extent is the most it ever was";
    EXPECT_EQ(kept[0] + kept[99], 14);
    EXPECT_FALSE(bump.check());
}

TEST(BumpDeathTest, RollbackForwardEndsTheProgram) {
    Region region;
    ASSERT_TRUE(region.open(mib));
    Bump bump(region);
    (void)bump.allocate(100);
    const Bump::Checkpoint later = bump.checkpoint();
    bump.reset();
    EXPECT_DEATH(bump.rollback(later), "then.next <= next_");
}

TEST(Bump, ResetStartsAgainWithOrWithoutItsMemory) {
    Region region;
    ASSERT_TRUE(region.open(64 * mib));
    Bump bump(region);
    auto* first = static_cast<unsigned char*>(bump.allocate(32 * mib));
    std::memset(first, 1, 32 * mib);
    bump.reset();
    EXPECT_EQ(bump.allocate(10), first);
    EXPECT_GE(region.ready_end() - region.base(), 32 * mib) << "kept";
    bump.reset(Bump::Memory::give_back);
    EXPECT_EQ(region.ready_end(), region.base()) << "given back";
    auto* again = static_cast<unsigned char*>(bump.allocate(32 * mib));
    ASSERT_EQ(again, first);
    EXPECT_EQ(again[16 * mib], 0) << "fresh memory";
}

TEST(Bump, OutOfItsRegionIsAnAnswer) {
    alignas(16) static unsigned char memory[1024];
    Region region(memory, sizeof memory);
    Bump bump(region);
    EXPECT_EQ(bump.allocate(1025), nullptr);
    EXPECT_NE(bump.allocate(1000, 8), nullptr);
    EXPECT_EQ(bump.allocate(25, 8), nullptr);
    EXPECT_NE(bump.allocate(24, 8), nullptr) << "to the last byte";
    EXPECT_EQ(bump.allocate(1, 1), nullptr);
    for (const std::size_t absurd : {~std::size_t{0}, ~std::size_t{0} - 15, std::size_t{1} << 63})
        EXPECT_EQ(bump.allocate(absurd), nullptr);
    EXPECT_EQ(bump.allocate(1, std::size_t{1} << 63), nullptr);
    EXPECT_EQ(bump.statistics().failures, 7u);
    EXPECT_EQ(bump.statistics().used_bytes, 1024u);
    EXPECT_FALSE(bump.check());
}

TEST(Bump, FreeOnlyCounts) {
    Region region;
    ASSERT_TRUE(region.open(mib));
    Bump bump(region);
    void* a = bump.allocate(16);
    bump.free(a);
    bump.free(nullptr);
    EXPECT_GT(at(bump.allocate(16)), at(a));
    EXPECT_EQ(bump.statistics().frees, 1u);
    EXPECT_FALSE(bump.resize(a, 8));
}

}  // namespace
}  // namespace cairn::textbook
