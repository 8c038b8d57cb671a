/* All finalizers at the end of a program; threads halted one at a time.
   SPDX-License-Identifier: MIT */
#ifndef JAVAXFC_H
#define JAVAXFC_H
#include "gc.h"
#ifdef __cplusplus
extern "C" {
#endif

GC_API void GC_finalize_all(void);
#ifdef GC_PTHREADS
GC_API void GC_suspend_thread(pthread_t thread);
GC_API void GC_resume_thread(pthread_t thread);
GC_API int GC_is_thread_suspended(pthread_t thread);
#endif

#ifdef __cplusplus
}
#endif
#endif
