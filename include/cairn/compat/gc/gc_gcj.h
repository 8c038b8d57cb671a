/* Objects whose first word points to a vtable, the second word of which is the descriptor (gc_mark.h) that
   says where they hold pointers. It may not change once there are such objects. The debug variant has the
   procedure of GC_init_gcj_malloc called for every object instead.
   SPDX-License-Identifier: MIT */
#ifndef GC_GCJ_H
#define GC_GCJ_H
#include "gc.h"
#ifdef __cplusplus
extern "C" {
#endif

GC_API int GC_gcj_kind;
GC_API int GC_gcj_debug_kind;
GC_API void GC_init_gcj_malloc(int procedure_index, void* procedure);
GC_API void* GC_gcj_malloc(size_t bytes, void* vtable) GC_ATTR_MALLOC;
GC_API void* GC_gcj_malloc_ignore_off_page(size_t bytes, void* vtable) GC_ATTR_MALLOC;
GC_API void* GC_debug_gcj_malloc(size_t bytes, void* vtable, const char* file, int line) GC_ATTR_MALLOC;
#ifdef GC_DEBUG
#define GC_GCJ_MALLOC(bytes, vtable) GC_debug_gcj_malloc(bytes, vtable, GC_EXTRAS)
#define GC_GCJ_MALLOC_IGNORE_OFF_PAGE(bytes, vtable) GC_debug_gcj_malloc(bytes, vtable, GC_EXTRAS)
#else
#define GC_GCJ_MALLOC(bytes, vtable) GC_gcj_malloc(bytes, vtable)
#define GC_GCJ_MALLOC_IGNORE_OFF_PAGE(bytes, vtable) GC_gcj_malloc_ignore_off_page(bytes, vtable)
#endif

#ifdef __cplusplus
}
#endif
#endif
