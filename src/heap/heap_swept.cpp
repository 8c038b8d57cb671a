// The heap's door for kinds the collector frees: tiny and small from the thread's swept cache, large as whole
// spans.
// SPDX-License-Identifier: MIT
#include <cstring>
#include <new>

#include "base/bits.hpp"
#include "heap/heap.hpp"

namespace cairn::heap {

bool Heap::give_swept_cache(ThreadCache& cache) {
    SweptCache* swept = swept_caches_.allocate();
    if (swept == nullptr) return false;
    new (swept) SweptCache;
    swept->attach(swept_centrals_, &cache.local, key_ ^ reinterpret_cast<std::uintptr_t>(swept));
    cache.swept = swept;
    return true;
}

void Heap::drop_swept_cache(ThreadCache& cache) {
    if (cache.swept == nullptr) return;
    cache.swept->release_all();
    swept_caches_.free(cache.swept);
    cache.swept = nullptr;
}

void* Heap::allocate_large_swept(ThreadCache& cache, std::size_t bytes, ObjectKind kind, bool is_zeroed) {
    if (bytes > max_request_bytes) return nullptr;
    const std::size_t pages = base::divide_up(bytes, base::page_bytes);
    spans_.hooks().reclaim(pages * base::page_bytes, pages);
    Span* span = spans_.allocate(pages, kind, 0, &cache.local);
    if (span == nullptr) return nullptr;
    span->alloc_count = 1;
    span->free_index = 1;
    void* start = reinterpret_cast<void*>(span->base);
    // Before the sweeper or a marker can find it, since a typed object's every word is believed.
    if ((is_zeroed || kind == ObjectKind::typed) && span->needs_zero) std::memset(start, 0, span->bytes());
    const std::size_t span_bytes = span->bytes();
    swept_centrals_.of(0, kind).place_swept(span);
    SweptShared& shared = swept_centrals_.shared();
    shared.live_bytes.add(span_bytes);
    shared.allocated_bytes.add(span_bytes);
    shared.objects[0].add(1);
    spans_.hooks().allocated(span_bytes);
    return start;
}

void* Heap::allocate(ThreadCache& cache, std::size_t bytes, ObjectKind kind, bool is_zeroed) {
    CAIRN_ASSERT(is_swept(kind) && cache.heap == this);
    if (bytes > max_small_bytes) return allocate_large_swept(cache, bytes, kind, is_zeroed);
    if (cache.swept == nullptr && !give_swept_cache(cache)) return nullptr;
    return cache.swept->allocate(bytes, kind, is_zeroed);
}

}  // namespace cairn::heap
