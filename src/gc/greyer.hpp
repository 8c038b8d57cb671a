// Greyer: what everything that holds objects weakly asks of the marker, as two verbs and a question.
//
// Finalizers, cleanups and ephemerons stand beside the marker, not above it: they are told how to grey a word
// and how to grey what an object holds, and need no more of it. A test, and the reference marker of
// verify.hpp, give verbs of their own.
//
// Also here: finding the object of an address the slow and simple way, for calls that are not part of
// marking.
//
// Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "heap/span_alloc.hpp"
#include "pages/object_map.hpp"

namespace cairn::gc {

// Both verbs may be called while a lock of Rank::specials is held, so they take only locks of higher rank.
struct Greyer {
    void* context = nullptr;
    // Marks the object that `word` points into, if there is one, and sees to it that its fields are scanned.
    void (*grey)(void* context, std::uintptr_t word) = nullptr;
    // Greys what the object that starts at `object` holds; the object itself is not marked.
    void (*scan_object)(void* context, std::uintptr_t object) = nullptr;

    void operator()(const void* word) const { grey(context, reinterpret_cast<std::uintptr_t>(word)); }
};

// Whether a mark phase runs, and how the calling thread greys in it. Asked inside the runtime only, where the
// phase cannot change before the answer is used.
struct MarkPhase {
    bool (*is_marking)() = [] { return false; };
    Greyer (*greyer)() = [] { return Greyer{}; };
};

// A slot of a collected span that is handed out (or about to be).
struct CollectedObject {
    heap::Span* span = nullptr;
    std::uintptr_t start = 0;
    explicit operator bool() const { return span != nullptr; }
};

// The object that `address` points to or into; none for any address that is not the collector's.
inline CollectedObject object_at(const heap::SpanAlloc& spans, const pages::ObjectMap& objects,
                                 std::uintptr_t address) {
    heap::Span* span = spans.span_of(address);
    if (span == nullptr || !heap::is_swept(span->kind)) return {};
    const std::size_t slot = span->slot_of(address);
    if (slot >= span->slots) return {};
    const std::uintptr_t start = span->slot_address(slot);
    if (!objects.is_allocated(start)) return {};
    return {span, start};
}

}  // namespace cairn::gc
