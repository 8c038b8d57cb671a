/* The textbook allocators, for tools that replay a program's requests on them.
 *
 * Each lives in a region of its own: addresses reserved at once, memory taken as it is reached. They are for
 * one thread at a time. Programs that want the linear allocator for themselves take cairn/linear.hpp.
 * SPDX-License-Identifier: MIT
 */
#ifndef CAIRN_TEXTBOOK_H
#define CAIRN_TEXTBOOK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "bump", "first-fit", "next-fit", "best-fit", "best-fit-tree", "segregated"; null beyond the last. */
const char* cairn_textbook_policy_name(size_t index);
/* One sentence about it; null beyond the last. */
const char* cairn_textbook_policy_meaning(size_t index);

struct cairn_textbook;

/* An allocator of this policy in a region of `region_bytes`; null for an unknown name or when the system
 * refuses. */
struct cairn_textbook* cairn_textbook_open(const char* policy, size_t region_bytes);
void cairn_textbook_close(struct cairn_textbook* heap);

/* `align` is a power of two. Null: out of the region, or of memory; the heap is as before. */
void* cairn_textbook_allocate(struct cairn_textbook* heap, size_t bytes, size_t align);
void cairn_textbook_free(struct cairn_textbook* heap, void* address);
/* Grows or shrinks in place: 1, or 0 when there is no room; then the object is as it was. */
int cairn_textbook_resize(struct cairn_textbook* heap, void* address, size_t bytes);

struct cairn_textbook_counts {
    uint64_t allocations;
    uint64_t frees;
    uint64_t failures;
    uint64_t visited;         /* free blocks looked at, over all operations */
    uint64_t most_visited;    /* in one of them */
    uint64_t splits;
    uint64_t merges;
    uint64_t growths;         /* times nothing fitted and fresh memory was taken */
    uint64_t used_bytes;      /* in blocks handed out; for bump, all it ever handed out */
    uint64_t peak_used_bytes;
    uint64_t extent_bytes;    /* from the first byte to the highest ever handed out */
};
void cairn_textbook_counts_get(const struct cairn_textbook* heap, struct cairn_textbook_counts* out);

/* Walks the whole heap. Null when it is whole, else what is wrong. */
const char* cairn_textbook_check(const struct cairn_textbook* heap);

#ifdef __cplusplus
}
#endif

#endif
