// expect: cairn: (double free of @P@ \(1024-byte class\)|free of foreign pointer @P@)
//
// The object's whole span is free by now, and more spans around it: its address may belong to nothing any
// more.
// SPDX-License-Identifier: MIT
#include "misuse.h"

enum { count = 20000 };
static void* blocks[count];

int main(void) {
    for (int i = 0; i < count; ++i) blocks[i] = malloc(1024);
    say_address('P', blocks[count / 2]);
    for (int i = 0; i < count; ++i) free(blocks[i]);
    malloc_trim(0);
    free(hidden(blocks[count / 2]));
    return finish(48);
}
