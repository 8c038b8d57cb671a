// Span set: one thread through blocks, spines and resets; many threads in a hurry. Every interleaving:
// tests/litmus.
// SPDX-License-Identifier: MIT
#include "heap/span_set.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "heap/span.hpp"

namespace cairn::heap {
namespace {

struct SmallAtomics : SpanSetAtomics {
    static constexpr std::uint32_t block_entries = 4;
    static constexpr std::uint32_t first_spine_capacity = 1;
};

Span* span_number(std::uintptr_t n) {
    return reinterpret_cast<Span*>(n + 1);
}
std::uintptr_t number_of(Span* span) {
    return reinterpret_cast<std::uintptr_t>(span) - 1;
}

template <class Atomics>
class SpanSetOf : public testing::Test {
protected:
    void SetUp() override { pool.initialize(memory); }

    static inline pages::Metadata memory;
    BasicSpanBlockPool<Atomics> pool;
    BasicSpanSet<Atomics> set;
};
using Kinds = testing::Types<SmallAtomics, SpanSetAtomics>;
TYPED_TEST_SUITE(SpanSetOf, Kinds);

TYPED_TEST(SpanSetOf, EmptyGivesNothing) {
    EXPECT_EQ(this->set.pop(this->pool), nullptr);
    EXPECT_EQ(this->set.count(), 0u);
    this->set.verify();
    this->set.reset(this->pool);
}

TYPED_TEST(SpanSetOf, GivesBackWhatWasPushed) {
    for (const std::uintptr_t count : {1, 3, 4, 5, 511, 512, 513, 5000}) {
        for (std::uintptr_t i = 0; i < count; ++i) ASSERT_TRUE(this->set.push(span_number(i), this->pool));
        EXPECT_EQ(this->set.count(), count);
        this->set.verify();
        std::set<std::uintptr_t> popped;
        while (Span* span = this->set.pop(this->pool)) EXPECT_TRUE(popped.insert(number_of(span)).second);
        EXPECT_EQ(popped.size(), count);
        this->set.verify();
        this->set.reset(this->pool);
        this->set.verify();
    }
}

TYPED_TEST(SpanSetOf, RecyclesBlocksInsteadOfTakingMemory) {
    for (int i = 0; i < 100'000; ++i) {
        ASSERT_TRUE(this->set.push(span_number(1), this->pool));
        ASSERT_TRUE(this->set.push(span_number(2), this->pool));
        ASSERT_NE(this->set.pop(this->pool), nullptr);
        ASSERT_NE(this->set.pop(this->pool), nullptr);
        if (i % 1000 == 999) this->set.reset(this->pool);
    }
    // One block in use, one being filled; each thousand rounds began with an empty pool but for those.
    EXPECT_NE(this->pool.allocate(), nullptr);
    EXPECT_LT(this->memory.mapped_bytes(), 8u << 20);
}

TYPED_TEST(SpanSetOf, ThreadsLoseNothing) {
    constexpr unsigned threads = 4;
    constexpr std::uintptr_t each = base::sanitized_build ? 4000 : 40'000;
    std::vector<std::vector<std::uintptr_t>> popped(threads);
    std::vector<std::thread> running;
    for (unsigned t = 0; t < threads; ++t) {
        running.emplace_back([&, t] {
            for (std::uintptr_t i = 0; i < each; ++i) {
                ASSERT_TRUE(this->set.push(span_number(t * each + i), this->pool));
                if (i % 3 == 0) continue;  // so that the set grows
                if (Span* span = this->set.pop(this->pool)) popped[t].push_back(number_of(span));
            }
        });
    }
    for (std::thread& thread : running) thread.join();
    this->set.verify();
    std::vector<std::uintptr_t> all;
    while (Span* span = this->set.pop(this->pool)) all.push_back(number_of(span));
    for (const auto& part : popped) all.insert(all.end(), part.begin(), part.end());
    std::sort(all.begin(), all.end());
    ASSERT_EQ(all.size(), threads * each);
    for (std::uintptr_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], i);
    this->set.reset(this->pool);
}

// A span's fields, written before the push, are read after the pop: what TSan watches.
TYPED_TEST(SpanSetOf, PushPublishesTheSpan) {
    auto spans = std::make_unique<Span[]>(64);
    std::thread producer([&] {
        for (std::uint16_t i = 0; i < 64; ++i) {
            spans[i].alloc_count = i;
            ASSERT_TRUE(this->set.push(&spans[i], this->pool));
        }
    });
    for (unsigned seen = 0; seen < 64;) {
        Span* span = this->set.pop(this->pool);
        if (span == nullptr) {
            std::this_thread::yield();
            continue;
        }
        EXPECT_EQ(span->alloc_count, span - spans.get());
        ++seen;
    }
    producer.join();
}

// ---- out of memory ------------------------------------------------------------------------------

struct ScarceMemory {
    void* allocate(std::size_t bytes, std::size_t alignment) {
        if (allowed == 0) return nullptr;
        --allowed;
        return plenty.allocate(bytes, alignment);
    }
    pages::Metadata plenty;
    int allowed = 0;
};
struct ScarceAtomics : SmallAtomics {
    using Memory = ScarceMemory;
};

TEST(SpanSetOutOfMemory, RefusesAndStaysWhole) {
    ScarceMemory memory;
    BasicSpanBlockPool<ScarceAtomics> pool;
    BasicSpanSet<ScarceAtomics> set;
    pool.initialize(memory);
    EXPECT_FALSE(set.push(span_number(0), pool)) << "no spine";
    memory.allowed = 1;
    EXPECT_FALSE(set.push(span_number(0), pool)) << "a spine, no block";
    set.verify();
    memory.allowed = 1;
    for (std::uintptr_t i = 0; i < 4; ++i) EXPECT_TRUE(set.push(span_number(i), pool));
    EXPECT_FALSE(set.push(span_number(4), pool)) << "the next block needs a larger spine";
    EXPECT_EQ(set.count(), 4u);
    set.verify();
    for (std::uintptr_t i = 0; i < 4; ++i) EXPECT_EQ(number_of(set.pop(pool)), i);
    EXPECT_EQ(set.pop(pool), nullptr);
    memory.allowed = 1;
    EXPECT_TRUE(set.push(span_number(5), pool)) << "a spine; the block is recycled";
    EXPECT_EQ(number_of(set.pop(pool)), 5u);
    set.verify();
    set.reset(pool);
}

}  // namespace
}  // namespace cairn::heap
