// expect: cairn: free of stack pointer @P@
//
// A variable of a thread, freed by that thread.
// SPDX-License-Identifier: MIT
#include "misuse.h"

static void* free_local(void* unused) {
    char local[64];
    (void)unused;
    free(malloc(48));
    say_address('P', local);
    free(hidden(local));
    return NULL;
}

int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, free_local, NULL);
    pthread_join(thread, NULL);
    return finish(48);
}
