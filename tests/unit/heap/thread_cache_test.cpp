// The two short paths alone: what a magazine gives, what it takes, and what it sends to the slow path.
// SPDX-License-Identifier: MIT
#include "heap/thread_cache.hpp"

#include <cstring>
#include <vector>

#include "unit/heap/malloc_heap.hpp"

namespace cairn::heap {
namespace {

constexpr unsigned class_48 = 5;

std::uint64_t& first_word(void* slot) {
    return *static_cast<std::uint64_t*>(slot);
}

// One thread's cache of a heap; the slow paths only serve to prepare.
class ThreadCacheTest : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_TRUE(heap.start());
        cache = heap->attach();
        ASSERT_NE(cache, nullptr);
    }
    void TearDown() override { unmap(heap->spans()); }

    void* allocate() { return cache->try_allocate(class_48); }
    bool free(void* slot) {
        return cache->try_free(slot, heap->spans().addresses().page_entry(address_of(slot)));
    }
    std::uint64_t count() const { return cache->count_of(class_48); }
    // Slots with the program; the magazine has a few more, and room.
    std::vector<void*> slots(unsigned wanted) {
        std::vector<void*> taken;
        for (unsigned i = 0; i < wanted; ++i) taken.push_back(heap.allocate(*cache, 48));
        return taken;
    }

    MallocHeap heap;
    ThreadCache* cache = nullptr;
};

TEST_F(ThreadCacheTest, ABlankCacheSendsAllToTheSlowPaths) {
    ThreadCache blank;
    alignas(page_bytes) static char page[page_bytes];
    for (unsigned c = 1; c < size_class_count; ++c) {
        EXPECT_EQ(blank.try_allocate(c), nullptr);
        EXPECT_FALSE(blank.try_free(page, pages::make_entry(c, 0)));
        EXPECT_EQ(blank.count_of(c), 0u);
        EXPECT_EQ(blank.calls_of(c), 0u);
        EXPECT_EQ(blank.frees_of(c), 0u);
    }
}

TEST_F(ThreadCacheTest, TheLastFreedIsTheNextAllocated) {
    const std::vector<void*> mine = slots(3);
    const std::uint64_t before = count();
    for (void* slot : mine) EXPECT_TRUE(free(slot));
    EXPECT_EQ(count(), before + 3);
    for (unsigned i = 3; i-- > 0;) EXPECT_EQ(allocate(), mine[i]);
    EXPECT_EQ(count(), before);
}

TEST_F(ThreadCacheTest, TheKeyIsInFreeSlotsOnly) {
    void* slot = slots(1)[0];
    EXPECT_EQ(first_word(slot), 0u);
    first_word(slot) = 77;
    EXPECT_TRUE(free(slot));
    EXPECT_EQ(first_word(slot), heap->key());
    EXPECT_EQ(allocate(), slot);
    EXPECT_EQ(first_word(slot), 0u);
}

TEST_F(ThreadCacheTest, WhatBearsTheKeyNeedsACloserLook) {
    const std::vector<void*> mine = slots(2);
    EXPECT_TRUE(free(mine[0]));
    const std::uint64_t before = count();
    EXPECT_FALSE(free(mine[0])) << "freed a moment ago";
    first_word(mine[1]) = heap->key();
    EXPECT_FALSE(free(mine[1])) << "by chance: the slow path decides";
    EXPECT_EQ(count(), before);
}

TEST_F(ThreadCacheTest, AFullMagazineTakesNothing) {
    const std::vector<void*> mine = slots(200);
    std::size_t taken = 0;
    while (taken < mine.size() && free(mine[taken])) ++taken;
    ASSERT_LT(taken, mine.size());
    EXPECT_EQ(count(), cache->history[class_48].capacity);
    first_word(mine[taken]) = 77;
    EXPECT_FALSE(free(mine[taken]));
    EXPECT_EQ(first_word(mine[taken]), 77u) << "a refusal leaves the object as it was";
}

TEST_F(ThreadCacheTest, AnEmptyMagazineGivesNothingAndCountsNothing) {
    (void)slots(1);
    while (count() > 0) EXPECT_NE(allocate(), nullptr);
    const std::uint64_t calls = cache->calls_of(class_48);
    EXPECT_EQ(allocate(), nullptr);
    EXPECT_EQ(cache->calls_of(class_48), calls);
}

TEST_F(ThreadCacheTest, TheCountdownStopsAtTheEvent) {
    (void)slots(1);
    BinHistory& history = cache->history[class_48];
    history.calls = cache->calls_of(class_48);
    cache->bins[class_48].calls_left = history.calls_set = 3;
    const std::uint64_t before = count();
    EXPECT_NE(allocate(), nullptr);
    EXPECT_NE(allocate(), nullptr);
    EXPECT_EQ(allocate(), nullptr) << "the third call is the event";
    EXPECT_EQ(count(), before - 2) << "the slow path takes the slot";
    EXPECT_EQ(cache->calls_of(class_48), 4u);
}

// Every offset of a span of every class: the multiplication knows a slot's start exactly.
TEST_F(ThreadCacheTest, OnlyStartsOfSlotsEnter) {
    for (unsigned c = 1; c < size_class_count; ++c) {
        SCOPED_TRACE("class " + std::to_string(c));
        const SizeClass& row = size_classes[c];
        void* slot = heap.allocate_slot(*cache, c, row.object_bytes);
        Span* span = heap->spans().span_of(address_of(slot));
        ASSERT_NE(span, nullptr);
        char* base = reinterpret_cast<char*>(span->base);
        const std::size_t end = std::size_t{row.objects} * row.object_bytes;
        std::memset(base, 0, end);  // no key anywhere
        std::size_t wrong = 0;
        for (std::size_t offset = 0; offset + 8 <= end; ++offset) {
            const bool is_taken = free(base + offset);
            if (is_taken != (offset % row.object_bytes == 0)) ++wrong;
            if (is_taken && cache->try_allocate(c) != base + offset) ++wrong;
        }
        EXPECT_EQ(wrong, 0u);
    }
}

}  // namespace
}  // namespace cairn::heap
