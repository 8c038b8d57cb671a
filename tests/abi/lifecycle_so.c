// A library that allocates in its constructor and frees in its destructor: the first and the last calls.
// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char* kept[64];

__attribute__((constructor)) static void begin(void) {
    for (size_t i = 0; i < 64; ++i) {
        kept[i] = malloc(i * i * 16 + 1);
        memset(kept[i], (int)i, i * i * 16 + 1);
    }
}

__attribute__((destructor)) static void end(void) {
    for (size_t i = 0; i < 64; ++i) {
        if (kept[i][0] != (char)i || kept[i][i * i * 16] != (char)i) _exit(41);
        kept[i] = realloc(kept[i], i * 300 + 5);
        if (kept[i] == NULL || kept[i][0] != (char)i) _exit(42);
        free(kept[i]);
    }
    free(calloc(100, 100));
}

int lifecycle_blocks(void) {
    return 64;
}
