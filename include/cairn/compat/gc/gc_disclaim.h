/* Objects with a finalizer from birth.
   SPDX-License-Identifier: MIT */
#ifndef GC_DISCLAIM_H
#define GC_DISCLAIM_H
#include "gc.h"
#ifdef __cplusplus
extern "C" {
#endif

struct GC_finalizer_closure {
    GC_finalization_proc proc;
    void* cd;
};
typedef int (*GC_disclaim_proc)(void* object);
GC_API void GC_init_finalized_malloc(void);
GC_API void* GC_finalized_malloc(size_t bytes, const struct GC_finalizer_closure* closure) GC_ATTR_MALLOC;
/* Not supported: says so and aborts. */
GC_API void GC_register_disclaim_proc(int kind, GC_disclaim_proc call, int marks_from_all);

#ifdef __cplusplus
}
#endif
#endif
