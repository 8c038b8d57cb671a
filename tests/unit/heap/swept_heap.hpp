// A heap of swept kinds with a stand-in for the collector: what is alive is a set of addresses the test
// keeps.
//
// Hooks are plain functions, so one such heap is current at a time; its storage is kept for good, as a real
// one's.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "heap/swept_heap.hpp"

namespace cairn::heap {

class TestHeap {
public:
    static TestHeap& make(const SpanAllocSettings& settings = {}) {
        static std::vector<std::unique_ptr<TestHeap>> all;
        all.push_back(std::unique_ptr<TestHeap>(new TestHeap));
        current = all.back().get();
        EXPECT_TRUE(current->spans.initialize(settings, hooks));
        EXPECT_TRUE(current->swept.start(current->spans));
        return *current;
    }

    Centrals& centrals() { return swept.centrals(); }
    SweptShared& shared() { return swept.shared(); }
    const pages::ObjectMap& objects() const { return spans.objects(); }
    std::uint32_t generation() const { return spans.sweep_generation.load(std::memory_order_relaxed); }
    Central& central(unsigned size_class, ObjectKind kind) {
        return centrals().of(shape_of_class(size_class, kind));
    }

    // A cycle up to the end of marking: every swept span becomes unswept, those of `caches` are swept at
    // once. Needs: all swept.
    void begin_cycle(std::initializer_list<SweptCache*> caches = {}) {
        for (SweptCache* cache : caches) cache->mark_runs();
        for_each_central([](Central& central) { central.reset_unswept(); });
        spans.sweep_generation.store(generation() + 2, std::memory_order_relaxed);
        for (SweptCache* cache : caches) cache->sweep_stale();
    }

    // Sweeps one span; false when nothing is left.
    bool sweep_one() {
        bool is_found = false;
        for_each_central([&](Central& central) {
            if (is_found) return;
            while (Span* span = central.pop_unswept()) {
                if (!try_acquire_for_sweep(*span, generation())) continue;
                hooks.sweep(*span, false);
                is_found = true;
                return;
            }
        });
        return is_found;
    }
    void sweep_all() {
        while (sweep_one()) {
        }
    }

    template <class F>
    void for_each_central(F f) {
        for (unsigned shape = 0; shape < centrals().shapes().count(); ++shape) f(centrals().of(shape));
    }

    void set_alive(const void* object, bool is_alive) {
        std::lock_guard guard(mutex);
        if (is_alive) alive.insert(reinterpret_cast<std::uintptr_t>(object));
        else alive.erase(reinterpret_cast<std::uintptr_t>(object));
    }

    SpanAlloc spans;
    SweptHeap swept;
    std::mutex mutex;                // of what follows
    std::set<std::uintptr_t> alive;  // addresses of live objects; any inside a slot keeps the slot
    std::uint64_t sweeps = 0;
    std::uint64_t freed_slots = 0;
    std::uint64_t freed_spans = 0;
    std::uint64_t reclaimed_bytes = 0;
    std::uint64_t reclaim_pages = 0;
    std::vector<std::pair<void*, std::size_t>> samples;

    static inline TestHeap* current = nullptr;
    static const Hooks hooks;

private:
    TestHeap() = default;

    void count_reclaim(std::size_t bytes, std::size_t pages) {
        std::lock_guard guard(mutex);
        reclaimed_bytes += bytes;
        reclaim_pages += pages;
    }

    // A sweep with the test's set for the marks; marks that are set count too, as those of a cache's run.
    std::size_t sweep(Span& span, bool keep) {
        EXPECT_EQ(span.sweep_generation.load(std::memory_order_relaxed), generation() - 1);
        unsigned count = 0;
        {
            std::lock_guard guard(mutex);
            for (unsigned slot = 0; slot < span.slots; ++slot) {
                const std::uintptr_t start = span.slot_address(slot);
                const auto first = alive.lower_bound(start);
                const bool is_alive = first != alive.end() && *first < start + span.slot_bytes;
                if (is_alive) EXPECT_TRUE(objects().is_allocated(start)) << "a live object in a free slot";
                if (is_alive || objects().is_marked(start)) ++count;
                else if (objects().is_allocated(start)) objects().clear_run(start, 1, pages::granule_bytes);
                objects().pair(start).marked.fetch_and(~pages::ObjectMap::bit(start));
            }
        }
        const std::size_t freed = span.alloc_count - count;
        EXPECT_LE(count, span.alloc_count);
        span.alloc_count = static_cast<std::uint16_t>(count);
        span.free_index = 0;
        if (freed > 0) span.needs_zero = true;
        {
            std::lock_guard guard(mutex);
            ++sweeps;
            freed_slots += freed;
            if (!keep && count == 0) ++freed_spans;
        }
        span.sweep_generation.store(generation(), std::memory_order_release);
        if (keep) return freed;
        if (count == 0) spans.free(&span);
        else centrals().of(span).place_swept(&span);
        return freed;
    }
};

inline constinit const Hooks TestHeap::hooks{
    .sweep = [](Span& span, bool keep) { return current->sweep(span, keep); },
    .reclaim = [](std::size_t bytes, std::size_t pages) { current->count_reclaim(bytes, pages); },
    .sampled =
        [](void* object, std::size_t bytes) {
            std::lock_guard guard(current->mutex);
            current->samples.emplace_back(object, bytes);
        }};

}  // namespace cairn::heap
