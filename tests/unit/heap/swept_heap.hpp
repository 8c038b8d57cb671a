// A heap of swept kinds with a stand-in for the collector: what is alive is a set of addresses the test
// keeps.
//
// Hooks are plain functions, so one such heap is current at a time; its storage is kept for good, as a real
// one's.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "heap/central.hpp"
#include "heap/swept_cache.hpp"

namespace cairn::heap {

class SweptHeap {
public:
    static SweptHeap& make(const SpanAllocSettings& settings = {}) {
        static std::vector<std::unique_ptr<SweptHeap>> all;
        all.push_back(std::unique_ptr<SweptHeap>(new SweptHeap));
        current = all.back().get();
        EXPECT_TRUE(current->spans.initialize(settings, hooks));
        current->centrals.initialize(current->spans);
        return *current;
    }

    std::uint32_t generation() const { return spans.sweep_generation.load(std::memory_order_relaxed); }
    Central& central(unsigned size_class, ObjectKind kind) { return centrals.of(size_class, kind); }

    // The collector's part at the end of marking: every swept span becomes unswept. Needs: all swept, caches
    // flushed.
    void begin_cycle() {
        for_each_central([](Central& central) { central.reset_unswept(); });
        spans.sweep_generation.store(generation() + 2, std::memory_order_relaxed);
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
        for (std::size_t kind = 0; kind < swept_kind_count; ++kind)
            for (unsigned c = 0; c < size_class_count; ++c)
                f(centrals.of(c,
                              static_cast<ObjectKind>(static_cast<std::size_t>(ObjectKind::noscan) + kind)));
    }

    void set_alive(const void* object, bool is_alive) {
        std::lock_guard guard(mutex);
        if (is_alive) alive.insert(reinterpret_cast<std::uintptr_t>(object));
        else alive.erase(reinterpret_cast<std::uintptr_t>(object));
    }

    SpanAlloc spans;
    Centrals centrals;
    std::mutex mutex;                // of what follows
    std::set<std::uintptr_t> alive;  // addresses of live objects; any inside a slot keeps the slot
    std::uint64_t sweeps = 0;
    std::uint64_t freed_slots = 0;
    std::uint64_t freed_spans = 0;
    std::uint64_t reclaimed_bytes = 0;
    std::uint64_t reclaim_pages = 0;
    std::uint64_t allocated_bytes = 0;
    std::vector<std::pair<void*, std::size_t>> samples;

    static inline SweptHeap* current = nullptr;
    static const Hooks hooks;

private:
    SweptHeap() = default;

    void count_reclaim(std::size_t bytes, std::size_t pages) {
        std::lock_guard guard(mutex);
        reclaimed_bytes += bytes;
        reclaim_pages += pages;
    }
    void count_allocated(std::size_t bytes) {
        std::lock_guard guard(mutex);
        allocated_bytes += bytes;
    }

    // A sweep with the test's set for the mark bits.
    std::size_t sweep(Span& span, bool keep) {
        EXPECT_EQ(span.sweep_generation.load(std::memory_order_relaxed), generation() - 1);
        std::uint64_t bits[Span::max_bit_words] = {};
        unsigned count = 0;
        {
            std::lock_guard guard(mutex);
            for (unsigned slot = 0; slot < span.slots; ++slot) {
                const auto first = alive.lower_bound(span.slot_address(slot));
                if (first == alive.end() || *first >= span.slot_address(slot) + span.slot_bytes) continue;
                EXPECT_FALSE(span.is_slot_free(slot)) << "a live object in a free slot";
                bits[slot / 64] |= std::uint64_t{1} << slot % 64;
                ++count;
            }
        }
        const std::size_t freed = span.alloc_count - count;
        EXPECT_LE(count, span.alloc_count);
        std::copy(bits, bits + span.bit_words(), span.alloc_bits);
        span.alloc_count = static_cast<std::uint16_t>(count);
        span.free_index = 0;
        span.refill_alloc_cache(0);
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
        else centrals.of(span).place_swept(&span);
        return freed;
    }
};

inline constinit const Hooks SweptHeap::hooks{
    .sweep = [](Span& span, bool keep) { return current->sweep(span, keep); },
    .reclaim = [](std::size_t bytes, std::size_t pages) { current->count_reclaim(bytes, pages); },
    .allocated = [](std::size_t bytes) { current->count_allocated(bytes); },
    .sampled =
        [](void* object, std::size_t bytes) {
            std::lock_guard guard(current->mutex);
            current->samples.emplace_back(object, bytes);
        }};

}  // namespace cairn::heap
