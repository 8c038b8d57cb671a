// main ends by pthread_exit while other threads go on allocating; the process still ends with code 0.
//
// Blocks that main made are freed by the threads that outlive it.
// run: timeout=30
// SPDX-License-Identifier: MIT
#include "check.h"

#include <pthread.h>
#include <stdlib.h>

enum { shared_count = 1000, thread_count = 3 };
static void* shared[thread_count][shared_count];

static void* outlive_main(void* argument) {
    void** mine = argument;
    sleep_ms(50);
    for (int i = 0; i < shared_count; ++i) {
        CHECK_AT(block_holds(mine[i], (size_t)i + 1, (unsigned)i), i);
        free(mine[i]);
    }
    for (int i = 0; i < 200000; ++i) {
        void* p = malloc((size_t)(i % 3000));
        if (p == NULL) _exit(3);
        free(opaque(p));
    }
    if (checks_failed != 0) _exit(1);
    return NULL;
}

int main(void) {
    for (int t = 0; t < thread_count; ++t) {
        for (int i = 0; i < shared_count; ++i) {
            shared[t][i] = malloc((size_t)i + 1);
            fill_block(shared[t][i], (size_t)i + 1, (unsigned)i);
        }
        pthread_t thread;
        if (pthread_create(&thread, NULL, outlive_main, shared[t]) != 0) return 2;
        pthread_detach(thread);
    }
    pthread_exit(NULL);
}
