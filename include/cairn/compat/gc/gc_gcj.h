/* Objects whose first word points to a vtable that describes them; here every word of them may be a pointer.
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
#define GC_GCJ_MALLOC(bytes, vtable) GC_gcj_malloc(bytes, vtable)

#ifdef __cplusplus
}
#endif
#endif
