// Stacks for fibers: sizes, guards and marks, who keeps what for how long, and that all of it goes back.
// SPDX-License-Identifier: MIT
#include "heap/stack_spans.hpp"

#include <cstring>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "os/memory.hpp"
#include "os/threads.hpp"
#include "unit/heap/malloc_heap.hpp"

namespace cairn::heap {
namespace {

constexpr std::size_t kib = 1024, mib = 1024 * kib;

class StackSpansTest : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_TRUE(spans.initialize({}, MallocHeap::no_hooks));
        stacks.initialize(spans);
    }
    void TearDown() override { unmap(spans); }

    static void* at(std::uintptr_t address) { return reinterpret_cast<void*>(address); }
    static void fill(const FiberStack& stack) {
        std::memset(at(stack.low()), 0x5a, stack.high() - stack.low());
    }
    std::uint64_t in_spans() { return spans.in_use_bytes(); }

    SpanAlloc spans;
    StackSpans stacks;
    StackCache cache;
};

TEST_F(StackSpansTest, SizesArePowersOfTwoUpToAGibibyte) {
    const struct {
        std::size_t asked, got;
    } cases[] = {{0, 2 * kib},          {1, 2 * kib},           {2 * kib, 2 * kib},    {2 * kib + 1, 4 * kib},
                 {8 * kib, 8 * kib},    {16 * kib, 16 * kib},   {20 * kib, 32 * kib},  {64 * kib, 64 * kib},
                 {100 * kib, 128 * kib}, {5 * mib, 8 * mib},     {1024 * mib, 1024 * mib}};
    for (const auto& one : cases) {
        const FiberStack stack = stacks.allocate(&cache, one.asked);
        ASSERT_TRUE(stack) << one.asked;
        EXPECT_EQ(stack.bytes, one.got);
        EXPECT_EQ(stack.high() - stack.start, one.got);
        EXPECT_EQ(stack.high() % 16, 0u);
        const bool is_guarded = one.got >= 4 * os::page_bytes();
        EXPECT_EQ(stack.is_guarded, is_guarded) << one.got;
        EXPECT_EQ(stack.low() - stack.start, is_guarded ? os::page_bytes() : 64u);
        EXPECT_TRUE(StackSpans::is_intact(stack));
        if (one.got <= 8 * mib) fill(stack);
        else std::memset(at(stack.high() - mib), 1, mib);
        stacks.free(&cache, stack, true);
    }
    EXPECT_FALSE(stacks.allocate(&cache, 1024 * mib + 1));
    EXPECT_FALSE(stacks.allocate(&cache, SIZE_MAX));
}

TEST_F(StackSpansTest, StacksDoNotOverlapAndAreReused) {
    for (const std::size_t bytes : {2 * kib, 8 * kib, 16 * kib, 64 * kib}) {
        std::vector<FiberStack> all;
        std::set<std::uintptr_t> starts;
        for (unsigned i = 0; i < 100; ++i) {
            all.push_back(stacks.allocate(&cache, bytes));
            ASSERT_TRUE(all.back());
            starts.insert(all.back().start);
            fill(all.back());
        }
        EXPECT_EQ(starts.size(), 100u);
        for (auto at = starts.begin(); std::next(at) != starts.end(); ++at)
            EXPECT_GE(*std::next(at) - *at, bytes);
        for (const FiberStack& stack : all) EXPECT_TRUE(StackSpans::is_intact(stack));
        for (const FiberStack& stack : all) stacks.free(&cache, stack, false);
        unsigned reused = 0;
        for (unsigned i = 0; i < 100; ++i) {
            all[i] = stacks.allocate(&cache, bytes);
            reused += static_cast<unsigned>(starts.count(all[i].start));
        }
        EXPECT_GE(reused, 80u);
        for (const FiberStack& stack : all) stacks.free(&cache, stack, true);
    }
    stacks.flush(cache, true);
    stacks.trim();
    EXPECT_EQ(stacks.in_use_bytes(), 0u);
    EXPECT_EQ(stacks.idle_bytes(), 0u);
    EXPECT_EQ(in_spans(), 0u);
}

TEST_F(StackSpansTest, AThreadKeepsSoManyAndNoMore) {
    std::vector<FiberStack> all;
    for (unsigned i = 0; i < 64; ++i) all.push_back(stacks.allocate(&cache, 4 * kib));
    EXPECT_LE(cache.small[1].bytes, StackSpans::cached_bytes);
    for (const FiberStack& stack : all) {
        stacks.free(&cache, stack, false);
        EXPECT_LE(cache.small[1].bytes, StackSpans::cached_bytes);
    }
    EXPECT_GT(cache.small[1].bytes, 0u);
    all.clear();
    for (unsigned i = 0; i < 10; ++i) all.push_back(stacks.allocate(&cache, 64 * kib));
    for (const FiberStack& stack : all) stacks.free(&cache, stack, false);
    EXPECT_EQ(cache.large_count, StackCache::kept_large);
    EXPECT_EQ(stacks.allocate(&cache, 64 * kib).start, all.back().start) << "the last freed comes first";
}

TEST_F(StackSpansTest, NothingGoesBackWhileMarking) {
    std::vector<FiberStack> all;
    for (const std::size_t bytes : {2 * kib, 16 * kib, 64 * kib, 16 * mib})
        for (unsigned i = 0; i < 20; ++i) all.push_back(stacks.allocate(nullptr, bytes));
    const std::uint64_t most = in_spans();
    for (const FiberStack& stack : all) stacks.free(nullptr, stack, false);
    EXPECT_EQ(in_spans(), most);
    EXPECT_EQ(stacks.idle_bytes(), most);
    stacks.trim();
    EXPECT_EQ(in_spans(), 0u);
    EXPECT_EQ(stacks.idle_bytes(), 0u);
}

TEST_F(StackSpansTest, IdleOnesAreBoundedWhenNobodyMarks) {
    std::vector<FiberStack> all;
    for (unsigned i = 0; i < 20; ++i) all.push_back(stacks.allocate(nullptr, 2 * mib));
    for (unsigned i = 0; i < 100; ++i) all.push_back(stacks.allocate(nullptr, 2 * kib));
    for (const FiberStack& stack : all) stacks.free(nullptr, stack, true);
    EXPECT_LE(in_spans(), StackSpans::idle_bytes_max + StackSpans::small_span_bytes);
}

// What went back is ordinary memory: no guard is left in it.
TEST_F(StackSpansTest, FreedSpansCarryNoGuards) {
    std::vector<FiberStack> all;
    for (const std::size_t bytes : {16 * kib, 32 * kib, 256 * kib})
        for (unsigned i = 0; i < 30; ++i) all.push_back(stacks.allocate(nullptr, bytes));
    for (const FiberStack& stack : all) stacks.free(nullptr, stack, false);
    stacks.trim();
    std::vector<Span*> others;
    for (unsigned i = 0; i < 50; ++i) {
        others.push_back(spans.allocate(32, ObjectKind::explicit_free, 0, nullptr));
        ASSERT_NE(others.back(), nullptr);
        std::memset(at(others.back()->base), 1, others.back()->bytes());
    }
    for (Span* span : others) spans.free(span);
}

// ---- overflow

TEST_F(StackSpansTest, AnOverflowOfAGuardedStackFaults) {
    for (const std::size_t bytes : {16 * kib, 32 * kib, mib}) {
        const FiberStack stack = stacks.allocate(&cache, bytes);
        ASSERT_TRUE(stack.is_guarded);
        EXPECT_DEATH(*static_cast<volatile char*>(at(stack.low() - 1)) = 1, "");
        EXPECT_DEATH(*static_cast<volatile char*>(at(stack.start)) = 1, "");
        *static_cast<volatile char*>(at(stack.low())) = 1;
        stacks.free(&cache, stack, true);
        // It is guarded again, or still, when it comes back.
        const FiberStack again = stacks.allocate(&cache, bytes);
        EXPECT_DEATH(*static_cast<volatile char*>(at(again.low() - 1)) = 1, "");
    }
}

TEST_F(StackSpansTest, AnOverflowOfASmallStackIsFoundWhenItIsFreed) {
    for (const std::size_t bytes : {2 * kib, 8 * kib}) {
        const FiberStack stack = stacks.allocate(&cache, bytes);
        *static_cast<volatile char*>(at(stack.low() - 1)) = 1;
        EXPECT_FALSE(StackSpans::is_intact(stack));
        EXPECT_DEATH(stacks.free(&cache, stack, true), "stack overflow: fiber stack of .* bytes at 0x");
    }
}

TEST_F(StackSpansTest, FreedTwice) {
    const FiberStack stack = stacks.allocate(nullptr, 4 * kib);
    stacks.free(nullptr, stack, false);
    EXPECT_DEATH(stacks.free(nullptr, stack, false), "freed twice: fiber stack of 4096 bytes");
}

// ---- threads

TEST_F(StackSpansTest, ManyThreadsTakeHandOverAndGiveBack) {
    constexpr unsigned threads = 4, steps = 4000;
    struct Slot {
        std::atomic<std::uintptr_t> start{0};
        FiberStack stack;
    };
    std::vector<Slot> shared(64);
    std::vector<std::thread> all;
    for (unsigned n = 0; n < threads; ++n) {
        all.emplace_back([&, n] {
            std::mt19937 random(n);
            StackCache own;
            for (unsigned i = 0; i < steps; ++i) {
                const FiberStack stack = stacks.allocate(&own, std::size_t{2 * kib} << random() % 7);
                ASSERT_TRUE(stack);
                auto* top = reinterpret_cast<std::uintptr_t*>(stack.high()) - 2;
                top[0] = stack.start;
                Slot& slot = shared[random() % shared.size()];
                std::uintptr_t seen = slot.start.exchange(1);
                if (seen == 1) {  // somebody else is at it
                    EXPECT_EQ(top[0], stack.start);
                    stacks.free(&own, stack, random() % 2 == 0);
                    continue;
                }
                const FiberStack old = slot.stack;
                slot.stack = stack;
                slot.start.store(stack.start);
                if (seen == 0) continue;
                EXPECT_EQ(old.start, seen);
                EXPECT_EQ(reinterpret_cast<std::uintptr_t*>(old.high())[-2], seen);
                stacks.free(&own, old, random() % 2 == 0);
            }
            stacks.flush(own, true);
        });
    }
    for (std::thread& thread : all) thread.join();
    for (Slot& slot : shared)
        if (slot.start.load() > 1) stacks.free(nullptr, slot.stack, true);
    stacks.trim();
    EXPECT_EQ(stacks.in_use_bytes(), 0u);
    EXPECT_EQ(in_spans(), 0u);
}

}  // namespace
}  // namespace cairn::heap
