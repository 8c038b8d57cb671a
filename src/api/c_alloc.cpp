// Allocation and the barrier of the C API: the inline path of an allocation, and what it falls back to.
//
// A type's cell holds the id of its shape once an object of it was made; with it an allocation is a pointer
// that goes up in the thread's run of that shape. 0 says "ask": for the first object, for large ones, and for
// a size that is not the type's.
//
// A signal handler that allocates while it interrupted an allocation of its own thread would get the very
// slot that is being handed out: that is noticed and ends the program with a message.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <cstring>

#include "api/allocating.hpp"
#include "api/gc_runtime.hpp"
#include "cairn/cairn.h"
#include "heap/size_class.hpp"

namespace cairn::api {
namespace {

using gc::Mutator;
using heap::ObjectKind;
using heap::ShapeId;

std::uint32_t load_cell(const cairn_type& type) { return __atomic_load_n(type.shape, __ATOMIC_RELAXED); }

bool is_overflow(std::size_t count, std::size_t size) {
    std::size_t total = 0;
    return __builtin_mul_overflow(count, size, &total) || total > heap::max_request_bytes;
}

// The shape of an object of `bytes` of this type; `is_array`: its map repeats.
ShapeId shape_for(Mutator& thread, const cairn_type& type, unsigned size_class, bool is_array) {
    if (type.kind == CAIRN_NOSCAN) return heap::zeroed_shape_of_class(size_class);
    if (type.kind != CAIRN_TYPED) return heap::shape_of_class(size_class, ObjectKind::conservative);
    Allocating now(thread);
    gc::InRuntime inside(thread);  // interning locks
    heap::Centrals& centrals = gc_runtime.collector.swept().centrals();
    return centrals.intern(size_class, {type.pointer_map, type.map_words, is_array, type.name});
}

unsigned class_for(std::size_t bytes, std::size_t align) {
    const unsigned c = heap::swept_class_of(bytes);
    if (c == 0 || align <= 16 || heap::min_align(c) >= align) return c;
    const unsigned aligned = heap::aligned_class_of(bytes, align);
    return heap::has_granular_slots(aligned) ? aligned : 0;
}

void* allocate_shape(Mutator& thread, unsigned shape) {
    {
        Allocating now(thread);
        const std::uintptr_t slot = thread.cache.runs()[shape].try_take();
        if (slot != 0) [[likely]] return reinterpret_cast<void*>(slot);
    }
    if (void* const object = gc_runtime.collector.try_next_run(thread, shape)) [[likely]] return object;
    Allocating now(thread);
    return gc_runtime.collector.allocate_small(thread, shape);
}

[[gnu::noinline]] void* allocate_slow(std::size_t bytes, const cairn_type& type, bool is_array) {
    Mutator* thread = current_mutator();
    if (thread == nullptr || bytes > heap::max_request_bytes) return nullptr;
    const unsigned c = class_for(bytes, type.align);
    const ShapeId shape = shape_for(*thread, type, c, is_array);
    if (c == 0) {
        Allocating now(*thread);
        return gc_runtime.collector.allocate_large(*thread, bytes, type.align, shape, true);
    }
    // relaxed: a number that every thread finds alike
    if (!is_array && bytes == type.size) __atomic_store_n(type.shape, shape, __ATOMIC_RELAXED);
    return allocate_shape(*thread, shape);
}

void* allocate_kind(std::size_t bytes, ObjectKind kind) {
    Mutator* thread = current_mutator();
    if (thread == nullptr || bytes > heap::max_request_bytes) [[unlikely]] return nullptr;
    const unsigned c = heap::swept_class_of(bytes);
    if (c != 0) [[likely]] return allocate_shape(*thread, heap::shape_of_class(c, kind));
    Allocating now(*thread);
    return gc_runtime.collector.allocate_large(*thread, bytes, 16, heap::shape_of_class(0, kind), false);
}

void destroy(void* object, void* type) { static_cast<const cairn_type*>(type)->destroy(object); }

std::uintptr_t load_word(const void* slot) {
    return __atomic_load_n(static_cast<const std::uintptr_t*>(slot), __ATOMIC_RELAXED);
}
void store_word(void* slot, std::uintptr_t word) {
    __atomic_store_n(static_cast<std::uintptr_t*>(slot), word, __ATOMIC_RELAXED);
}

void shade(std::uintptr_t first, std::uintptr_t second) {
    if (Mutator* thread = current_mutator()) gc_runtime.collector.shade(*thread, first, second);
}

}  // namespace
}  // namespace cairn::api

using namespace cairn::api;

extern "C" {

// Cost: about 20 instructions; no lock, no atomic read-modify-write, no call.
CAIRN_API void* cairn_alloc(size_t size, const cairn_type* type) noexcept {
    Mutator* thread = mutator;
    if (thread == nullptr || size != type->size || thread->is_allocating) [[unlikely]]
        return allocate_slow(size, *type, false);
    std::uintptr_t slot = 0;
    {
        cairn::gc::InAllocation now(*thread);
        slot = thread->cache.runs()[load_cell(*type)].try_take();
    }
    if (slot == 0) [[unlikely]] return allocate_slow(size, *type, false);
    return reinterpret_cast<void*>(slot);
}

CAIRN_API void* cairn_alloc_heap(size_t size, const cairn_type* type) noexcept {
    return cairn_alloc(size, type);
}

CAIRN_API void* cairn_alloc_finalized(size_t size, const cairn_type* type) noexcept {
    void* object = cairn_alloc(size, type);
    if (object == nullptr || type->destroy == nullptr) return object;
    cairn::gc::Mutator* thread = current_mutator();
    cairn::gc::Attached done;
    {
        cairn::gc::InRuntime inside(*thread);
        done = gc_runtime.collector.finalizer().set_finalizer(
            object, destroy, const_cast<cairn_type*>(type), type);
    }
    gc_runtime.collector.finalizer().runner().start_if_wanted();
    return done == cairn::gc::Attached::ok ? object : nullptr;
}

CAIRN_API void* cairn_alloc_array(size_t count, const cairn_type* type) noexcept {
    if (is_overflow(count, type->size)) return nullptr;
    const size_t bytes = count * type->size;
    return allocate_slow(bytes == 0 ? 1 : bytes, *type, true);
}

CAIRN_API void* cairn_alloc_noscan(size_t size) noexcept { return allocate_kind(size, ObjectKind::noscan); }

CAIRN_API void* cairn_alloc_conservative(size_t size) noexcept {
    return allocate_kind(size, ObjectKind::conservative);
}

CAIRN_API void cairn_free(void* object CAIRN_NOESCAPE) noexcept {
    if (object == nullptr || !gc_runtime.is_started()) return;
    if (Mutator* thread = current_mutator()) gc_runtime.collector.free(*thread, object);
}

CAIRN_API void cairn_barrier_slow(void** slot CAIRN_NOESCAPE, void* value CAIRN_NOESCAPE) noexcept {
    shade(load_word(slot), reinterpret_cast<std::uintptr_t>(value));
}

CAIRN_API void cairn_shade(void* value CAIRN_NOESCAPE) noexcept {
    if (cairn_barrier_active != 0) shade(reinterpret_cast<std::uintptr_t>(value), 0);
}

CAIRN_API void cairn_store_many(void* target CAIRN_NOESCAPE, const void* source CAIRN_NOESCAPE,
                                size_t bytes) noexcept {
    constexpr size_t word = sizeof(std::uintptr_t);
    auto* to = static_cast<char*>(target);
    auto* from = static_cast<const char*>(source);
    if (cairn_barrier_active != 0)
        for (size_t at = 0; at < bytes; at += word) shade(load_word(to + at), load_word(from + at));
    // Whole words, since the collector may be reading: memmove promises only bytes.
    if (to <= from)
        for (size_t at = 0; at < bytes; at += word) store_word(to + at, load_word(from + at));
    else
        for (size_t at = bytes; at > 0; at -= word) store_word(to + at - word, load_word(from + at - word));
}

CAIRN_API void cairn_clear_many(void* target CAIRN_NOESCAPE, size_t bytes) noexcept {
    auto* to = static_cast<char*>(target);
    for (size_t at = 0; at < bytes; at += sizeof(std::uintptr_t)) {
        if (cairn_barrier_active != 0) shade(load_word(to + at), 0);
        store_word(to + at, 0);
    }
}

}  // extern "C"
