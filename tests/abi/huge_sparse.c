// Huge blocks that are not touched cost almost nothing, whether from malloc, calloc or aligned_alloc.
//
// calloc must not clear what the system hands out clean, and freeing must give the touched pages back.
// run: timeout=60
// SPDX-License-Identifier: MIT
#include "check.h"

#include <malloc.h>
#include <stdlib.h>

static const size_t gib = (size_t)1 << 30;

// Touches every 16 MiB of the block and checks the cost.
static void touch_here_and_there(unsigned char* p, size_t bytes, int is_zeroed) {
    int is_clean = 1;
    for (size_t at = 0; at < bytes; at += (size_t)16 << 20) {
        if (is_zeroed) is_clean &= p[at] == 0;
        p[at] = 1;
    }
    p[bytes - 1] = 1;
    CHECK(is_clean);
}

static void one_huge_block(int kind, size_t bytes) {
    const size_t before = rss_bytes();
    unsigned char* p = NULL;
    if (kind == 0) p = malloc(bytes);
    if (kind == 1) p = calloc(bytes / 64, 64);
    if (kind == 2) p = aligned_alloc(gib, bytes);
    if (kind == 3) p = memalign((size_t)2 << 20, bytes);
    if (!CHECK_AT(p != NULL, bytes >> 20)) return;
    CHECK(malloc_usable_size(p) >= bytes);
    if (kind == 2) CHECK(is_aligned(p, gib));
    size_t cost = rss_bytes() - before;
    CHECK_AT((ptrdiff_t)cost < (ptrdiff_t)8 << 20, cost);
    touch_here_and_there(p, bytes, kind == 1);
    cost = rss_bytes() - before;  // at worst a huge page at each place
    CHECK_AT((ptrdiff_t)cost < (ptrdiff_t)(bytes / 8 + (16 << 20)) + (8 << 20), cost >> 20);
    free(p);
}

int main(void) {
    for (int round = 0; round < 3; ++round) {
        for (int kind = 0; kind < 4; ++kind) {
            one_huge_block(kind, gib);
            one_huge_block(kind, 4 * gib);
        }
    }
    unsigned char* grown = malloc(1 << 20);
    grown[12345] = 77;
    for (size_t bytes = 2 << 20; bytes <= 4 * gib; bytes *= 4) {
        grown = realloc(grown, bytes);
        CHECK_AT(grown != NULL && grown[12345] == 77, bytes >> 20);
    }
    free(grown);
    return check_summary();
}
