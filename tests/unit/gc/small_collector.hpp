// A collector small enough to be seen through: the real heap, marker, sweeper and finalizer, driven step by
// step by a test, with roots the test names and stops by a lock that test threads hold while they touch the
// heap.
//
// Hooks are plain functions, so one is current at a time; its storage is kept for good, as a real one's.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "gc/finalize.hpp"
#include "gc/marker.hpp"
#include "gc/sweeper.hpp"
#include "heap/swept_heap.hpp"

namespace cairn::gc {

class SmallCollector {
public:
    static SmallCollector& make(const RunnerEnvironment& environment = plain_environment,
                                const heap::SpanAllocSettings& settings = {}, bool poisons = false) {
        static std::vector<std::unique_ptr<SmallCollector>> all;
        all.push_back(std::unique_ptr<SmallCollector>(new SmallCollector));
        current = all.back().get();
        current->start(environment, settings, poisons);
        return *current;
    }

    // ---- the program's side

    static constexpr heap::ObjectKind conservative = heap::ObjectKind::conservative;
    void** allocate(std::size_t words = 2, heap::ObjectKind kind = conservative) {
        return allocate_from(cache, words, kind);
    }
    static void** allocate_from(heap::SweptCache& from, std::size_t words, heap::ObjectKind kind) {
        return static_cast<void**>(from.allocate(words * sizeof(void*), kind, true));
    }
    // `bytes` in a span of its own.
    void** allocate_large(std::size_t bytes, heap::ObjectKind kind = conservative) {
        heap::Span* span = heap.make_large(bytes, 8192, heap::shape_of_class(0, kind), nullptr);
        EXPECT_NE(span, nullptr);
        return static_cast<void**>(heap.publish_large(span));
    }
    bool is_allocated(const void* object) const {
        return static_cast<bool>(object_at(spans, spans.objects(), reinterpret_cast<std::uintptr_t>(object)));
    }
    std::size_t cleanups_and_finalizers() {
        return finalizer.specials().in_use(heap::SpecialKind::cleanup) +
               finalizer.specials().in_use(heap::SpecialKind::finalizer);
    }

    // While it lives no test thread is inside.
    class Stop {
    public:
        explicit Stop(SmallCollector& collector) : collector_(collector) {
            // Or threads that come and go would keep it out for ever.
            collector_.stops_wanted.fetch_add(1);
            collector_.world.lock();
        }
        ~Stop() {
            collector_.stops_wanted.fetch_sub(1);
            collector_.world.unlock();
        }

    private:
        SmallCollector& collector_;
    };

    // ---- a cycle in its parts; each stop takes `world` exclusively

    void begin_mark() {
        const Stop stop(*this);
        heap.shared().allocates_black.store(true, std::memory_order_relaxed);
        for (heap::SweptCache* each : caches) each->mark_runs();
        finalizer.begin_mark();
        marker.emplace_back(std::make_unique<Marker>(space));
        push_roots();
    }
    // Everything but the last stop.
    void mark_roots() {
        while (finalizer.run_root_job(greyer())) {
        }
        drain();
    }
    void drain() {
        do {
            take_shaded();
            while (!the_marker().drain(1 << 20)) {
            }
        } while (has_shaded());
    }
    void end_mark() {
        const Stop stop(*this);
        push_roots();
        do drain();
        while (finalizer.ephemerons().advance(greyer()) != 0 || has_shaded());
        the_marker().flush();
        EXPECT_TRUE(pool.is_dry());
        marker.clear();
        if (at_end_of_marking) at_end_of_marking();
        heap.shared().allocates_black.store(false, std::memory_order_relaxed);
        heap.centrals().reset_unswept();
        const std::uint32_t next = spans.sweep_generation.load(std::memory_order_relaxed) + 2;
        spans.sweep_generation.store(next, std::memory_order_relaxed);
        for (heap::SweptCache* each : caches) each->sweep_stale();
        sweeper.begin({});
    }
    void sweep_all() {
        while (sweeper.sweep_one() != 0) {
        }
        EXPECT_TRUE(sweeper.is_done());
    }
    void collect() {
        begin_mark();
        mark_roots();
        end_mark();
        sweep_all();
    }
    // The same beside test threads, whose sweeps it waits for.
    void sweep_beside_threads();
    // After a fork within a Stop. The lock counts waiting readers who are not here.
    void reset_in_child() {
        new (&world) std::shared_mutex;
        world.lock();
        finalizer.reset_in_child();
    }
    // A number of cycles, with all calls made after each; returns how many calls.
    std::size_t collect_and_run(int cycles = 1) {
        std::size_t calls = 0;
        for (int i = 0; i < cycles; ++i) {
            collect();
            calls += finalizer.runner().run_pending();
        }
        return calls;
    }

    [[nodiscard]] bool is_marking() { return heap.shared().is_marking(); }
    static Greyer greyer() {
        return {current, [](void*, std::uintptr_t word) { current->shade(word, false); },
                [](void*, std::uintptr_t word) { current->shade(word, true); }};
    }

    heap::SpanAlloc spans;
    heap::SweptHeap heap;
    heap::SweptCache cache;
    std::vector<heap::SweptCache*> caches;
    std::vector<void*> roots;
    Sweeper sweeper;
    Finalizer finalizer;
    WorkPool pool;
    MarkSpace space;
    std::shared_mutex world;
    std::atomic<int> stops_wanted{0};
    std::function<void()> at_end_of_marking;  // all is marked, nothing is swept, the world is stopped
    std::size_t samples_freed = 0;

    static inline SmallCollector* current = nullptr;
    static const heap::Hooks hooks;
    static const MarkPhase phase;
    static const RunnerEnvironment plain_environment;

private:
    struct Shaded {
        std::uintptr_t word;
        bool is_scanned_only;
    };

    SmallCollector() = default;

    void start(const RunnerEnvironment& environment, const heap::SpanAllocSettings& settings, bool poisons) {
        ASSERT_TRUE(spans.initialize(settings, hooks));
        ASSERT_TRUE(heap.start(spans));
        ASSERT_TRUE(cache.attach(heap.centrals(), nullptr, 1));
        caches.push_back(&cache);
        pool.initialize(spans.metadata());
        space = {&spans.addresses(), &spans.objects(), &heap.centrals().shapes(), &pool};
        finalizer.initialize(spans, spans.objects(), phase, environment,
                             [](void*, std::size_t) { ++current->samples_freed; });
        sweeper.initialize(
            heap, [](void* to, heap::Span& span) { static_cast<Finalizer*>(to)->sweep(span); }, &finalizer,
            poisons);
    }
    void push_roots() {
        for (void* root : roots) the_marker().push(reinterpret_cast<std::uintptr_t>(root));
    }
    Marker& the_marker() { return *marker.back(); }
    void shade(std::uintptr_t word, bool is_scanned_only) {
        std::lock_guard guard(shaded_mutex_);
        shaded_.push_back({word, is_scanned_only});
    }
    bool has_shaded() {
        std::lock_guard guard(shaded_mutex_);
        return !shaded_.empty();
    }
    void take_shaded() {
        std::vector<Shaded> taken;
        {
            std::lock_guard guard(shaded_mutex_);
            taken.swap(shaded_);
        }
        the_marker().refresh();
        for (const Shaded& each : taken) {
            if (each.is_scanned_only) the_marker().scan_fields(each.word);
            else the_marker().push(each.word);
        }
    }

    std::vector<std::unique_ptr<Marker>> marker;  // none or one
    std::mutex shaded_mutex_;
    std::vector<Shaded> shaded_;
};

inline constinit const heap::Hooks SmallCollector::hooks{
    .sweep = [](heap::Span& span, bool keep) { return current->sweeper.sweep(span, keep); }};
inline constinit const MarkPhase SmallCollector::phase{[] { return current->is_marking(); },
                                                       [] { return greyer(); }};
inline constinit const RunnerEnvironment SmallCollector::plain_environment{};

// A test thread is inside the runtime while this lives: the collector's stops wait for it.
class InCollector {
public:
    explicit InCollector(SmallCollector& collector) : collector_(collector) {
        while (collector.stops_wanted.load() != 0) std::this_thread::yield();
        collector_.world.lock_shared();
    }
    ~InCollector() { collector_.world.unlock_shared(); }

private:
    SmallCollector& collector_;
};

inline void SmallCollector::sweep_beside_threads() {
    for (std::size_t pages = 1; pages != 0;) {
        const InCollector inside(*this);
        pages = sweeper.sweep_one();
    }
    while (!sweeper.is_done()) std::this_thread::yield();
}

}  // namespace cairn::gc
