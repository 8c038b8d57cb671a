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
