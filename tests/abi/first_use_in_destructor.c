// Threads whose first call of the allocator is in a key destructor leave nothing behind, in whichever round
// it runs.
//
// Such a thread gets its cache after the round of destructors in which it would be given back has begun.
// run: timeout=60 args=1
// run: timeout=60 args=2
// SPDX-License-Identifier: MIT
#include "check.h"

#include <pthread.h>
#include <stdlib.h>

enum { thread_count = 8000, allowed_growth = 16 << 20 };

static pthread_key_t key;
static int first_round = 1;
static __thread int round_now;

static void at_thread_end(void* block) {
    if (++round_now < first_round && pthread_setspecific(key, block) == 0) return;
    free(block);
    free(given(malloc(100), 100));
}

static void* run(void* block) {
    CHECK(pthread_setspecific(key, block) == 0);
    return NULL;
}

int main(int count, char** arguments) {
    static void* blocks[thread_count];
    if (count > 1) first_round = atoi(arguments[1]);
    for (int i = 0; i < thread_count; ++i) blocks[i] = given(malloc(100), 100);
    CHECK(pthread_key_create(&key, at_thread_end) == 0);
    size_t rss_before = 0;
    for (int i = 0; i < thread_count; ++i) {
        pthread_t thread;
        CHECK_AT(pthread_create(&thread, NULL, run, blocks[i]) == 0, i);
        CHECK_AT(pthread_join(thread, NULL) == 0, i);
        if (i == 100) rss_before = rss_bytes();
    }
    const size_t rss_after = rss_bytes();
    CHECK_AT(rss_after < rss_before + allowed_growth, (rss_after - rss_before) >> 10);
    return check_summary();
}
