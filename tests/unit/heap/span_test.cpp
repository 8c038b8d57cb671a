// Span: the two ways to take slots, the states a sweep goes through, and the arithmetic of slots.
// SPDX-License-Identifier: MIT
#include "heap/span.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "heap/central.hpp"

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
        span.alloc_cache = ~std::uint64_t{0};
        span.publish(SpanState::in_use);
    }
    // Takes as SweptCache does: fast, else slow; `slots` when full.
    unsigned take() {
        if (const std::uintptr_t address = span.take_next_fast())
            return static_cast<unsigned>(span.slot_of(address));
        const unsigned slot = span.next_free_index();
        if (slot == span.slots) {
            span.free_index = span.slots;
            return slot;
        }
        span.free_index = static_cast<std::uint16_t>(slot + 1);
        ++span.alloc_count;
        return slot;
    }
    void set_bits(const std::vector<bool>& taken) {
        std::fill(std::begin(bits), std::end(bits), 0);
        span.alloc_count = 0;
        for (unsigned i = 0; i < span.slots; ++i)
            if (taken[i]) bits[i / 64] |= std::uint64_t{1} << i % 64, ++span.alloc_count;
        span.free_index = 0;
        span.refill_alloc_cache(0);
    }

    std::uint64_t bits[Span::max_bit_words] = {};
    Span span;
};

class EveryClass : public testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Span, EveryClass, testing::Range(1u, size_class_count));

TEST_P(EveryClass, SweptSpanGivesEachSlotOnceInOrder) {
    MadeSpan made(GetParam(), ObjectKind::noscan);
    for (unsigned i = 0; i < made.span.slots; ++i) {
        EXPECT_TRUE(made.span.is_slot_free(i));
        ASSERT_EQ(made.take(), i);
        EXPECT_FALSE(made.span.is_slot_free(i));
        made.span.verify();
    }
    EXPECT_EQ(made.take(), made.span.slots);
    EXPECT_EQ(made.take(), made.span.slots) << "full stays full";
    EXPECT_EQ(made.span.alloc_count, made.span.slots);
}

TEST_P(EveryClass, SweptSpanSkipsWhatTheSweepFoundAlive) {
    std::mt19937 random(GetParam());
    MadeSpan made(GetParam(), ObjectKind::conservative);
    for (const unsigned percent : {1u, 50u, 99u, 100u}) {
        std::vector<bool> taken(made.span.slots);
        for (std::size_t i = 0; i < taken.size(); ++i) taken[i] = random() % 100 < percent;
        made.set_bits(taken);
        for (unsigned i = 0; i < made.span.slots; ++i) {
            if (taken[i]) continue;
            ASSERT_EQ(made.take(), i) << percent << " %";
        }
        EXPECT_EQ(made.take(), made.span.slots) << percent << " %";
        EXPECT_EQ(made.span.alloc_count, made.span.slots);
    }
}

TEST_P(EveryClass, ASearchMayStartAnywhere) {
    MadeSpan made(GetParam(), ObjectKind::noscan);
    for (unsigned start = 0; start < made.span.slots; start += 1 + start / 8) {
        made.span.free_index = static_cast<std::uint16_t>(start);
        made.span.refill_alloc_cache(start);
        EXPECT_EQ(made.take(), start);
    }
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
