// The background thread on a clock that the test owns: what it gives back, how soon, and when it ends.
// SPDX-License-Identifier: MIT
#include "heap/background.hpp"

#include <cstring>
#include <vector>

#include "os/fake.hpp"
#include "os/process.hpp"
#include "unit/heap/malloc_heap.hpp"

namespace cairn::heap {
namespace {

using os::fake::Move;

Background* current = nullptr;
constexpr Hooks hooks{.freed = [] { current->start_if_needed(); }};

class BackgroundTest : public testing::Test {
protected:
    void SetUp() override {
        os::fake::reset();
        if (base::sanitized_build) GTEST_SKIP() << "a sanitizer's own space is too small for so many heaps";
        start(UINT64_MAX);
    }
    void TearDown() override { os::fake::reset(); }

    void start(std::uint64_t memory_limit, bool traces = false) {
        os::fake::reset();
        os::fake::allow_background(true);
        os::fake::set_cost(Move::unused, 7'000);  // a release of 64 KiB
        Heap::Settings settings;
        settings.spans.memory_limit = memory_limit;
        heap = MallocHeap();
        ASSERT_TRUE(heap.start(settings, hooks));
        background = std::make_unique<Background>();
        background->initialize(*heap, true, traces);
        current = background.get();
        cache = heap->attach();
    }
    // Fills and frees `bytes` of objects of a size.
    void spike(std::size_t bytes, std::size_t size) {
        std::vector<void*> objects;
        for (std::size_t sum = 0; sum < bytes; sum += size) {
            objects.push_back(heap.allocate(*cache, size));
            ASSERT_NE(objects.back(), nullptr);
        }
        for (void* object : objects) heap.free(*cache, object);
    }
    std::uint64_t kept() { return heap->spans().in_use_bytes() + heap->spans().backed_free_bytes(); }

    MallocHeap heap;
    std::unique_ptr<Background> background;
    ThreadCache* cache = nullptr;
};

TEST_F(BackgroundTest, ASmallHeapHasNoThread) {
    spike(2 * mib, 1024);
    EXPECT_FALSE(os::is_background_running());
}

TEST_F(BackgroundTest, ASpikeGoesBackWithinTenSeconds) {
    spike(256 * mib, mib);
    ASSERT_TRUE(os::is_background_running());
    const std::uint64_t before = kept();
    const std::uint64_t start_ns = os::monotonic_ns();
    os::fake::run_background();
    EXPECT_FALSE(os::is_background_running()) << "with nothing to do it ends";
    EXPECT_LT(kept(), before / 10);
    EXPECT_LT(os::monotonic_ns() - start_ns, 5'000'000'000 + 15'000'000'000u) << "five of them are patience";
    EXPECT_GT(heap->spans().returned_total_bytes(), before / 10 * 9);
    heap->verify();
}

TEST_F(BackgroundTest, SlotsThatSleepInDepotsGoHome) {
    spike(64 * mib, 1024);
    const std::uint64_t depot = heap->usage_of(32).cached - cache->count_of(32);
    EXPECT_GT(depot, 0u);
    spike(16 * mib, mib);  // enough to wake the thread
    ASSERT_TRUE(os::is_background_running());
    os::fake::run_background();
    EXPECT_EQ(heap->usage_of(32).cached, cache->count_of(32));
    heap->verify();
}

TEST_F(BackgroundTest, ItComesAgainForTheNextSpike) {
    for (int round = 0; round < 3; ++round) {
        spike(64 * mib, mib);
        ASSERT_TRUE(os::is_background_running());
        os::fake::run_background();
        EXPECT_FALSE(os::is_background_running());
        EXPECT_LT(kept(), 16 * mib);
    }
    heap->verify();
}

TEST_F(BackgroundTest, LiveDataStays) {
    std::vector<void*> live;
    for (unsigned i = 0; i < 32; ++i) {
        live.push_back(heap.allocate(*cache, mib));
        std::memset(live.back(), static_cast<int>(i + 1), mib);
    }
    spike(64 * mib, mib);
    os::fake::run_background();
    for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(*at_offset(live[i], mib - 1), static_cast<char>(i + 1));
    EXPECT_GE(kept(), 32 * mib);
    EXPECT_LT(kept(), 40 * mib);
    for (void* object : live) heap.free(*cache, object);
}

TEST_F(BackgroundTest, NearTheLimitItWorksTowardsIt) {
    start(64 * mib);
    std::vector<void*> live;
    for (unsigned i = 0; i < 50; ++i) live.push_back(heap.allocate(*cache, mib));
    spike(13 * mib, mib);
    ASSERT_TRUE(os::is_background_running());
    os::fake::run_background();
    EXPECT_LE(os::mapped_ready() - heap->spans().addresses().untouched_index_bytes(), 64 * mib / 100 * 95);
    for (void* object : live) heap.free(*cache, object);
}

TEST_F(BackgroundTest, TracesALineABatch) {
    start(UINT64_MAX, true);
    spike(32 * mib, mib);
    testing::internal::CaptureStderr();
    os::fake::run_background();
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(said.rfind("cairn: scav ", 0), 0u) << said;
    EXPECT_NE(said.find(" KiB work (bg), "), std::string::npos);
    EXPECT_NE(said.find("% util\n"), std::string::npos);
}

TEST_F(BackgroundTest, GoesWithoutAThreadWhenTheSystemRefusesIt) {
    os::fake::allow_background(false);
    spike(64 * mib, mib);
    EXPECT_FALSE(os::is_background_running());
    heap->verify();
}

}  // namespace
}  // namespace cairn::heap
