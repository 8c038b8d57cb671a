// Pages to spans and back: what a span says of itself, whose pages it got, and what the page heap counts.
// SPDX-License-Identifier: MIT
#include "heap/span_alloc.hpp"

#include <cstring>
#include <new>
#include <vector>

#include "unit/heap/malloc_heap.hpp"

namespace cairn::heap {
namespace {

constexpr ObjectKind kind = ObjectKind::explicit_free;

class SpanAllocTest : public testing::TestWithParam<pages::LayoutModel> {
protected:
    void SetUp() override {
        const SpanAllocSettings settings{.layout = GetParam()};
        ASSERT_TRUE(spans.initialize(settings, MallocHeap::no_hooks)) << spans.addresses().failure_text();
    }
    void TearDown() override { unmap(spans); }
    // Starts again with hooks.
    void restart(const Hooks& hooks) {
        unmap(spans);
        spans.~SpanAlloc();
        new (&spans) SpanAlloc;
        const SpanAllocSettings settings{.layout = GetParam()};
        ASSERT_TRUE(spans.initialize(settings, hooks)) << spans.addresses().failure_text();
    }
    Span* large(std::size_t pages, LocalPages* local = nullptr) {
        return spans.allocate(pages, kind, 0, local);
    }
    static void* start_of(const Span* span) { return reinterpret_cast<void*>(span->base); }
    // The first and the last byte of each page are zero.
    static bool is_zero(const Span* span) {
        const char* byte = static_cast<const char*>(start_of(span));
        for (std::size_t page = 0; page < span->pages; ++page, byte += page_bytes) {
            if (byte[0] != 0 || byte[page_bytes - 1] != 0) return false;
        }
        return true;
    }

    SpanAlloc spans;
};

TEST_P(SpanAllocTest, ALargeSpanIsOneSlot) {
    Span* span = large(5);
    ASSERT_NE(span, nullptr);
    EXPECT_EQ(span->pages, 5u);
    EXPECT_EQ(span->slots, 1);
    EXPECT_EQ(span->slot_bytes, 5 * page_bytes);
    EXPECT_EQ(span->limit, span->base + 5 * page_bytes);
    EXPECT_TRUE(span->is_alive());
    EXPECT_EQ(spans.addresses().page_entry(span->base), 0);
    std::memset(start_of(span), 1, span->bytes());
    spans.verify();
}

TEST_P(SpanAllocTest, EveryClassGivesASpanWhosePagesNameIt) {
    for (unsigned c = 1; c < size_class_count; ++c) {
        SCOPED_TRACE("class " + std::to_string(c));
        const SizeClass& row = size_classes[c];
        Span* span = spans.allocate(row.span_pages, kind, c, nullptr);
        ASSERT_NE(span, nullptr);
        EXPECT_EQ(span->slots, row.objects);
        EXPECT_EQ(span->alloc_count, 0);
        EXPECT_EQ(span->limit, span->base + std::size_t{row.objects} * row.object_bytes);
        for (std::size_t page = 0; page < row.span_pages; ++page) {
            const std::uintptr_t at = span->base + page * page_bytes;
            EXPECT_EQ(spans.addresses().page_entry(at + 17), pages::make_entry(c, page));
            EXPECT_EQ(spans.span_of(at + page_bytes - 1), span);
        }
        for (std::size_t word = 0; word < span->bit_words(); ++word) EXPECT_EQ(span->alloc_bits[word], 0u);
    }
    EXPECT_EQ(spans.usage().in_use_spans, size_class_count - 1);
    spans.verify();
}

TEST_P(SpanAllocTest, AFreedSpanIsNoSpan) {
    Span* span = spans.allocate(1, kind, 5, nullptr);
    const std::uintptr_t base = span->base;
    spans.free(span);
    EXPECT_EQ(spans.span_of(base), nullptr);
    EXPECT_EQ(spans.addresses().page_entry(base), 0);
    EXPECT_EQ(spans.usage().in_use_bytes, 0u);
    EXPECT_EQ(spans.usage().peak_in_use_bytes, page_bytes);
    spans.verify();
}

TEST_P(SpanAllocTest, TheLowestFreePagesAreTakenFirst) {
    Span* first = large(20);
    Span* second = large(20);
    EXPECT_EQ(second->base, first->end());
    const std::uintptr_t base = first->base;
    spans.free(first);
    EXPECT_EQ(large(16)->base, base);
    EXPECT_EQ(large(16)->base, second->end());
    EXPECT_EQ(large(4)->base, base + 16 * page_bytes);
    spans.verify();
}

TEST_P(SpanAllocTest, RecordsAreRecycled) {
    spans.free(large(1));
    const std::uint64_t mapped = spans.metadata().mapped_bytes();
    for (int i = 0; i < 20000; ++i) spans.free(large(1 + static_cast<std::size_t>(i) % 40));
    EXPECT_EQ(spans.metadata().mapped_bytes(), mapped);
}

TEST_P(SpanAllocTest, SmallSpansComeFromTheThreadsOwnPages) {
    (void)large(64);  // the first growth serves whoever asked; caches are cut from what is there
    LocalPages local;
    Span* span = large(1, &local);
    ASSERT_NE(span, nullptr);
    EXPECT_EQ(local.pages.free_pages() + 1, pages::PageCache::capacity_pages);
    EXPECT_GT(local.record_count, 0u);
    Span* next = large(15, &local);
    EXPECT_EQ(next->base, span->end());
    EXPECT_EQ(local.pages.free_pages(), pages::PageCache::capacity_pages - 16);
    Span* not_cached = large(16, &local);
    EXPECT_EQ(local.pages.free_pages(), pages::PageCache::capacity_pages - 16)
        << "a quarter is too much for it";
    spans.verify();
    spans.flush(local);
    EXPECT_TRUE(local.pages.is_empty());
    EXPECT_EQ(local.record_count, 0u);
    EXPECT_EQ(large(48)->base, next->end()) << "its pages are free again";
    for (Span* each : {span, next, not_cached}) spans.free(each);
    spans.verify();
}

TEST_P(SpanAllocTest, AlignedSpansStartWhereAsked) {
    for (std::size_t alignment = 16 * kib; alignment <= 64 * mib; alignment *= 2) {
        for (const std::size_t pages : {std::size_t{1}, std::size_t{3}, alignment / page_bytes}) {
            Span* span = spans.allocate_aligned(pages, alignment, kind);
            ASSERT_NE(span, nullptr) << alignment;
            EXPECT_EQ(span->base % alignment, 0u);
            EXPECT_EQ(span->pages, pages);
            std::memset(start_of(span), 1, page_bytes);
            if (pages % 2 == 1) spans.free(span);
        }
    }
    spans.verify();
}

TEST_P(SpanAllocTest, NeedsZeroIsRight) {
    Span* span = large(40);
    EXPECT_FALSE(span->needs_zero) << "fresh from the OS";
    EXPECT_TRUE(is_zero(span));
    std::memset(start_of(span), 0xee, span->bytes());
    const std::uintptr_t base = span->base;
    spans.free(span);
    span = large(40);
    ASSERT_EQ(span->base, base);
    EXPECT_TRUE(span->needs_zero) << "used before";
    spans.free(span);
    span = large(50);
    ASSERT_EQ(span->base, base);
    EXPECT_TRUE(span->needs_zero) << "in part used before";
    std::memset(start_of(span), 0xee, span->bytes());
    spans.free(span);
    EXPECT_GE(spans.scavenge(UINT64_MAX / 2, true), 50 * page_bytes);
    span = large(50);
    ASSERT_EQ(span->base, base);
    EXPECT_FALSE(span->needs_zero) << "returned to the OS in between";
    EXPECT_TRUE(is_zero(span));
    spans.verify();
}

TEST_P(SpanAllocTest, WhatIsOnlyInPartReturnedNeedsZero) {
    Span* low = large(40);
    Span* high = large(40);
    const std::uintptr_t base = low->base;
    std::memset(start_of(low), 0xee, low->bytes());
    std::memset(start_of(high), 0xee, high->bytes());
    spans.free(high);
    (void)spans.scavenge(UINT64_MAX / 2, true);
    spans.free(low);
    Span* both = large(80);
    ASSERT_EQ(both->base, base);
    EXPECT_TRUE(both->needs_zero);
}

TEST_P(SpanAllocTest, ResizesWhereItIs) {
    Span* span = large(30);
    std::memset(start_of(span), 0xee, span->bytes());
    const std::uintptr_t base = span->base;
    ASSERT_TRUE(spans.try_resize(span, 30));
    ASSERT_TRUE(spans.try_resize(span, 10));
    EXPECT_EQ(span->limit, base + 10 * page_bytes);
    EXPECT_EQ(spans.in_use_bytes(), 10 * page_bytes);
    EXPECT_EQ(spans.span_of(base + 10 * page_bytes), nullptr) << "behind it is nothing now";
    spans.verify();
    ASSERT_TRUE(spans.try_resize(span, 200));
    EXPECT_EQ(span->base, base);
    EXPECT_EQ(spans.span_of(base + 200 * page_bytes - 1), span);
    EXPECT_EQ(spans.usage().peak_in_use_bytes, 200 * page_bytes);
    std::memset(start_of(span), 0xee, span->bytes());
    EXPECT_TRUE(span->needs_zero);
    Span* behind = large(1);
    ASSERT_EQ(behind->base, span->end());
    EXPECT_FALSE(spans.try_resize(span, 201)) << "somebody is there";
    EXPECT_EQ(span->pages, 200u);
    spans.verify();
}

TEST_P(SpanAllocTest, ASpanMayCrossArenas) {
    Span* span = spans.allocate(3 * pages::arena_pages, ObjectKind::manual, 0, nullptr);  // 192 MiB
    ASSERT_NE(span, nullptr);
    for (std::size_t at = 0; at < span->bytes(); at += 32 * mib) {
        EXPECT_EQ(spans.span_of(span->base + at), span);
        *reinterpret_cast<char*>(span->base + at) = 1;
    }
    spans.verify();
    spans.free(span);
    EXPECT_EQ(spans.span_of(span->base + 100 * mib), nullptr);
    spans.verify();
}

TEST_P(SpanAllocTest, OfALongMallocObjectTheFrontIsNamed) {
    Span* span = large(3 * pages::arena_pages);
    ASSERT_NE(span, nullptr);
    EXPECT_EQ(spans.span_of(span->base), span);
    EXPECT_EQ(spans.span_of(span->base + 64 * mib - 1), span);
    EXPECT_EQ(spans.span_of(span->base + 64 * mib), nullptr) << "naming all would touch 1/1024 of its size";
    ASSERT_TRUE(spans.try_resize(span, 10));
    ASSERT_TRUE(spans.try_resize(span, 2 * pages::arena_pages));
    EXPECT_EQ(spans.span_of(span->base + 64 * mib - 1), span);
    spans.free(span);
    spans.verify();
}

TEST_P(SpanAllocTest, SmallSpansBackWhatComesNext) {
    LocalPages local;
    while (local.pages.is_empty()) ASSERT_NE(large(1, &local), nullptr);
    const std::size_t ahead = local.pages.free_pages() - local.pages.scavenged_pages();
    EXPECT_GT(ahead, 0u);
    EXPECT_LT(ahead * page_bytes, 64u << 10);
    const std::uint64_t ready = spans.ready_bytes();
    for (std::size_t i = 0; i < ahead; ++i) {
        Span* const next = large(1, &local);
        ASSERT_NE(next, nullptr);
        EXPECT_FALSE(next->needs_zero);
        EXPECT_TRUE(is_zero(next));
    }
    EXPECT_EQ(spans.ready_bytes(), ready) << "counted when it was backed";
    EXPECT_EQ(local.pages.free_pages(), local.pages.scavenged_pages());
    spans.flush(local);
    spans.verify();
}

TEST_P(SpanAllocTest, FreePagesAreCountedAndReturned) {
    Span* span = large(600);
    std::memset(start_of(span), 1, span->bytes());
    EXPECT_FALSE(spans.has_excess());
    spans.free(span);
    EXPECT_EQ(spans.backed_free_bytes(), 600 * page_bytes);
    EXPECT_TRUE(spans.has_excess());
    const std::size_t some = spans.scavenge(mib, true);
    EXPECT_GE(some, mib);
    EXPECT_EQ(spans.backed_free_bytes(), 600 * page_bytes - some);
    const std::size_t rest = spans.scavenge(UINT64_MAX / 2, true);
    EXPECT_EQ(some + rest, 600 * page_bytes);
    EXPECT_EQ(spans.returned_total_bytes(), 600 * page_bytes);
    EXPECT_EQ(spans.backed_free_bytes(), 0u);
    EXPECT_FALSE(spans.has_excess());
    spans.verify();
}

// What the hooks of a test heard; hooks are plain functions.
struct Heard {
    unsigned freed = 0;
    unsigned refused = 0;
} heard;

TEST_P(SpanAllocTest, TellsTheHookOfExcess) {
    static constexpr Hooks hooks{.freed = [] { ++heard.freed; }};
    heard = {};
    restart(hooks);
    spans.free(spans.allocate(100, kind, 0, nullptr));
    EXPECT_EQ(heard.freed, 0u) << "too little to bother";
    spans.free(spans.allocate(2000, kind, 0, nullptr));
    EXPECT_EQ(heard.freed, 1u);
}

TEST_P(SpanAllocTest, AsksTheHookBeforeItGivesUp) {
    static constexpr Hooks hooks{.out_of_memory = [](std::size_t bytes) {
        EXPECT_EQ(bytes, std::size_t{1} << 50);
        return ++heard.refused < 3;
    }};
    heard = {};
    restart(hooks);
    EXPECT_EQ(spans.allocate((std::size_t{1} << 50) / page_bytes, kind, 0, nullptr), nullptr);
    EXPECT_EQ(heard.refused, 3u);
    EXPECT_NE(spans.allocate(1, kind, 0, nullptr), nullptr) << "a smaller ask succeeds";
    spans.verify();
}

CAIRN_ON_BOTH_LAYOUTS(SpanAllocTest);

}  // namespace
}  // namespace cairn::heap
