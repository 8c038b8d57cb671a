// Swept heap when the OS refuses: nothing is lost, and all goes on when it gives again.
// SPDX-License-Identifier: MIT
#include <cstring>
#include <vector>

#include "os/fake.hpp"
#include "unit/heap/swept_heap.hpp"

namespace cairn::heap {
namespace {

using os::fake::Move;

class SweptOutOfMemory : public testing::Test {
protected:
    SweptOutOfMemory() : heap((os::fake::reset(), TestHeap::make())) {
        EXPECT_TRUE(cache.attach(heap.centrals(), nullptr, 1));
    }

    static void refuse() { os::fake::fail(Move::any, 1, os::fake::for_ever); }
    static void allow() { os::fake::fail(Move::any, 1, 0); }
    void use_up_metadata() {
        for (std::size_t bytes = 16 * 1024; bytes >= 8; bytes /= 2)
            while (heap.spans.metadata().allocate(bytes, 8) != nullptr) {
            }
    }

    TestHeap& heap;
    SweptCache cache;
};

TEST_F(SweptOutOfMemory, AllocationSaysNullAndTheHeapStaysWhole) {
    (void)cache.allocate(1000, ObjectKind::noscan, true);
    refuse();
    std::vector<unsigned char*> objects;
    while (auto* object = static_cast<unsigned char*>(cache.allocate(1000, ObjectKind::conservative, true))) {
        std::memset(object, 7, 1000);
        objects.push_back(object);
        ASSERT_LT(objects.size(), 100'000u);
    }
    EXPECT_GT(objects.size(), 100u) << "the rest of what was mapped";
    EXPECT_EQ(cache.allocate(1000, ObjectKind::conservative, true), nullptr);
    EXPECT_EQ(cache.allocate(3, ObjectKind::noscan, true), nullptr);
    for (const unsigned char* object : objects) ASSERT_EQ(object[999], 7);
    heap.centrals().verify();
    allow();
    EXPECT_NE(cache.allocate(1000, ObjectKind::conservative, true), nullptr);
    EXPECT_NE(cache.allocate(3, ObjectKind::noscan, true), nullptr);
    cache.release_all();
    heap.spans.verify();
}

TEST_F(SweptOutOfMemory, ASpanNoSetTakesBecomesAStray) {
    void* object = cache.allocate(64, ObjectKind::typed, true);
    ASSERT_NE(object, nullptr);
    heap.set_alive(object, true);
    refuse();
    use_up_metadata();
    Span* span = heap.spans.span_of(reinterpret_cast<std::uintptr_t>(object));
    cache.release_all();
    EXPECT_EQ(heap.shared().strays->count(), 1u);
    EXPECT_EQ(sweep_state(span->sweep_generation.load(std::memory_order_relaxed), heap.generation()),
              SweepState::cached);
    EXPECT_NE(cache.allocate(64, ObjectKind::typed, true), nullptr) << "from the stray, without memory";
    EXPECT_EQ(cache.current(span->shape), span);
    cache.release_all();
    EXPECT_FALSE(heap.centrals().rehome_strays());

    heap.begin_cycle();
    EXPECT_FALSE(heap.centrals().rehome_strays()) << "swept, but still homeless";
    EXPECT_EQ(heap.sweeps, 1u);
    EXPECT_EQ(span->alloc_count, 1) << "the second object was garbage";
    EXPECT_EQ(sweep_state(span->sweep_generation.load(std::memory_order_relaxed), heap.generation()),
              SweepState::cached);
    allow();
    EXPECT_TRUE(heap.centrals().rehome_strays());
    EXPECT_EQ(heap.central(span->size_class, ObjectKind::typed).population().partial_swept, 1u);
    heap.centrals().verify();
    heap.spans.verify();
}

// Every single refusal on the way of a first allocation is survived.
TEST_F(SweptOutOfMemory, AnyOneRefusalIsSurvived) {
    for (std::uint64_t nth = 1; nth < 12; ++nth) {
        os::fake::reset();
        TestHeap& fresh = TestHeap::make();
        SweptCache other;
        ASSERT_TRUE(other.attach(fresh.centrals(), nullptr, nth));
        os::fake::fail(Move::any, nth, 1);
        for (int i = 0; i < 2000; ++i) {
            void* object = other.allocate(static_cast<std::size_t>(i) * 16, ObjectKind::noscan, true);
            if (object == nullptr)
                object = other.allocate(static_cast<std::size_t>(i) * 16, ObjectKind::noscan, true);
            ASSERT_NE(object, nullptr) << "refusal " << nth << ", object " << i;
        }
        other.release_all();
        (void)fresh.centrals().rehome_strays();
        fresh.centrals().verify();
        fresh.spans.verify();
    }
}

}  // namespace
}  // namespace cairn::heap
