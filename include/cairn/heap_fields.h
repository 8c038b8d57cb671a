/* Where the heap keeps what: a table for readers outside of the process (`cairn map`).
 *
 * Every library of Cairn that owns a heap exports one `cairn_heap_table`. A reader finds it by the symbol in
 * the mapped library, copies it, and follows the addresses and offsets in it; it needs no matching build, and
 * the process notices nothing. A row is an address of the process, or a number (an offset, a size, a count).
 * Rows may be added at any time; a reader ignores names it does not know, and says so when one it needs is
 * not there. What the rows mean stands beside them in src/observe/heap_fields.hpp.
 * SPDX-License-Identifier: MIT
 */
#ifndef CAIRN_HEAP_FIELDS_H
#define CAIRN_HEAP_FIELDS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CAIRN_HEAP_TABLE_MAGIC 0x4c424154504e5243ull /* "CRNPTABL" */
#define CAIRN_HEAP_TABLE_VERSION 1u

struct cairn_heap_field {
    char name[32];
    const void* address; /* null when the row is a number */
    uint64_t number;
};

struct cairn_heap_table {
    uint64_t magic;
    uint32_t version;
    uint32_t field_bytes; /* sizeof(struct cairn_heap_field) */
    uint64_t count;
    const struct cairn_heap_field* fields;
    char library_version[16]; /* "0.1.0" */
};

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
extern const struct cairn_heap_table cairn_heap_table;

#ifdef __cplusplus
}
#endif

#endif
