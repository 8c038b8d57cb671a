/* Chains of `length` links, a number in each, for programs whose threads hold some. Needs: `length`.
   SPDX-License-Identifier: MIT */
#ifndef CHAINS_H
#define CHAINS_H
#include "check.h"

struct link {
    struct link* next;
    long number;
};
static struct link* chain(long from) {
    struct link* first = NULL;
    for (long i = 0; i < length; ++i) {
        struct link* made = GC_MALLOC(sizeof *made);
        made->number = from + i;
        made->next = first;
        first = made;
    }
    return first;
}
static long sum(const struct link* at) {
    long all = 0;
    for (; at != NULL; at = at->next) all += at->number;
    return all;
}
static const long wanted = (long)length * (length - 1) / 2;

/* Each link of a chain from 0. */
static void check(const struct link* at) {
    for (long i = length; i-- > 0; at = at->next) CHECK(at != NULL && at->number == i);
    CHECK(at == NULL);
}

#endif
