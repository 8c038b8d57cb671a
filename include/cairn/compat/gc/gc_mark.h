/* For language runtimes: kinds of objects with their own marking procedures, roots pushed by a callback.
   Procedures and callbacks run while all threads are stopped; they may push, and do nothing else here.
   SPDX-License-Identifier: MIT */
#ifndef GC_MARK_H
#define GC_MARK_H
#include "gc.h"
#ifdef __cplusplus
extern "C" {
#endif

struct GC_ms_entry {
    void* opaque;
};
typedef struct GC_ms_entry* (*GC_mark_proc)(GC_word* object, struct GC_ms_entry* top,
                                            struct GC_ms_entry* limit, GC_word environment);
#define GC_LOG_MAX_MARK_PROCS 6
#define GC_MAX_MARK_PROCS (1 << GC_LOG_MAX_MARK_PROCS)
#define GC_RESERVED_MARK_PROCS 8
#define GC_GCJ_RESERVED_MARK_PROC_INDEX 0

/* Descriptors: the two lowest bits say which of four: so many bytes from the start; a bitmap, the highest bit
   for the first word; a procedure; another descriptor, which lies so far from the start of the object or,
   where the word is negative, at (the object's first word) - (the word without these bits) -
   GC_INDIR_PER_OBJ_BIAS. */
#define GC_DS_TAG_BITS 2
#define GC_DS_TAGS ((1 << GC_DS_TAG_BITS) - 1)
#define GC_DS_LENGTH 0
#define GC_DS_BITMAP 1
#define GC_DS_PROC 2
#define GC_DS_PER_OBJECT 3
#define GC_INDIR_PER_OBJ_BIAS 0x10
#define GC_MAKE_PROC(index, environment) \
    (((((GC_word)(environment)) << GC_LOG_MAX_MARK_PROCS | (GC_word)(index)) << GC_DS_TAG_BITS) | GC_DS_PROC)

/* Outside of these no word is a pointer into the heap. */
GC_API void* GC_least_plausible_heap_addr;
GC_API void* GC_greatest_plausible_heap_addr;
GC_API struct GC_ms_entry* GC_mark_and_push(void* object, struct GC_ms_entry* top, struct GC_ms_entry* limit,
                                            void** source);
#define GC_MARK_AND_PUSH(object, top, limit, source) \
    ((GC_word)(object) >= (GC_word)GC_least_plausible_heap_addr && \
             (GC_word)(object) <= (GC_word)GC_greatest_plausible_heap_addr \
         ? GC_mark_and_push(object, top, limit, source) \
         : (top))

GC_API void** GC_new_free_list(void);
GC_API void** GC_new_free_list_inner(void);
GC_API unsigned GC_new_kind(void** free_list, GC_word descriptor, int adds_size, int clears);
GC_API unsigned GC_new_kind_inner(void** free_list, GC_word descriptor, int adds_size, int clears);
GC_API unsigned GC_new_proc(GC_mark_proc procedure);
GC_API unsigned GC_new_proc_inner(GC_mark_proc procedure);
GC_API void* GC_generic_malloc(size_t bytes, int kind) GC_ATTR_MALLOC;
GC_API void* GC_generic_malloc_ignore_off_page(size_t bytes, int kind) GC_ATTR_MALLOC;
GC_API void* GC_generic_malloc_uncollectable(size_t bytes, int kind) GC_ATTR_MALLOC;
GC_API void* GC_generic_or_special_malloc(size_t bytes, int kind) GC_ATTR_MALLOC;
GC_API void* GC_debug_generic_or_special_malloc(size_t bytes, int kind, const char* file, int line);
GC_API int GC_get_kind_and_size(const void* object, size_t* bytes);
typedef void (*GC_describe_type_fn)(void* object, char* text);
GC_API void GC_register_describe_type_fn(int kind, GC_describe_type_fn describe);
#define GC_TYPE_DESCR_LEN 40

/* Only in mark procedures and in the callback below. */
typedef void (*GC_push_other_roots_proc)(void);
GC_API GC_push_other_roots_proc GC_push_other_roots;
GC_API void GC_set_push_other_roots(GC_push_other_roots_proc call);
GC_API GC_push_other_roots_proc GC_get_push_other_roots(void);
GC_API void GC_push_all(void* low, void* high);
GC_API void GC_push_all_eager(void* low, void* high);
GC_API void GC_push_conditional(void* low, void* high, int all);
GC_API void GC_push_finalizer_structures(void);
GC_API int GC_is_marked(const void* object);
GC_API void GC_set_mark_bit(const void* object);
GC_API void GC_clear_mark_bit(const void* object);

typedef void (*GC_start_callback_proc)(void);
GC_API void GC_set_start_callback(GC_start_callback_proc call);
GC_API GC_start_callback_proc GC_get_start_callback(void);
typedef void (*GC_reachable_object_proc)(void* object, size_t bytes, void* data);
GC_API void GC_enumerate_reachable_objects_inner(GC_reachable_object_proc call, void* data);
GC_API int GC_is_tmp_root(void* address);
GC_API void* GC_clear_stack(void* pass);
GC_API size_t GC_get_debug_header_size(void);
GC_API void GC_print_free_list(int kind, size_t granules);

#ifdef __cplusplus
}
#endif
#endif
