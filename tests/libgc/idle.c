/* Lists that threads hold and do not touch, while others allocate all the time and cycles are forced: a cycle
   that clears the marks of the one before must not do so while a thread still sweeps by them.
   SPDX-License-Identifier: MIT */
#include "check.h"

enum { threads = 4, length = 1000, cycles = 400 };

#include "chains.h"
static volatile int ends;
static void* work(void* number) {
    struct link* mine = chain(0);
    volatile long turns = 0;
    while (!ends) {
        ++turns;
        if ((long)number == 0) check(chain(0));
        if ((long)number == 1) {
            check(mine);
            mine = chain(0);
        }
    }
    check(mine);
    return NULL;
}

int main(void) {
    GC_INIT();
    pthread_t ids[threads];
    for (long i = 0; i < threads; ++i) CHECK(pthread_create(&ids[i], NULL, work, (void*)i) == 0);
    for (int i = 0; i < cycles; ++i) {
        GC_gcollect();
        check(chain(0));
    }
    ends = 1;
    for (int i = 0; i < threads; ++i) CHECK(pthread_join(ids[i], NULL) == 0);
    puts("all there");
    return 0;
}
