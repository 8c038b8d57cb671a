/* Turns libgc into a leak finder for a program that uses malloc and free: included before its sources, as by
   gcc -include gc/leak_detector.h. The program says GC_set_find_leak(1) first, or is run with GC_FIND_LEAK=1.
   What is unreachable and was not freed is reported to stderr, with the place that allocated it, by
   CHECK_LEAKS(), by every other cycle and at exit.
   SPDX-License-Identifier: MIT */
#ifndef GC_LEAK_DETECTOR_H
#define GC_LEAK_DETECTOR_H

#ifndef GC_DEBUG
#define GC_DEBUG
#endif
#include "gc.h"

/* Their declarations come before the names mean something else. */
#ifndef GC_DONT_INCLUDE_STDLIB
#include <stdlib.h>
#include <string.h>
#endif

#undef malloc
#undef calloc
#undef free
#undef realloc
#undef strdup
#undef strndup
#undef memalign
#undef posix_memalign
#define malloc(bytes) GC_MALLOC(bytes)
#define calloc(count, bytes) GC_MALLOC((count) * (bytes))
#define free(object) GC_FREE(object)
#define realloc(object, bytes) GC_REALLOC(object, bytes)
#define strdup(text) GC_STRDUP(text)
#define strndup(text, most) GC_STRNDUP(text, most)
#define memalign(alignment, bytes) GC_memalign(alignment, bytes)
#define posix_memalign(object, alignment, bytes) GC_posix_memalign(object, alignment, bytes)

#ifndef CHECK_LEAKS
#define CHECK_LEAKS() GC_gcollect()
#endif
#endif
