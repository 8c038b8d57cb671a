// The whole heap on both layouts: magazines, remote frees, large objects, ends of threads, fork, counts.
// SPDX-License-Identifier: MIT
#include "heap/heap.hpp"

#include <algorithm>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "unit/heap/malloc_heap.hpp"

namespace cairn::heap {
namespace {

constexpr unsigned class_48 = 5;

class HeapTest : public HeapOnLayout {
public:
    std::vector<void*> allocate_many(ThreadCache& from, std::size_t bytes, unsigned count) {
        std::vector<void*> objects;
        for (unsigned i = 0; i < count; ++i) objects.push_back(heap.allocate(from, bytes));
        return objects;
    }
    void free_many(ThreadCache& to, const std::vector<void*>& objects) {
        for (void* object : objects) heap.free(to, object);
    }
    std::uint32_t capacity(unsigned size_class) const { return cache->history[size_class].capacity; }
    // The magazine of the class runs full and empty `rounds` times.
    void swing(std::size_t bytes, unsigned count, unsigned rounds) {
        for (unsigned i = 0; i < rounds; ++i) free_many(*cache, allocate_many(*cache, bytes, count));
    }
    Span* span_of(void* object) { return heap->spans().span_of(address_of(object)); }
};

// ---- magazines

TEST_P(HeapTest, TheFirstCallRefillsHalfASmallMagazine) {
    void* object = allocate(48);
    ASSERT_NE(object, nullptr);
    EXPECT_LE(capacity(class_48), 32u);
    EXPECT_EQ(cache->count_of(class_48), capacity(class_48) / 2 - 1);
    free(object);
    end();
}

TEST_P(HeapTest, FreshObjectsAscend) {
    const std::vector<void*> objects = allocate_many(*cache, 48, 10);
    for (std::size_t i = 1; i < objects.size(); ++i) EXPECT_EQ(at_offset(objects[i - 1], 48), objects[i]);
    free_many(*cache, objects);
    end();
}

TEST_P(HeapTest, AThreadThatOnlyTakesKeepsAShortMagazine) {
    const std::vector<void*> objects = allocate_many(*cache, 48, 5000);
    EXPECT_LE(capacity(class_48), 64u);
    free_many(*other, objects);
    EXPECT_LE(other->history[class_48].capacity, 64u) << "and one that only gives";
    end();
}

TEST_P(HeapTest, AMagazineGrowsWhenItsThreadGoesBothWays) {
    swing(48, 3000, 20);
    EXPECT_GE(capacity(class_48), 1000u);
    EXPECT_LE(capacity(class_48), 1024u);
    heap->verify();
    end();
}

TEST_P(HeapTest, MagazinesOfLargeSlotsAreBoundedInBytes) {
    swing(32768, 200, 20);
    EXPECT_LE(capacity(67), 32u);  // 1 MiB
    swing(8192, 500, 20);
    EXPECT_LE(cache->magazine_bytes, 8 * mib);
    end();
}

TEST_P(HeapTest, TheBudgetOfAThreadIsKeptByEmptyingIdleMagazines) {
    // Each alone would fill a small heap's budget of 2 MiB.
    for (const std::size_t bytes : {1024, 2048, 4096, 8192, 16384}) swing(bytes, 2 * mib / bytes, 12);
    std::size_t sum = 0;
    unsigned filled = 0;
    for (unsigned c = 1; c < size_class_count; ++c) {
        sum += capacity(c) * size_classes[c].object_bytes;
        if (capacity(c) != 0) ++filled;
        EXPECT_EQ(cache->bins[c].end == nullptr, capacity(c) == 0);
    }
    EXPECT_EQ(sum, cache->magazine_bytes);
    EXPECT_LE(sum, 2 * mib + 64 * kib) << "first magazines are free of charge";
    EXPECT_LT(filled, 5u);
    heap->verify();
    end();
}

TEST_P(HeapTest, FlushedMagazinesStartAgain) {
    free(allocate(48));
    const std::uint32_t first = capacity(class_48);
    swing(48, 3000, 20);
    heap->flush(*cache);
    EXPECT_EQ(capacity(class_48), 0u);
    EXPECT_EQ(cache->magazine_bytes, 0u);
    EXPECT_EQ(cache->count_of(class_48), 0u);
    free(allocate(48));
    EXPECT_EQ(capacity(class_48), first);
    end();
}

TEST_P(HeapTest, EveryRequestGetsItsClassAndAlignment) {
    for (std::size_t bytes = 0; bytes <= max_small_bytes; bytes += bytes < 2048 ? 1 : 97) {
        void* object = allocate(bytes);
        ASSERT_NE(object, nullptr);
        const std::size_t usable = heap.usable(*cache, object);
        EXPECT_EQ(usable, size_classes[malloc_class_of(bytes)].object_bytes);
        EXPECT_GE(usable, bytes);
        EXPECT_EQ(address_of(object) % (bytes > 8 ? 16 : 8), 0u);
        std::memset(object, 0xaa, usable);
        free(object);
    }
    end();
}

// ---- threads

TEST_P(HeapTest, ASlotOfOneThreadIsFreedByAnother) {
    const std::vector<void*> objects = allocate_many(*cache, 48, 10);
    free_many(*other, objects);
    EXPECT_EQ(other->count_of(class_48), 10u);
    EXPECT_EQ(heap.allocate(*other, 48), objects.back());
    heap.free(*other, objects.back());
    const Heap::ClassUsage usage = heap->usage_of(class_48);
    EXPECT_EQ(usage.allocations, 11u);
    EXPECT_EQ(usage.frees, 11u);
    EXPECT_EQ(usage.live, 0u);
    end();
}

TEST_P(HeapTest, ProducerAndConsumerReuseMemory) {
    for (int round = 0; round < 200; ++round) free_many(*other, allocate_many(*cache, 256, 500));
    EXPECT_LT(heap->spans().in_use_bytes(), 2 * mib);
    heap->verify();
    end();
}

TEST_P(HeapTest, DetachGivesEverythingBack) {
    heap->detach(other);
    void* stays = allocate(48);
    heap->flush(*cache);
    heap->drain(true);
    const SpanAlloc::Usage before = heap->spans().usage();
    for (int round = 0; round < 50; ++round) {
        ThreadCache* thread = heap->attach();
        for (const std::size_t bytes : {8u, 48u, 1000u, 8192u, 32768u}) {
            free_many(*thread, allocate_many(*thread, bytes, 300));
        }
        heap.free(*thread, heap.allocate(*thread, mib));
        heap->detach(thread);
    }
    heap->drain(true);
    const SpanAlloc::Usage after = heap->spans().usage();
    EXPECT_EQ(after.in_use_bytes, before.in_use_bytes);
    EXPECT_EQ(after.in_use_spans, before.in_use_spans);
    EXPECT_EQ(heap->thread_count(), 1u);
    EXPECT_EQ(heap->usage_of(class_48).allocations, 50u * 300 + 1);
    EXPECT_EQ(heap->usage_of(class_48).frees, 50u * 300);
    EXPECT_EQ(heap->large_usage().allocations, 50u);
    EXPECT_EQ(heap->large_usage().frees, 50u);
    free(stays);
    other = heap->attach();
    end();
}

TEST_P(HeapTest, CachesOfEndedThreadsAreReused) {
    ThreadCache* first = heap->attach();
    heap->detach(first);
    const std::uint64_t mapped = heap->spans().metadata().mapped_bytes();
    for (int i = 0; i < 100; ++i) {
        ThreadCache* next = heap->attach();
        EXPECT_EQ(next, first);
        EXPECT_EQ(next->key, heap->key());
        EXPECT_EQ(next->calls_of(class_48), 0u);
        heap->detach(next);
    }
    EXPECT_EQ(heap->spans().metadata().mapped_bytes(), mapped);
}

// Before a thread's first and after its last cache: blank and retired ones.
TEST_P(HeapTest, WorksWithoutACache) {
    ThreadCache blank;
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{48}, std::size_t{32768}, mib}) {
        void* object = heap.allocate(blank, bytes);
        ASSERT_NE(object, nullptr);
        std::memset(object, 1, bytes);
        EXPECT_GE(heap.usable(blank, object), bytes);
        heap.free(blank, object);
        heap.free(blank, heap.allocate(*cache, bytes));
        free(heap.allocate(blank, bytes));
    }
    EXPECT_EQ(heap->usage_of(class_48).allocations, 3u);
    EXPECT_EQ(heap->usage_of(class_48).frees, 3u);
    EXPECT_EQ(heap->large_usage().allocations, 3u);
    EXPECT_EQ(heap->large_usage().frees, 3u);
    EXPECT_EQ(blank.parked_count, 0u);
    EXPECT_EQ(blank.magazine_bytes, 0u);
    end();
}

TEST_P(HeapTest, AfterForkTheChildGetsTheOtherThreadsSlotsBack) {
    const std::vector<void*> mine = allocate_many(*cache, 48, 100);
    const std::vector<void*> theirs = allocate_many(*other, 48, 1000);
    free_many(*other, theirs);
    void* parked = heap.allocate(*other, mib);
    heap.free(*other, parked);
    heap->lock_all();
    heap->reset_after_fork(cache);  // as in a child: `other`'s thread does not exist
    EXPECT_EQ(heap->thread_count(), 1u);
    EXPECT_EQ(heap->usage_of(class_48).allocations, 1100u) << "what is not reclaimed yet is counted";
    EXPECT_EQ(heap->large_usage().allocations, 1u);
    heap->drain(true);
    EXPECT_EQ(heap->usage_of(class_48).allocations, 1100u);
    EXPECT_EQ(heap->usage_of(class_48).frees, 1000u);
    EXPECT_EQ(heap->large_usage().frees, 1u);
    heap->verify();
    free_many(*cache, mine);
    other = heap->attach();
    end();
}

TEST_P(HeapTest, AfterForkTheFirstRefillReclaims) {
    free_many(*other, allocate_many(*other, 48, 2000));
    heap->lock_all();
    heap->reset_after_fork(cache);
    const std::uint64_t spans = heap->usage_of(class_48).spans;
    free_many(*cache, allocate_many(*cache, 48, 2000));
    EXPECT_EQ(heap->usage_of(class_48).spans, spans) << "no new span while the orphans have slots";
    other = heap->attach();
    end();
}

TEST_P(HeapTest, TheParentGoesOnAfterFork) {
    void* object = allocate(48);
    heap->lock_all();
    heap->unlock_all();
    free(object);
    free(allocate(mib));
    end();
}

// ---- counts

TEST_P(HeapTest, CountsAreExact) {
    std::vector<void*> live;
    std::uint64_t allocations = 0;
    std::uint64_t frees = 0;
    for (unsigned i = 0; i < 20000; ++i) {
        ThreadCache& thread = i % 3 == 0 ? *other : *cache;
        if (i * 2654435761u >> 30 != 0 || live.empty()) {
            live.push_back(heap.allocate(thread, 33 + i % 16));
            ++allocations;
        } else {
            heap.free(thread, live.back());
            live.pop_back();
            ++frees;
        }
        if (i % 5000 == 4999) {
            const Heap::ClassUsage usage = heap->usage_of(class_48);
            EXPECT_EQ(usage.allocations, allocations);
            EXPECT_EQ(usage.frees, frees);
            EXPECT_EQ(usage.live, live.size());
            heap->flush(i % 2 == 0 ? *other : *cache);
        }
    }
    const Heap::ClassUsage usage = heap->usage_of(class_48);
    EXPECT_GE(usage.peak_out, live.size());
    EXPECT_GE(usage.requests, 1u);
    EXPECT_GE(usage.requested_bytes / usage.requests, 33u);
    EXPECT_LE(usage.requested_bytes / usage.requests, 48u);
    free_many(*cache, live);
    end();
}

unsigned samples = 0;

TEST_P(HeapTest, TheCountdownCallsTheSampleHook) {
    static constexpr Hooks hooks{.sampled = [](void* object, std::size_t bytes) {
        EXPECT_NE(object, nullptr);
        EXPECT_EQ(bytes, 48u);
        ++samples;
    }};
    samples = 0;
    ASSERT_NO_FATAL_FAILURE(start({}, hooks));
    std::vector<void*> objects;
    for (unsigned i = 0; i < 100; ++i) {
        if (i % 10 == 5) {  // the next but one is the event, wherever the magazine stands
            BinHistory& history = cache->history[class_48];
            history.calls = cache->calls_of(class_48);
            cache->bins[class_48].calls_left = history.calls_set = 2;
        }
        objects.push_back(allocate(48));
    }
    EXPECT_EQ(samples, 10u);
    EXPECT_EQ(std::set<void*>(objects.begin(), objects.end()).size(), 100u);
    EXPECT_EQ(heap->usage_of(class_48).allocations, 100u);
    free_many(*cache, objects);
    end();
}

TEST_P(HeapTest, VerifyOftenFindsNothingInAGoodHeap) {
    Heap::Settings settings;
    settings.verify_often = true;
    ASSERT_NO_FATAL_FAILURE(start(settings));
    EXPECT_TRUE(heap->verifies_often());
    swing(48, 500, 5);
    end();
}

// ---- large objects

TEST_P(HeapTest, ALargeObjectIsItsOwnPages) {
    for (const std::size_t bytes : {max_small_bytes + 1, 5 * page_bytes, mib - 1, mib, mib + 1, 80 * mib}) {
        void* object = allocate(bytes);
        ASSERT_NE(object, nullptr);
        EXPECT_EQ(address_of(object) % page_bytes, 0u);
        EXPECT_EQ(heap.usable(*cache, object), (bytes + page_bytes - 1) / page_bytes * page_bytes);
        *at_offset(object, static_cast<std::ptrdiff_t>(bytes) - 1) = 1;
        free(object);
    }
    EXPECT_EQ(heap->large_usage().allocations, 6u);
    end();
}

TEST_P(HeapTest, ALargeObjectFreedLatelyIsTakenAgain) {
    void* object = allocate(mib);
    free(object);
    EXPECT_EQ(cache->parked_count, 1u);
    EXPECT_EQ(allocate(mib - mib / 16), object) << "an eighth longer is near enough";
    EXPECT_EQ(heap.usable(*cache, object), mib);
    free(object);
    void* small = allocate(mib / 2);
    EXPECT_NE(small, object);
    free(small);
    EXPECT_EQ(cache->parked_count, 2u);
    EXPECT_EQ(heap->large_usage().bytes, mib * 5 / 2);
    end();
}

TEST_P(HeapTest, ParkedObjectsAreFewAndSmall) {
    free_many(*cache, allocate_many(*cache, 40 * kib, 20));
    EXPECT_EQ(cache->parked_count, ThreadCache::parked_limit);
    free_many(*cache, allocate_many(*cache, mib, 6));
    EXPECT_LE(cache->parked_pages * page_bytes, 2 * mib);
    const unsigned parked = cache->parked_count;
    free(allocate(4 * mib));
    EXPECT_EQ(cache->parked_count, parked) << "too long to park";
    heap->verify();
    heap->flush(*cache);
    EXPECT_EQ(cache->parked_count, 0u);
    EXPECT_EQ(cache->parked_pages, 0u);
    end();
}

TEST_P(HeapTest, IsZeroedIsRight) {
    bool is_zeroed = false;
    void* object = heap->allocate_large(*cache, 10 * mib, 1, is_zeroed);
    EXPECT_TRUE(is_zeroed) << "fresh";
    std::memset(object, 0xee, 10 * mib);
    free(object);
    EXPECT_EQ(heap->allocate_large(*cache, 10 * mib, 1, is_zeroed), object);
    EXPECT_FALSE(is_zeroed) << "reused";
    free(object);
    (void)heap->spans().scavenge(UINT64_MAX / 2, true);
    EXPECT_EQ(heap->allocate_large(*cache, 10 * mib, 1, is_zeroed), object);
    EXPECT_TRUE(is_zeroed) << "returned to the OS in between";
    for (std::size_t at = 0; at < 10 * mib; at += 4096) ASSERT_EQ(*at_offset(object, at), 0);
    free(object);
    void* parked = allocate(mib);
    free(parked);
    EXPECT_EQ(heap->allocate_large(*cache, mib, 1, is_zeroed), parked);
    EXPECT_FALSE(is_zeroed) << "parked";
    free(parked);
    end();
}

TEST_P(HeapTest, ResizesInPlace) {
    void* object = allocate(4 * mib);
    ASSERT_TRUE(heap->resize_in_place(object, mib));
    EXPECT_EQ(heap.usable(*cache, object), mib);
    ASSERT_TRUE(heap->resize_in_place(object, 3 * mib));
    EXPECT_EQ(heap.usable(*cache, object), 3 * mib);
    std::memset(object, 1, 3 * mib);
    heap->verify();
    void* behind = allocate(mib);
    EXPECT_EQ(behind, at_offset(object, 3 * mib));
    EXPECT_FALSE(heap->resize_in_place(object, 4 * mib));
    EXPECT_FALSE(heap->resize_in_place(object, max_request_bytes + 1));
    void* small = allocate(48);
    EXPECT_FALSE(heap->resize_in_place(small, 100));
    free(behind);
    EXPECT_TRUE(heap->resize_in_place(object, 4 * mib) || cache->parked_count == 1);
    free(small);
    free(object);
    end();
}

TEST_P(HeapTest, AlignedObjectsAreAligned) {
    for (std::size_t alignment = 8; alignment <= 64 * mib; alignment *= 2) {
        SCOPED_TRACE(alignment);
        std::vector<void*> objects;
        for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{100}, std::size_t{5000},
                                        std::size_t{40000}, alignment}) {
            void* object = heap.allocate_aligned(*cache, bytes, alignment);
            ASSERT_NE(object, nullptr);
            EXPECT_EQ(address_of(object) % alignment, 0u);
            EXPECT_GE(heap.usable(*cache, object), bytes);
            std::memset(object, 1, std::min(bytes, mib));
            objects.push_back(object);
        }
        heap->verify();
        free_many(*cache, objects);
    }
    end();
}

TEST_P(HeapTest, AbsurdRequestsAreRefusedAndCostNothing) {
    const std::uint64_t in_use = heap->spans().in_use_bytes();
    bool is_zeroed = false;
    for (const std::size_t bytes : {max_request_bytes + 1, SIZE_MAX / 2, SIZE_MAX - page_bytes, SIZE_MAX}) {
        EXPECT_EQ(heap->allocate_large(*cache, bytes, 1, is_zeroed), nullptr);
    }
    EXPECT_EQ(heap->allocate_large(*cache, 1, std::size_t{1} << 63, is_zeroed), nullptr);
    EXPECT_EQ(heap->allocate_large(*cache, 1, max_request_bytes * 2, is_zeroed), nullptr);
    EXPECT_EQ(heap->spans().in_use_bytes(), in_use);
    EXPECT_EQ(heap->large_usage().allocations, 0u);
    void* object = allocate(48);
    EXPECT_NE(object, nullptr);
    free(object);
    end();
}

TEST_P(HeapTest, ReallocKeepsContents) {
    auto* text = static_cast<char*>(allocate(10));
    std::memcpy(text, "cairn", 6);
    for (const std::size_t bytes : {100u, 5000u, 40000u, 4000000u, 200000u, 33000u, 600u, 8u}) {
        text = static_cast<char*>(heap.reallocate(*cache, text, bytes));
        ASSERT_NE(text, nullptr);
        EXPECT_STREQ(text, "cairn");
    }
    free(text);
    end();
}

CAIRN_ON_BOTH_LAYOUTS(HeapTest);

}  // namespace
}  // namespace cairn::heap
