// cairn::Linear: chunks, checkpoints, buffers, and standard containers on it.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <cairn/linear.hpp>

#include <array>
#include <cstring>
#include <map>
#include <new>
#include <random>
#include <string>
#include <vector>

namespace cairn {
namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

// Upstream that counts, fills what it gives with rubbish, and refuses beyond a limit.
class Upstream : public std::pmr::memory_resource {
public:
    std::size_t out = 0;
    std::size_t calls = 0;
    std::size_t limit = ~std::size_t{0};

private:
    void* do_allocate(std::size_t bytes, std::size_t align) override {
        if (bytes > limit || out > limit - bytes) throw std::bad_alloc();
        ++calls;
        out += bytes;
        return std::memset(std::pmr::new_delete_resource()->allocate(bytes, align), 0xCD, bytes);
    }
    void do_deallocate(void* at, std::size_t bytes, std::size_t align) override {
        out -= bytes;
        std::pmr::new_delete_resource()->deallocate(at, bytes, align);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

TEST(Linear, TakesNothingBeforeTheFirstObject) {
    Upstream upstream;
    Linear memory(&upstream);
    EXPECT_EQ(upstream.calls, 0u);
    memory.reset();
    memory.release();
    EXPECT_EQ(upstream.calls, 0u);
}

TEST(Linear, ObjectsDoNotOverlapAndAreAligned) {
    Upstream upstream;
    {
        Linear memory(1000, &upstream);
        std::mt19937_64 random(3);
        std::vector<std::pair<unsigned char*, std::size_t>> objects;
        for (int i = 0; i < 20'000; ++i) {
            const std::size_t bytes = random() % (i % 500 == 0 ? 100'000 : 300);
            const std::size_t align = std::size_t{1} << random() % (i % 50 == 0 ? 14 : 5);
            auto* at = static_cast<unsigned char*>(memory.allocate(bytes, align));
            ASSERT_EQ(reinterpret_cast<std::uintptr_t>(at) % align, 0u);
            std::memset(at, i & 255, bytes);
            objects.emplace_back(at, bytes);
        }
        for (std::size_t i = 0; i < objects.size(); ++i)
            for (std::size_t k = 0; k < objects[i].second; ++k) ASSERT_EQ(objects[i].first[k], i & 255);
        EXPECT_EQ(memory.held_bytes(), upstream.out);
        EXPECT_LT(upstream.calls, 60u) << "chunks double";
    }
    EXPECT_EQ(upstream.out, 0u);
}

TEST(Linear, ZeroBytesHaveAnAddressOfTheirOwn) {
    Linear memory;
    void* a = memory.allocate(0, 1);
    EXPECT_NE(a, memory.allocate(0, 1));
}

TEST(Linear, ResetKeepsTheLargestChunkForTheNextRound) {
    Upstream upstream;
    Linear memory(4 * kib, &upstream);
    for (int i = 0; i < 1000; ++i) (void)memory.allocate(100);
    memory.reset();
    const std::size_t kept = upstream.out;
    const std::size_t calls = upstream.calls;
    EXPECT_GE(kept, 64 * kib);
    EXPECT_EQ(memory.held_bytes(), kept);
    for (int round = 0; round < 100; ++round) {
        for (int i = 0; i < 500; ++i) (void)memory.allocate(100);
        memory.reset();
    }
    EXPECT_EQ(upstream.calls, calls) << "the rounds fit into the chunk that was kept";
    memory.release();
    EXPECT_EQ(upstream.out, 0u);
    EXPECT_NE(memory.allocate(10), nullptr) << "and it can be used again";
}

TEST(Linear, RollbackAcrossChunksComesBackToTheByte) {
    Upstream upstream;
    Linear memory(1 * kib, &upstream);
    auto* kept = static_cast<char*>(memory.allocate(100));
    std::memset(kept, 9, 100);
    const Linear::Checkpoint then = memory.checkpoint();
    void* first = memory.allocate(64);
    for (int round = 0; round < 50; ++round) {
        for (int i = 0; i < 500; ++i) std::memset(memory.allocate(777), 1, 777);
        memory.rollback(then);
        ASSERT_EQ(memory.allocate(64), first);
    }
    EXPECT_EQ(kept[0] + kept[99], 18);
    const std::size_t calls = upstream.calls;
    for (int round = 0; round < 1000; ++round) {  // to and fro over the edge of a chunk
        (void)memory.allocate(4000);
        memory.rollback(then);
    }
    EXPECT_LE(upstream.calls, calls + 1);
}

TEST(Linear, CheckpointBeforeTheFirstChunkMeansEverything) {
    Linear memory;
    const Linear::Checkpoint empty = memory.checkpoint();
    void* first = memory.allocate(100);
    (void)memory.allocate(10 * mib);
    memory.rollback(empty);
    memory.rollback(empty);
    EXPECT_NE(first, nullptr);
    EXPECT_GE(memory.held_bytes(), 10 * mib) << "the largest chunk is spare";
}

TEST(Linear, BeginsInTheCallersBufferAndReturnsToIt) {
    Upstream upstream;
    alignas(16) std::array<std::byte, 1024> buffer;
    Linear memory(buffer.data(), buffer.size(), &upstream);
    EXPECT_EQ(memory.allocate(1024, 16), buffer.data());
    EXPECT_EQ(upstream.calls, 0u);
    (void)memory.allocate(1);
    EXPECT_EQ(upstream.calls, 1u);
    memory.reset();
    EXPECT_EQ(memory.allocate(1), buffer.data());
    memory.release();
    EXPECT_EQ(upstream.out, 0u);
}

TEST(Linear, WithNullUpstreamTheBufferIsAllThereIs) {
    std::array<std::byte, 256> buffer;
    Linear memory(buffer.data(), buffer.size(), std::pmr::null_memory_resource());
    (void)memory.allocate(200, 1);
    EXPECT_THROW((void)memory.allocate(57, 1), std::bad_alloc);
    EXPECT_NE(memory.allocate(56, 1), nullptr) << "a refusal changes nothing";
}

TEST(Linear, ARefusalIsUpstreamsAndLeavesAllAsItWas) {
    Upstream upstream;
    upstream.limit = 100 * kib;
    Linear memory(&upstream);
    auto* kept = static_cast<char*>(memory.allocate(100));
    std::strcpy(kept, "kept");
    EXPECT_THROW((void)memory.allocate(mib), std::bad_alloc);
    for (const std::size_t absurd : {~std::size_t{0}, ~std::size_t{0} - 40, ~std::size_t{0} / 2})
        EXPECT_THROW((void)memory.allocate(absurd), std::bad_alloc) << absurd;
    EXPECT_THROW((void)memory.allocate(1, std::size_t{1} << 63), std::bad_alloc);
    EXPECT_STREQ(kept, "kept");
    EXPECT_NE(memory.allocate(100), nullptr);
}

TEST(Linear, CarriesStandardContainers) {
    Linear memory;
    for (int round = 0; round < 10; ++round) {
        {
            std::pmr::map<int, std::pmr::string> words(&memory);
            for (int i = 0; i < 2000; ++i)
                words.emplace(i, std::pmr::string(static_cast<std::size_t>(i % 100), 'x'));
            ASSERT_EQ(words.at(1999).get_allocator().resource(), &memory);
            ASSERT_EQ(words.at(77).size(), 77u);
        }
        memory.reset();
    }
    std::pmr::memory_resource& base = memory;
    EXPECT_NE(base.allocate(10, 8), nullptr);
    EXPECT_TRUE(memory == base);
    Linear other;
    EXPECT_FALSE(memory == other);
}

}  // namespace
}  // namespace cairn
