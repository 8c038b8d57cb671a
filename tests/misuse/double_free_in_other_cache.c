// expect: cairn: double free of @P@ \(48-byte class\)
//
// Main frees its object, then a thread that is still alive frees it too: two caches, one object.
// SPDX-License-Identifier: MIT
#include "misuse.h"

static void* free_it(void* p) {
    free(malloc(48));
    free(hidden(p));
    return NULL;
}

int main(void) {
    pthread_t thread;
    void* p = malloc(48);
    say_address('P', p);
    free(p);
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
    return finish(48);
}
