// Regions and the allocators on them when the OS refuses: nullptr, everything as before, and it may go on
// later.
// SPDX-License-Identifier: MIT
#include "textbook/region.hpp"

#include <gtest/gtest.h>

#include "os/fake.hpp"
#include "textbook/bump.hpp"
#include "textbook/free_list.hpp"

namespace cairn::textbook {
namespace {

using os::fake::Move;
using os::fake::State;

constexpr std::size_t mib = 1024 * 1024;

class RegionTest : public testing::Test {
protected:
    RegionTest() { os::fake::reset(); }
};

TEST_F(RegionTest, ReservesAtOnceAndTakesMemoryAsItIsReached) {
    Region region;
    ASSERT_TRUE(region.open(64 * mib));
    EXPECT_EQ(os::fake::bytes_in(State::reserved), 64 * mib);
    EXPECT_EQ(os::fake::bytes_in(State::ready), 0u);
    ASSERT_TRUE(region.reach(region.base() + 1));
    EXPECT_EQ(os::fake::bytes_in(State::ready), Region::smallest_chunk_bytes);
    ASSERT_TRUE(region.reach(region.base() + 40 * mib));
    EXPECT_EQ(os::fake::bytes_in(State::ready), 40 * mib);
    ASSERT_TRUE(region.reach(region.base() + 40 * mib + 1));
    EXPECT_EQ(os::fake::bytes_in(State::ready), 45 * mib) << "an eighth of what it is";
    ASSERT_TRUE(region.reach(region.limit()));
    EXPECT_FALSE(region.reach(region.limit() + 1));
}

TEST_F(RegionTest, CloseGivesAllBack) {
    Region region;
    ASSERT_TRUE(region.open(mib));
    ASSERT_TRUE(region.reach(region.base() + 100'000));
    region.close();
    EXPECT_EQ(os::fake::bytes_in(State::ready) + os::fake::bytes_in(State::reserved), 0u);
    EXPECT_EQ(os::mapped_ready(), 0u);
    region.close();
}

TEST_F(RegionTest, RefusedAddressesLeaveItEmpty) {
    os::fake::fail(Move::reserve, 1);
    Region region;
    EXPECT_FALSE(region.open(mib));
    EXPECT_FALSE(region.reach(1));
    EXPECT_FALSE(region.open(~std::size_t{0}));
    EXPECT_FALSE(region.open(0));
}

TEST_F(RegionTest, AGenerousGrowthThatIsRefusedBecomesAModestOne) {
    Region region;
    ASSERT_TRUE(region.open(mib));
    os::fake::fail(Move::map, 1);
    ASSERT_TRUE(region.reach(region.base() + 1));
    EXPECT_EQ(os::fake::bytes_in(State::ready), os::page_bytes());
}

template <class Heap>
void expect_to_survive_refusal() {
    Region region;
    ASSERT_TRUE(region.open(4 * mib));
    Heap heap(region);
    void* kept = heap.allocate(1000);
    ASSERT_NE(kept, nullptr);
    os::fake::fail(Move::map, 1, os::fake::for_ever);
    EXPECT_EQ(heap.allocate(mib), nullptr);
    EXPECT_EQ(heap.statistics().failures, 1u);
    EXPECT_FALSE(heap.check());
    EXPECT_NE(heap.allocate(1000), nullptr) << "what is ready is still there";
    os::fake::fail(Move::map, os::fake::for_ever);
    EXPECT_NE(heap.allocate(mib), nullptr) << "and it goes on when the OS gives again";
    EXPECT_FALSE(heap.check());
}

TEST_F(RegionTest, BumpSurvivesARefusal) {
    expect_to_survive_refusal<Bump>();
}
TEST_F(RegionTest, FirstFitSurvivesARefusal) {
    expect_to_survive_refusal<FreeList<FirstFit>>();
}
TEST_F(RegionTest, SegregatedSurvivesARefusal) {
    expect_to_survive_refusal<FreeList<Segregated>>();
}

TEST_F(RegionTest, AHeapThatNeverGotMemoryCanBeAskedAnything) {
    Region region;
    ASSERT_TRUE(region.open(mib));
    os::fake::fail(Move::map, 1, os::fake::for_ever);
    FreeList<BestFit> heap(region);
    EXPECT_EQ(heap.allocate(1), nullptr);
    EXPECT_FALSE(heap.check());
    EXPECT_EQ(heap.statistics().extent_bytes, 0u);
    unsigned blocks = 0;
    heap.for_each_block([&](void*, std::size_t, bool) { ++blocks; });
    EXPECT_EQ(blocks, 0u);
}

}  // namespace
}  // namespace cairn::textbook
