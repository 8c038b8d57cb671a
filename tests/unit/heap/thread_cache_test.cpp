// The two short paths alone: what a magazine gives, what it takes, and what it sends to the slow path.
// SPDX-License-Identifier: MIT
#include "heap/thread_cache.hpp"

#include <memory>
#include <vector>

#include "unit/heap/malloc_heap.hpp"

namespace cairn::heap {
namespace {

constexpr unsigned class_48 = 5;
constexpr std::uint64_t key = 0x5ec2e7;

std::uint32_t entry_of(unsigned size_class, std::size_t page) {
    return static_cast<std::uint32_t>(size_class | page << 8);
}

// One span of a class in the test's own pages, and a magazine of it.
class Magazine {
public:
    explicit Magazine(unsigned size_class, unsigned entries = 8)
        : size_class_(size_class), room_(entries), memory_(size_classes[size_class].span_bytes + 2 * page_bytes) {
        const std::uintptr_t start = address_of(memory_.data());
        base_ = reinterpret_cast<char*>((start + page_bytes - 1) / page_bytes * page_bytes);
        Bin& bin = cache.bins[size_class];
        bin.base = bin.top = room_.data();
        bin.end = room_.data() + entries;
        cache.key = key;
    }
    void* slot(unsigned index) { return base_ + std::size_t{index} * size_classes[size_class_].object_bytes; }
    void* byte(std::size_t offset) { return base_ + offset; }
    bool free_at(std::size_t offset) {
        return cache.try_free(base_ + offset, entry_of(size_class_, offset / page_bytes));
    }
    void* allocate() { return cache.try_allocate(size_class_); }
    std::uint64_t count() const { return cache.count_of(size_class_); }
    Bin& bin() { return cache.bins[size_class_]; }

    ThreadCache cache;

private:
    unsigned size_class_;
    std::vector<void*> room_;
    std::vector<char> memory_;
    char* base_ = nullptr;
};

std::uint64_t& first_word(void* slot) { return *static_cast<std::uint64_t*>(slot); }

TEST(ThreadCache, ABlankCacheSendsAllToTheSlowPaths) {
    ThreadCache blank;
    alignas(page_bytes) static char page[page_bytes];
    for (unsigned c = 1; c < size_class_count; ++c) {
        EXPECT_EQ(blank.try_allocate(c), nullptr);
        EXPECT_FALSE(blank.try_free(page, entry_of(c, 0)));
        EXPECT_EQ(blank.count_of(c), 0u);
        EXPECT_EQ(blank.calls_of(c), 0u);
        EXPECT_EQ(blank.frees_of(c), 0u);
    }
}

TEST(ThreadCache, TheLastFreedIsTheNextAllocated) {
    Magazine magazine(class_48);
    for (unsigned i = 0; i < 3; ++i) EXPECT_TRUE(magazine.free_at(48 * i));
    for (unsigned i = 3; i-- > 0;) EXPECT_EQ(magazine.allocate(), magazine.slot(i));
    EXPECT_EQ(magazine.allocate(), nullptr);
}

TEST(ThreadCache, TheKeyIsInFreeSlotsOnly) {
    Magazine magazine(class_48);
    first_word(magazine.slot(1)) = 77;
    EXPECT_TRUE(magazine.free_at(48));
    EXPECT_EQ(first_word(magazine.slot(1)), key);
    void* slot = magazine.allocate();
    EXPECT_EQ(first_word(slot), 0u);
}

TEST(ThreadCache, WhatBearsTheKeyNeedsACloserLook) {
    Magazine magazine(class_48);
    EXPECT_TRUE(magazine.free_at(48));
    EXPECT_FALSE(magazine.free_at(48)) << "freed a moment ago";
    first_word(magazine.slot(2)) = key;
    EXPECT_FALSE(magazine.free_at(96)) << "by chance: the slow path decides";
    EXPECT_EQ(magazine.count(), 1u);
}

TEST(ThreadCache, AFullMagazineTakesNothing) {
    Magazine magazine(class_48, 2);
    EXPECT_TRUE(magazine.free_at(0));
    EXPECT_TRUE(magazine.free_at(48));
    first_word(magazine.slot(2)) = 77;
    EXPECT_FALSE(magazine.free_at(96));
    EXPECT_EQ(first_word(magazine.slot(2)), 77u) << "a refusal leaves the object as it was";
}

TEST(ThreadCache, TheCountdownStopsAtTheEvent) {
    Magazine magazine(class_48);
    for (unsigned i = 0; i < 4; ++i) EXPECT_TRUE(magazine.free_at(48 * i));
    magazine.bin().calls_left = magazine.cache.history[class_48].calls_set = 3;
    EXPECT_NE(magazine.allocate(), nullptr);
    EXPECT_NE(magazine.allocate(), nullptr);
    EXPECT_EQ(magazine.allocate(), nullptr) << "the third call is the event";
    EXPECT_EQ(magazine.count(), 2u) << "the slow path takes the slot";
    EXPECT_EQ(magazine.cache.calls_of(class_48), 3u);
}

TEST(ThreadCache, AnEmptyMagazineDoesNotCount) {
    Magazine magazine(class_48);
    EXPECT_EQ(magazine.allocate(), nullptr);
    EXPECT_EQ(magazine.cache.calls_of(class_48), 0u);
}

TEST(ThreadCache, FreesFollowFromTheCounts) {
    Magazine magazine(class_48);
    BinHistory& history = magazine.cache.history[class_48];
    for (unsigned i = 0; i < 5; ++i) EXPECT_TRUE(magazine.free_at(48 * i));
    EXPECT_EQ(magazine.cache.frees_of(class_48), 5u);
    history.taken = 3;  // as if three of them had come from the central list
    EXPECT_EQ(magazine.cache.frees_of(class_48), 2u);
    EXPECT_NE(magazine.allocate(), nullptr);
    EXPECT_EQ(magazine.cache.frees_of(class_48), 2u);
    magazine.bin().top -= 2;
    history.sent = 2;
    EXPECT_EQ(magazine.cache.frees_of(class_48), 2u);
}

// Every offset of a span of every class: the multiplication knows a slot's start exactly.
TEST(ThreadCache, OnlyStartsOfSlotsEnter) {
    for (unsigned c = 1; c < size_class_count; ++c) {
        SCOPED_TRACE("class " + std::to_string(c));
        Magazine magazine(c);
        const SizeClass& row = size_classes[c];
        const std::size_t end = std::size_t{row.objects} * row.object_bytes;
        std::size_t wrong = 0;
        for (std::size_t offset = 0; offset + 8 <= end; ++offset) {
            const bool is_taken = magazine.free_at(offset);
            if (is_taken != (offset % row.object_bytes == 0)) ++wrong;
            if (is_taken) (void)magazine.allocate();
        }
        EXPECT_EQ(wrong, 0u);
        EXPECT_EQ(magazine.count(), 0u);
    }
}

}  // namespace
}  // namespace cairn::heap
