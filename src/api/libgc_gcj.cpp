// Objects that begin with a pointer to their type, whose second word is their descriptor (gcj's vtables).
//
// A kind of two: the descriptor is found through the first word; or, by the debug variant, a procedure of the
// client is called for every object, with environment 1. A type's descriptor may not change once there are
// objects of it, and the type must stay as long as they do.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include "api/libgc.hpp"
#include "os/process.hpp"

namespace cairn::api::libgc {

namespace {

constinit std::atomic<bool> is_ready{false};  // [atomic] written under alloc_lock

constexpr GC_word descriptor_offset = sizeof(GC_word);
constexpr GC_word by_type =
    (GC_word{0} - (descriptor_offset + GC_INDIR_PER_OBJ_BIAS)) | GC_DS_PER_OBJECT;
constexpr GC_word debug_environment = 1;

void* allocate_with_type(std::size_t bytes, void* type, int& kind) {
    if (!is_ready.load(std::memory_order_acquire)) GC_init_gcj_malloc(0, nullptr);  // acquire: the kinds
    auto* object = static_cast<void**>(allocate_kind(std::max(bytes, sizeof(void*)), kind));
    // A marker may look at any moment: atomic, and relaxed, since the object is the thread's own.
    if (object != nullptr) __atomic_store_n(object, type, __ATOMIC_RELAXED);
    return object;
}

}  // namespace
}  // namespace cairn::api::libgc

using namespace cairn::api::libgc;

extern "C" {

void GC_init_gcj_malloc(int index, void* procedure) {
    Locked lock(self());
    if (is_ready.load(std::memory_order_relaxed)) return;  // relaxed: under the lock
    if (procedure != nullptr && !set_procedure(index, reinterpret_cast<GC_mark_proc>(procedure)))
        stop_program("GC_init_gcj_malloc: no such mark procedure");
    if (cairn::os::environment("GC_IGNORE_GCJ_INFO") != nullptr) {
        GC_gcj_kind = GC_gcj_debug_kind = kind_normal;
    } else {
        const GC_word debug = GC_MAKE_PROC(index, debug_environment);
        GC_gcj_kind = static_cast<int>(GC_new_kind_inner(GC_new_free_list_inner(), by_type, 0, 1));
        GC_gcj_debug_kind = static_cast<int>(
            GC_new_kind_inner(GC_new_free_list_inner(), procedure != nullptr ? debug : by_type, 0, 1));
    }
    is_ready.store(true, std::memory_order_release);  // release: the kinds are complete
}

void* GC_gcj_malloc(size_t bytes, void* type) { return allocate_with_type(bytes, type, GC_gcj_kind); }
void* GC_gcj_malloc_ignore_off_page(size_t bytes, void* type) { return GC_gcj_malloc(bytes, type); }
void* GC_debug_gcj_malloc(size_t bytes, void* type, const char* file, int line) {
    return with_caller(allocate_with_type(bytes, type, GC_gcj_debug_kind), bytes, file, line);
}

}  // extern "C"
