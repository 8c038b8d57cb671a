// A handler of SIGABRT may allocate: misuse is told with no lock held.
//
// The double free is one that only the span's bitmap finds, when the slot goes home: the worst place to be
// in. run: timeout=30 only=cairn
// SPDX-License-Identifier: MIT
#include "check.h"

#include <malloc.h>
#include <stdlib.h>

enum { block_bytes = 48, block_count = 20000 };

static void on_abort(int signal) {
    (void)signal;
    for (int i = 0; i < 3 * block_count; ++i) memset(given(malloc(block_bytes), block_bytes), 1, block_bytes);
    _exit(check_summary());
}

int main(void) {
    static void* blocks[block_count];
    alarm(20);
    signal(SIGABRT, on_abort);
    for (int i = 0; i < block_count; ++i) blocks[i] = given(malloc(block_bytes), block_bytes);
    void* freed = opaque(blocks[7]);
    free(freed);
    memset(opaque(blocks[7]), 1, 8);  // wipes what marks a freed slot
    free(opaque(blocks[7]));
    malloc_trim(0);
    malloc_trim(0);
    CHECK(!"the double free was not found");
    return check_summary();
}
