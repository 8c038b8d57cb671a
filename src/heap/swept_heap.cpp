// Making and publishing large objects.
// SPDX-License-Identifier: MIT
#include "heap/swept_heap.hpp"

#include "base/bits.hpp"

namespace cairn::heap {

bool SweptHeap::start(SpanAlloc& spans) {
    spans_ = &spans;
    return centrals_.initialize(spans);
}

Span* SweptHeap::make_large(std::size_t bytes, std::size_t alignment, ShapeId shape, LocalPages* local) {
    const std::size_t pages = base::divide_up(bytes, base::page_bytes);
    const ObjectKind kind = centrals_.shapes()[shape].kind;
    spans_->hooks().reclaim(pages * base::page_bytes, pages);
    if (kind == ObjectKind::conservative) shared().conservative_spans.add(1);
    Span* span = alignment <= base::page_bytes ? spans_->allocate(pages, kind, 0, local, shape)
                                               : spans_->allocate_aligned(pages, alignment, kind, shape);
    if (span == nullptr) return nullptr;
    // relaxed: nobody looks at the span's generation before it is in use
    span->sweep_generation.store(shared().generation() + 3, std::memory_order_relaxed);
    return span;
}

void* SweptHeap::publish_large(Span* span) {
    SweptShared& state = shared();
    const std::size_t span_bytes = span->bytes();
    span->alloc_count = 1;
    span->free_index = 1;
    const bool is_black = state.is_marking();
    if (is_black) state.black_bytes.add(span_bytes);
    spans_->objects().set_run(span->base, 1, pages::granule_bytes, is_black);
    centrals_.of(*span).place_large(span);
    state.live_bytes.add(span_bytes);
    state.allocated_bytes.add(span_bytes);
    state.objects[0].add(1);
    return reinterpret_cast<void*>(span->base);
}

}  // namespace cairn::heap
