// expect: cairn: double free of @P@ \(112-byte class\)
//
// Another thread frees main's object and ends; main frees it again.
// SPDX-License-Identifier: MIT
#include "misuse.h"

static void* free_it(void* p) {
    free(p);
    return NULL;
}

int main(void) {
    pthread_t thread;
    void* p = malloc(112);
    say_address('P', p);
    pthread_create(&thread, NULL, free_it, p);
    pthread_join(thread, NULL);
    free(hidden(p));
    return finish(112);
}
