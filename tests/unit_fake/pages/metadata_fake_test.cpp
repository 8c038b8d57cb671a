// Metadata and its pools when the system refuses: nullptr, nothing lost, and all is well once memory is back.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "os/fake.hpp"
#include "pages/metadata.hpp"

namespace cairn::pages {
namespace {

using os::fake::Move;

class MetadataFake : public testing::Test {
protected:
    void SetUp() override { os::fake::reset(); }
};

TEST_F(MetadataFake, TriesLessWhenAChunkIsRefused) {
    os::fake::fail(Move::alloc, 1);
    Metadata metadata;
    EXPECT_NE(metadata.allocate(5000), nullptr);
    EXPECT_EQ(metadata.mapped_bytes(), 8192u);
    EXPECT_EQ(os::mapped_ready(), 8192u);
}

TEST_F(MetadataFake, AnswersNullWhileMemoryIsRefused) {
    os::fake::fail(Move::alloc, 1, os::fake::for_ever);
    Metadata metadata;
    EXPECT_EQ(metadata.allocate(16), nullptr);
    EXPECT_EQ(metadata.allocate(Metadata::direct_bytes), nullptr);
    EXPECT_EQ(metadata.mapped_bytes(), 0u);
    os::fake::fail(Move::alloc, 0, 0);
    EXPECT_NE(metadata.allocate(16), nullptr);
    EXPECT_EQ(metadata.mapped_bytes(), Metadata::chunk_bytes);
}

TEST_F(MetadataFake, KeepsTheOldChunkWhenANewOneIsRefused) {
    Metadata metadata;
    auto* first = static_cast<char*>(metadata.allocate(Metadata::chunk_bytes / 2 / 4));
    for (int i = 0; i < 6; ++i) ASSERT_NE(metadata.allocate(Metadata::chunk_bytes / 8), nullptr);
    os::fake::fail(Move::alloc, 1, os::fake::for_ever);
    EXPECT_EQ(metadata.allocate(60 * 1024), nullptr);
    EXPECT_EQ(static_cast<char*>(metadata.allocate(16)), first + Metadata::chunk_bytes / 8 * 7);
}

TEST_F(MetadataFake, PoolLivesOnRecycledRecordsWhileMemoryIsRefused) {
    Metadata metadata;
    FixedPool pool(FixedPool::block_bytes);
    pool.initialize(metadata);
    void* record = nullptr;
    for (std::size_t i = 0; i < Metadata::chunk_bytes / FixedPool::block_bytes; ++i) {
        record = pool.allocate();
        ASSERT_NE(record, nullptr);
    }
    os::fake::fail(Move::alloc, 1, os::fake::for_ever);
    EXPECT_EQ(pool.allocate(), nullptr);
    EXPECT_EQ(pool.in_use(), 16u);
    pool.free(record);
    EXPECT_EQ(pool.allocate(), record);
    EXPECT_EQ(pool.allocate(), nullptr);
    os::fake::fail(Move::alloc, 0, 0);
    EXPECT_NE(pool.allocate(), nullptr);
}

}  // namespace
}  // namespace cairn::pages
