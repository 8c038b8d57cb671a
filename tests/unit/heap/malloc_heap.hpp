// A heap alone, with the front end's short paths before it: what a test calls where a program calls malloc.
//
// The steps are those of api/malloc.cpp, over any cache, so that a test may be several threads at once.
// A heap never unmaps its memory; the fixtures do it for theirs.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <string>

#include "heap/heap.hpp"

namespace cairn::heap {

inline constexpr std::size_t kib = std::size_t{1} << 10;
inline constexpr std::size_t mib = std::size_t{1} << 20;

inline std::uintptr_t address_of(const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer);
}
inline char* at_offset(void* pointer, std::ptrdiff_t bytes) {
    return static_cast<char*>(pointer) + bytes;
}

class MallocHeap {
public:
    [[nodiscard]] bool start(const Heap::Settings& settings = {}, const Hooks& hooks = no_hooks) {
        return heap_->initialize(settings, hooks);
    }
    Heap& operator*() { return *heap_; }
    Heap* operator->() { return heap_.get(); }

    void* allocate(ThreadCache& cache, std::size_t bytes) {
        bool is_zeroed = false;
        if (bytes > max_small_bytes) return heap_->allocate_large(cache, bytes, 1, is_zeroed);
        return allocate_slot(cache, malloc_class_of(bytes), bytes);
    }
    void* allocate_slot(ThreadCache& cache, unsigned size_class, std::size_t bytes) {
        if (void* slot = cache.try_allocate(size_class)) return slot;
        return heap_->allocate_slow(cache, size_class, bytes);
    }
    void* allocate_aligned(ThreadCache& cache, std::size_t bytes, std::size_t alignment) {
        if (alignment <= malloc_align) return allocate(cache, bytes < alignment ? alignment : bytes);
        const unsigned size_class = aligned_class_of(bytes == 0 ? 1 : bytes, alignment);
        if (size_class != 0) return allocate_slot(cache, size_class, bytes);
        bool is_zeroed = false;
        return heap_->allocate_large(cache, bytes, alignment, is_zeroed);
    }
    void* allocate_zeroed(ThreadCache& cache, std::size_t bytes) {
        bool is_zeroed = false;
        void* start = bytes > max_small_bytes ? heap_->allocate_large(cache, bytes, 1, is_zeroed)
                                              : allocate(cache, bytes);
        return start == nullptr || is_zeroed ? start : std::memset(start, 0, bytes);
    }
    void free(ThreadCache& cache, void* address) {
        const std::uintptr_t start = address_of(address);
        const std::uint32_t entry = heap_->spans().addresses().near_entry(start);
        if (entry != 0 && cache.try_free(address, entry)) return;
        heap_->free_slow(cache, address);
    }
    std::size_t usable(ThreadCache& cache, void* address) {
        return heap_->usable_size(cache, address, Call::usable_size);
    }
    void* reallocate(ThreadCache& cache, void* address, std::size_t bytes) {
        const std::size_t old_bytes = usable(cache, address);
        if (old_bytes > max_small_bytes && bytes > max_small_bytes && heap_->resize_in_place(address, bytes))
            return address;
        void* moved = allocate(cache, bytes);
        if (moved == nullptr) return nullptr;
        std::memcpy(moved, address, bytes < old_bytes ? bytes : old_bytes);
        free(cache, address);
        return moved;
    }

    // Nothing allocated, no cache attached: drained, the heap holds no page.
    void expect_empty() {
        heap_->drain(true);
        heap_->verify();
        const SpanAlloc::Usage usage = heap_->spans().usage();
        EXPECT_EQ(usage.in_use_bytes, 0u);
        EXPECT_EQ(usage.in_use_spans, 0u);
        for (unsigned c = 1; c < size_class_count; ++c) {
            const Heap::ClassUsage row = heap_->usage_of(c);
            EXPECT_EQ(row.allocations, row.frees) << "class " << c;
            EXPECT_EQ(row.spans, 0u) << "class " << c;
            EXPECT_EQ(row.cached, 0u) << "class " << c;
        }
    }

    static constexpr Hooks no_hooks{};

private:
    std::unique_ptr<Heap> heap_ = std::make_unique<Heap>();
};

// Unmaps a heap that nobody uses again, so that the next one finds the same places free: a linear one whole,
// of a sparse one the arenas at hinted places, which are ours alone.
inline void unmap(SpanAlloc& spans) {
    using pages::LinearLayout;
    constexpr std::size_t before = LinearLayout::spans_bytes + LinearLayout::bitmap_bytes;
    constexpr std::uintptr_t first_hint = 0xc0'0000'0000;
    constexpr std::uintptr_t hints_end = std::uintptr_t{0x50} << 40;  // above, the OS has its own places
    const bool is_linear = spans.addresses().model() == pages::LayoutModel::linear;
    if (spans.addresses().reserved_bytes() == 0) return;
    (void)spans.allocate(1, ObjectKind::manual, 0, nullptr);  // one that never grew does not tell its place
    spans.addresses().for_each_arena([is_linear](const pages::PageTables& tables) {
        const bool is_hinted =
            tables.base < hints_end && tables.base % (std::uintptr_t{1} << 40) >= first_hint;
        if (!tables || (!is_linear && !is_hinted)) return;
        const std::uintptr_t base = is_linear ? tables.base - before : tables.base;
        const std::size_t bytes = is_linear ? LinearLayout::total_bytes : pages::arena_bytes;
        EXPECT_EQ(munmap(reinterpret_cast<void*>(base), bytes), 0);
    });
}

// A heap and two caches, on the layout that is the parameter.
class HeapOnLayout : public testing::TestWithParam<pages::LayoutModel> {
public:
    void SetUp() override { start({}); }
    void TearDown() override { unmap(heap->spans()); }

    void start(Heap::Settings settings, const Hooks& hooks = MallocHeap::no_hooks) {
        settings.spans.layout = GetParam();
        unmap(heap->spans());
        heap = MallocHeap();
        ASSERT_TRUE(heap.start(settings, hooks)) << heap->spans().addresses().failure_text();
        cache = heap->attach();
        other = heap->attach();
        ASSERT_TRUE(cache != nullptr && other != nullptr);
    }
    // Ends both threads and expects that nothing is left.
    void end() {
        heap->detach(cache);
        heap->detach(other);
        cache = other = nullptr;
        heap.expect_empty();
    }

    void* allocate(std::size_t bytes) { return heap.allocate(*cache, bytes); }
    void free(void* address) { heap.free(*cache, address); }

    MallocHeap heap;
    ThreadCache* cache = nullptr;
    ThreadCache* other = nullptr;
};

inline std::string layout_name(const testing::TestParamInfo<pages::LayoutModel>& info) {
    return info.param == pages::LayoutModel::sparse ? "Sparse" : "Linear";
}

}  // namespace cairn::heap

#define CAIRN_ON_BOTH_LAYOUTS(Fixture) \
    INSTANTIATE_TEST_SUITE_P( \
        , Fixture, testing::Values(cairn::pages::LayoutModel::sparse, cairn::pages::LayoutModel::linear), \
        cairn::heap::layout_name)
