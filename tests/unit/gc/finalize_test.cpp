// Finalizers and cleanups: once, in order, with all the object holds, whatever phase they are attached in.
// SPDX-License-Identifier: MIT
#include "gc/finalize.hpp"

#include <string>
#include <vector>

#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

using heap::ObjectKind;

std::vector<void*> finalized;   // objects, in the order of the calls
std::vector<void*> cleaned;     // arguments

void note_finalizer(void* object, void*) { finalized.push_back(object); }
void note_cleanup(void* argument) { cleaned.push_back(argument); }

class FinalizeTest : public testing::Test {
protected:
    void SetUp() override {
        finalized.clear();
        cleaned.clear();
    }
    void attach(void* object, void* argument = nullptr) {
        ASSERT_EQ(collector.finalizer.set_finalizer(object, note_finalizer, argument), Attached::ok);
    }
    // More allocations than a run holds, so that what is looked at is not in the thread's cached span.
    void churn(std::size_t words = 2) {
        for (int i = 0; i < 3000; ++i) ASSERT_NE(collector.allocate(words), nullptr);
    }

    SmallCollector& collector = SmallCollector::make();
    Finalizer& finalizer = collector.finalizer;
};

TEST_F(FinalizeTest, RunsOnceWhenUnreachableAndTheObjectDiesInTheNextCycle) {
    void** object = collector.allocate();
    object[1] = reinterpret_cast<void*>(0x5a5a);
    attach(object, &collector);
    collector.roots = {object};
    churn();
    EXPECT_EQ(collector.collect_and_run(2), 0u);
    collector.roots.clear();
    EXPECT_EQ(collector.collect_and_run(), 1u);
    ASSERT_EQ(finalized.size(), 1u);
    EXPECT_EQ(finalized[0], object);
    EXPECT_TRUE(collector.is_allocated(object));
    EXPECT_EQ(object[1], reinterpret_cast<void*>(0x5a5a)) << "the object is whole";
    EXPECT_EQ(collector.collect_and_run(), 0u);
    EXPECT_FALSE(collector.is_allocated(object));
    EXPECT_EQ(collector.cleanups_and_finalizers(), 0u);
}

TEST_F(FinalizeTest, WhatTheObjectHoldsIsThereDuringTheCallAndSoAreArguments) {
    void** object = collector.allocate();
    object[0] = collector.allocate();
    static_cast<void**>(object[0])[0] = collector.allocate();
    void** argument = collector.allocate();
    argument[0] = collector.allocate();
    attach(object, argument);
    churn();
    collector.collect();
    EXPECT_EQ(finalizer.queue().length(), 1u);
    // Queued but not called: the queue alone keeps all five, cycle after cycle.
    for (int i = 0; i < 3; ++i) collector.collect();
    for (void* each : {static_cast<void*>(object), object[0], *static_cast<void**>(object[0]),
                       static_cast<void*>(argument), argument[0]})
        EXPECT_TRUE(collector.is_allocated(each));
    EXPECT_EQ(finalizer.runner().run_pending(), 1u);
    EXPECT_TRUE(finalizer.queue().is_idle());
    void* inner = *static_cast<void**>(object[0]);
    collector.collect();
    EXPECT_FALSE(collector.is_allocated(object));
    EXPECT_FALSE(collector.is_allocated(inner));
    EXPECT_FALSE(collector.is_allocated(argument));
}

TEST_F(FinalizeTest, AChainOfKNeedsKCyclesAndIsFinalizedInOrder) {
    constexpr std::size_t links = 5;
    std::vector<void**> chain;
    for (std::size_t i = 0; i < links; ++i) {
        chain.push_back(collector.allocate());
        attach(chain.back());
        if (i > 0) chain[i - 1][0] = chain[i];
    }
    for (std::size_t cycle = 0; cycle < links; ++cycle) {
        EXPECT_EQ(collector.collect_and_run(), 1u);
        EXPECT_EQ(finalized.back(), chain[cycle]);
    }
    EXPECT_EQ(collector.collect_and_run(3), 0u);
    for (void** each : chain) EXPECT_FALSE(collector.is_allocated(each));
}

TEST_F(FinalizeTest, ACycleWithAFinalizerNeverDies) {
    void** one = collector.allocate();
    void** two = collector.allocate();
    one[0] = two;
    two[0] = one;
    attach(one);
    EXPECT_EQ(collector.collect_and_run(5), 0u);
    EXPECT_TRUE(collector.is_allocated(one));
    EXPECT_TRUE(finalizer.remove_finalizer(one));
    collector.collect();
    EXPECT_FALSE(collector.is_allocated(one));
    EXPECT_FALSE(collector.is_allocated(two));
}

TEST_F(FinalizeTest, AnArgumentThatReachesTheObjectKeepsIt) {
    void** object = collector.allocate();
    attach(object, object);
    EXPECT_EQ(collector.collect_and_run(3), 0u);
    void** other = collector.allocate();
    void** holder = collector.allocate();
    holder[0] = other;
    EXPECT_NE(finalizer.add_cleanup(other, note_cleanup, holder), 0u);
    EXPECT_EQ(collector.collect_and_run(3), 0u);
    EXPECT_TRUE(collector.is_allocated(object));
    EXPECT_TRUE(collector.is_allocated(other));
}

TEST_F(FinalizeTest, RefusesWhatItCannotServe) {
    void** object = collector.allocate(8);
    int local = 0;
    EXPECT_EQ(finalizer.set_finalizer(&local, note_finalizer, nullptr), Attached::no_object);
    EXPECT_EQ(finalizer.set_finalizer(nullptr, note_finalizer, nullptr), Attached::no_object);
    EXPECT_EQ(finalizer.set_finalizer(object + 1, note_finalizer, nullptr), Attached::not_the_start);
    attach(object);
    EXPECT_EQ(finalizer.set_finalizer(object, note_finalizer, nullptr), Attached::already);
    EXPECT_TRUE(finalizer.remove_finalizer(object));
    EXPECT_FALSE(finalizer.remove_finalizer(object));
    EXPECT_FALSE(finalizer.remove_finalizer(&local));
    attach(object);
    EXPECT_EQ(finalizer.add_cleanup(&local, note_cleanup, nullptr), 0u);
    heap::Span* malloced = collector.spans.allocate(1, ObjectKind::explicit_free, 5, nullptr);
    void* foreign = nullptr;
    ASSERT_EQ(malloced->take_slots(&foreign, 1), 1u);
    EXPECT_EQ(finalizer.set_finalizer(foreign, note_finalizer, nullptr), Attached::no_object);
    EXPECT_EQ(finalizer.add_cleanup(foreign, note_cleanup, nullptr), 0u);
    EXPECT_EQ(finalizer.weak().create(foreign), nullptr);
}

// A finalizer that makes its object reachable, and one that attaches itself anew.
void resurrect(void* object, void*) {
    finalized.push_back(object);
    SmallCollector::current->roots.push_back(object);
}
void again(void* object, void* argument) {
    finalized.push_back(object);
    EXPECT_EQ(SmallCollector::current->finalizer.set_finalizer(object, again, argument), Attached::ok);
}

TEST_F(FinalizeTest, ResurrectedObjectsLiveWithoutFinalizerUntilTheyAreGivenOne) {
    void** object = collector.allocate();
    ASSERT_EQ(finalizer.set_finalizer(object, resurrect, nullptr), Attached::ok);
    EXPECT_EQ(collector.collect_and_run(), 1u);
    EXPECT_EQ(collector.collect_and_run(3), 0u);
    EXPECT_TRUE(collector.is_allocated(object));
    attach(object);
    collector.roots.clear();
    EXPECT_EQ(collector.collect_and_run(), 1u);
    collector.collect();
    EXPECT_FALSE(collector.is_allocated(object));
}

TEST_F(FinalizeTest, AFinalizerMayAttachItselfAnewForEver) {
    void** object = collector.allocate();
    ASSERT_EQ(finalizer.set_finalizer(object, again, nullptr), Attached::ok);
    EXPECT_EQ(collector.collect_and_run(10), 10u);
    EXPECT_TRUE(collector.is_allocated(object));
}

void collect_inside(void* object, void*) {
    finalized.push_back(object);
    SmallCollector& collector = *SmallCollector::current;
    for (int i = 0; i < 2000; ++i) EXPECT_NE(collector.allocate(), nullptr);
    collector.roots.push_back(object);  // as a stack would hold it
    collector.collect();
    EXPECT_TRUE(collector.is_allocated(object));
    collector.roots.pop_back();
    (void)collector.finalizer.runner().run_pending();
}

TEST_F(FinalizeTest, FinalizersMayAllocateCollectAndRunOthers) {
    std::vector<void**> objects;
    for (int i = 0; i < 20; ++i) {
        objects.push_back(collector.allocate());
        ASSERT_EQ(finalizer.set_finalizer(objects.back(), collect_inside, nullptr), Attached::ok);
    }
    collector.collect();
    EXPECT_EQ(finalizer.runner().run_pending(1), 1u);  // which runs the others
    EXPECT_EQ(finalized.size(), objects.size());
    EXPECT_TRUE(finalizer.queue().is_idle());
    collector.collect();
    for (void** each : objects) EXPECT_FALSE(collector.is_allocated(each));
}

TEST_F(FinalizeTest, RunPendingMakesAtMostWhatIsAskedFor) {
    for (int i = 0; i < 10; ++i) attach(collector.allocate());
    collector.collect();
    EXPECT_EQ(finalizer.runner().run_pending(4), 4u);
    EXPECT_EQ(finalizer.queue().length(), 6u);
    EXPECT_EQ(finalizer.runner().run_pending(100), 6u);
    EXPECT_EQ(finalizer.runner().run_pending(), 0u);
    EXPECT_EQ(finalizer.queue().appended_total(), 10u);
    EXPECT_EQ(finalizer.queue().finished_total(), 10u);
}

TEST_F(FinalizeTest, CleanupsRunAfterTheObjectIsGoneAndAfterItsFinalizer) {
    void** object = collector.allocate(4);
    attach(object);
    for (std::uintptr_t i = 1; i <= 3; ++i)
        EXPECT_NE(finalizer.add_cleanup(object + i, note_cleanup, reinterpret_cast<void*>(i)), 0u);
    collector.collect();
    EXPECT_EQ(finalizer.runner().run_pending(), 1u);
    EXPECT_TRUE(cleaned.empty()) << "the finalizer's cycle";
    collector.collect();
    EXPECT_FALSE(collector.is_allocated(object));
    EXPECT_EQ(finalizer.runner().run_pending(), 3u);
    EXPECT_EQ(cleaned, (std::vector<void*>{reinterpret_cast<void*>(1), reinterpret_cast<void*>(2),
                                           reinterpret_cast<void*>(3)}));
}

TEST_F(FinalizeTest, CleanupsCanBeCancelledOnce) {
    void** object = collector.allocate();
    collector.roots = {object};
    const std::uint64_t first = finalizer.add_cleanup(object, note_cleanup, object + 0);
    const std::uint64_t second = finalizer.add_cleanup(object, note_cleanup, reinterpret_cast<void*>(2));
    EXPECT_NE(first, second);
    EXPECT_TRUE(finalizer.cancel_cleanup(first));
    EXPECT_FALSE(finalizer.cancel_cleanup(first));
    EXPECT_FALSE(finalizer.cancel_cleanup(0));
    EXPECT_FALSE(finalizer.cancel_cleanup(UINT64_MAX));
    EXPECT_FALSE(finalizer.cancel_cleanup(first + (std::uint64_t{1} << 32)));
    const std::uint64_t third = finalizer.add_cleanup(object, note_cleanup, nullptr);
    EXPECT_NE(third, first) << "a number is never used twice";
    EXPECT_TRUE(finalizer.cancel_cleanup(third));
    collector.roots.clear();
    // Dead but not swept: asking sweeps it, and it is too late.
    collector.begin_mark();
    collector.mark_roots();
    collector.end_mark();
    EXPECT_FALSE(finalizer.cancel_cleanup(second));
    collector.sweep_all();
    EXPECT_EQ(finalizer.runner().run_pending(), 1u);
    EXPECT_EQ(cleaned, std::vector<void*>{reinterpret_cast<void*>(2)});
    EXPECT_FALSE(finalizer.cancel_cleanup(second));
}

TEST_F(FinalizeTest, ObjectsOfATinyBlockAreFinalizedTogether) {
    auto* first = static_cast<char*>(collector.cache.allocate(4, ObjectKind::noscan, true));
    auto* second = static_cast<char*>(collector.cache.allocate(4, ObjectKind::noscan, true));
    ASSERT_EQ(second, first + 4) << "one block";
    attach(first);
    attach(second);
    // The block is filled up and exchanged, or the thread's cache would keep it.
    (void)collector.cache.allocate(8, ObjectKind::noscan, true);
    (void)collector.cache.allocate(4, ObjectKind::noscan, true);
    collector.roots = {second};
    EXPECT_EQ(collector.collect_and_run(2), 0u);
    collector.roots.clear();
    EXPECT_EQ(collector.collect_and_run(2), 2u);
    EXPECT_EQ(finalized, (std::vector<void*>{first, second}));
}

TEST_F(FinalizeTest, LargeObjects) {
    void** object = collector.allocate_large(1 << 20);
    void** inner = collector.allocate();
    object[(1 << 17) - 1] = inner;
    attach(object);
    EXPECT_NE(finalizer.add_cleanup(object + 5000, note_cleanup, nullptr), 0u);
    EXPECT_EQ(collector.collect_and_run(), 1u);
    EXPECT_TRUE(collector.is_allocated(inner));
    EXPECT_EQ(collector.collect_and_run(), 1u);
    EXPECT_FALSE(collector.is_allocated(object));
    EXPECT_EQ(cleaned.size(), 1u);
    EXPECT_EQ(collector.cleanups_and_finalizers(), 0u);
}

TEST_F(FinalizeTest, AttachedWhileMarkingTheObjectsFieldsAndTheArgumentAreGreyed) {
    void** object = collector.allocate();
    object[0] = collector.allocate();
    void** argument = collector.allocate();
    void** cleanup_argument = collector.allocate();
    collector.begin_mark();
    collector.mark_roots();  // the root jobs have passed
    attach(object, argument);
    EXPECT_NE(finalizer.add_cleanup(object, note_cleanup, cleanup_argument), 0u);
    collector.end_mark();
    collector.sweep_all();
    EXPECT_EQ(finalizer.queue().length(), 1u) << "the object itself was not marked";
    for (void* each : {object[0], static_cast<void*>(argument), static_cast<void*>(cleanup_argument)})
        EXPECT_TRUE(collector.is_allocated(each));
}

TEST_F(FinalizeTest, TakenWhileMarkingACallIsGreyed) {
    void** object = collector.allocate();
    ASSERT_EQ(finalizer.set_finalizer(object, resurrect, nullptr), Attached::ok);
    collector.collect();
    collector.begin_mark();
    EXPECT_EQ(finalizer.runner().run_pending(), 1u);  // before the queue's root job; now in `roots`
    collector.roots.clear();                          // seen by no stop
    collector.mark_roots();
    collector.end_mark();
    collector.sweep_all();
    EXPECT_TRUE(collector.is_allocated(object));
}

TEST_F(FinalizeTest, ADirtyPageOfAnUnmarkedFinalizableObjectIsARoot) {
    void** object = collector.allocate();
    attach(object);
    collector.begin_mark();
    collector.mark_roots();
    void** late = collector.allocate(4);
    // Allocated black; a white one stands for an object that was there before and only a register held.
    auto& bits = collector.spans.objects().pair(reinterpret_cast<std::uintptr_t>(late));
    bits.marked.fetch_and(~pages::ObjectMap::bit(reinterpret_cast<std::uintptr_t>(late)));
    object[0] = late;
    const auto page = reinterpret_cast<std::uintptr_t>(object) & ~std::uintptr_t{4095};
    finalizer.mark_dirty(page, page + 4096, SmallCollector::greyer());
    collector.end_mark();
    collector.sweep_all();
    EXPECT_EQ(finalizer.queue().length(), 1u);
    EXPECT_TRUE(collector.is_allocated(late));
}

TEST_F(FinalizeTest, SamplesAreCountedAndReachabilityIsAnswered) {
    void** dead = collector.allocate();
    void** alive = collector.allocate();
    collector.roots = {alive};
    heap::Specials& specials = finalizer.specials();
    heap::ReachableSpecial* questions[2] = {};
    for (int i = 0; i < 2; ++i) {
        const auto address = reinterpret_cast<std::uintptr_t>(i == 0 ? dead : alive);
        heap::Span& span = *object_at(collector.spans, collector.spans.objects(), address).span;
        questions[i] = specials.make<heap::ReachableSpecial>();
        ASSERT_TRUE(specials.add(span, address, questions[i]));
        ASSERT_TRUE(specials.add(span, address, specials.make<heap::ProfileSpecial>()));
    }
    collector.collect();
    EXPECT_EQ(collector.samples_freed, 1u);
    for (int i = 0; i < 2; ++i) {
        EXPECT_TRUE(questions[i]->is_done);
        EXPECT_EQ(questions[i]->is_reachable, i == 1);
        specials.free(questions[i]);
    }
    EXPECT_EQ(specials.in_use(heap::SpecialKind::profile), 1u);
}

TEST_F(FinalizeTest, FreeingByHandDropsTheFinalizerAndQueuesCleanups) {
    void** object = collector.allocate();
    void** neighbour = collector.allocate();
    collector.roots = {object, neighbour};
    attach(object);
    attach(neighbour);
    EXPECT_NE(finalizer.add_cleanup(object, note_cleanup, &collector), 0u);
    WeakCell* cell = finalizer.weak().create(object);
    finalizer.forget_object(object);
    EXPECT_EQ(finalizer.weak().get(cell), nullptr);
    EXPECT_EQ(finalizer.runner().run_pending(), 1u);
    EXPECT_EQ(cleaned.size(), 1u);
    EXPECT_EQ(collector.cleanups_and_finalizers(), 1u) << "the neighbour's";
    finalizer.weak().release(cell);
}

TEST_F(FinalizeTest, AtTheEndAllCanBeAskedFor) {
    for (int i = 0; i < 2000; ++i) {
        void** object = collector.allocate(2 + i % 30);
        collector.roots.push_back(object);
        attach(object);
        if (i % 3 == 0) EXPECT_NE(finalizer.add_cleanup(object, note_cleanup, object), 0u);
    }
    EXPECT_EQ(collector.collect_and_run(), 0u);
    finalizer.queue_all();
    EXPECT_EQ(finalizer.runner().run_pending(), 2000u + 667u);
    EXPECT_EQ(collector.cleanups_and_finalizers(), 0u);
}

TEST_F(FinalizeTest, ManyObjectsOverManySpansAllDieOnce) {
    std::set<void*> expected;
    for (int i = 0; i < 20000; ++i) {
        void** object = collector.allocate(2 + i % 7);
        if (i % 4 == 0) collector.roots.push_back(object);
        else expected.insert(object);
        attach(object);
    }
    EXPECT_EQ(collector.collect_and_run(), expected.size());
    EXPECT_EQ(std::set<void*>(finalized.begin(), finalized.end()), expected);
    collector.roots.clear();
    EXPECT_EQ(collector.collect_and_run(2), 5000u);
    EXPECT_EQ(collector.cleanups_and_finalizers(), 0u);
}

}  // namespace
}  // namespace cairn::gc
