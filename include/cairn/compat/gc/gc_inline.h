/* Many objects at once, and by kind.
   SPDX-License-Identifier: MIT */
#ifndef GC_INLINE_H
#define GC_INLINE_H
#include "gc.h"
#ifdef __cplusplus
extern "C" {
#endif

#define GC_GRANULE_BYTES 16
#define GC_GRANULE_WORDS 2
#define GC_I_PTRFREE 0
#define GC_I_NORMAL 1
/* A list of objects, each linked to the next through its first word; everything else in them is zero. */
GC_API void GC_generic_malloc_many(size_t bytes, int kind, void** list);
GC_API void* GC_malloc_kind(size_t bytes, int kind) GC_ATTR_MALLOC GC_ATTR_ALLOC_SIZE(1);
GC_API void* GC_malloc_kind_global(size_t bytes, int kind) GC_ATTR_MALLOC GC_ATTR_ALLOC_SIZE(1);

#ifdef __cplusplus
}
#endif
#endif
