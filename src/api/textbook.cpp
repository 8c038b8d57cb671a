// Behind cairn/textbook.h: one table of functions for each textbook allocator, made by one template.
// SPDX-License-Identifier: MIT
#include <cairn/textbook.h>

#include <new>
#include <string_view>

#include "os/memory.hpp"
#include "textbook/bump.hpp"
#include "textbook/free_list.hpp"

namespace {

using namespace cairn::textbook;

// What differs between the policies, as functions on memory that holds the allocator.
struct Policy {
    const char* name;
    const char* meaning;
    void (*make)(void* memory, Region& region);
    void* (*allocate)(void* memory, std::size_t bytes, std::size_t align);
    void (*free)(void* memory, void* address);
    bool (*resize)(void* memory, void* address, std::size_t bytes);
    Statistics (*statistics)(const void* memory);
    Fault (*check)(const void* memory);
};

template <Allocator A>
constexpr Policy policy(const char* name, const char* meaning) {
    return {name,
            meaning,
            [](void* memory, Region& region) { ::new (memory) A(region); },
            [](void* memory, std::size_t bytes, std::size_t align) {
                return static_cast<A*>(memory)->allocate(bytes, align);
            },
            [](void* memory, void* address) { static_cast<A*>(memory)->free(address); },
            [](void* memory, void* address, std::size_t bytes) {
                return static_cast<A*>(memory)->resize(address, bytes);
            },
            [](const void* memory) { return static_cast<const A*>(memory)->statistics(); },
            [](const void* memory) { return static_cast<const A*>(memory)->check(); }};
}

constexpr Policy policies[] = {
    policy<Bump>("bump", "a pointer that only goes up; nothing is used again"),
    policy<FreeList<FirstFit>>("first-fit", "the first free block that is large enough"),
    policy<FreeList<NextFit>>("next-fit", "the same, from where the last search ended"),
    policy<FreeList<BestFit>>("best-fit", "the smallest that is large enough, by looking at all"),
    policy<FreeList<BestFitTree>>("best-fit-tree", "the same by a tree in order of size"),
    policy<FreeList<Segregated>>("segregated", "a list for each range of sizes"),
};
constexpr std::size_t policy_count = sizeof policies / sizeof policies[0];

// The largest of them; none needs a destructor, for the region owns the memory.
constexpr std::size_t allocator_bytes = sizeof(FreeList<Segregated>);
static_assert(sizeof(Bump) <= allocator_bytes && sizeof(FreeList<NextFit>) <= allocator_bytes);

}  // namespace

struct cairn_textbook {
    const Policy* policy;                               // [fixed]
    Region region;                                      // [owner]
    alignas(16) unsigned char memory[allocator_bytes];  // [owner] the allocator
};

namespace {

std::size_t record_bytes() {
    return cairn::base::align_up(sizeof(cairn_textbook), cairn::os::page_bytes());
}

}  // namespace

extern "C" {

const char* cairn_textbook_policy_name(size_t index) {
    return index < policy_count ? policies[index].name : nullptr;
}

const char* cairn_textbook_policy_meaning(size_t index) {
    return index < policy_count ? policies[index].meaning : nullptr;
}

cairn_textbook* cairn_textbook_open(const char* name, size_t region_bytes) {
    for (const Policy& policy : policies) {
        if (std::string_view(policy.name) != name) continue;
        cairn::os::Stat stat;
        void* memory = cairn::os::alloc(record_bytes(), stat);
        if (memory == nullptr) return nullptr;
        auto* heap = ::new (memory) cairn_textbook;
        heap->policy = &policy;
        if (!heap->region.open(region_bytes)) {
            cairn_textbook_close(heap);
            return nullptr;
        }
        policy.make(heap->memory, heap->region);
        return heap;
    }
    return nullptr;
}

void cairn_textbook_close(cairn_textbook* heap) {
    if (heap == nullptr) return;
    heap->region.close();
    cairn::os::Stat stat;
    stat.add(record_bytes());
    cairn::os::free(heap, record_bytes(), stat);
}

void* cairn_textbook_allocate(cairn_textbook* heap, size_t bytes, size_t align) {
    return heap->policy->allocate(heap->memory, bytes, align);
}

void cairn_textbook_free(cairn_textbook* heap, void* address) {
    heap->policy->free(heap->memory, address);
}

int cairn_textbook_resize(cairn_textbook* heap, void* address, size_t bytes) {
    return heap->policy->resize(heap->memory, address, bytes) ? 1 : 0;
}

void cairn_textbook_counts_get(const cairn_textbook* heap, cairn_textbook_counts* out) {
    const Statistics now = heap->policy->statistics(heap->memory);
    *out = {now.allocations, now.frees,   now.failures,   now.visited,         now.most_visited, now.splits,
            now.merges,      now.growths, now.used_bytes, now.peak_used_bytes, now.extent_bytes};
}

const char* cairn_textbook_check(const cairn_textbook* heap) {
    return heap->policy->check(heap->memory).what;
}

}  // extern "C"
