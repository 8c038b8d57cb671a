/* Cairn's tables: the constants of the memory manager, for tools that print and explain them.
 *
 * Everything here is read-only and known at compile time: size classes and their waste, the way from a
 * request to its class, the address-space plan of each platform, the options of the run-time library. No call
 * allocates or locks, and none can fail other than by saying that a row does not exist.
 * SPDX-License-Identifier: MIT
 */
#ifndef CAIRN_TABLES_H
#define CAIRN_TABLES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0" */
const char* cairn_version(void);

/* ---- size classes ---- */

/* One size class. Class 0 stands for large objects and has no slots. */
struct cairn_size_class {
    uint32_t index;
    uint32_t object_bytes;     /* bytes of one slot */
    uint32_t span_bytes;       /* bytes of the span that is cut into slots */
    uint32_t objects;          /* slots in the span */
    uint32_t tail_waste;       /* bytes behind the last slot */
    uint32_t min_align;        /* alignment of every slot, 8192 at most */
    uint32_t smallest_request; /* smaller requests go to a smaller class */
    uint32_t magic;            /* slot number = offset * magic >> 32 */
    uint32_t max_waste_bytes;  /* lost in a span whose slots all hold the smallest request */
    double max_waste;          /* the same as a share of the span, 0 to 1 */
};

/* Number of classes with class 0: 68. */
size_t cairn_size_class_count(void);

/* Fills `out` for class `index`. Returns 0, or -1 when there is no such class. */
int cairn_size_class_get(size_t index, struct cairn_size_class* out);

/* Go's table: the smallest class that holds `bytes`; 0 for 0 bytes and for more than 32768. */
unsigned cairn_size_class_of(size_t bytes);

/* malloc's table: slots aligned to 16 from 9 bytes up; 0 bytes take class 1. Returns 0 for large. */
unsigned cairn_malloc_class_of(size_t bytes);

/* The class for a request that names its alignment, a power of two; 0 when none will do. */
unsigned cairn_aligned_class_of(size_t bytes, size_t align);

/* Sizes the tables turn on. */
struct cairn_size_limits {
    size_t page_bytes;        /* 8192 */
    size_t tiny_bytes;        /* 16: pointer-free requests below share a block of this size */
    size_t max_small_bytes;   /* 32768: above it a request gets pages of its own */
    size_t max_request_bytes; /* PTRDIFF_MAX: above it no allocation can succeed */
};
void cairn_size_limits_get(struct cairn_size_limits* out);

/* ---- address space ---- */

/* How one platform's addresses are split: 2^address_bits = arena_bytes * l1_entries * l2_entries. */
struct cairn_platform {
    const char* name;
    const char* note;
    uint32_t address_bits;
    uint32_t pointer_bytes;
    uint64_t arena_bytes;
    uint64_t l1_entries;
    uint64_t l2_entries;
    uint64_t l2_table_bytes;       /* l2_entries * pointer_bytes */
    uint64_t reach_bytes;          /* what the index can describe */
    uint64_t base_offset;          /* subtracted from an address before it is split */
    uint64_t arena_pages;          /* pages of 8 KiB in one arena */
    uint64_t span_map_bytes;       /* in each arena's record: page -> span */
    uint64_t class_map_bytes;      /* in each arena's record, for free(): page -> size class */
    uint64_t page_bitmap_bytes;    /* in each arena's record, three times: a bit a page */
    uint64_t pointer_bitmap_bytes; /* what Go to 1.19 had there too: two bits a word */
};

size_t cairn_platform_count(void);
int cairn_platform_get(size_t index, struct cairn_platform* out);

/* Number of the arena that holds `address`. Returns 0, or -1 for no such row or an address out of reach. */
int cairn_arena_index(size_t platform, uint64_t address, uint64_t* out);

/* The classic layout: one reservation [spans][bitmap][arena]. */
struct cairn_linear_plan {
    uint64_t spans_bytes;
    uint64_t bitmap_bytes;
    uint64_t arena_bytes;
};
void cairn_linear_plan_get(struct cairn_linear_plan* out);

/* One level of the page allocator's tree of summaries over 48 bits. */
struct cairn_radix_level {
    uint32_t bits; /* index bits this level adds */
    uint64_t entries;
    uint64_t region_bytes;   /* what one entry summarises */
    uint64_t reserved_bytes; /* address space of the level */
};
size_t cairn_radix_level_count(void);
int cairn_radix_level_get(size_t index, struct cairn_radix_level* out);

/* ---- options of the run-time library ---- */

/* One environment variable. */
struct cairn_option_info {
    const char* name;          /* "CAIRN_MEMORY_LIMIT" */
    const char* default_value; /* as one would write it; "" when unset is the default */
    const char* values;        /* the valid ones, for people */
    const char* meaning;       /* one sentence */
};
size_t cairn_option_count(void);
int cairn_option_get(size_t index, struct cairn_option_info* out);

#ifdef __cplusplus
}
#endif

#endif
