// Handlers of fork() that allocate, set before the first malloc of the program, find a heap that is not
// locked.
//
// run: timeout=60
// SPDX-License-Identifier: MIT
#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { forks = 20, block_count = 3000 };

static void allocate_much(void) {
    static void* blocks[block_count];
    for (size_t i = 0; i < block_count; ++i) blocks[i] = given(malloc(1 + i * 20), 1 + i * 20);
    for (size_t i = 0; i < block_count; ++i) free(blocks[i]);
}

int main(void) {
    alarm(30);
    CHECK(pthread_atfork(allocate_much, allocate_much, allocate_much) == 0);
    allocate_much();
    for (int i = 0; i < forks; ++i) {
        const pid_t child = fork();
        if (child == 0) _exit(0);
        int status = 0;
        CHECK_AT(child > 0 && waitpid(child, &status, 0) == child && status == 0, i);
    }
    return check_summary();
}
