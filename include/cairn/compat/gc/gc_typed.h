/* Objects whose pointers are told by a bitmap: word i may hold a pointer where bit i is set.
   SPDX-License-Identifier: MIT */
#ifndef GC_TYPED_H
#define GC_TYPED_H
#include "gc.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef GC_word* GC_bitmap;
typedef GC_word GC_descr;
#define GC_WORDSZ (8 * sizeof(GC_word))
#define GC_get_bit(map, i) (((map)[(i) / GC_WORDSZ] >> ((i) % GC_WORDSZ)) & 1)
#define GC_set_bit(map, i) ((map)[(i) / GC_WORDSZ] |= (GC_word)1 << ((i) % GC_WORDSZ))
#define GC_WORD_OFFSET(type, field) (offsetof(type, field) / sizeof(GC_word))
#define GC_WORD_LEN(type) (sizeof(type) / sizeof(GC_word))
#define GC_BITMAP_SIZE(type) ((GC_WORD_LEN(type) + GC_WORDSZ - 1) / GC_WORDSZ)

/* `bits` bits are looked at; words behind them hold no pointers. */
GC_API GC_descr GC_make_descriptor(const GC_word* map, size_t bits);
GC_API void* GC_malloc_explicitly_typed(size_t bytes, GC_descr descriptor) GC_ATTR_MALLOC;
GC_API void* GC_malloc_explicitly_typed_ignore_off_page(size_t bytes, GC_descr descriptor) GC_ATTR_MALLOC;
/* An array of `count` elements, each with this descriptor. */
GC_API void* GC_calloc_explicitly_typed(size_t count, size_t bytes, GC_descr descriptor) GC_ATTR_MALLOC;
#define GC_MALLOC_EXPLICITLY_TYPED(bytes, descriptor) GC_malloc_explicitly_typed(bytes, descriptor)
#define GC_CALLOC_EXPLICITLY_TYPED(count, bytes, d) GC_calloc_explicitly_typed(count, bytes, d)

#ifdef __cplusplus
}
#endif
#endif
