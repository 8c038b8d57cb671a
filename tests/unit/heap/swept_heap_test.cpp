// Large objects in two steps: nobody believes in one before it is handed out, and then everybody does.
// SPDX-License-Identifier: MIT
#include <cstring>

#include "unit/heap/swept_heap.hpp"

namespace cairn::heap {
namespace {

class SweptHeapTest : public testing::TestWithParam<ObjectKind> {
protected:
    SweptHeapTest() : heap(TestHeap::make()) {}
    [[nodiscard]] Span* make(std::size_t bytes, std::size_t alignment = 16) {
        return heap.swept.make_large(bytes, alignment, shape_of_class(0, GetParam()), nullptr);
    }
    TestHeap& heap;
};

INSTANTIATE_TEST_SUITE_P(Kinds, SweptHeapTest,
                         testing::Values(ObjectKind::noscan, ObjectKind::typed, ObjectKind::conservative),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST_P(SweptHeapTest, AnUnpublishedOneIsNoObjectAndNobodySweepsIt) {
    Span* span = make(100'000);
    ASSERT_NE(span, nullptr);
    EXPECT_GE(span->bytes(), 100'000u);
    EXPECT_FALSE(heap.objects().is_allocated(span->base));
    EXPECT_EQ(sweep_state(span->sweep_generation.load(), heap.generation()), SweepState::cached);
    heap.begin_cycle();
    EXPECT_FALSE(heap.sweep_one());
    EXPECT_EQ(sweep_state(span->sweep_generation.load(), heap.generation()), SweepState::cached_stale);
    std::memset(reinterpret_cast<void*>(span->base), 0, span->bytes());
    void* object = heap.swept.publish_large(span);
    heap.set_alive(object, true);
    EXPECT_TRUE(heap.objects().is_allocated(span->base));
    EXPECT_EQ(sweep_state(span->sweep_generation.load(), heap.generation()), SweepState::swept);
    heap.begin_cycle();
    EXPECT_TRUE(heap.sweep_one());
    EXPECT_EQ(heap.spans.span_of(reinterpret_cast<std::uintptr_t>(object) + 99'999), span);
    heap.set_alive(object, false);
    heap.begin_cycle();
    heap.sweep_all();
    EXPECT_EQ(heap.spans.span_of(reinterpret_cast<std::uintptr_t>(object)), nullptr);
    heap.spans.verify();
    heap.centrals().verify();
}

TEST_P(SweptHeapTest, OnePublishedWhileMarkingIsBlack) {
    heap.shared().allocates_black.store(true);
    Span* span = make(50'000);
    ASSERT_NE(span, nullptr);
    const std::uint64_t before = heap.shared().black_bytes.value();
    (void)heap.swept.publish_large(span);
    EXPECT_TRUE(heap.objects().is_marked(span->base));
    EXPECT_EQ(heap.shared().black_bytes.value(), before + span->bytes());
    heap.shared().allocates_black.store(false);
}

TEST_P(SweptHeapTest, AlignmentsAboveAPageAreKept) {
    for (std::size_t alignment = 16; alignment <= std::size_t{1} << 22; alignment *= 4) {
        for (int i = 0; i < 3; ++i) {
            Span* span = make(40'000, alignment);
            ASSERT_NE(span, nullptr);
            EXPECT_EQ(span->base % alignment, 0u) << alignment;
            heap.set_alive(heap.swept.publish_large(span), true);
            const std::uint32_t last = heap.objects().entry(span->base + 39'999);
            EXPECT_EQ(pages::object_entry_shape(last), shape_of_class(0, GetParam()));
            EXPECT_EQ(last & pages::object_entry_page_mask, pages::object_entry_large);
        }
    }
    heap.spans.verify();
}

TEST_P(SweptHeapTest, CountsFollowTheObjects) {
    const std::uint64_t live = heap.shared().live_bytes.value();
    std::uint64_t bytes = 0;
    for (std::size_t size : {std::size_t{32'769}, std::size_t{1} << 20, std::size_t{70} << 20}) {
        Span* span = make(size);
        ASSERT_NE(span, nullptr);
        bytes += span->bytes();
        heap.set_alive(heap.swept.publish_large(span), true);
    }
    EXPECT_EQ(heap.shared().live_bytes.value(), live + bytes);
    EXPECT_EQ(heap.shared().allocated_bytes.value(), bytes);
    EXPECT_EQ(heap.shared().objects[0].value(), 3u);
    EXPECT_EQ(heap.shared().conservative_spans.value(), GetParam() == ObjectKind::conservative ? 3u : 0u);
}

}  // namespace
}  // namespace cairn::heap
