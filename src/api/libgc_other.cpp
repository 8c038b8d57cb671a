// What is the plain thing under another name, or nothing here.
//
// Debug variants note their caller where leaks are looked for: objects have no header, so a pointer from one
// family may go to the other.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <cstring>

#include "api/libgc.hpp"

using namespace cairn::api::libgc;

extern "C" {

// ---- debug variants

void* GC_debug_malloc(size_t bytes, const char* file, int line) {
    return with_caller(GC_malloc(bytes), bytes, file, line);
}
void* GC_debug_malloc_atomic(size_t bytes, const char* file, int line) {
    return with_caller(GC_malloc_atomic(bytes), bytes, file, line);
}
void* GC_debug_malloc_uncollectable(size_t bytes, const char* file, int line) {
    return with_caller(GC_malloc_uncollectable(bytes), bytes, file, line);
}
void* GC_debug_malloc_atomic_uncollectable(size_t bytes, const char* file, int line) {
    return with_caller(GC_malloc_atomic_uncollectable(bytes), bytes, file, line);
}
void* GC_debug_malloc_stubborn(size_t bytes, const char* file, int line) {
    return GC_debug_malloc(bytes, file, line);
}
void* GC_debug_malloc_ignore_off_page(size_t bytes, const char* file, int line) {
    return GC_debug_malloc(bytes, file, line);
}
void* GC_debug_malloc_atomic_ignore_off_page(size_t bytes, const char* file, int line) {
    return GC_debug_malloc_atomic(bytes, file, line);
}
void* GC_debug_generic_or_special_malloc(size_t bytes, int kind, const char* file, int line) {
    return with_caller(GC_generic_malloc(bytes, kind), bytes, file, line);
}
void* GC_debug_malloc_replacement(size_t bytes) { return GC_malloc(bytes); }
void* GC_debug_realloc_replacement(void* object, size_t bytes) { return GC_realloc(object, bytes); }
void* GC_debug_realloc(void* object, size_t bytes, const char* file, int line) {
    return with_caller(GC_realloc(object, bytes), bytes, file, line);
}
char* GC_debug_strdup(const char* text, const char* file, int line) {
    return text == nullptr ? nullptr : GC_debug_strndup(text, SIZE_MAX - 1, file, line);
}
char* GC_debug_strndup(const char* text, size_t most, const char* file, int line) {
    char* const copy = GC_strndup(text, most);
    if (copy != nullptr) (void)with_caller(copy, std::strlen(copy) + 1, file, line);
    return copy;
}
void GC_debug_free(void* object) { GC_free(object); }

void GC_debug_register_finalizer(void* object, GC_finalization_proc call, void* data,
                                 GC_finalization_proc* old_call, void** old_data) {
    GC_register_finalizer(object, call, data, old_call, old_data);
}
void GC_debug_register_finalizer_ignore_self(void* object, GC_finalization_proc call, void* data,
                                             GC_finalization_proc* old_call, void** old_data) {
    GC_register_finalizer_ignore_self(object, call, data, old_call, old_data);
}
void GC_debug_register_finalizer_no_order(void* object, GC_finalization_proc call, void* data,
                                          GC_finalization_proc* old_call, void** old_data) {
    GC_register_finalizer_no_order(object, call, data, old_call, old_data);
}
void GC_debug_register_finalizer_unreachable(void* object, GC_finalization_proc call, void* data,
                                             GC_finalization_proc* old_call, void** old_data) {
    GC_register_finalizer_unreachable(object, call, data, old_call, old_data);
}
size_t GC_get_debug_header_size() { return 0; }

// ---- stores: writes are noticed by the page, without a word

void GC_change_stubborn(const void*) {}
void GC_end_stubborn_change(const void*) {}
void GC_debug_change_stubborn(const void*) {}
void GC_debug_end_stubborn_change(const void*) {}
void GC_ptr_store_and_dirty(void* slot, const void* value) {
    __atomic_store_n(static_cast<const void**>(slot), value, __ATOMIC_RELEASE);
}
void GC_debug_ptr_store_and_dirty(void* slot, const void* value) { GC_ptr_store_and_dirty(slot, value); }

// ---- pointer arithmetic with a look

void* GC_same_obj(void* first, void* second) {
    const Object one = object_of(first);
    const auto other = reinterpret_cast<std::uintptr_t>(second);
    const bool is_same = one.start == 0 ? object_of(second).start == 0 : other - one.start <= one.bytes;
    if (!is_same) GC_same_obj_print_proc(first, second);
    return first;
}
void* GC_pre_incr(void** pointer, ptrdiff_t bytes) {
    char* const moved = static_cast<char*>(*pointer) + bytes;
    (void)GC_same_obj(moved, *pointer);
    return *pointer = moved;
}
void* GC_post_incr(void** pointer, ptrdiff_t bytes) {
    void* const before = *pointer;
    *pointer = GC_same_obj(static_cast<char*>(before) + bytes, before);
    return before;
}
void* GC_is_visible(void* pointer) { return pointer; }
void* GC_is_valid_displacement(void* pointer) { return pointer; }

void* GC_clear_stack(void* pass) { return pass; }
void GC_noop1(GC_word value) { __asm__ volatile("" : : "r"(value)); }
__attribute__((visibility("default"))) void GC_incr_bytes_allocd(size_t) {}
__attribute__((visibility("default"))) void GC_incr_bytes_freed(size_t bytes) {
    (void)self();
    collector().swept().shared().given_back_bytes.add(bytes);
}

}  // extern "C"
