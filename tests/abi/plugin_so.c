// A plugin that is loaded and unloaded in a loop: it allocates in constructor, function, TLS, destructor.
//
// The TLS block is large, so that the loader takes it from the heap at first touch.
// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

static __thread char scratch[100000];
static char* from_constructor;

__attribute__((constructor)) static void begin(void) {
    from_constructor = malloc(1000);
    memset(from_constructor, 'c', 1000);
}
__attribute__((destructor)) static void end(void) {
    free(from_constructor);
}

// Returns 1 when its own memory is as it left it; everything it takes it gives back.
int plugin_work(int seed) {
    char* blocks[100];
    int is_intact = from_constructor[0] == 'c' && from_constructor[999] == 'c';
    scratch[seed % 100000] = 1;
    for (int i = 0; i < 100; ++i) {
        size_t bytes = (size_t)((i * 37 + seed) % 3000 + 1);
        blocks[i] = i % 3 == 0 ? calloc(1, bytes) : malloc(bytes);
        memset(blocks[i], i, bytes);
    }
    for (int i = 0; i < 100; ++i) {
        is_intact &= blocks[i][0] == (char)i;
        blocks[i] = realloc(blocks[i], (size_t)i * 50 + 1);
        is_intact &= blocks[i] != NULL && blocks[i][0] == (char)i;
        free(blocks[i]);
    }
    return is_intact;
}

char* plugin_make_text(int bytes) {
    char* text = malloc((size_t)bytes);
    memset(text, 't', (size_t)bytes);
    return text;
}
