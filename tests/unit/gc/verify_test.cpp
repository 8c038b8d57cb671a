// Verification: a sound heap passes, and each broken rule is named; the second marking finds what the first
// missed and shows the way; holders are found by a shortest way.
// SPDX-License-Identifier: MIT
#include "gc/verify.hpp"

#include <random>
#include <string>
#include <vector>

#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

using heap::ObjectKind;

class VerifyTest : public testing::Test {
protected:
    // The test's roots as memory: `handles`, and `stack`, which stands for one.
    static void enumerate(void* self, void (*visit)(void*, std::uintptr_t, std::uintptr_t, RootKind),
                          void* visitor) {
        auto& test = *static_cast<VerifyTest*>(self);
        const auto show = [&](const std::vector<void*>& words, RootKind kind) {
            const auto low = reinterpret_cast<std::uintptr_t>(words.data());
            visit(visitor, low, low + words.size() * sizeof(void*), kind);
        };
        show(test.handles, RootKind::handle);
        show(test.stack, RootKind::stack);
    }
    void use_roots() {
        collector.roots = handles;
        collector.roots.insert(collector.roots.end(), stack.begin(), stack.end());
    }
    // To the end of marking, where marks are whole: then `check` sees the stopped world.
    template <class Check>
    void at_end_of_marking(Check check) {
        use_roots();
        collector.begin_mark();
        collector.mark_roots();
        collector.at_end_of_marking = check;
        collector.end_mark();
        collector.at_end_of_marking = nullptr;
        collector.sweep_all();
    }
    heap::Span& span_of(const void* object) {
        return *object_at(collector.spans, collector.spans.objects(),
                          reinterpret_cast<std::uintptr_t>(object)).span;
    }
    pages::BitPair& bits_of(const void* object) {
        return collector.spans.objects().pair(reinterpret_cast<std::uintptr_t>(object));
    }
    static std::uint64_t bit_of(const void* object) {
        return pages::ObjectMap::bit(reinterpret_cast<std::uintptr_t>(object));
    }

    SmallCollector& collector = SmallCollector::make();
    std::vector<void*> handles;
    std::vector<void*> stack;
    Verifier verifier{collector.heap, collector.finalizer, {this, enumerate}};
};

TEST_F(VerifyTest, ASoundHeapPassesInEveryPhase) {
    std::mt19937 random(3);
    for (int i = 0; i < 5000; ++i) {
        void** object = collector.allocate(1 + random() % 300, i % 3 == 0 ? ObjectKind::noscan
                                                               : i % 3 == 1 ? ObjectKind::typed
                                                                            : ObjectKind::conservative);
        if (i % 3 != 0 && !handles.empty()) object[0] = handles[random() % handles.size()];
        if (random() % 4 == 0) handles.push_back(object);
        if (i % 100 == 0) ASSERT_NE(collector.finalizer.weak().create(object), nullptr);
    }
    handles.push_back(collector.allocate_large(300000));
    for (int cycle = 0; cycle < 3; ++cycle) {
        verifier.check_spans(true);
        at_end_of_marking([&] {
            verifier.check_spans(true);
            EXPECT_GT(verifier.check_marks().reachable_objects, handles.size() / 2);
        });
        verifier.check_spans(true);
        handles.resize(handles.size() / 2);
        use_roots();
        collector.begin_mark();
        collector.mark_roots();
        collector.end_mark();
        verifier.check_spans(false);  // nothing is swept but what caches hold
        collector.sweep_all();
    }
}

TEST_F(VerifyTest, TheSecondMarkingAgreesOnGraphsWithEverything) {
    std::mt19937 random(5);
    EphemeronMap* map = collector.finalizer.ephemerons().create();
    std::vector<void**> all;
    const std::uint64_t left_right[] = {0b101};
    const heap::ShapeId pair_shape = collector.heap.centrals().intern(
        heap::swept_class_of(32), {left_right, 3, false, "pair"});
    const std::uint64_t every_third[] = {0b100};
    const heap::ShapeId tile_shape = collector.heap.centrals().intern(
        heap::swept_class_of(4096), {every_third, 3, true, "row"});
    for (int i = 0; i < 20000; ++i) {
        void** object = i % 3 == 0   ? static_cast<void**>(collector.cache.allocate_shape(pair_shape))
                        : i % 97 == 0 ? static_cast<void**>(collector.cache.allocate_shape(tile_shape))
                                      : collector.allocate(3);
        const auto any = [&] { return all[random() % all.size()]; };
        if (!all.empty())
            for (int word = 0; word < 3; ++word)
                if (random() % 2 == 0) object[word] = any() + random() % 2;
        all.push_back(object);
        if (i % 50 == 0)
            ASSERT_EQ(collector.finalizer.set_finalizer(object, [](void*, void*) {}, any()), Attached::ok);
        if (i % 40 == 0) ASSERT_TRUE(collector.finalizer.ephemerons().set(*map, any(), any()));
        if (i % 400 == 0) handles.push_back(any());
    }
    std::size_t reachable = 0;
    at_end_of_marking([&] { reachable = verifier.check_marks().reachable_objects; });
    EXPECT_GT(reachable, 100u);
    at_end_of_marking([&] { (void)verifier.check_marks(); });  // with calls queued
}

using VerifyDeathTest = VerifyTest;

TEST_F(VerifyDeathTest, AnUnmarkedObjectIsShownWithItsWay) {
    void** first = collector.allocate();
    void** second = collector.allocate(8);
    void** third = collector.allocate(4);
    first[1] = second;
    second[5] = third;
    handles = {first};
    at_end_of_marking([&] {
        (void)verifier.check_marks();
        bits_of(third).marked.fetch_and(~bit_of(third));
        EXPECT_DEATH((void)verifier.check_marks(), "reachable but not marked: handle 0x[0-9a-f]+ -> "
                                                   "0x[0-9a-f]+ \\+8 -> 0x[0-9a-f]+ \\+40 -> 0x[0-9a-f]+");
        bits_of(third).marked.fetch_or(bit_of(third));
    });
}

TEST_F(VerifyDeathTest, ALongWayIsCutInTheMiddle) {
    void** first = collector.allocate();
    void** last = first;
    for (int i = 0; i < 1000; ++i) {
        void** next = collector.allocate();
        last[0] = next;
        last = next;
    }
    handles = {first};
    at_end_of_marking([&] {
        bits_of(last).marked.fetch_and(~bit_of(last));
        EXPECT_DEATH((void)verifier.check_marks(), "\\(991 more\\)");
        bits_of(last).marked.fetch_or(bit_of(last));
    });
}

TEST_F(VerifyDeathTest, AReachableEphemeronValueThatWasNotMarked) {
    EphemeronMap* map = collector.finalizer.ephemerons().create();
    void** key = collector.allocate();
    void** value = collector.allocate();
    ASSERT_TRUE(collector.finalizer.ephemerons().set(*map, key, value));
    handles = {key};
    at_end_of_marking([&] {
        bits_of(value).marked.fetch_and(~bit_of(value));
        EXPECT_DEATH((void)verifier.check_marks(), "not marked: ephemeron");
        bits_of(value).marked.fetch_or(bit_of(value));
    });
}

TEST_F(VerifyDeathTest, BrokenSpansAreNamed) {
    void** object = collector.allocate(6);
    handles = {object};
    use_roots();
    collector.collect();
    heap::Span& span = span_of(object);
    const auto dies = [&](const char* message) {
        EXPECT_DEATH(verifier.check_spans(true), std::string("heap check: ") + message);
    };
    verifier.check_spans(true);

    bits_of(object).allocated.fetch_or(bit_of(object) << 1);
    dies("an allocated bit inside a slot");
    bits_of(object).allocated.fetch_and(~(bit_of(object) << 1));

    bits_of(object).marked.fetch_or(bit_of(object));
    dies("a mark that outlived its sweep");
    bits_of(object).marked.fetch_and(~bit_of(object));

    bits_of(object).allocated.fetch_and(~bit_of(object));
    dies("another number of allocated slots");
    bits_of(object).marked.fetch_or(bit_of(object));
    dies("a mark on what is not allocated");
    bits_of(object).marked.fetch_and(~bit_of(object));
    bits_of(object).allocated.fetch_or(bit_of(object));

    const std::uint32_t generation = span.sweep_generation.load();
    span.sweep_generation.store(collector.heap.shared().generation() - 2);
    dies("not swept though sweeping is done");
    span.sweep_generation.store(collector.heap.shared().generation() + 2);
    dies("an impossible sweep generation");
    span.sweep_generation.store(generation);

    collector.spans.objects().set_entries(span.base, 1, span.shape + 1u, false);
    dies("a wrong page entry");
    collector.spans.objects().set_entries(span.base, span.pages, span.shape, false);

    const heap::ShapeId shape = span.shape;
    span.shape = static_cast<heap::ShapeId>(shape + 1);
    dies("another kind than its shape's");
    span.shape = shape;
    verifier.check_spans(true);
}

TEST_F(VerifyDeathTest, RecordsOfFreeObjectsAndWrongHandles) {
    void** object = collector.allocate(6);
    void** free_slot = object + 8 * 6;  // later in the span
    heap::Span& span = span_of(object);
    WeakCell* cell = collector.finalizer.weak().create(object);
    void* target = cell->target.load();
    cell->target.store(nullptr);
    EXPECT_DEATH(verifier.check_spans(true), "a weak handle that points elsewhere");
    cell->target.store(target);
    verifier.check_spans(true);
    auto* record = collector.finalizer.specials().make<heap::ProfileSpecial>();
    bits_of(free_slot).allocated.fetch_and(~bit_of(free_slot));
    --span.alloc_count;
    const auto address = reinterpret_cast<std::uintptr_t>(free_slot);
    ASSERT_TRUE(collector.finalizer.specials().add(span, address, record));
    EXPECT_DEATH(verifier.check_spans(true), "a record of an object that is free");
}

TEST_F(VerifyTest, HoldersAreFoundByAShortestWayAndNotByTheAskersStack) {
    void** target = collector.allocate(4);
    void** holder = collector.allocate(4);
    void** detour = collector.allocate(4);
    holder[2] = target + 1;
    detour[0] = holder;
    handles = {nullptr, detour, holder};
    stack = {target};
    HolderPath path;
    ASSERT_TRUE(path.find(verifier, reinterpret_cast<std::uintptr_t>(target + 3)));
    ASSERT_EQ(path.length(), 2u);
    EXPECT_TRUE(path[0].is_root);
    EXPECT_EQ(path[0].kind, RootKind::handle);
    EXPECT_EQ(path[0].holder, reinterpret_cast<std::uintptr_t>(&handles[2]));
    EXPECT_FALSE(path[1].is_root);
    EXPECT_EQ(path[1].holder, reinterpret_cast<std::uintptr_t>(holder));
    EXPECT_EQ(path[1].offset, 16u);

    handles.clear();
    HolderPath by_stack;
    ASSERT_TRUE(by_stack.find(verifier, reinterpret_cast<std::uintptr_t>(target)));
    ASSERT_EQ(by_stack.length(), 1u);
    EXPECT_EQ(by_stack[0].kind, RootKind::stack);

    stack.clear();
    HolderPath nobody;
    EXPECT_FALSE(nobody.find(verifier, reinterpret_cast<std::uintptr_t>(target)));
    EXPECT_FALSE(nobody.find(verifier, 12345));
}

TEST_F(VerifyTest, FinalizersAndEphemeronsHoldToo) {
    void** object = collector.allocate();
    void** inner = collector.allocate();
    object[1] = inner;
    ASSERT_EQ(collector.finalizer.set_finalizer(object, [](void*, void*) {}, nullptr), Attached::ok);
    HolderPath path;
    ASSERT_TRUE(path.find(verifier, reinterpret_cast<std::uintptr_t>(inner)));
    ASSERT_EQ(path.length(), 1u);
    EXPECT_EQ(path[0].kind, RootKind::finalizer);
    EXPECT_EQ(path[0].holder, reinterpret_cast<std::uintptr_t>(object));
    EXPECT_EQ(path[0].offset, 8u);

    EphemeronMap* map = collector.finalizer.ephemerons().create();
    void** value = collector.allocate();
    ASSERT_TRUE(collector.finalizer.ephemerons().set(*map, inner, value));
    HolderPath by_value;
    ASSERT_TRUE(by_value.find(verifier, reinterpret_cast<std::uintptr_t>(value)));
    EXPECT_EQ(by_value[0].kind, RootKind::ephemeron);
}

TEST_F(VerifyTest, ALongListHasALongWay) {
    void** first = collector.allocate();
    void** last = first;
    for (int i = 0; i < 200000; ++i) {
        void** next = collector.allocate();
        last[1] = next;
        last = next;
    }
    handles = {first};
    HolderPath path;
    ASSERT_TRUE(path.find(verifier, reinterpret_cast<std::uintptr_t>(last)));
    EXPECT_EQ(path.length(), 200001u);
    EXPECT_EQ(path[1].holder, reinterpret_cast<std::uintptr_t>(first));
}

}  // namespace
}  // namespace cairn::gc
