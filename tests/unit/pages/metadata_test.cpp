// Metadata and its pools on the real system: zeroed, aligned, never moved; recycled last in, first out.
// SPDX-License-Identifier: MIT
#include "pages/metadata.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "base/bits.hpp"

namespace cairn::pages {
namespace {

bool is_zero(const void* start, std::size_t bytes) {
    const auto* first = static_cast<const unsigned char*>(start);
    return std::all_of(first, first + bytes, [](unsigned char byte) { return byte == 0; });
}

TEST(Metadata, GivesZeroedMemoryInOrderFromOneChunk) {
    Metadata metadata;
    EXPECT_EQ(metadata.mapped_bytes(), 0u);
    auto* first = static_cast<char*>(metadata.allocate(100));
    auto* second = static_cast<char*>(metadata.allocate(8));
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(second, first + 104);
    EXPECT_TRUE(is_zero(first, 112));
    EXPECT_EQ(metadata.mapped_bytes(), Metadata::chunk_bytes);
}

TEST(Metadata, AlignsAsAsked) {
    Metadata metadata;
    for (std::size_t alignment = 1; alignment <= os::page_bytes(); alignment *= 2) {
        void* got = metadata.allocate(1, alignment);
        ASSERT_NE(got, nullptr);
        EXPECT_TRUE(base::is_aligned(reinterpret_cast<std::uintptr_t>(got), alignment)) << alignment;
    }
}

TEST(Metadata, TakesLargePiecesStraightFromTheSystem) {
    Metadata metadata;
    auto* small = static_cast<char*>(metadata.allocate(16));
    auto* large = static_cast<char*>(metadata.allocate(Metadata::direct_bytes + 1));
    auto* next = static_cast<char*>(metadata.allocate(16));
    EXPECT_TRUE(is_zero(large, Metadata::direct_bytes + 1));
    EXPECT_EQ(next, small + 16);
    EXPECT_EQ(metadata.mapped_bytes(),
              Metadata::chunk_bytes + base::align_up(Metadata::direct_bytes + 1, os::page_bytes()));
}

TEST(Metadata, StartsAnotherChunkWhenOneIsFull) {
    Metadata metadata;
    std::set<char*> seen;
    for (int i = 0; i < 100; ++i) {
        auto* got = static_cast<char*>(metadata.allocate(16 * 1024));
        ASSERT_NE(got, nullptr);
        EXPECT_TRUE(is_zero(got, 16 * 1024));
        std::memset(got, 0xff, 16 * 1024);
        EXPECT_TRUE(seen.insert(got).second);
    }
    EXPECT_EQ(metadata.mapped_bytes(), 7 * Metadata::chunk_bytes);
}

TEST(Metadata, RefusesAbsurdSizes) {
    Metadata metadata;
    EXPECT_EQ(metadata.allocate(SIZE_MAX), nullptr);
    EXPECT_EQ(metadata.allocate(SIZE_MAX - 4096), nullptr);
    EXPECT_EQ(metadata.allocate(SIZE_MAX / 2), nullptr);
    EXPECT_EQ(metadata.mapped_bytes(), 0u);
}

TEST(FixedPool, RecyclesLastInFirstOutAndKeepsAllButTheFirstWord) {
    Metadata metadata;
    FixedPool pool(40);
    pool.initialize(metadata);
    auto* a = static_cast<std::uint64_t*>(pool.allocate());
    auto* b = static_cast<std::uint64_t*>(pool.allocate());
    EXPECT_TRUE(is_zero(a, 40));
    EXPECT_EQ(b, a + 5);
    for (int i = 0; i < 5; ++i) a[i] = b[i] = 7;
    EXPECT_EQ(pool.in_use(), 2u);
    pool.free(a);
    pool.free(b);
    EXPECT_EQ(pool.in_use(), 0u);
    EXPECT_EQ(pool.allocate(), b);
    EXPECT_EQ(pool.allocate(), a);
    for (int i = 1; i < 5; ++i) EXPECT_EQ(a[i], 7u);
}

TEST(FixedPool, RoundsRecordsToTheirAlignmentAndRoomForALink) {
    EXPECT_EQ(FixedPool(1).record_bytes(), 8u);
    EXPECT_EQ(FixedPool(9).record_bytes(), 16u);
    EXPECT_EQ(FixedPool(65, 64).record_bytes(), 128u);
    Metadata metadata;
    FixedPool pool(65, 64);
    pool.initialize(metadata);
    for (int i = 0; i < 300; ++i)
        EXPECT_TRUE(base::is_aligned(reinterpret_cast<std::uintptr_t>(pool.allocate()), 64));
}

TEST(FixedPool, TakesBlocksOfWholeRecords) {
    Metadata metadata;
    FixedPool pool(5000);
    pool.initialize(metadata);
    std::set<void*> seen;
    for (int i = 0; i < 60; ++i) {
        void* got = pool.allocate();
        std::memset(got, 0xff, 5000);
        EXPECT_TRUE(seen.insert(got).second);
    }
    EXPECT_EQ(pool.in_use(), 60u);
    EXPECT_EQ(metadata.mapped_bytes(), 2 * Metadata::chunk_bytes);  // 17 blocks of 15,000 bytes in each
}

TEST(FixedPool, ServesThreadsAtOnce) {
    Metadata metadata;
    struct Record {
        std::uint64_t link;
        std::uint64_t owner;
    };
    TypedPool<Record> pool;
    pool.initialize(metadata);
    std::vector<std::thread> threads;
    for (std::uint64_t id = 1; id <= 4; ++id) {
        threads.emplace_back([&pool, id] {
            for (int round = 0; round < 2000; ++round) {
                Record* held[8];
                for (Record*& record : held) {
                    record = pool.allocate();
                    record->owner = id;
                }
                for (Record* record : held) {
                    ASSERT_EQ(record->owner, id);
                    pool.free(record);
                }
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(pool.in_use(), 0u);
}

}  // namespace
}  // namespace cairn::pages
