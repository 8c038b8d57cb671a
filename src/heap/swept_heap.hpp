// Swept heap: the half of the heap whose objects a collector frees. Central lists by shape, and large
// objects.
//
// Small objects come from a thread's SweptCache. A large one is a span of its own, made in two steps so that
// zeroing it needs no stop-proof section: make_large() gives a span that looks cached (no sweeper takes it)
// and whose allocated bit is not set (no marker believes in it); when it is zero, publish_large() sets the
// bit and puts the span where the sweeper finds it.
//
// Started by the first collected allocation; a program that only uses malloc pays nothing for it.
//
// Floor: heap. Locks: inside the parts.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "heap/central.hpp"
#include "heap/span_alloc.hpp"
#include "heap/swept_cache.hpp"

namespace cairn::heap {

class SweptHeap {
public:
    constexpr SweptHeap() = default;

    // False when the OS refuses the tables.
    [[nodiscard]] bool start(SpanAlloc& spans);
    [[nodiscard]] bool is_started() const { return centrals_.is_initialized(); }

    [[nodiscard]] Centrals& centrals() { return centrals_; }
    [[nodiscard]] SweptShared& shared() { return centrals_.shared(); }
    [[nodiscard]] SpanAlloc& spans() { return *spans_; }

    // A span for one object of `bytes`, its start a multiple of `alignment`; see above. `shape` is of class
    // 0. nullptr when the OS refuses.
    [[nodiscard]] Span* make_large(std::size_t bytes, std::size_t alignment, ShapeId shape,
                                   LocalPages* local);
    // Hands it out. Needs: zero if its kind is scanned.
    void* publish_large(Span* span);

    void reset_locks_after_fork() { centrals_.reset_locks_after_fork(); }

private:
    Centrals centrals_;
    SpanAlloc* spans_ = nullptr;  // [fixed]
};

}  // namespace cairn::heap
