// Central list: the order in which a span is found, the generations it passes through, and what happens
// without memory.
// SPDX-License-Identifier: MIT
#include "heap/central.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include "unit/heap/swept_heap.hpp"

namespace cairn::heap {
namespace {

constexpr unsigned class_48 = 5;
constexpr unsigned class_8192 = 51;  // one slot a span
constexpr ObjectKind kind = ObjectKind::conservative;

std::uint32_t generation_of(const Span* span) {
    return span->sweep_generation.load(std::memory_order_relaxed);
}

class CentralTest : public testing::Test {
protected:
    // What a cache does: takes a span, marks it cached, takes at most `count` slots, which stay alive if
    // `alive`.
    Span* cache(Central& central, unsigned count, bool alive) {
        Span* span = central.cache_span(nullptr);
        EXPECT_NE(span, nullptr);
        span->sweep_generation.store(heap.generation() + 3, std::memory_order_relaxed);
        take(span, count, alive);
        return span;
    }
    void take(Span* span, unsigned count, bool alive) {
        while (count > 0) {
            const Span::Run run = span->take_run(heap.objects(), count, false, false);
            if (run.slots == 0) return;
            for (std::size_t i = 0; alive && i < run.slots; ++i)
                heap.set_alive(reinterpret_cast<void*>(run.base + i * span->slot_bytes), true);
            count -= static_cast<unsigned>(run.slots);
        }
    }
    // Spans with `count` slots taken each, given back.
    void fill(Central& central, unsigned spans, unsigned count, bool alive) {
        std::vector<Span*> made;
        for (unsigned i = 0; i < spans; ++i) made.push_back(cache(central, count, alive));
        for (Span* span : made) central.uncache_span(span);
    }
    static void expect(const Central& central, const Central::Population& want) {
        const Central::Population have = central.population();
        EXPECT_EQ(have.partial_swept, want.partial_swept);
        EXPECT_EQ(have.full_swept, want.full_swept);
        EXPECT_EQ(have.partial_unswept, want.partial_unswept);
        EXPECT_EQ(have.full_unswept, want.full_unswept);
    }

    TestHeap& heap = TestHeap::make();
    Central& central = heap.central(class_48, kind);
};

TEST_F(CentralTest, NewSpanIsSweptAndBlank) {
    Span* span = central.cache_span(nullptr);
    ASSERT_NE(span, nullptr);
    EXPECT_EQ(generation_of(span), heap.generation());
    EXPECT_EQ(span->kind, kind);
    EXPECT_EQ(span->size_class, class_48);
    EXPECT_EQ(span->slots, 170);
    EXPECT_EQ(span->limit, span->base + 170 * 48);
    EXPECT_EQ(span->alloc_count, 0);
    EXPECT_EQ(heap.reclaimed_bytes, 8192u) << "debt is paid first";
    EXPECT_EQ(heap.reclaim_pages, 1u) << "and pages are asked for before growing";
}

// The walk of one span.
TEST_F(CentralTest, SweepGenerationWalk) {
    while (heap.generation() < 10) heap.begin_cycle();
    Span* span = central.cache_span(nullptr);
    EXPECT_EQ(generation_of(span), 10u);
    span->sweep_generation.store(13, std::memory_order_relaxed);
    take(span, 1, true);
    heap.begin_cycle();
    EXPECT_EQ(sweep_state(generation_of(span), 12), SweepState::cached_stale);
    central.uncache_span(span);  // sweeps: 11, then 12
    EXPECT_EQ(heap.sweeps, 1u);
    EXPECT_EQ(generation_of(span), 12u);
    expect(central, {1, 0, 0, 0});
    ASSERT_EQ(central.cache_span(nullptr), span);
    span->sweep_generation.store(15, std::memory_order_relaxed);
    take(span, span->slots, true);
    central.uncache_span(span);
    EXPECT_EQ(generation_of(span), 12u);
    expect(central, {0, 1, 0, 0});
    heap.begin_cycle();
    EXPECT_EQ(sweep_state(generation_of(span), 14), SweepState::unswept);
    expect(central, {0, 0, 0, 1});
    EXPECT_TRUE(heap.sweep_one());
    EXPECT_EQ(generation_of(span), 14u);
    expect(central, {0, 1, 0, 0});
    EXPECT_FALSE(heap.sweep_one());
}

TEST_F(CentralTest, TakesSpansInOrder) {
    // Three generations of leftovers: partial swept before partial unswept before full unswept before a new
    // one.
    fill(central, 1, 170, false);  // full, all dead after the next mark
    Span* full = central.cache_span(nullptr);
    full->sweep_generation.store(heap.generation() + 3, std::memory_order_relaxed);
    take(full, 1, true);
    central.uncache_span(full);  // partial
    expect(central, {1, 1, 0, 0});
    heap.begin_cycle();
    expect(central, {0, 0, 1, 1});
    Span* first = central.cache_span(nullptr);
    EXPECT_EQ(first, full) << "the partial one, swept on the way";
    EXPECT_EQ(heap.sweeps, 1u);
    first->sweep_generation.store(heap.generation() + 3, std::memory_order_relaxed);
    central.uncache_span(first);
    expect(central, {1, 0, 0, 1});
    EXPECT_EQ(central.cache_span(nullptr), first) << "swept ones come first";
    EXPECT_EQ(heap.sweeps, 1u);
    Span* second = central.cache_span(nullptr);
    EXPECT_EQ(heap.sweeps, 2u);
    EXPECT_EQ(second->alloc_count, 0) << "the full one, empty after its sweep, is kept by who swept it";
    EXPECT_EQ(generation_of(second), heap.generation());
    const std::uint64_t pages = heap.reclaim_pages;
    Span* third = central.cache_span(nullptr);
    EXPECT_NE(third, nullptr);
    EXPECT_EQ(heap.reclaim_pages, pages + 1) << "only now the heap grows";
    central.verify();
}

TEST_F(CentralTest, FullSpansThatStayFullGoToTheirSet) {
    Central& large = heap.central(class_8192, kind);
    fill(large, 3, 1, true);
    expect(large, {0, 3, 0, 0});
    heap.begin_cycle();
    Span* span = large.cache_span(nullptr);
    EXPECT_EQ(heap.sweeps, 3u);
    EXPECT_EQ(span->alloc_count, 0);
    expect(large, {0, 3, 0, 0});
}

TEST_F(CentralTest, LooksAtNoMoreThan101Spans) {
    Central& large = heap.central(class_8192, kind);
    fill(large, 250, 1, true);
    heap.begin_cycle();
    ASSERT_NE(large.cache_span(nullptr), nullptr);
    EXPECT_EQ(heap.sweeps, 101u);
    expect(large, {0, 101, 0, 149});
    large.verify();
}

// The budget is shared: what partial entries used up, full ones do not get.
TEST_F(CentralTest, StaleEntriesCountAgainstTheBudget) {
    fill(central, 60, 1, true);
    Central& one = heap.central(class_8192, kind);
    fill(one, 150, 1, true);
    heap.begin_cycle();
    // Somebody else swept them where they lay; the entries are stale.
    heap.spans.addresses().for_each_span_start([&](std::uintptr_t, Span* span) {
        if (try_acquire_for_sweep(*span, heap.generation()))
            span->sweep_generation.store(heap.generation(), std::memory_order_relaxed);
    });
    ASSERT_NE(central.cache_span(nullptr), nullptr);
    expect(central, {0, 0, 0, 0});
    ASSERT_NE(one.cache_span(nullptr), nullptr);
    expect(one, {0, 0, 0, 49});
    EXPECT_EQ(heap.sweeps, 0u);
}

TEST_F(CentralTest, StaleEmptySpanIsFreed) {
    Span* span = cache(central, 3, false);
    heap.begin_cycle();
    const std::uint64_t before = heap.spans.in_use_bytes();
    central.uncache_span(span);
    EXPECT_EQ(heap.freed_spans, 1u);
    EXPECT_EQ(heap.spans.in_use_bytes(), before - 8192);
    expect(central, {0, 0, 0, 0});
    EXPECT_EQ(span->sweep_generation.load(std::memory_order_relaxed), heap.generation());
}

TEST_F(CentralTest, LargeObjectsAreForTheSweeper) {
    Central& large = heap.central(0, kind);
    Span* span = heap.swept.make_large(5 * 8192, 16, shape_of_class(0, kind), nullptr);
    ASSERT_NE(span, nullptr);
    EXPECT_EQ(sweep_state(generation_of(span), heap.generation()), SweepState::cached)
        << "no sweeper takes it";
    EXPECT_FALSE(heap.objects().is_allocated(span->base)) << "no marker believes in it";
    EXPECT_EQ(heap.swept.publish_large(span), reinterpret_cast<void*>(span->base));
    EXPECT_TRUE(heap.objects().is_allocated(span->base));
    expect(large, {0, 1, 0, 0});
    heap.begin_cycle();
    heap.sweep_all();
    EXPECT_EQ(heap.freed_spans, 1u);
    expect(large, {0, 0, 0, 0});
}

TEST_F(CentralTest, EnsureSweptSweepsOrLeavesAlone) {
    Span* span = cache(central, 1, true);
    ensure_swept(*span, heap.spans);  // cached: nothing to do
    central.uncache_span(span);
    heap.begin_cycle();
    ensure_swept(*span, heap.spans);
    EXPECT_EQ(heap.sweeps, 1u);
    EXPECT_EQ(generation_of(span), heap.generation());
    EXPECT_EQ(central.pop_unswept(), span) << "the old entry is stale";
    EXPECT_FALSE(try_acquire_for_sweep(*span, heap.generation()));
}

TEST_F(CentralTest, EnsureSweptWaitsForTheSweeper) {
    Span* span = cache(central, 1, true);
    central.uncache_span(span);
    heap.begin_cycle();
    ASSERT_TRUE(try_acquire_for_sweep(*span, heap.generation()));
    std::atomic<bool> is_over{false};
    std::thread waiting([&] {
        ensure_swept(*span, heap.spans);
        EXPECT_TRUE(is_over.load(std::memory_order_relaxed));
    });
    is_over.store(true, std::memory_order_relaxed);
    TestHeap::hooks.sweep(*span, false);
    waiting.join();
    EXPECT_EQ(heap.sweeps, 1u);
}

TEST_F(CentralTest, StraysAreKeptUsedAndPlacedAgain) {
    Strays strays;
    Span* span = cache(central, 1, true);
    strays.keep(span);
    EXPECT_FALSE(strays.is_empty());
    EXPECT_EQ(strays.take(shape_of_class(class_48, ObjectKind::noscan)), nullptr);
    EXPECT_EQ(strays.take(shape_of_class(class_8192, kind)), nullptr);
    EXPECT_EQ(strays.take(shape_of_class(class_48, kind)), span);
    EXPECT_TRUE(strays.is_empty());

    heap.shared().strays->keep(span);
    EXPECT_EQ(central.cache_span(nullptr), span) << "rather than a new span";
    span->sweep_generation.store(heap.generation() + 3, std::memory_order_relaxed);

    heap.shared().strays->keep(span);
    heap.begin_cycle();
    EXPECT_EQ(central.cache_span(nullptr), span) << "stale: swept on the way";
    EXPECT_EQ(heap.sweeps, 1u);
    EXPECT_EQ(generation_of(span), heap.generation());

    span->sweep_generation.store(heap.generation() + 3, std::memory_order_relaxed);
    heap.shared().strays->keep(span);
    heap.begin_cycle();
    EXPECT_TRUE(heap.centrals().rehome_strays());
    EXPECT_EQ(heap.sweeps, 2u);
    expect(central, {1, 0, 0, 0});
}

TEST_F(CentralTest, GenerationsAlternateTheSets) {
    for (int cycle = 0; cycle < 10; ++cycle) {
        fill(central, 5, 170, true);
        fill(central, 2, 1, true);
        heap.centrals().verify();
        heap.begin_cycle();
        heap.sweep_all();
        const Central::Population now = central.population();
        EXPECT_EQ(now.partial_unswept + now.full_unswept, 0u);
    }
    heap.spans.verify();
}

// Threads take and give spans of one class; nobody gets a span another has.
TEST_F(CentralTest, ThreadsShareNoSpan) {
    constexpr int rounds = base::sanitized_build ? 1000 : 20'000;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            LocalPages local;
            std::vector<Span*> held;
            unsigned state = static_cast<unsigned>(t) + 1;
            for (int i = 0; i < rounds; ++i) {
                state = state * 1664525 + 1013904223;
                if (held.size() < 8 && (state >> 16) % 2 == 0) {
                    Span* span = central.cache_span(&local);
                    ASSERT_NE(span, nullptr);
                    ASSERT_EQ(generation_of(span), heap.generation());
                    span->sweep_generation.store(heap.generation() + 3, std::memory_order_release);
                    // plain fields: TSan sees two owners
                    ASSERT_EQ(span->take_run(heap.objects(), 1, false, false).slots, 1u);
                    held.push_back(span);
                } else if (!held.empty()) {
                    central.uncache_span(held.back());
                    held.pop_back();
                }
            }
            for (Span* span : held) central.uncache_span(span);
            heap.spans.flush(local);
        });
    }
    for (std::thread& thread : threads) thread.join();
    central.verify();
    const Central::Population all = central.population();
    EXPECT_EQ((all.partial_swept + all.full_swept) * 8192u, heap.spans.in_use_bytes());
}

}  // namespace
}  // namespace cairn::heap
