// Marking without a byte of memory for its buffers: nothing reachable is missed, and it comes to an end.
// SPDX-License-Identifier: MIT
#include "os/fake.hpp"
#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

using os::fake::Move;

class MarkingOutOfMemory : public testing::Test {
protected:
    MarkingOutOfMemory() : collector((os::fake::reset(), SmallCollector::make())) {}

    void refuse() {
        os::fake::fail(Move::any, 1, os::fake::for_ever);
        for (std::size_t bytes = 64 << 10; bytes >= 8; bytes /= 2)
            while (collector.spans.metadata().allocate(bytes, 8) != nullptr) {
            }
    }
    // As the collector does it in its last stop. Returns the rounds it took.
    unsigned rescan_until_complete(Marker& marker) {
        unsigned rounds = 0;
        for (; collector.pool.has_overflowed(); ++rounds) {
            EXPECT_LT(rounds, 10'000u) << "no end";
            if (rounds == 10'000) break;
            collector.pool.clear_overflow();
            collector.spans.addresses().for_each_span_start([&](std::uintptr_t, const heap::Span* span) {
                if (span == nullptr || !heap::may_hold_pointers(span->kind)) return;
                marker.rescan(span->base, span->end());
                while (!marker.drain(1 << 20)) {
                }
            });
        }
        return rounds;
    }
    [[nodiscard]] bool is_marked(const void* object) const {
        return collector.spans.objects().is_marked(reinterpret_cast<std::uintptr_t>(object));
    }
    SmallCollector& collector;
};

TEST_F(MarkingOutOfMemory, WideObjectsAreFollowedToTheLastChild) {
    // More children than the ring holds, each with more of them; large ones too, which are scanned at once.
    constexpr std::size_t width = 1000;
    void** root = collector.allocate(width);
    std::vector<void*> all{root};
    for (std::size_t i = 0; i < width; ++i) {
        void** child = i % 100 == 0 ? collector.allocate_large(100'000) : collector.allocate(80);
        root[i] = child;
        all.push_back(child);
        for (std::size_t j = 0; j < 70; ++j) all.push_back(child[j] = collector.allocate(2));
    }
    void* garbage = collector.allocate(2);
    refuse();
    ASSERT_EQ(collector.pool.take_empty(), nullptr);
    Marker marker(collector.space);
    marker.push(reinterpret_cast<std::uintptr_t>(root));
    while (!marker.drain(1 << 20)) {
    }
    EXPECT_TRUE(collector.pool.has_overflowed());
    const unsigned rounds = rescan_until_complete(marker);
    marker.flush();
    for (std::size_t i = 0; i < all.size(); ++i) ASSERT_TRUE(is_marked(all[i])) << i << " of " << all.size();
    EXPECT_FALSE(is_marked(garbage));
    EXPECT_EQ(marker.count.marked_objects, all.size());
    EXPECT_LT(rounds, 100u);
}

TEST_F(MarkingOutOfMemory, WhatAFlushCannotKeepIsMarkedAllTheSame) {
    std::vector<void**> objects;
    for (int i = 0; i < 40; ++i) {
        objects.push_back(collector.allocate(4));
        objects.back()[1] = collector.allocate(2);
    }
    refuse();
    Marker marker(collector.space);
    for (void** object : objects) marker.push(reinterpret_cast<std::uintptr_t>(object));
    marker.flush();  // all of them are in the ring, unseen
    EXPECT_TRUE(collector.pool.has_overflowed());
    (void)rescan_until_complete(marker);
    marker.flush();
    for (void** object : objects) {
        EXPECT_TRUE(is_marked(object));
        EXPECT_TRUE(is_marked(object[1]));
    }
}

}  // namespace
}  // namespace cairn::gc
