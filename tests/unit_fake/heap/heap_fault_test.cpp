// A heap whose OS refuses: every single call of a scenario, once and for ever. It must say nullptr, stay
// whole, and serve again as soon as the OS does.
// SPDX-License-Identifier: MIT
#include <cstring>
#include <vector>

#include "os/fake.hpp"
#include "unit/heap/malloc_heap.hpp"

namespace cairn::heap {
namespace {

using os::fake::Move;
using os::fake::State;
using pages::LayoutModel;

void stop_refusing() {
    for (const Move move : {Move::alloc, Move::reserve, Move::map, Move::any}) os::fake::fail(move, 0, 0);
}

std::uint64_t refusable_calls() {
    return os::fake::calls(Move::alloc) + os::fake::calls(Move::reserve) + os::fake::calls(Move::map);
}

// The same requests each time, with every way a heap can grow; what is refused is counted and left out.
class Scenario {
public:
    Scenario(LayoutModel layout, std::uint64_t memory_limit) {
        settings_.spans.layout = layout;
        settings_.spans.memory_limit = memory_limit;
        settings_.spans.use_huge_pages = true;
    }

    // False when the heap could not even start.
    [[nodiscard]] bool start() { return heap.start(settings_); }

    void run() {
        ThreadCache* cache = attach();
        ThreadCache* other = attach();
        for (unsigned c = 1; c < size_class_count; c += 3) {
            for (unsigned i = 0; i < 40; ++i) keep(*cache, heap.allocate_slot(*cache, c, 1), 1);
        }
        for (std::size_t bytes = 40 * kib; bytes <= 32 * mib; bytes *= 3)
            keep(*cache, heap.allocate(*cache, bytes), bytes);
        for (std::size_t alignment = 16 * kib; alignment <= 16 * mib; alignment *= 8) {
            keep(*other, heap.allocate_aligned(*other, 100 * kib, alignment), 100 * kib);
        }
        verify_contents();
        drop_every(2);
        (void)heap->spans().scavenge(4 * mib, true);
        for (unsigned i = 0; i < 3000; ++i) keep(*other, heap.allocate(*other, 1000), 1000);
        keep(*cache, heap.allocate(*cache, 48 * mib), 48 * mib);  // another arena
        if (!objects_.empty()) {
            Object& grown = objects_.back();
            if (heap->resize_in_place(grown.start, grown.bytes + mib)) grown.bytes += mib;
        }
        verify_contents();
        heap->verify();
        drop_every(1);
        end(other);
        end(cache);
    }

    std::uint64_t refused = 0;
    MallocHeap heap;

private:
    struct Object {
        ThreadCache* owner;
        unsigned char* start;
        std::size_t bytes;
        unsigned char mark;
    };

    ThreadCache* attach() {
        ThreadCache* cache = heap->attach();
        if (cache != nullptr) return cache;
        ++refused;
        return &blank_;  // what the front end does
    }
    void end(ThreadCache* cache) {
        if (cache != &blank_) heap->detach(cache);
    }
    void keep(ThreadCache& owner, void* start, std::size_t bytes) {
        if (start == nullptr) {
            ++refused;
            return;
        }
        const auto mark = static_cast<unsigned char>(objects_.size());
        objects_.push_back({&owner, static_cast<unsigned char*>(start), bytes, mark});
        objects_.back().start[0] = objects_.back().start[bytes - 1] = mark;
    }
    void verify_contents() {
        for (const Object& each : objects_) {
            EXPECT_EQ(each.start[0], each.mark);
            if (each.bytes < 48 * mib) EXPECT_EQ(each.start[each.bytes - 1], each.mark);
        }
    }
    void drop_every(std::size_t n) {
        std::vector<Object> left;
        for (std::size_t i = 0; i < objects_.size(); ++i) {
            if (i % n == 0) heap.free(*objects_[i].owner, objects_[i].start);
            else left.push_back(objects_[i]);
        }
        objects_ = left;
    }

    Heap::Settings settings_;
    std::vector<Object> objects_;
    ThreadCache blank_;
};

struct Case {
    const char* name;
    LayoutModel layout;
    std::uint64_t memory_limit;
};

class HeapFault : public testing::TestWithParam<Case> {
protected:
    void SetUp() override {
        os::fake::reset();
        if (base::sanitized_build) GTEST_SKIP() << "a sanitizer's own space is too small for so many heaps";
    }
    void TearDown() override { os::fake::reset(); }

    // Runs the scenario with the calls [nth, nth + times) refused. True when all of it came before the nth.
    bool passes_before(std::uint64_t nth, std::uint64_t times) {
        SCOPED_TRACE("call " + std::to_string(nth));
        os::fake::reset();
        os::fake::fail(Move::any, nth, times);
        Scenario scenario(GetParam().layout, GetParam().memory_limit);
        if (!scenario.start()) {
            EXPECT_FALSE(scenario.heap->spans().addresses().failure_text().empty());
            stop_refusing();
            EXPECT_TRUE(scenario.start()) << "a second start must be possible";
        }
        scenario.run();
        const bool is_before = refusable_calls() < nth;
        if (is_before) EXPECT_EQ(scenario.refused, 0u);
        if (times == 1) EXPECT_LE(scenario.refused, 1u) << "one refusal costs at most one request";
        stop_refusing();
        scenario.heap.expect_empty();
        scenario.refused = 0;
        scenario.run();
        EXPECT_EQ(scenario.refused, 0u) << "the OS gives again";
        scenario.heap.expect_empty();
        return is_before;
    }
    void try_every_call(std::uint64_t times) {
        std::uint64_t nth = 1;
        while (nth < 1000 && !passes_before(nth, times) && !HasFailure()) ++nth;
        EXPECT_GT(nth, 8u);
        EXPECT_LT(nth, 1000u);
    }
};

TEST_P(HeapFault, EachCallRefusedOnce) {
    try_every_call(1);
}
TEST_P(HeapFault, EachCallAndAllAfterItRefused) {
    try_every_call(os::fake::for_ever);
}

INSTANTIATE_TEST_SUITE_P(, HeapFault,
                         testing::Values(Case{"Sparse", LayoutModel::sparse, UINT64_MAX},
                                         Case{"Linear", LayoutModel::linear, UINT64_MAX},
                                         Case{"SparseLimited", LayoutModel::sparse, 96 * mib}),
                         [](const testing::TestParamInfo<Case>& info) {
                             return std::string(info.param.name);
                         });

// ---- somebody else is there

class HeapConflict : public testing::Test {
protected:
    static constexpr std::uintptr_t first_hint = 0xc0'0000'0000;
    static constexpr unsigned hints = 127;  // the 128th place does not fit below 2^47

    void SetUp() override {
        os::fake::reset();
        if (base::sanitized_build) GTEST_SKIP() << "no places are asked for under sanitizers";
    }
    void TearDown() override { os::fake::reset(); }
    static void occupy(std::uintptr_t at, std::size_t bytes) {
        os::fake::occupy(reinterpret_cast<void*>(at), bytes);
    }
    bool start(LayoutModel layout) {
        Heap::Settings settings;
        settings.spans.layout = layout;
        return heap.start(settings);
    }
    MallocHeap heap;
};

TEST_F(HeapConflict, LinearFailsCleanlyWhereSparseGoesOn) {
    // In the middle of every place for 528.5 GiB sits one page of somebody else.
    for (std::uintptr_t i = 0; i < hints; ++i)
        occupy((i << 40 | first_hint) + (std::uintptr_t{300} << 30), page_bytes);
    EXPECT_FALSE(start(LayoutModel::linear));
    EXPECT_NE(heap->spans().addresses().failure_text().find("sparse"), std::string_view::npos);
    EXPECT_EQ(os::fake::bytes_in(State::reserved), 0u) << "nothing was kept";
    ASSERT_TRUE(start(LayoutModel::sparse));
    ThreadCache* cache = heap->attach();
    std::vector<void*> objects;
    for (unsigned i = 0; i < 40; ++i) objects.push_back(heap.allocate(*cache, 8 * mib));
    for (void* object : objects) EXPECT_NE(object, nullptr);
    heap->verify();
    for (void* object : objects) heap.free(*cache, object);
    heap->detach(cache);
    heap.expect_empty();
}

TEST_F(HeapConflict, SparseGoesAroundANeighbourWhileItGrows) {
    ASSERT_TRUE(start(LayoutModel::sparse));
    ThreadCache* cache = heap->attach();
    void* first = heap.allocate(*cache, mib);
    EXPECT_EQ(address_of(first), first_hint);
    occupy(first_hint + pages::arena_bytes, page_bytes);
    std::vector<void*> objects = {first};
    for (unsigned i = 0; i < 20; ++i) objects.push_back(heap.allocate(*cache, 10 * mib));
    for (void* object : objects) {
        ASSERT_NE(object, nullptr);
        EXPECT_TRUE(os::fake::is_all(object, mib, State::ready));
    }
    heap->verify();
    for (void* object : objects) heap.free(*cache, object);
    heap->detach(cache);
    heap.expect_empty();
}

// ---- the limit

class HeapLimit : public testing::TestWithParam<LayoutModel> {
protected:
    static constexpr std::uint64_t limit = 64 * mib;

    void SetUp() override {
        os::fake::reset();
        if (base::sanitized_build) GTEST_SKIP() << "a sanitizer's own space is too small for so many heaps";
        Heap::Settings settings;
        settings.spans.layout = GetParam();
        settings.spans.memory_limit = limit;
        ASSERT_TRUE(heap.start(settings));
        cache = heap->attach();
    }
    void TearDown() override { os::fake::reset(); }
    std::uint64_t ready() { return os::mapped_ready() - heap->spans().addresses().untouched_index_bytes(); }

    MallocHeap heap;
    ThreadCache* cache = nullptr;
};

TEST_P(HeapLimit, HoldsWhileTheLiveDataFits) {
    std::uint64_t most = 0;
    std::vector<void*> live;
    std::size_t live_bytes = 0;
    // Each round asks for larger blocks than the holes that the last one left.
    for (const std::size_t bytes : {50 * kib, 300 * kib, mib, 3 * mib + 8 * kib, 5 * mib}) {
        std::vector<void*> objects;
        for (; live_bytes + bytes <= 44 * mib; live_bytes += bytes) {
            objects.push_back(heap.allocate(*cache, bytes));
            ASSERT_NE(objects.back(), nullptr);
            most = std::max(most, ready());
        }
        for (std::size_t i = 0; i < objects.size(); ++i) {
            if (i % 8 == 0) {
                live.push_back(objects[i]);
                continue;
            }
            heap.free(*cache, objects[i]);
            live_bytes -= bytes;
        }
    }
    for (void* object : live) heap.free(*cache, object);
    EXPECT_LE(most, limit);
    EXPECT_GT(heap->spans().returned_total_bytes(), 0u) << "or the test tests nothing";
    heap->verify();
    heap->detach(cache);
    heap.expect_empty();
}

TEST_P(HeapLimit, SmallObjectsGiveWayToOtherClasses) {
    std::uint64_t most = 0;
    for (const std::size_t bytes : {48u, 1024u, 200u, 8192u, 3000u}) {
        std::vector<void*> objects;
        for (std::size_t sum = 0; sum < 36 * mib; sum += bytes) {
            objects.push_back(heap.allocate(*cache, bytes));
            ASSERT_NE(objects.back(), nullptr);
        }
        most = std::max(most, ready());
        for (void* object : objects) heap.free(*cache, object);
    }
    EXPECT_LE(most, limit);
    heap->verify();
    heap->detach(cache);
    heap.expect_empty();
}

TEST_P(HeapLimit, IsSoft) {
    std::vector<void*> objects;
    for (unsigned i = 0; i < 12; ++i) objects.push_back(heap.allocate(*cache, 10 * mib));
    for (void* object : objects) EXPECT_NE(object, nullptr) << "live data beyond the limit is served";
    for (void* object : objects) heap.free(*cache, object);
    EXPECT_EQ(cache->parked_count, 0u) << "but nothing is hoarded near it";
    heap->verify();
    heap->detach(cache);
    heap.expect_empty();
}

INSTANTIATE_TEST_SUITE_P(, HeapLimit, testing::Values(LayoutModel::sparse, LayoutModel::linear), layout_name);

}  // namespace
}  // namespace cairn::heap
