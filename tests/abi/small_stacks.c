// Threads with the smallest stack there is may allocate, grow and free, as they may with the system's
// allocator.
//
// run: timeout=60
// SPDX-License-Identifier: MIT
#include "check.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

enum { thread_count = 200 };

static void* work(void* argument) {
    size_t seed = (size_t)argument;
    for (size_t i = 0; i < 300; ++i) {
        size_t bytes = 1 + (seed * 131 + i * 977) % 60000;
        char* block = malloc(bytes);
        CHECK(block != NULL);
        block[0] = block[bytes - 1] = 1;
        block = realloc(block, bytes * 3);
        CHECK(block != NULL);
        void* other = calloc(1, bytes);
        CHECK(other != NULL);
        free(block);
        free(other);
    }
    return NULL;
}

int main(void) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0);
    for (size_t i = 0; i < thread_count; ++i) {
        pthread_t thread;
        CHECK_AT(pthread_create(&thread, &attributes, work, (void*)i) == 0, i);
        CHECK_AT(pthread_join(thread, NULL) == 0, i);
    }
    return check_summary();
}
