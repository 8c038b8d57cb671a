// Swept cache: tiny blocks, zeroing, refill and flush, samples, counts, and threads through collector cycles.
// SPDX-License-Identifier: MIT
#include "heap/swept_cache.hpp"

#include <cstring>
#include <random>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "unit/heap/swept_heap.hpp"

namespace cairn::heap {
namespace {

std::uintptr_t address_of(const void* object) {
    return reinterpret_cast<std::uintptr_t>(object);
}

// ---- tiny blocks, arithmetic alone -----------------------------------------------------------

static_assert(TinyBlock::align_of(1) == 1 && TinyBlock::align_of(2) == 2 && TinyBlock::align_of(4) == 4);
static_assert(TinyBlock::align_of(8) == 8 && TinyBlock::align_of(12) == 4 && TinyBlock::align_of(15) == 1);

TEST(TinyBlock, TakesPiecesByAlignment) {
    TinyBlock block{0x1000, 0};
    EXPECT_EQ(block.take(1), 0x1000u);
    EXPECT_EQ(block.take(2), 0x1002u);
    EXPECT_EQ(block.take(4), 0x1004u);
    EXPECT_EQ(block.take(8), 0x1008u);
    EXPECT_EQ(block.offset, 16u) << "15 bytes of requests in one slot";
    EXPECT_EQ(block.take(3), 0u);
    block.offer(0x2000, 3);
    EXPECT_EQ(block.base, 0x2000u) << "3 < 16: the new block has more room";
    EXPECT_EQ(block.take(15), 0u);
    block.offer(0x3000, 15);
    EXPECT_EQ(block.base, 0x2000u) << "15 < 3 is false: the old one stays";
    EXPECT_EQ(block.take(12), 0x2004u);
}

TEST(TinyBlock, NoneHasNoRoom) {
    TinyBlock block;
    EXPECT_EQ(block.take(1), 0u);
    block.offer(0x1000, 15);
    EXPECT_EQ(block.base, 0x1000u) << "any block is better than none";
    EXPECT_EQ(block.take(1), 0x100fu);
}

// ---- one cache ----------------------------------------------------------------------------------

class SweptCacheTest : public testing::Test {
protected:
    void SetUp() override { ASSERT_TRUE(cache.attach(heap.centrals(), &local, 1)); }
    void TearDown() override {
        cache.release_all();
        heap.spans.flush(local);
        heap.centrals().verify();
        heap.spans.verify();
    }
    void* keep(void* object) {
        heap.set_alive(object, true);
        return object;
    }

    TestHeap& heap = TestHeap::make();
    LocalPages local;
    SweptCache cache;
};

constinit SweptCache before_anything;  // a cache needs no code to exist

TEST_F(SweptCacheTest, BlankCacheIsHarmless) {
    EXPECT_FALSE(before_anything.is_attached());
    before_anything.release_all();
    before_anything.sweep_stale();
    before_anything.mark_runs();
    before_anything.flush_counts();
    EXPECT_EQ(before_anything.tiny_block(), 0u);
}

TEST_F(SweptCacheTest, TinyTrace) {
    const std::uintptr_t block = address_of(cache.allocate(1, ObjectKind::noscan, true));
    EXPECT_EQ(block % 16, 0u);
    EXPECT_EQ(address_of(cache.allocate(2, ObjectKind::noscan, true)), block + 2);
    EXPECT_EQ(address_of(cache.allocate(4, ObjectKind::noscan, true)), block + 4);
    EXPECT_EQ(address_of(cache.allocate(8, ObjectKind::noscan, true)), block + 8);
    EXPECT_EQ(address_of(cache.allocate(3, ObjectKind::noscan, true)), block + 16);
    EXPECT_EQ(cache.tiny_block(), block + 16);
    EXPECT_EQ(address_of(cache.allocate(15, ObjectKind::noscan, true)), block + 32);
    EXPECT_EQ(cache.tiny_block(), block + 16);
    cache.release_all();
    EXPECT_EQ(cache.tiny_block(), 0u);
    EXPECT_EQ(heap.shared().tiny_objects.value(), 6u);
    EXPECT_EQ(heap.shared().objects[2].value(), 3u);
}

TEST_F(SweptCacheTest, OnlyPointerFreeObjectsShareBlocks) {
    for (const ObjectKind kind : {ObjectKind::typed, ObjectKind::conservative}) {
        const std::uintptr_t first = address_of(cache.allocate(8, kind, true));
        EXPECT_EQ(address_of(cache.allocate(8, kind, true)), first + 16) << "a slot each, a bit each";
        EXPECT_EQ(cache.current(shape_of_class(2, kind))->kind, kind);
    }
    EXPECT_EQ(cache.tiny_block(), 0u);
}

TEST_F(SweptCacheTest, EverySizeFitsAndIsAligned) {
    for (const ObjectKind kind : {ObjectKind::noscan, ObjectKind::typed, ObjectKind::conservative}) {
        for (std::size_t bytes = 0; bytes <= max_small_bytes; bytes += 1 + bytes / 64) {
            void* object = cache.allocate(bytes, kind, true);
            ASSERT_NE(object, nullptr);
            const Span* span = heap.spans.span_of(address_of(object));
            ASSERT_NE(span, nullptr);
            ASSERT_EQ(span->kind, kind);
            const std::uintptr_t slot = span->slot_address(span->slot_of(address_of(object)));
            ASSERT_LE(address_of(object) + bytes, slot + span->slot_bytes);
            ASSERT_TRUE(bytes < 16 || address_of(object) % 16 == 0) << bytes;
            std::memset(object, 0xa5, bytes);
        }
    }
}

// ---- what the program gives back

constexpr std::size_t given_bytes = 48;
constexpr ShapeId given_shape = shape_of_class(size_class_of(given_bytes), ObjectKind::conservative);

TEST_F(SweptCacheTest, HandsOutWhatWasGivenBackLastFirstAndZero) {
    std::uintptr_t slots[100];
    for (std::uintptr_t& slot : slots) {
        slot = address_of(cache.allocate(given_bytes, ObjectKind::conservative, true));
        std::memset(reinterpret_cast<void*>(slot), 0xa5, given_bytes);
    }
    EXPECT_FALSE(cache.has_returned(given_shape));
    for (const std::uintptr_t slot : slots) EXPECT_TRUE(cache.give_back(given_shape, slot));
    for (const std::uintptr_t slot : slots) EXPECT_FALSE(cache.give_back(given_shape, slot)) << "freed twice";
    for (int i = 99; i >= 0; --i) {
        ASSERT_EQ(cache.take_returned(given_shape), slots[i]);
        for (std::size_t at = 0; at < given_bytes; ++at)
            ASSERT_EQ(reinterpret_cast<const char*>(slots[i])[at], 0);
    }
    EXPECT_EQ(cache.take_returned(given_shape), 0u);
    cache.flush_counts();
    EXPECT_EQ(heap.shared().objects[size_class_of(given_bytes)].value(), 200u) << "both times count";
    EXPECT_EQ(heap.shared().freed_objects.value(), 100u) << "and that they were freed between";
    EXPECT_EQ(heap.shared().freed_bytes.value(), 100u * given_bytes);
    EXPECT_EQ(heap.shared().given_back_bytes.value(), 100u * given_bytes);
}

TEST_F(SweptCacheTest, CountsWhatWasGivenBackWhetherItIsUsedAgainOrForgotten) {
    std::uintptr_t slots[10];
    for (std::uintptr_t& slot : slots)
        slot = address_of(cache.allocate(given_bytes, ObjectKind::conservative, true));
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(cache.give_back(given_shape, slots[i]));
    EXPECT_EQ(heap.shared().given_back_bytes.value(), 0u) << "by the thread, until it has to do more";
    cache.mark_runs();
    EXPECT_EQ(heap.shared().given_back_bytes.value(), 4 * given_bytes);
    for (int i = 4; i < 10; ++i) EXPECT_TRUE(cache.give_back(given_shape, slots[i]));
    EXPECT_EQ(cache.take_returned(given_shape), slots[9]);
    cache.release_all();
    EXPECT_EQ(heap.shared().given_back_bytes.value(), 10 * given_bytes);
    EXPECT_EQ(heap.shared().freed_objects.value(), 1u);
}

TEST_F(SweptCacheTest, PointerFreeSlotsComeBackAsTheyWereButForTheLink) {
    constexpr ShapeId shape = shape_of_class(size_class_of(given_bytes), ObjectKind::noscan);
    void* const object = cache.allocate(given_bytes, ObjectKind::noscan, true);
    std::memset(object, 0xa5, given_bytes);
    EXPECT_TRUE(cache.give_back(shape, address_of(object)));
    EXPECT_EQ(cache.take_returned(shape), address_of(object));
    EXPECT_EQ(static_cast<unsigned char*>(object)[16], 0xa5);
}

TEST_F(SweptCacheTest, AWriteToFreedMemoryLosesTheListAndNothingElse) {
    void* const first = cache.allocate(given_bytes, ObjectKind::conservative, true);
    for (const std::size_t word : {0u, 1u}) {
        void* const second = cache.allocate(given_bytes, ObjectKind::conservative, true);
        ASSERT_TRUE(cache.give_back(given_shape, address_of(first)));
        ASSERT_TRUE(cache.give_back(given_shape, address_of(second)));
        static_cast<std::uintptr_t*>(second)[word] ^= 1;
        EXPECT_EQ(cache.take_returned(given_shape), 0u);
        EXPECT_FALSE(cache.has_returned(given_shape));
        std::memset(first, 0, 16);  // what the next round starts from
    }
    EXPECT_NE(cache.allocate(given_bytes, ObjectKind::conservative, true), nullptr);
}

TEST_F(SweptCacheTest, ACycleForgetsWhatWasGivenBackAndItsSweepFreesIt) {
    void* const kept = keep(cache.allocate(given_bytes, ObjectKind::conservative, true));
    void* const given = cache.allocate(given_bytes, ObjectKind::conservative, true);
    ASSERT_TRUE(cache.give_back(given_shape, address_of(given)));
    heap.begin_cycle({&cache});
    EXPECT_FALSE(cache.has_returned(given_shape));
    EXPECT_FALSE(heap.objects().is_allocated(address_of(given)));
    EXPECT_TRUE(heap.objects().is_allocated(address_of(kept)));
    unsigned times = 0;
    for (unsigned i = 0; i < 3 * size_classes[size_class_of(given_bytes)].objects; ++i)
        times += cache.allocate(given_bytes, ObjectKind::conservative, true) == given;
    EXPECT_EQ(times, 1u) << "by its span";
    heap.sweep_all();
}

TEST_F(SweptCacheTest, WhatWasGivenBackShowsIt) {
    void* const object = cache.allocate(given_bytes, ObjectKind::conservative, true);
    EXPECT_FALSE(SweptCache::was_given_back(address_of(object))) << "zero";
    ASSERT_TRUE(cache.give_back(given_shape, address_of(object)));
    EXPECT_TRUE(SweptCache::was_given_back(address_of(object)));
    EXPECT_FALSE(SweptCache::was_given_back(address_of(object) + given_bytes)) << "its neighbour";
    ASSERT_EQ(cache.take_returned(given_shape), address_of(object));
    EXPECT_FALSE(SweptCache::was_given_back(address_of(object)));
    SweptCache::seal(address_of(object));
    EXPECT_TRUE(SweptCache::was_given_back(address_of(object)));
    EXPECT_FALSE(cache.give_back(given_shape, address_of(object))) << "only its sweep takes it";
    EXPECT_FALSE(cache.has_returned(given_shape));
}

TEST_F(SweptCacheTest, TinyBlocksAreKnown) {
    constexpr ShapeId shape = shape_of_class(size_class_of(tiny_bytes), ObjectKind::noscan);
    EXPECT_FALSE(cache.may_be_tiny_block(shape));
    ASSERT_NE(cache.allocate(3, ObjectKind::noscan, true), nullptr);
    EXPECT_TRUE(cache.may_be_tiny_block(shape));
    EXPECT_FALSE(cache.may_be_tiny_block(given_shape));
}

TEST_F(SweptCacheTest, ZeroesWhatIsDirty) {
    constexpr std::size_t bytes = 512;
    constexpr unsigned size_class = size_class_of(bytes);
    for (const ObjectKind kind : {ObjectKind::noscan, ObjectKind::typed, ObjectKind::conservative}) {
        const unsigned slots = size_classes[size_class].objects;
        void* first = keep(cache.allocate(bytes, kind, true));  // one stays, so that its span stays
        for (unsigned i = 1; i < slots; ++i) std::memset(cache.allocate(bytes, kind, false), 0xff, bytes);
        heap.begin_cycle({&cache});
        auto* again = static_cast<unsigned char*>(cache.allocate(bytes, kind, false));
        EXPECT_EQ(address_of(again), address_of(first) + bytes) << "the swept span, lowest slot first";
        EXPECT_EQ(again[100], kind == ObjectKind::noscan ? 0xff : 0) << "what is scanned is zero";
        again = static_cast<unsigned char*>(cache.allocate(bytes, kind, true));
        for (std::size_t i = 0; i < bytes; ++i) ASSERT_EQ(again[i], 0);
        heap.sweep_all();
    }
}

TEST_F(SweptCacheTest, ZeroedNoscanShapesAreZero) {
    const unsigned shape = zeroed_shape_of_class(5);
    void* first = keep(cache.allocate_shape(shape));
    for (int i = 1; i < 170; ++i) std::memset(cache.allocate_shape(shape), 0xff, 48);
    heap.begin_cycle({&cache});
    auto* again = static_cast<unsigned char*>(cache.allocate_shape(shape));
    EXPECT_EQ(address_of(again), address_of(first) + 48);
    for (int i = 0; i < 48; ++i) ASSERT_EQ(again[i], 0);
}

// While the collector marks, a whole run is marked when it is taken, and the rest of an old one by the
// collector.
TEST_F(SweptCacheTest, AllocatesBlackWhileMarking) {
    const std::uintptr_t white = address_of(cache.allocate(48, ObjectKind::typed, true));
    heap.shared().allocates_black.store(true, std::memory_order_relaxed);
    cache.mark_runs();
    EXPECT_FALSE(heap.objects().is_marked(white)) << "handed out before";
    const std::uintptr_t rest = address_of(cache.allocate(48, ObjectKind::typed, true));
    EXPECT_EQ(rest, white + 48);
    EXPECT_TRUE(heap.objects().is_marked(rest));
    const std::uintptr_t fresh = address_of(cache.allocate(64, ObjectKind::conservative, true));
    EXPECT_TRUE(heap.objects().is_marked(fresh));
    EXPECT_GT(heap.shared().black_bytes.value(), 0u);
    heap.shared().allocates_black.store(false, std::memory_order_relaxed);
}

// The rest of a run stays the thread's through a cycle: it goes on where it was.
TEST_F(SweptCacheTest, GoesOnWithItsRunThroughACycle) {
    const std::uintptr_t first = address_of(keep(cache.allocate(48, ObjectKind::typed, true)));
    heap.shared().allocates_black.store(true, std::memory_order_relaxed);
    cache.mark_runs();
    heap.shared().allocates_black.store(false, std::memory_order_relaxed);
    heap.begin_cycle({&cache});
    const std::uintptr_t second = address_of(cache.allocate(48, ObjectKind::typed, true));
    EXPECT_EQ(second, first + 48);
    EXPECT_TRUE(heap.objects().is_allocated(second));
    EXPECT_FALSE(heap.objects().is_marked(second)) << "marks are gone with the sweep";
}

TEST_F(SweptCacheTest, RefillExchangesFullForFree) {
    constexpr unsigned slots = size_classes[size_class_of(4096)].objects;
    static_assert(slots == 2);
    void* first = cache.allocate(4096, ObjectKind::noscan, false);
    const Span* span = cache.current(shape_of_class(size_class_of(4096), ObjectKind::noscan));
    EXPECT_EQ(span->sweep_generation.load(std::memory_order_relaxed), heap.generation() + 3);
    void* second = cache.allocate(4096, ObjectKind::noscan, false);
    EXPECT_EQ(address_of(second), address_of(first) + 4096);
    EXPECT_EQ(cache.current(shape_of_class(size_class_of(4096), ObjectKind::noscan)), span)
        << "not before one more is asked for";
    (void)cache.allocate(4096, ObjectKind::noscan, false);
    EXPECT_NE(cache.current(shape_of_class(size_class_of(4096), ObjectKind::noscan)), span);
    EXPECT_EQ(span->sweep_generation.load(std::memory_order_relaxed), heap.generation());
    EXPECT_EQ(heap.central(size_class_of(4096), ObjectKind::noscan).population().full_swept, 1u);
    EXPECT_EQ(heap.shared().objects[size_class_of(4096)].value(), 2u);
}

// A cached span counts as used; what it did not use is given back.
TEST_F(SweptCacheTest, LiveBytesExpectTheWholeSpan) {
    base::Counter& live = heap.shared().live_bytes;
    (void)keep(cache.allocate(48, ObjectKind::conservative, false));
    EXPECT_EQ(live.value(), 170u * 48);
    EXPECT_EQ(cache.take_cached_bytes(), 170u * 48);
    EXPECT_EQ(cache.take_cached_bytes(), 0u);
    cache.release_all();
    EXPECT_EQ(live.value(), 48u);
    (void)keep(cache.allocate(48, ObjectKind::conservative, false));
    EXPECT_EQ(live.value(), 170u * 48) << "169 more: one slot is counted already";
    EXPECT_EQ(cache.take_cached_bytes(), 169u * 48);
    cache.release_all();
    EXPECT_EQ(heap.shared().allocated_bytes.value(), 96u);
}

TEST_F(SweptCacheTest, SweepsItsSpansAtTheEndOfACycle) {
    (void)cache.allocate(100, ObjectKind::typed, false);
    heap.begin_cycle({&cache});
    EXPECT_EQ(heap.sweeps, 1u);
    EXPECT_EQ(heap.freed_spans, 0u) << "it stays cached";
    const Span* span = cache.current(shape_of_class(size_class_of(100), ObjectKind::typed));
    ASSERT_NE(span, nullptr);
    EXPECT_EQ(span->sweep_generation.load(std::memory_order_relaxed), heap.generation() + 3);
    EXPECT_EQ(span->alloc_count, span->slots - 1) << "the object is gone, the rest of the run is not";
}

TEST_F(SweptCacheTest, FlushCountsKeepsSpans) {
    (void)cache.allocate(64, ObjectKind::noscan, false);
    (void)cache.allocate(64, ObjectKind::noscan, false);
    cache.flush_counts();
    EXPECT_EQ(heap.shared().objects[size_class_of(64)].value(), 2u);
    EXPECT_NE(cache.current(shape_of_class(size_class_of(64), ObjectKind::noscan)), nullptr);
    (void)cache.allocate(64, ObjectKind::noscan, false);
    cache.release_all();
    EXPECT_EQ(heap.shared().objects[size_class_of(64)].value(), 3u);
    EXPECT_EQ(heap.shared().allocated_bytes.value(), 192u);
}

TEST_F(SweptCacheTest, SamplesByBytes) {
    heap.shared().sample_mean.store(64 * 1024, std::memory_order_relaxed);
    for (int i = 0; i < 100'000; ++i) (void)cache.allocate(1024, ObjectKind::noscan, false);
    // 100,000 KiB at one a 64 KiB: 1562 expected, deviation 40; a run gives one sample at most.
    EXPECT_NEAR(static_cast<double>(heap.samples.size()), 1500, 220);
    for (const auto& [object, bytes] : heap.samples) ASSERT_EQ(bytes, 1024u);
}

TEST_F(SweptCacheTest, SampleRateZeroAndOne) {
    heap.shared().sample_mean.store(0, std::memory_order_relaxed);
    SweptCache never;
    ASSERT_TRUE(never.attach(heap.centrals(), nullptr, 3));
    for (int i = 0; i < 1000; ++i) (void)never.allocate(32768, ObjectKind::noscan, false);
    EXPECT_EQ(heap.samples.size(), 0u);
    never.release_all();
    heap.shared().sample_mean.store(1, std::memory_order_relaxed);
    SweptCache always;
    ASSERT_TRUE(always.attach(heap.centrals(), nullptr, 3));
    for (int i = 0; i < 100; ++i) (void)always.allocate(8, ObjectKind::noscan, false);
    EXPECT_EQ(heap.samples.size(), 1u) << "runs, not pieces";
    always.release_all();
}

// ---- threads ------------------------------------------------------------------------------------

// One thread's part: it allocates and drops, and looks at what it holds.
class Mutator {
public:
    Mutator(TestHeap& heap, unsigned seed) : heap_(heap), random_(seed) {
        EXPECT_TRUE(cache.attach(heap.centrals(), nullptr, seed));
    }

    // Needs: the world runs.
    void work() {
        for (int n = 0; n < 20; ++n) {
            if (objects_.size() > 200 || (random_() % 3 == 0 && !objects_.empty())) drop();
            else allocate();
        }
    }
    void end() {
        while (!objects_.empty()) drop();
        cache.release_all();
    }

    SweptCache cache;

private:
    struct Object {
        unsigned char* at;
        std::size_t bytes;
        unsigned char fill;
    };

    void allocate() {
        const std::size_t bytes = 1 + random_() % (random_() % 8 == 0 ? 8000 : 200);
        const auto kind = static_cast<ObjectKind>(1 + random_() % swept_kind_count);
        auto* at = static_cast<unsigned char*>(cache.allocate(bytes, kind, true));
        ASSERT_NE(at, nullptr);
        for (std::size_t i = 0; i < bytes; ++i) ASSERT_EQ(at[i], 0);
        const auto fill = static_cast<unsigned char>(random_() | 1);
        std::memset(at, fill, bytes);
        heap_.set_alive(at, true);
        objects_.push_back({at, bytes, fill});
    }

    void drop() {
        std::swap(objects_[random_() % objects_.size()], objects_.back());
        const Object object = objects_.back();
        objects_.pop_back();
        heap_.set_alive(object.at, false);
        for (std::size_t i = 0; i < object.bytes; ++i) ASSERT_EQ(object.at[i], object.fill);
    }

    TestHeap& heap_;
    std::mt19937 random_;
    std::vector<Object> objects_;
};

// Four threads through cycles; a lock for reading and writing plays the stopped world.
TEST(SweptCacheThreads, KeepTheirObjectsThroughCycles) {
    TestHeap& heap = TestHeap::make();
    constexpr int rounds = base::sanitized_build ? 400 : 3000;
    std::shared_mutex world;
    std::vector<std::unique_ptr<Mutator>> mutators;
    for (unsigned t = 0; t < 4; ++t) mutators.push_back(std::make_unique<Mutator>(heap, t + 1));
    std::vector<std::thread> threads;
    for (auto& mutator : mutators) {
        threads.emplace_back([&] {
            for (int i = 0; i < rounds; ++i) {
                std::shared_lock running_world(world);
                mutator->work();
            }
            std::shared_lock running_world(world);
            mutator->end();
        });
    }
    const auto cycle = [&] {
        heap.sweep_all();
        for (auto& mutator : mutators) mutator->cache.mark_runs();
        heap.begin_cycle();
        for (auto& mutator : mutators) mutator->cache.sweep_stale();
    };
    for (int i = 0; i < 30; ++i) {
        {
            std::unique_lock stopped_world(world);
            cycle();
        }
        while (true) {  // in the background
            std::shared_lock running_world(world);
            if (!heap.sweep_one()) break;
        }
    }
    for (std::thread& thread : threads) thread.join();
    cycle();
    cycle();
    heap.sweep_all();
    EXPECT_EQ(heap.spans.in_use_bytes(), 0u) << "nothing is alive";
    heap.centrals().verify();
    heap.spans.verify();
}

}  // namespace
}  // namespace cairn::heap
