// Span: the two ways to take slots, the states a sweep goes through, and the arithmetic of slots.
// SPDX-License-Identifier: MIT
#include "heap/span.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "heap/central.hpp"
#include "unit/heap/swept_heap.hpp"

namespace cairn::heap {
namespace {

constexpr std::uintptr_t base = 0xc000000000;

// A span as SpanAlloc makes it, at an address nobody touches.
struct MadeSpan {
    MadeSpan(unsigned size_class, ObjectKind kind) {
        const SizeClass& row = size_classes[size_class];
        span.base = base;
        span.pages = row.span_pages;
        span.slot_bytes = row.object_bytes;
        span.slots = row.objects;
        span.magic = row.magic;
        span.limit = base + std::uintptr_t{row.object_bytes} * row.objects;
        span.kind = kind;
        span.size_class = static_cast<std::uint8_t>(size_class);
        span.alloc_bits = bits;
        span.publish(SpanState::in_use);
    }
    std::uint64_t bits[Span::max_bit_words] = {};
    Span span;
};

class EveryClass : public testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Span, EveryClass, testing::Range(1u, size_class_count));

// A collected span in a real heap, since its bits are in the object map.
class CollectedSpan {
public:
    explicit CollectedSpan(unsigned size_class)
        : heap(TestHeap::make()),
          span(*heap.spans.allocate(size_classes[size_class].span_pages, ObjectKind::conservative, size_class,
                                    nullptr, shape_of_class(size_class, ObjectKind::conservative))) {}
    Span::Run take(std::size_t most, bool is_black = false, bool must_zero = false) {
        return span.take_run(heap.objects(), most, is_black, must_zero);
    }
    void set_bits(const std::vector<bool>& taken) {
        heap.objects().clear_run(span.base, span.slots, span.slot_bytes);
        span.alloc_count = 0;
        span.free_index = 0;
        for (unsigned i = 0; i < span.slots; ++i) {
            if (!taken[i]) continue;
            heap.objects().set_run(span.slot_address(i), 1, span.slot_bytes, false);
            ++span.alloc_count;
        }
    }
    TestHeap& heap;
    Span& span;
};

TEST_P(EveryClass, CollectedSpanGivesOneRunWhenEmpty) {
    if (!has_granular_slots(GetParam())) GTEST_SKIP() << "no collected objects of this class";
    CollectedSpan made(GetParam());
    const Span::Run run = made.take(made.span.slots);
    EXPECT_EQ(run.base, made.span.base);
    EXPECT_EQ(run.slots, made.span.slots);
    EXPECT_EQ(made.span.alloc_count, made.span.slots);
    for (unsigned i = 0; i < made.span.slots; ++i)
        ASSERT_TRUE(made.heap.objects().is_allocated(made.span.slot_address(i)));
    EXPECT_EQ(made.take(1).slots, 0u) << "full";
    EXPECT_EQ(made.take(1).slots, 0u) << "full stays full";
}

TEST_P(EveryClass, CollectedSpanGivesTheGapsInOrder) {
    if (!has_granular_slots(GetParam())) GTEST_SKIP() << "no collected objects of this class";
    std::mt19937 random(GetParam());
    CollectedSpan made(GetParam());
    for (const unsigned percent : {0u, 1u, 50u, 99u, 100u}) {
        std::vector<bool> taken(made.span.slots);
        for (std::size_t i = 0; i < taken.size(); ++i) taken[i] = random() % 100 < percent;
        made.set_bits(taken);
        const std::size_t most = 1 + random() % made.span.slots;
        unsigned next = 0;
        while (true) {
            const Span::Run run = made.take(most);
            if (run.slots == 0) break;
            ASSERT_LE(run.slots, most);
            while (next < made.span.slots && taken[next]) ++next;
            ASSERT_EQ(run.base, made.span.slot_address(next)) << percent << " %";
            for (std::size_t i = 0; i < run.slots; ++i, ++next) ASSERT_FALSE(taken[next]) << percent << " %";
        }
        for (; next < made.span.slots; ++next) ASSERT_TRUE(taken[next]) << percent << " %";
        EXPECT_EQ(made.span.alloc_count, made.span.slots);
    }
}

TEST(CollectedSpan, BlackRunsAreMarkedAndZeroedOnesAreZero) {
    CollectedSpan made(5);
    std::memset(reinterpret_cast<void*>(made.span.base), 0xff, made.span.bytes());
    const Span::Run black = made.take(3, true, true);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_TRUE(made.heap.objects().is_marked(black.base + i * 48));
        EXPECT_EQ(*reinterpret_cast<unsigned char*>(black.base + i * 48 + 47), 0);
    }
    const Span::Run white = made.take(3);
    EXPECT_FALSE(made.heap.objects().is_marked(white.base));
    EXPECT_EQ(*reinterpret_cast<unsigned char*>(white.base), 0xff);
}

TEST(CollectedSpan, TakesTheRestOfARunBack) {
    CollectedSpan made(5);
    const Span::Run run = made.take(10, true);
    made.span.return_rest(made.heap.objects(), run.base + 4 * 48, 6);
    EXPECT_EQ(made.span.alloc_count, 4);
    for (unsigned i = 0; i < 10; ++i) {
        EXPECT_EQ(made.heap.objects().is_allocated(run.base + i * 48), i < 4) << i;
        EXPECT_EQ(made.heap.objects().is_marked(run.base + i * 48), i < 4) << i;
    }
    EXPECT_EQ(made.take(100).base, run.base + 4 * 48) << "and gives it again";
}

TEST_P(EveryClass, ExplicitSpanGivesEachSlotOnceAndTakesItBack) {
    MadeSpan made(GetParam(), ObjectKind::explicit_free);
    std::vector<void*> out(made.span.slots + 1);
    const unsigned first = made.span.take_slots(out.data(), 1);
    ASSERT_EQ(first, 1u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(out[0]), base);
    const unsigned rest = made.span.take_slots(out.data() + 1, made.span.slots);
    ASSERT_EQ(rest, made.span.slots - 1u);
    EXPECT_EQ(made.span.take_slots(out.data(), 1), 0u);
    made.span.verify();
    std::vector<void*> sorted(out.begin(), out.begin() + made.span.slots);
    std::sort(sorted.begin(), sorted.end());
    for (unsigned i = 0; i < made.span.slots; ++i)
        ASSERT_EQ(reinterpret_cast<std::uintptr_t>(sorted[i]), made.span.slot_address(i));
    std::mt19937 random(GetParam());
    std::shuffle(sorted.begin(), sorted.end(), random);
    for (void* slot : sorted) {
        const auto address = reinterpret_cast<std::uintptr_t>(slot);
        EXPECT_EQ(made.span.return_slot(address + 1), Span::Returned::not_a_slot);
        EXPECT_EQ(made.span.return_slot(address), Span::Returned::ok);
        EXPECT_EQ(made.span.return_slot(address), Span::Returned::already_free);
        made.span.verify();
    }
    EXPECT_EQ(made.span.alloc_count, 0u);
}

TEST(Span, TakesTheLowestSlotLast) {
    MadeSpan made(2, ObjectKind::explicit_free);
    void* out[5];
    ASSERT_EQ(made.span.take_slots(out, 5), 5u);
    for (unsigned i = 0; i < 5; ++i) EXPECT_EQ(reinterpret_cast<std::uintptr_t>(out[4 - i]), base + i * 16);
}

TEST(Span, FindsTheSlotOfAnInteriorAddress) {
    MadeSpan made(5, ObjectKind::noscan);  // 48 bytes
    EXPECT_EQ(made.span.slot_of(base + 47), 0u);
    EXPECT_EQ(made.span.slot_of(base + 48), 1u);
    EXPECT_EQ(made.span.slot_of(base + 169 * 48 + 5), 169u);
    EXPECT_GE(made.span.slot_of(base + 8191), made.span.slots) << "the tail belongs to no slot";
}

TEST(Span, LargeSpanHasOneSlot) {
    Span span;
    span.base = base;
    span.pages = 5;
    span.slot_bytes = 5 * 8192;
    span.limit = base + 32769;
    span.slots = 1;
    span.publish(SpanState::in_use);
    EXPECT_TRUE(span.is_large());
    EXPECT_EQ(span.slot_of(base), 0u);
    EXPECT_EQ(span.slot_of(base + 40959), 0u);
    span.verify();
}

TEST(SweepState, ARecordThatIsNoCollectedSpanIsNeverSwept) {
    // Recycled while an old entry led to it; odd, as SpanAlloc leaves those that are not swept, and free().
    Span span;
    span.kind = ObjectKind::explicit_free;
    span.sweep_generation.store(7, std::memory_order_relaxed);
    for (std::uint32_t generation = 0; generation < 20; generation += 2)
        EXPECT_FALSE(try_acquire_for_sweep(span, generation));
}

// States; who reads the state first sees the fields.
TEST(Span, IsAliveOnceItsStateSaysSo) {
    Span span;
    EXPECT_FALSE(span.is_alive());
    for (const SpanState state : {SpanState::in_use, SpanState::manual}) {
        span.publish(state);
        EXPECT_TRUE(span.is_alive());
        span.publish(SpanState::dead);
        EXPECT_FALSE(span.is_alive());
    }
}

TEST(Span, KeepsItsGenerationWhenRecycled) {
    Span span;
    span.sweep_generation.store(8, std::memory_order_relaxed);
    span.publish(SpanState::in_use);
    span.publish(SpanState::dead);
    EXPECT_EQ(span.sweep_generation.load(std::memory_order_relaxed), 8u);
    EXPECT_FALSE(try_acquire_for_sweep(span, 8)) << "a dead span of this generation may not be swept";
}

TEST(SweepState, IsTheDifferenceToTheHeap) {
    struct Case {
        std::uint32_t span, heap;
        SweepState want;
    };
    for (const Case& c : {Case{8, 10, SweepState::unswept}, Case{9, 10, SweepState::sweeping},
                          Case{10, 10, SweepState::swept}, Case{11, 10, SweepState::cached_stale},
                          Case{13, 10, SweepState::cached}, Case{12, 10, SweepState::invalid},
                          Case{6, 10, SweepState::invalid}, Case{0xffff'fffe, 0, SweepState::unswept},
                          Case{0, 2, SweepState::unswept}, Case{1, 0xffff'fffe, SweepState::cached}})
        EXPECT_EQ(sweep_state(c.span, c.heap), c.want) << c.span << " in " << c.heap;
}

TEST(SweepState, OneThreadAcquires) {
    Span span;
    span.kind = ObjectKind::noscan;
    span.sweep_generation.store(8, std::memory_order_relaxed);
    EXPECT_TRUE(try_acquire_for_sweep(span, 10));
    EXPECT_EQ(span.sweep_generation.load(std::memory_order_relaxed), 9u);
    EXPECT_FALSE(try_acquire_for_sweep(span, 10));
    for (const std::uint32_t not_unswept : {9u, 10u, 11u, 13u}) {
        span.sweep_generation.store(not_unswept, std::memory_order_relaxed);
        EXPECT_FALSE(try_acquire_for_sweep(span, 10)) << not_unswept;
    }
}

}  // namespace
}  // namespace cairn::heap
