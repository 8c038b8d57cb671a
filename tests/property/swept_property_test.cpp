// Swept heap against a model: random allocations, drops, cycles, sweeps and flushes on both layouts.
//
// The model knows every live object: where it is, how long, and what was written into it. After each step of
// note: no two live objects overlap, their contents are as written, what should be zero is, and when all is
// swept the spans hold exactly the slots of live objects.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "unit/heap/swept_heap.hpp"

namespace cairn::heap {
namespace {

class Model {
public:
    Model(TestHeap& heap, unsigned seed) : heap_(heap), random_(seed) {
        for (unsigned i = 0; i < cache_count; ++i)
            EXPECT_TRUE(caches_[i].attach(heap.centrals(), i % 2 == 0 ? &local_[i] : nullptr, i + 1));
    }

    void step() {
        const unsigned what = random_() % 1000;
        if (what < 600) allocate();
        else if (what < 960) drop();
        else if (what < 985) (void)heap_.sweep_one();
        else if (what < 995) caches_[random_() % cache_count].release_all();
        else cycle();
    }

    // All swept: spans hold the live slots and nothing else.
    void settle() {
        for (unsigned i = 0; i < cache_count; ++i) {
            caches_[i].release_all();
            heap_.spans.flush(local_[i]);
        }
        cycle();
        heap_.sweep_all();
        std::map<std::uintptr_t, std::size_t> slots;  // tiny objects share
        for (const auto& [at, object] : objects_) {
            const Span* span = heap_.spans.span_of(at);
            ASSERT_NE(span, nullptr);
            ASSERT_EQ(span->kind, object.kind);
            const std::uintptr_t slot = span->slot_address(span->slot_of(at));
            ASSERT_LE(at + object.bytes, slot + span->slot_bytes);
            slots[slot] = span->slot_bytes;
        }
        std::size_t counted = 0;
        heap_.spans.addresses().for_each_span_start([&](std::uintptr_t, Span* span) {
            EXPECT_EQ(span->sweep_generation.load(std::memory_order_relaxed), heap_.generation());
            EXPECT_GT(span->alloc_count, 0);
            counted += span->alloc_count;
            for (unsigned slot = 0; slot < span->slots; ++slot)
                EXPECT_EQ(heap_.objects().is_allocated(span->slot_address(slot)),
                          slots.count(span->slot_address(slot)) != 0);
        });
        EXPECT_EQ(counted, slots.size());
        heap_.centrals().verify();
        heap_.spans.verify();
    }

    void drop_all() {
        while (!objects_.empty()) drop();
    }
    [[nodiscard]] std::size_t live() const { return objects_.size(); }

private:
    static constexpr unsigned cache_count = 3;
    struct Object {
        std::size_t bytes;
        unsigned char fill;
        ObjectKind kind;
    };

    std::size_t random_bytes() {
        switch (random_() % 4) {
        case 0: return random_() % 17;
        case 1: return random_() % 200;
        case 2: return random_() % 2000;
        default: return random_() % 20 == 0 ? random_() % (max_small_bytes + 1) : random_() % 64;
        }
    }

    void allocate() {
        const std::size_t bytes = random_bytes();
        const auto kind = static_cast<ObjectKind>(1 + random_() % swept_kind_count);
        const bool zero = random_() % 2 == 0;
        auto* memory =
            static_cast<unsigned char*>(caches_[random_() % cache_count].allocate(bytes, kind, zero));
        ASSERT_NE(memory, nullptr);
        const auto at = reinterpret_cast<std::uintptr_t>(memory);
        const std::size_t length = bytes == 0 ? 1 : bytes;
        ASSERT_TRUE(bytes < 16 || at % 16 == 0);
        const auto after = objects_.lower_bound(at);
        ASSERT_TRUE(after == objects_.end() || at + length <= after->first);
        ASSERT_TRUE(after == objects_.begin() ||
                    std::prev(after)->first + std::prev(after)->second.bytes <= at);
        for (std::size_t i = 0; zero && i < bytes; ++i) ASSERT_EQ(memory[i], 0) << bytes;
        const auto fill = static_cast<unsigned char>(random_() | 1);
        std::memset(memory, fill, bytes);
        objects_[at] = {length, bytes == 0 ? memory[0] : fill, kind};
        order_.push_back(at);
        heap_.set_alive(memory, true);
    }

    void drop() {
        if (order_.empty()) return;
        std::swap(order_[random_() % order_.size()], order_.back());
        const std::uintptr_t at = order_.back();
        order_.pop_back();
        const Object object = objects_[at];
        const auto* memory = reinterpret_cast<const unsigned char*>(at);
        for (std::size_t i = 0; i < object.bytes; ++i) ASSERT_EQ(memory[i], object.fill);
        objects_.erase(at);
        heap_.set_alive(memory, false);
    }

    void cycle() {
        heap_.sweep_all();
        for (SweptCache& cache : caches_) cache.mark_runs();
        heap_.begin_cycle();
        for (SweptCache& cache : caches_) cache.sweep_stale();
    }

    TestHeap& heap_;
    std::mt19937 random_;
    SweptCache caches_[cache_count];
    LocalPages local_[cache_count];
    std::map<std::uintptr_t, Object> objects_;
    std::vector<std::uintptr_t> order_;
};

class SweptProperty : public testing::TestWithParam<pages::LayoutModel> {};
INSTANTIATE_TEST_SUITE_P(Layouts, SweptProperty,
                         testing::Values(pages::LayoutModel::sparse, pages::LayoutModel::linear),
                         [](const auto& info) {
                             return info.param == pages::LayoutModel::sparse ? "Sparse" : "Linear";
                         });

TEST_P(SweptProperty, AgreesWithTheModel) {
    const char* given = std::getenv("CAIRN_TEST_SEED");
    const unsigned seed =
        given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device{}();
    std::printf("CAIRN_TEST_SEED=%u\n", seed);
    if (GetParam() == pages::LayoutModel::linear && base::sanitized_build)
        GTEST_SKIP() << "the linear range belongs to the sanitizer";
    TestHeap& heap = TestHeap::make({.layout = GetParam()});
    Model model(heap, seed);
    constexpr int steps = base::sanitized_build ? 20'000 : 60'000;
    for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) {
        model.step();
        if (i % 10'000 == 9'999) model.settle();
    }
    EXPECT_GT(model.live(), 0u);
    model.drop_all();
    model.settle();
    EXPECT_EQ(heap.spans.in_use_bytes(), 0u);
}

}  // namespace
}  // namespace cairn::heap
