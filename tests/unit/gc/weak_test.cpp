// Weak handles: one cell an address, null before anybody can be surprised, counted by many threads.
// SPDX-License-Identifier: MIT
#include "gc/weak.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

WeakCell* seen_by_finalizer = nullptr;
void* seen_target = nullptr;
void look_through_handle(void* object, void*) {
    seen_target = SmallCollector::current->finalizer.weak().get(seen_by_finalizer);
    SmallCollector::current->roots.push_back(object);
}

class WeakTest : public testing::Test {
protected:
    SmallCollector& collector = SmallCollector::make();
    WeakHandles& weak = collector.finalizer.weak();
};

TEST_F(WeakTest, NullOnceTheObjectIsUnreachable) {
    void** object = collector.allocate();
    WeakCell* cell = weak.create(object);
    ASSERT_NE(cell, nullptr);
    collector.roots = {object};
    collector.collect();
    EXPECT_EQ(weak.get(cell), object);
    collector.roots.clear();
    collector.collect();
    EXPECT_EQ(weak.get(cell), nullptr);
    EXPECT_TRUE(WeakHandles::is_gone(cell));
    weak.release(cell);
    EXPECT_EQ(weak.count(), 0u);
    EXPECT_EQ(collector.finalizer.specials().in_use(heap::SpecialKind::weak_handle), 0u);
}

TEST_F(WeakTest, OneCellAnAddress) {
    void** object = collector.allocate(8);
    WeakCell* whole = weak.create(object);
    WeakCell* member = weak.create(object + 3);
    EXPECT_NE(whole, member);
    EXPECT_EQ(weak.create(object), whole);
    EXPECT_EQ(weak.create(object + 3), member);
    EXPECT_EQ(weak.get(member), object + 3);
    EXPECT_EQ(weak.count(), 2u);
    for (int i = 0; i < 2; ++i) {
        weak.release(whole);
        weak.release(member);
    }
    EXPECT_EQ(weak.count(), 0u) << "the last release gives the cell back while the object lives";
    WeakCell* fresh = weak.create(object);
    weak.retain(fresh);
    weak.release(fresh);
    EXPECT_EQ(weak.get(fresh), object);
    weak.release(fresh);
}

TEST_F(WeakTest, OnlyCollectedObjects) {
    int local = 0;
    EXPECT_EQ(weak.create(&local), nullptr);
    EXPECT_EQ(weak.create(nullptr), nullptr);
    EXPECT_EQ(weak.create(reinterpret_cast<void*>(~std::uintptr_t{0} - 100)), nullptr);
    EXPECT_EQ(weak.count(), 0u);
}

TEST_F(WeakTest, TheSweepBetweenTwoCyclesIsDoneByWhoAsks) {
    void** object = collector.allocate_large(20000);
    WeakCell* cell = weak.create(object);
    collector.begin_mark();
    collector.mark_roots();
    collector.end_mark();
    EXPECT_FALSE(WeakHandles::is_gone(cell)) << "nobody swept the span yet";
    EXPECT_EQ(weak.get(cell), nullptr);
    EXPECT_FALSE(collector.is_allocated(object));
    collector.sweep_all();
    weak.release(cell);
}

TEST_F(WeakTest, ReleasedBeforeTheSweepTheRecordIsTheSweepers) {
    void** object = collector.allocate_large(20000);
    WeakCell* cell = weak.create(object);
    collector.begin_mark();
    collector.mark_roots();
    collector.end_mark();
    weak.release(cell);
    collector.sweep_all();
    EXPECT_EQ(weak.count(), 0u);
    EXPECT_EQ(collector.finalizer.specials().in_use(heap::SpecialKind::weak_handle), 0u);
}

TEST_F(WeakTest, FollowedWhileMarkingTheObjectIsGreyed) {
    void** object = collector.allocate();
    object[0] = collector.allocate();
    WeakCell* cell = weak.create(object);
    collector.begin_mark();
    collector.mark_roots();
    EXPECT_EQ(weak.get(cell), object);
    collector.end_mark();
    collector.sweep_all();
    EXPECT_EQ(weak.get(cell), object);
    EXPECT_TRUE(collector.is_allocated(object[0]));
    collector.collect();
    EXPECT_EQ(weak.get(cell), nullptr);
    weak.release(cell);
}

TEST_F(WeakTest, NullBeforeTheFinalizerRunsAndNewAfterIt) {
    void** object = collector.allocate();
    seen_by_finalizer = weak.create(object);
    seen_target = object;
    ASSERT_EQ(collector.finalizer.set_finalizer(object, look_through_handle, nullptr), Attached::ok);
    collector.collect();
    EXPECT_TRUE(WeakHandles::is_gone(seen_by_finalizer)) << "queued means null";
    EXPECT_EQ(collector.finalizer.runner().run_pending(), 1u);
    EXPECT_EQ(seen_target, nullptr);
    WeakCell* fresh = weak.create(object);
    EXPECT_NE(fresh, seen_by_finalizer);
    EXPECT_EQ(weak.get(fresh), object);
    EXPECT_EQ(weak.get(seen_by_finalizer), nullptr) << "the old one stays null";
    weak.release(fresh);
    weak.release(seen_by_finalizer);
}

TEST_F(WeakTest, AReusedSlotIsNotSeenThroughAnOldHandle) {
    std::vector<WeakCell*> cells;
    for (int i = 0; i < 5000; ++i) cells.push_back(weak.create(collector.allocate()));
    collector.collect();
    for (int i = 0; i < 5000; ++i) collector.roots.push_back(collector.allocate());
    collector.collect();
    for (WeakCell* cell : cells) {
        EXPECT_EQ(weak.get(cell), nullptr);
        weak.release(cell);
    }
    EXPECT_EQ(weak.count(), 0u);
}

using WeakDeathTest = WeakTest;
TEST_F(WeakDeathTest, AHandleReleasedTooOften) {
    void** object = collector.allocate();
    WeakCell* cell = weak.create(object);
    weak.release(cell);
    EXPECT_DEATH((void)weak.get(cell), "weak handle 0x[0-9a-f]+ used after its last release");
    EXPECT_DEATH(weak.retain(cell), "used after its last release");
}

// Threads make, follow and release handles to a few shared objects, which come and go, while cycles run. An
// object holds its own address: whoever gets it through a handle must find that.
class WeakThreadsTest : public WeakTest {
protected:
    static constexpr unsigned slots = 16;

    void renew(heap::SweptCache& cache, unsigned slot) {
        void** object = SmallCollector::allocate_from(cache, 4, SmallCollector::conservative);
        object[1] = object;
        shared[slot].store(object);
    }
    void run_thread(unsigned number, heap::SweptCache& cache) {
        std::vector<WeakCell*> handles;
        unsigned random = number + 1;
        while (!is_over.load() || !handles.empty()) {
            const InCollector inside(collector);
            random = random * 1664525 + 1013904223;
            const unsigned slot = random >> 24 & (slots - 1);
            const bool may_grow = !is_over.load() && handles.size() < 200;
            if (may_grow)
                if (WeakCell* cell = weak.create(shared[slot].load())) handles.push_back(cell);
            if ((random >> 16 & 7) == 0) renew(cache, slot);
            if (handles.empty()) continue;
            const std::size_t at = (random >> 8) % handles.size();
            follow(handles[at]);
            if ((random >> 12 & 3) != 0 && may_grow) continue;
            weak.release(handles[at]);
            handles.erase(handles.begin() + static_cast<std::ptrdiff_t>(at));
        }
    }
    void follow(WeakCell* cell) {
        void* target = weak.get(cell);
        (target != nullptr ? followed : was_null).fetch_add(1);
        if (target != nullptr) EXPECT_EQ(static_cast<void**>(target)[1], target);
    }
    void run_cycle() {
        collector.begin_mark();
        collector.mark_roots();
        {
            // As the barrier would: what the threads stored is greyed.
            const InCollector inside(collector);
            for (auto& each : shared) SmallCollector::greyer()(each.load());
        }
        {
            const SmallCollector::Stop stop(collector);
            collector.roots.clear();
            for (auto& each : shared) collector.roots.push_back(each.load());
        }
        collector.end_mark();
        collector.sweep_beside_threads();
    }

    std::atomic<void*> shared[slots] = {};
    std::atomic<bool> is_over{false};
    std::atomic<std::uint64_t> followed{0};
    std::atomic<std::uint64_t> was_null{0};
};

TEST_F(WeakThreadsTest, FollowAndReleaseWhileCyclesRun) {
    heap::SweptCache caches[3];
    for (unsigned i = 0; i < slots; ++i) renew(collector.cache, i);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t) {
        ASSERT_TRUE(caches[t].attach(collector.heap.centrals(), nullptr, t + 2));
        collector.caches.push_back(&caches[t]);
        threads.emplace_back([this, t, &caches] { run_thread(t, caches[t]); });
    }
    for (int cycle = 0; cycle < 200 || followed.load() < 20000 || was_null.load() < 200; ++cycle) run_cycle();
    is_over.store(true);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(weak.count(), 0u);
    EXPECT_EQ(collector.finalizer.specials().in_use(heap::SpecialKind::weak_handle), 0u);
}

}  // namespace
}  // namespace cairn::gc
