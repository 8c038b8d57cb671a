/* Lists that threads hold and do not touch, while others allocate all the time and cycles are forced: a cycle
   that clears the marks of the one before must not do so while a thread still sweeps by them.
   SPDX-License-Identifier: MIT */
#include "check.h"

enum { threads = 4, length = 1000, cycles = 400 };

struct link {
    struct link* next;
    long number;
};
static volatile int ends;

static struct link* chain(void) {
    struct link* first = NULL;
    for (long i = 0; i < length; ++i) {
        struct link* made = GC_NEW(struct link);
        made->number = i;
        made->next = first;
        first = made;
    }
    return first;
}
static void check(const struct link* at) {
    long expected = length;
    for (; at != NULL; at = at->next) CHECK(at->number == --expected);
    CHECK(expected == 0);
}
static void* work(void* number) {
    struct link* mine = chain();
    volatile long turns = 0;
    while (!ends) {
        ++turns;
        if ((long)number == 0) check(chain());
        if ((long)number == 1) {
            check(mine);
            mine = chain();
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
        check(chain());
    }
    ends = 1;
    for (int i = 0; i < threads; ++i) CHECK(pthread_join(ids[i], NULL) == 0);
    puts("all there");
    return 0;
}
