// The sweeper: what was not marked is free, counted and, if asked, unreadable.
// SPDX-License-Identifier: MIT
#include "gc/sweeper.hpp"

#include <cstring>
#include <vector>

#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

constexpr std::uintptr_t poison = 0xdead'beef'dead'beef;

TEST(SweeperTest, CountsWhatItFreesAndKeepsWhatIsMarked) {
    SmallCollector& collector = SmallCollector::make();
    std::vector<void**> objects;
    for (int i = 0; i < 10000; ++i) {
        objects.push_back(collector.allocate(4));
        if (i % 10 == 0) collector.roots.push_back(objects.back());
    }
    void** large = collector.allocate_large(100000);
    const std::uint64_t before = collector.sweeper.freed_objects();
    collector.collect();
    EXPECT_EQ(collector.sweeper.freed_objects() - before, 9001u);
    EXPECT_GT(collector.sweeper.freed_bytes(), 9000 * 32 + 100000u);
    for (std::size_t i = 0; i < objects.size(); ++i)
        EXPECT_EQ(collector.is_allocated(objects[i]), i % 10 == 0);
    EXPECT_EQ(collector.spans.span_of(reinterpret_cast<std::uintptr_t>(large)), nullptr);
}

TEST(SweeperTest, FreedObjectsReadAsPoisonAndNewOnesAsZero) {
    SmallCollector& collector = SmallCollector::make(SmallCollector::plain_environment, {}, true);
    std::vector<void**> objects;
    for (int i = 0; i < 5000; ++i) {
        objects.push_back(collector.allocate(6));
        for (int word = 0; word < 6; ++word) objects.back()[word] = reinterpret_cast<void*>(i + 1);
        if (i % 2 == 0) collector.roots.push_back(objects.back());
    }
    collector.collect();
    for (std::size_t i = 0; i < objects.size(); ++i) {
        if (i % 2 == 0) {
            EXPECT_EQ(objects[i][5], reinterpret_cast<void*>(i + 1)) << "a live one is left alone";
        } else {
            for (int word = 0; word < 6; ++word) ASSERT_EQ(objects[i][word], reinterpret_cast<void*>(poison));
        }
    }
    for (int i = 0; i < 5000; ++i) {
        void** fresh = collector.allocate(6);
        for (int word = 0; word < 6; ++word) ASSERT_EQ(fresh[word], nullptr);
    }
}

TEST(SweeperTest, LeavesTheMarksOfWhatIsOld) {
    using MarksLeft = heap::SweptShared::MarksLeft;
    SmallCollector& collector = SmallCollector::make();
    heap::SweptShared& shared = collector.heap.shared();
    const pages::ObjectMap& objects = collector.spans.objects();
    const auto is_marked = [&](void** object) {
        return objects.is_marked(reinterpret_cast<std::uintptr_t>(object));
    };
    const auto collect = [&](MarksLeft left) {
        shared.marks_left.store(left, std::memory_order_relaxed);
        collector.collect();
    };
    void** old = collector.allocate(4);
    void** large = collector.allocate_large(100000);
    collector.roots = {old, large};
    ASSERT_TRUE(shared.old_marks.cover(objects.bounds()));
    collect(MarksLeft::all_and_noted);
    EXPECT_TRUE(is_marked(old) && is_marked(large));
    void** young = collector.allocate(8);
    void** young_large = collector.allocate_large(200000);
    collector.roots = {old, large, young, young_large};
    for (int i = 0; i < 3; ++i) {
        collect(MarksLeft::noted);
        EXPECT_TRUE(is_marked(old) && is_marked(large));
        EXPECT_FALSE(is_marked(young) || is_marked(young_large)) << "it lives, and is young still";
        EXPECT_TRUE(collector.is_allocated(young) && collector.is_allocated(young_large));
    }
    collect(MarksLeft::all);
    EXPECT_TRUE(is_marked(old) && is_marked(young) && is_marked(young_large));
    collect(MarksLeft::none);
    EXPECT_FALSE(is_marked(old) || is_marked(large) || is_marked(young));
    EXPECT_TRUE(collector.is_allocated(old) && collector.is_allocated(young));
}

TEST(SweeperTest, WithoutPoisonAFreedObjectIsNotTouched) {
    SmallCollector& collector = SmallCollector::make();
    void** object = collector.allocate(6);
    object[0] = object;
    collector.collect();
    EXPECT_FALSE(collector.is_allocated(object));
    EXPECT_EQ(object[0], object);
}

TEST(SweeperTest, AFinalizedObjectIsNotPoisonedUntilItIsFreed) {
    SmallCollector& collector = SmallCollector::make(SmallCollector::plain_environment, {}, true);
    void** object = collector.allocate(6);
    object[2] = &collector;
    ASSERT_EQ(collector.finalizer.set_finalizer(object, [](void*, void*) {}, nullptr), Attached::ok);
    EXPECT_EQ(collector.collect_and_run(), 1u);
    EXPECT_EQ(object[2], &collector);
    collector.collect();
    EXPECT_EQ(object[2], reinterpret_cast<void*>(poison));
}

}  // namespace
}  // namespace cairn::gc
