// Allocation by libgc's names: the short way of the C interface with a byte more, realloc, free, lists.
//
// Objects of kind 0 hold no pointers, of kind 1 any word may be one; 2 and 3 are these as roots, until they
// are freed: each has a root cell, kept in a table by its address.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstring>

#include "api/address_table.hpp"
#include "api/libgc.hpp"
#include "gc/marker.hpp"
#include "heap/size_class.hpp"

namespace cairn::api::libgc {

namespace {

using heap::ObjectKind;

struct Uncollectable {
    gc::RootCell* cell;  // [lock] alloc_lock
    int kind;            // [lock] likewise
};
constinit AddressTable<Uncollectable> uncollectables;  // [lock] alloc_lock

gc::RootCells& cells() { return collector().roots().cells(); }

// GC_set_max_heap_size: what live objects and the asked one take together, after a cycle if need be.
bool is_within_limit(gc::Mutator& thread, std::size_t bytes) {
    if (most_heap_bytes == 0) return true;
    const auto live = [] { return collector().swept().shared().live_bytes.value(); };
    if (live() + bytes <= most_heap_bytes) return true;
    collector().collect(thread);
    return live() + bytes <= most_heap_bytes;
}

// The run of a shape in the calling thread; allocation without a call where it has a slot.
[[gnu::always_inline]] inline void* try_allocate(gc::Mutator* thread, unsigned shape) {
    if (thread->is_allocating) [[unlikely]] return nullptr;
    gc::InAllocation now(*thread);
    return reinterpret_cast<void*>(thread->cache.runs()[shape].try_take());
}

[[gnu::noinline]] void* allocate_slow(std::size_t bytes, heap::ShapeId shape, std::size_t alignment) {
    gc::Mutator& thread = self();
    Active active(thread);
    run_pending();
    void* object = nullptr;
    if (bytes <= heap::max_request_bytes && is_within_limit(thread, bytes)) {
        Allocating now(thread);
        const bool is_large = collector().swept().centrals().shapes()[shape].size_class == 0;
        object = is_large ? collector().allocate_large(thread, bytes, alignment, shape, false)
                          : thread.cache.runs()[shape].cursor != thread.cache.runs()[shape].limit
                                ? reinterpret_cast<void*>(thread.cache.runs()[shape].try_take())
                                : collector().allocate_small(thread, shape);
    }
    if (GC_on_heap_resize != nullptr) [[unlikely]] tell_heap_size();
    return object != nullptr ? object : out_of_memory(bytes);
}

// The run is empty: what the thread freed comes next, then the next run of its span.
[[gnu::noinline]] void* allocate_again(std::size_t bytes, heap::ShapeId shape) {
    if (mutator != nullptr) [[likely]] {
        void* const object = mutator->cache.has_returned(shape) ? collector().try_reuse(*mutator, shape)
                                                                : collector().try_next_run(*mutator, shape);
        if (object != nullptr) [[likely]] return object;
    }
    return allocate_slow(bytes, shape, 16);
}

[[gnu::always_inline]] inline void* allocate(std::size_t bytes, ObjectKind kind) {
    bytes += extra_bytes;
    const bool is_small = bytes <= heap::max_small_bytes;
    const heap::ShapeId shape = heap::shape_of_class(is_small ? heap::swept_class_of(bytes) : 0, kind);
    if (mutator != nullptr && is_small) [[likely]]
        if (void* const object = try_allocate(mutator, shape)) [[likely]] return object;
    return allocate_again(bytes, shape);
}

void* keep_forever(void* object, int kind) {
    if (object == nullptr) return nullptr;
    gc::Mutator& thread = self();
    {
        Locked lock(thread);
        gc::RootCell* cell = cells().allocate();
        Uncollectable* entry =
            cell == nullptr ? nullptr : uncollectables.add(reinterpret_cast<std::uintptr_t>(object));
        if (entry != nullptr) {
            is_free_special.store(true, std::memory_order_relaxed);  // relaxed: as GC_free()
            cells().set(cell, object);
            *entry = {cell, kind};
            return object;
        }
        if (cell != nullptr) cells().free(cell);
    }
    return out_of_memory(1);
}

}  // namespace

void* out_of_memory(std::size_t bytes) { return GC_oom_fn != nullptr ? GC_oom_fn(bytes) : nullptr; }

// Not inlined: it keeps nothing in registers that frames of a cycle would save. The end of an empty run, for
// one, is the address of somebody else's object.
[[gnu::noinline]] void* allocate_shaped(std::size_t bytes, heap::ShapeId shape, std::size_t alignment) {
    if (alignment > 16) return allocate_slow(bytes, shape, alignment);
    if (mutator != nullptr) [[likely]]
        if (void* const object = try_allocate(mutator, shape)) return object;
    return allocate_again(bytes, shape);
}

void* allocate_kind(std::size_t bytes, int kind) {
    (void)self();
    if (kind == kind_uncollectable || kind == kind_atomic_uncollectable)
        return keep_forever(allocate_kind(bytes, kind - kind_uncollectable == 0 ? kind_normal : kind_atomic),
                            kind);
    bytes += extra_bytes;
    const unsigned size_class = bytes <= heap::max_small_bytes ? heap::swept_class_of(bytes) : 0;
    return allocate_shaped(bytes, shape_of_kind(kind, size_class));
}

namespace {

// The slot of the object that starts there or that has this address inside; start 0: of none. Needs: the
// collector was started.
[[gnu::always_inline]] inline gc::Slot slot_of(const void* pointer) {
    const gc::MarkSpace& space = collector().mark_space();
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    if (!space.objects->bounds().holds(address)) return {};
    const gc::Slot slot = gc::Marker::resolve(space, address);
    return slot.start != 0 && space.objects->is_allocated(slot.start) ? slot : gc::Slot{};
}

[[gnu::always_inline]] inline Object look_up(const void* pointer) {
    const gc::Slot slot = slot_of(pointer);
    if (slot.start == 0) return {};
    const gc::MarkSpace& space = collector().mark_space();
    const heap::Shape& shape = (*space.shapes)[slot.shape];
    const auto id = static_cast<heap::ShapeId>(slot.shape);
    if (shape.slot_bytes != 0) return {slot.start, &shape, shape.slot_bytes, id};
    const heap::Span* span = space.addresses->span_of(slot.start);
    return {slot.start, &shape, span->bytes(), id};
}

[[gnu::noinline]] void free_slow(void* object) {
    const Object found = object_of(object);
    if (found.start == 0) return;  // freed before
    gc::Mutator& thread = self();
    if (has_uncollectables() || has_finalizers()) {
        Locked lock(thread);
        free_uncollectable(found.start);
        forget_finalizer(found.start);
    }
    if (GC_find_leak != 0 || is_disclaimed(kind_of_shape(*found.shape, found.shape_id))) {
        Locked lock(thread);
        forget_caller(found.start);
        return free_disclaimed(thread, found.start);
    }
    if (!collector().try_free(thread, found.start, found.shape_id)) collector().free(thread, object);
}

// Apart from GC_free(), which thus calls nothing while it has something to keep.
[[gnu::noinline]] void free_scanned(void* object, std::uintptr_t start, heap::ShapeId shape) {
    if (!collector().try_free(*mutator, start, shape)) free_slow(object);
}

}  // namespace

constinit std::atomic<bool> is_free_special{false};

Object object_of(const void* pointer) { return gc_runtime.is_started() ? look_up(pointer) : Object{}; }

bool has_uncollectables() { return uncollectables.count() != 0; }

void free_uncollectable(std::uintptr_t object) {
    if (uncollectables.count() == 0) return;
    Uncollectable* entry = uncollectables.find(object);
    if (entry == nullptr) return;
    cells().free(entry->cell);
    uncollectables.remove(object);
}

int uncollectable_kind(std::uintptr_t object) {
    Uncollectable* entry = uncollectables.find(object);
    return entry == nullptr ? 0 : entry->kind;
}

namespace {

int kind_of(const Object& object) {
    {
        Locked lock(self());
        if (const int kind = uncollectable_kind(object.start)) return kind;
    }
    if (object.shape->tag != 0) return object.shape->tag;
    return object.shape->kind == ObjectKind::noscan ? kind_atomic : kind_normal;
}

// An object of the same layout: the shape itself where the class stays, else that of its kind.
void* allocate_like(const Object& object, std::size_t bytes) {
    return allocate_kind(bytes, kind_of(object));
}

void* reallocate(void* pointer, std::size_t bytes) {
    if (pointer == nullptr) return GC_malloc(bytes);
    if (bytes == 0) {
        GC_free(pointer);
        return nullptr;
    }
    const Object object = object_of(pointer);
    if (object.start == 0) stop_program("GC_realloc of an address that is no object");
    const bool is_scanned = object.shape->rule != heap::ScanRule::nothing;
    const std::size_t room = object.bytes - extra_bytes;
    if (bytes <= room && bytes >= object.bytes / 2) {
        // What the program gives up must not keep anything alive, nor be seen when it grows again.
        if (is_scanned) std::memset(static_cast<char*>(pointer) + bytes, 0, object.bytes - bytes);
        return pointer;
    }
    void* other = allocate_like(object, bytes);
    if (other == nullptr) return nullptr;
    std::memcpy(other, pointer, bytes < room ? bytes : room);
    GC_free(pointer);
    return other;
}

unsigned aligned_class(std::size_t bytes, std::size_t alignment) {
    if (bytes > heap::max_small_bytes) return 0;
    const unsigned c = heap::swept_class_of(bytes);
    if (c == 0 || alignment <= 16 || heap::min_align(c) >= alignment) return c;
    const unsigned aligned = heap::aligned_class_of(bytes, alignment);
    return heap::has_granular_slots(aligned) ? aligned : 0;
}

// A list of up to about 4 KiB, written to `list`: of one object when there is no more in the run. Without a
// stop in between: a list of objects without pointers is followed by the client's mark procedure alone, which
// finds it where it is written to.
void allocate_list(std::size_t bytes, int kind, void** list) {
    constexpr std::size_t list_bytes = 4096;
    gc::Mutator& thread = self();
    run_pending();
    if (bytes < 16) bytes = 16;
    const bool is_rooted = kind == kind_uncollectable || kind == kind_atomic_uncollectable;
    if (bytes > heap::max_small_bytes || is_rooted) {
        void* object = allocate_kind(bytes, kind);
        if (object != nullptr) *static_cast<void**>(object) = nullptr;
        *list = object;
        return;
    }
    const heap::ShapeId shape = shape_of_kind(kind, heap::swept_class_of(bytes));
    void* const first = allocate_shaped(bytes, shape);
    auto** last = static_cast<void**>(first);
    gc::InRuntime in(thread);
    if (first != nullptr) {
        heap::AllocationRun& run = thread.cache.runs()[shape];
        const std::size_t slot_bytes = collector().swept().centrals().shapes()[shape].slot_bytes;
        for (std::size_t taken = slot_bytes; taken + slot_bytes <= list_bytes; taken += slot_bytes) {
            void* const slot = reinterpret_cast<void*>(run.try_take());
            if (slot == nullptr) break;
            *last = slot;
            last = static_cast<void**>(slot);
        }
        *last = nullptr;
    }
    *list = first;
}

}  // namespace
}  // namespace cairn::api::libgc

using namespace cairn::api;
using namespace cairn::api::libgc;

extern "C" {

void* GC_malloc(size_t bytes) { return allocate(bytes, ObjectKind::conservative); }
void* GC_malloc_atomic(size_t bytes) { return allocate(bytes, ObjectKind::noscan); }
void* GC_malloc_stubborn(size_t bytes) { return GC_malloc(bytes); }
void* GC_malloc_ignore_off_page(size_t bytes) { return GC_malloc(bytes); }
void* GC_malloc_atomic_ignore_off_page(size_t bytes) { return GC_malloc_atomic(bytes); }
void* GC_malloc_uncollectable(size_t bytes) { return allocate_kind(bytes, kind_uncollectable); }
void* GC_malloc_atomic_uncollectable(size_t bytes) { return allocate_kind(bytes, kind_atomic_uncollectable); }

void* GC_generic_malloc(size_t bytes, int kind) { return allocate_kind(bytes, kind); }
void* GC_generic_malloc_ignore_off_page(size_t bytes, int kind) { return allocate_kind(bytes, kind); }
void* GC_generic_malloc_uncollectable(size_t bytes, int kind) {
    return allocate_kind(bytes, kind == kind_atomic ? kind_atomic_uncollectable : kind_uncollectable);
}
void* GC_generic_or_special_malloc(size_t bytes, int kind) { return allocate_kind(bytes, kind); }
void* GC_malloc_kind(size_t bytes, int kind) { return allocate_kind(bytes, kind); }
void* GC_malloc_kind_global(size_t bytes, int kind) { return allocate_kind(bytes, kind); }
void GC_generic_malloc_many(size_t bytes, int kind, void** list) { allocate_list(bytes, kind, list); }
void* GC_malloc_many(size_t bytes) {
    void* list = nullptr;
    allocate_list(bytes, kind_normal, &list);
    return list;
}

void* GC_memalign(size_t alignment, size_t bytes) {
    if ((alignment & (alignment - 1)) != 0) return nullptr;
    if (alignment <= 16) return GC_malloc(bytes);
    bytes += extra_bytes;
    (void)self();
    const unsigned size_class = aligned_class(bytes, alignment);
    return allocate_shaped(bytes, cairn::heap::shape_of_class(size_class, ObjectKind::conservative),
                           size_class == 0 ? alignment : 16);
}

int GC_posix_memalign(void** object, size_t alignment, size_t bytes) {
    if (alignment < sizeof(void*) || (alignment & (alignment - 1)) != 0) return EINVAL;
    void* made = GC_memalign(alignment, bytes);
    if (made == nullptr) return ENOMEM;
    *object = made;
    return 0;
}

void* GC_realloc(void* object, size_t bytes) { return reallocate(object, bytes); }

void GC_free(void* object) {
    // relaxed: who has an object with more to it has seen it get that
    if (mutator != nullptr && !is_free_special.load(std::memory_order_relaxed)) [[likely]] {
        const cairn::gc::Slot slot = slot_of(object);
        if (slot.start == 0) return;  // freed before, or null
        const auto shape = static_cast<cairn::heap::ShapeId>(slot.shape);
        if (!cairn::heap::is_unzeroed_shape(shape)) return free_scanned(object, slot.start, shape);
        if (collector().try_free(*mutator, slot.start, shape)) [[likely]] return;
    }
    free_slow(object);
}

char* GC_strdup(const char* text) {
    if (text == nullptr) return nullptr;
    const size_t bytes = std::strlen(text) + 1;
    void* copy = GC_malloc_atomic(bytes);
    return copy == nullptr ? nullptr : static_cast<char*>(std::memcpy(copy, text, bytes));
}

char* GC_strndup(const char* text, size_t most) {
    const size_t bytes = strnlen(text, most);
    auto* copy = static_cast<char*>(GC_malloc_atomic(bytes + 1));
    if (copy == nullptr) return nullptr;
    std::memcpy(copy, text, bytes);
    copy[bytes] = 0;
    return copy;
}

void* GC_base(void* address) {
    return gc_runtime.is_started() ? reinterpret_cast<void*>(slot_of(address).start) : nullptr;
}
size_t GC_size(const void* object) { return gc_runtime.is_started() ? look_up(object).bytes : 0; }

// In a page of collected objects, whether the slot is in use or not.
int GC_is_heap_ptr(const void* address) {
    if (!gc_runtime.is_started()) return 0;
    const cairn::pages::ObjectMap& objects = *collector().mark_space().objects;
    const auto word = reinterpret_cast<std::uintptr_t>(address);
    return objects.bounds().holds(word) && objects.entry(word) != 0 ? 1 : 0;
}

int GC_get_kind_and_size(const void* object, size_t* bytes) {
    const Object found = object_of(object);
    if (bytes != nullptr) *bytes = found.bytes;
    return found.start == 0 ? 0 : kind_of(found);
}

size_t GC_get_size_map_at(int granules) { return granules < 0 ? SIZE_MAX : static_cast<size_t>(granules); }

}  // extern "C"
