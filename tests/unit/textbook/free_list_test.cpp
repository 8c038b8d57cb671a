// The free-list allocator: which block each policy takes, splitting, merging, and what check() finds.
// SPDX-License-Identifier: MIT
#include "textbook/free_list.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace cairn::textbook {
namespace {

constexpr std::size_t mib = 1024 * 1024;

// A request whose block is exactly `block_bytes`.
constexpr std::size_t filling(std::size_t block_bytes) {
    return block_bytes - Block::tag_bytes;
}

struct OpenRegion : Region {
    OpenRegion() { EXPECT_TRUE(open(64 * mib)); }
};

template <class Policy>
struct Heap {
    ~Heap() { EXPECT_EQ(list.check().what, nullptr); }

    void* take(std::size_t block_bytes) { return list.allocate(filling(block_bytes)); }

    // Free blocks of these sizes, each behind a block in use, freed in this order.
    std::vector<void*> holes(const std::vector<std::size_t>& sizes) {
        std::vector<void*> made;
        for (const std::size_t bytes : sizes) {
            made.push_back(take(bytes));
            (void)take(32);
        }
        for (void* object : made) list.free(object);
        return made;
    }

    OpenRegion region;
    FreeList<Policy> list{region};
};

template <class Policy>
class FreeListTest : public testing::Test {
protected:
    Heap<Policy> heap_;
};
using Policies = testing::Types<FirstFit, NextFit, BestFit, BestFitTree, Segregated>;
TYPED_TEST_SUITE(FreeListTest, Policies);

TYPED_TEST(FreeListTest, BlocksLieSideBySide) {
    auto& heap = this->heap_;
    auto* a = static_cast<char*>(heap.take(48));
    EXPECT_EQ(heap.take(32), a + 48);
    EXPECT_EQ(heap.list.allocate(0), a + 80) << "zero bytes get a block";
    EXPECT_EQ(heap.list.allocate(25), a + 112) << "the smallest block holds 24 bytes";
    EXPECT_EQ(heap.list.allocate(1), a + 160);
    EXPECT_EQ(heap.list.usable_bytes(a), 40u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a) % default_align, 0u);
}

TYPED_TEST(FreeListTest, AnExactFitIsTaken) {  // >=, not >
    auto& heap = this->heap_;
    const auto holes = heap.holes({160});
    EXPECT_EQ(heap.take(160), holes[0]);
    EXPECT_EQ(heap.list.last_operation().splits, 0u);
    EXPECT_EQ(heap.list.statistics().growths, 2u);
}

TYPED_TEST(FreeListTest, WhatIsTooLargeIsSplitAndTheRestIsUsed) {
    auto& heap = this->heap_;
    auto* hole = static_cast<char*>(heap.holes({160})[0]);
    EXPECT_EQ(heap.take(64), hole);
    EXPECT_EQ(heap.list.last_operation().splits, 1u);
    EXPECT_EQ(heap.take(96), hole + 64);
    EXPECT_EQ(heap.list.last_operation().splits, 0u);
}

TYPED_TEST(FreeListTest, WhatCannotBeABlockIsNotSplitOff) {
    auto& heap = this->heap_;
    void* hole = heap.holes({160})[0];
    EXPECT_EQ(heap.take(144), hole);
    EXPECT_EQ(heap.list.last_operation().splits, 0u);
    EXPECT_EQ(heap.list.usable_bytes(hole), filling(160));
}

TYPED_TEST(FreeListTest, FreedNeighboursBecomeOne) {
    const struct {
        const char* name;
        int order[3];
    } cases[] = {{"upwards", {0, 1, 2}}, {"downwards", {2, 1, 0}}, {"the middle last", {0, 2, 1}}};
    for (const auto& c : cases) {
        SCOPED_TRACE(c.name);
        Heap<TypeParam> heap;
        void* blocks[] = {heap.take(64), heap.take(64), heap.take(64)};
        (void)heap.take(32);
        for (const int i : c.order) heap.list.free(blocks[i]);
        EXPECT_EQ(heap.list.statistics().merges, 2u);
        EXPECT_EQ(heap.take(192), blocks[0]) << "all three are one block";
    }
}

TYPED_TEST(FreeListTest, TheLastFreeBlockGrowsInsteadOfBeingSkipped) {
    auto& heap = this->heap_;
    (void)heap.take(32);
    void* last = heap.take(64);
    heap.list.free(last);
    EXPECT_EQ(heap.take(4096), last);
    EXPECT_EQ(heap.list.last_operation().merges, 1u);
    EXPECT_EQ(heap.list.statistics().extent_bytes, 8u + 32 + 4096);
}

TYPED_TEST(FreeListTest, AlignedObjectsLeaveBlocksAround) {
    auto& heap = this->heap_;
    std::vector<void*> objects;
    for (std::size_t align = 16; align <= 4 * mib; align *= 2) {
        for (const std::size_t bytes : {std::size_t{1}, std::size_t{100}, std::size_t{5000}}) {
            void* object = heap.list.allocate(bytes, align);
            ASSERT_NE(object, nullptr);
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(object) % align, 0u) << bytes << " " << align;
            std::memset(object, 0xAB, bytes);
            objects.push_back(object);
            ASSERT_EQ(heap.list.check().what, nullptr) << bytes << " " << align;
        }
    }
    for (void* object : objects) heap.list.free(object);
    unsigned blocks = 0;
    heap.list.for_each_block([&](void*, std::size_t, bool) { ++blocks; });
    EXPECT_EQ(blocks, 1u) << "all merged";
}

TYPED_TEST(FreeListTest, ResizeShrinksAndGrowsInPlace) {
    auto& heap = this->heap_;
    void* a = heap.take(256);
    void* b = heap.take(256);
    void* c = heap.take(64);
    EXPECT_FALSE(heap.list.resize(a, filling(272))) << "b is in the way";
    heap.list.free(b);
    EXPECT_TRUE(heap.list.resize(a, filling(384)));
    EXPECT_EQ(heap.list.usable_bytes(a), filling(384)) << "the rest of b is free again";
    EXPECT_EQ(heap.list.last_operation().merges, 1u);
    EXPECT_EQ(heap.list.last_operation().splits, 1u);
    EXPECT_FALSE(heap.list.resize(a, filling(528)));
    EXPECT_EQ(heap.list.usable_bytes(a), filling(384)) << "as it was";
    EXPECT_TRUE(heap.list.resize(a, filling(512)));
    EXPECT_TRUE(heap.list.resize(a, 1));
    EXPECT_EQ(heap.list.usable_bytes(a), filling(32));
    EXPECT_TRUE(heap.list.resize(c, 10'000)) << "the last block grows over the frontier";
    EXPECT_GE(heap.list.usable_bytes(c), 10'000u);
    EXPECT_FALSE(heap.list.resize(c, 65 * mib));
    EXPECT_FALSE(heap.list.resize(c, ~std::size_t{0}));
    EXPECT_EQ(heap.list.check().what, nullptr);
}

TYPED_TEST(FreeListTest, OutOfItsRegionIsAnAnswer) {
    alignas(16) static unsigned char memory[4096];
    Region region(memory, sizeof memory);
    FreeList<TypeParam> list(region);
    EXPECT_EQ(list.allocate(4096), nullptr);
    EXPECT_EQ(list.allocate(filling(4096 - 16) + 1), nullptr);
    void* all = list.allocate(filling(4096 - 16));
    EXPECT_NE(all, nullptr) << "to the last byte";
    EXPECT_EQ(list.allocate(0), nullptr);
    EXPECT_EQ(list.allocate(~std::size_t{0}), nullptr);
    EXPECT_EQ(list.allocate(1, std::size_t{1} << 63), nullptr);
    EXPECT_EQ(list.check().what, nullptr);
    list.free(all);
    EXPECT_EQ(list.allocate(filling(4096 - 16)), all);
    EXPECT_EQ(list.statistics().failures, 5u);
    EXPECT_EQ(list.check().what, nullptr);
}

TYPED_TEST(FreeListTest, CheckFindsWhatAnOverrunBroke) {
    auto& heap = this->heap_;
    auto* a = static_cast<char*>(heap.take(64));
    auto* b = static_cast<char*>(heap.take(64));
    (void)heap.take(64);
    heap.list.free(b);
    const struct {
        const char* name;
        char* where;
        std::uint64_t value;
        const char* found;
    } cases[] = {
        {"a size of nothing", a + 56, 3, "impossible size"},
        {"a size beyond the heap", a + 56, 1 << 20 | 2, "impossible size"},
        {"a size that is no multiple of 16", a + 56, 72 | 3, "impossible size"},
        {"in use though it was freed", a + 56, 64 | 3, "wrong about the block before"},
        {"the size at its end", b + 48, 48, "sizes at both ends"},
        {"free, and so is the next", a - 8, 64 | 2, "wrong about the block before"},
    };
    for (const auto& c : cases) {
        SCOPED_TRACE(c.name);
        std::uint64_t kept = 0;
        std::memcpy(&kept, c.where, 8);
        std::memcpy(c.where, &c.value, 8);
        const Fault fault = heap.list.check();
        std::memcpy(c.where, &kept, 8);
        ASSERT_NE(fault.what, nullptr);
        EXPECT_NE(std::strstr(fault.what, c.found), nullptr) << fault.what;
        EXPECT_EQ(heap.list.check().what, nullptr);
    }
}

TYPED_TEST(FreeListTest, FreeOfWhatIsNoBlockEndsTheProgram) {
    auto& heap = this->heap_;
    auto* a = static_cast<char*>(heap.take(64));
    (void)heap.take(64);
    EXPECT_DEATH(heap.list.free(a + 16), "no block in use at 0x");
    EXPECT_DEATH(heap.list.free(&heap), "no block in use at 0x");
    heap.list.free(a);
    EXPECT_DEATH(heap.list.free(a), "no block in use at 0x");
    heap.list.free(nullptr);
}

// ---- what sets the policies apart

TEST(FirstFit, TakesTheFirstThatIsLargeEnough) {
    Heap<FirstFit> heap;
    const auto holes = heap.holes({512, 256, 128, 64});  // the list: 64, 128, 256, 512
    EXPECT_EQ(heap.take(96), holes[2]);
    EXPECT_EQ(heap.list.last_operation().visited, 2u);
    EXPECT_EQ(heap.take(32), holes[3]);
    EXPECT_EQ(heap.list.last_operation().visited, 1u);
    EXPECT_EQ(heap.take(300), holes[0]);
}

TEST(FirstFit, TheRestOfASplitBlockKeepsItsPlace) {
    Heap<FirstFit> heap;
    const auto holes = heap.holes({512, 256, 64});  // the list: 64, 256, 512
    EXPECT_EQ(heap.take(128), holes[1]);
    EXPECT_EQ(heap.take(96), static_cast<char*>(holes[1]) + 128) << "before the 512";
}

TEST(NextFit, ResumesWhereTheLastSearchEnded) {
    Heap<NextFit> heap;
    const auto holes = heap.holes({128, 128, 128, 64});  // the list: 64, 128c, 128b, 128a
    EXPECT_EQ(heap.take(128), holes[2]);
    EXPECT_EQ(heap.list.last_operation().visited, 2u);
    EXPECT_EQ(heap.take(128), holes[1]) << "it does not start at the head again";
    EXPECT_EQ(heap.list.last_operation().visited, 1u);
    EXPECT_EQ(heap.take(64), holes[0]);
    EXPECT_EQ(heap.take(64), static_cast<char*>(holes[0]) + 64) << "it stays in the rest of a split block";
    EXPECT_EQ(heap.take(64), holes[3]) << "and goes round";
}

TEST(NextFit, LooksAtEachBlockOnceBeforeItGrows) {
    Heap<NextFit> heap;
    (void)heap.holes({128, 128, 128, 64, 64});
    (void)heap.take(64);
    const auto before = heap.list.statistics().growths;
    (void)heap.take(1024);
    EXPECT_EQ(heap.list.last_operation().visited, 4u);
    EXPECT_EQ(heap.list.statistics().growths, before + 1);
}

TEST(BestFit, TakesTheSmallestThatIsLargeEnough) {
    Heap<BestFit> heap;
    const auto holes = heap.holes({96, 112, 512, 256});
    EXPECT_EQ(heap.take(80), holes[0]);
    EXPECT_EQ(heap.list.last_operation().visited, 4u) << "the whole list";
    EXPECT_EQ(heap.take(112), holes[1]) << "an exact fit ends the search";
    EXPECT_EQ(heap.list.last_operation().visited, 3u);
}

TEST(BestFit, OfEqualsTheFirstMet) {
    Heap<BestFit> heap;
    const auto holes = heap.holes({96, 96, 512});
    EXPECT_EQ(heap.take(80), holes[1]) << "the latest freed";
}

TEST(BestFitTree, OfEqualsTheLowest) {
    Heap<BestFitTree> heap;
    const auto holes = heap.holes({96, 96, 512});
    EXPECT_EQ(heap.take(80), holes[0]);
    EXPECT_EQ(heap.take(80), holes[1]);
}

TEST(BestFitTree, SearchesALogarithmOfTheBlocks) {
    Heap<BestFitTree> tree;
    Heap<BestFit> list;
    std::vector<std::size_t> sizes;
    for (std::size_t i = 0; i < 4000; ++i) sizes.push_back(64 + 16 * (i * 1237 % 4000));
    (void)tree.holes(sizes);
    (void)list.holes(sizes);
    const auto tree_before = tree.list.statistics().visited;
    const auto list_before = list.list.statistics().visited;
    for (std::size_t i = 0; i < 500; ++i) {
        const std::size_t bytes = 64 + 112 * i;
        (void)tree.take(bytes);
        (void)list.take(bytes);
    }
    EXPECT_LT((tree.list.statistics().visited - tree_before) / 500, 90u);
    EXPECT_GT((list.list.statistics().visited - list_before) / 500, 1000u);
}

TEST(Segregated, LooksAtOneBlockWhateverIsFree) {
    Heap<Segregated> heap;
    std::vector<std::size_t> sizes;
    for (std::size_t i = 0; i < 4000; ++i) sizes.push_back(64 + 16 * (i % 60));
    const auto holes = heap.holes(sizes);
    EXPECT_EQ(heap.take(64), holes[3960]) << "the latest freed of this size";
    EXPECT_EQ(heap.list.last_operation().visited, 1u);
    EXPECT_NE(heap.take(1500), nullptr);
    EXPECT_EQ(heap.list.last_operation().visited, 0u) << "no bin has any";
}

TEST(Segregated, InABinOfManySizesTheFirstThatFits) {
    Heap<Segregated> heap;
    const auto holes = heap.holes({1152, 1264, 1168});  // one bin: 1152 to 1279
    EXPECT_EQ(heap.take(1200), holes[1]);
    EXPECT_EQ(heap.list.last_operation().visited, 2u);
    EXPECT_EQ(heap.take(1056), holes[2]) << "no block in its bin, the next bin has two";
}

TEST(Segregated, EverySizeHasABinAndBinsRise) {
    unsigned last = 0;
    for (std::size_t bytes = 32; bytes < 64 * mib; bytes += bytes < 8192 ? 16 : bytes / 512 * 16) {
        const unsigned bin = Segregated::bin_of(bytes);
        ASSERT_GE(bin, last) << bytes;
        ASSERT_LE(bin, last + 30) << bytes;
        last = bin;
    }
    EXPECT_LT(Segregated::bin_of(std::size_t{1} << 47), Segregated::bin_count);
}

}  // namespace
}  // namespace cairn::textbook
