/* Objects watched by disappearing links: how many live.
   SPDX-License-Identifier: MIT */
#ifndef WATCHED_H
#define WATCHED_H
#include "check.h"

static void** watch[tries];
static int live(void) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += *watch[i] != NULL;
    return count;
}
static void note(int i, void* object) {
    watch[i] = GC_MALLOC_ATOMIC(sizeof(void*));
    *watch[i] = object;
    CHECK(GC_GENERAL_REGISTER_DISAPPEARING_LINK(watch[i], object) == GC_SUCCESS);
}

#endif
