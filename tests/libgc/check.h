/* Checks for programs of libgc's interface. They run on the original library and on Cairn's, compiled with
   either's headers, and print the same.

   What a collector may keep for no good reason (a word left on the stack) must not decide: a fact is tried on
   `tries` objects made below a deep frame, and counts as true when nearly all agree.
   SPDX-License-Identifier: MIT */
#ifndef CHECK_H
#define CHECK_H
#define GC_THREADS 1
#include <gc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { tries = 40 };

#define CHECK(fact) \
    do { \
        if (!(fact)) { \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #fact); \
            fflush(stdout); \
            _exit(1); \
        } \
    } while (0)
#define TELL(format, ...) printf(format "\n", __VA_ARGS__)

void _exit(int);

/* Overwrites what calls left below the caller's frame. */
static __attribute__((noinline)) void clear_below(void) {
    volatile char room[64 << 10];
    memset((void*)room, 0, sizeof room);
}

/* Calls make() deep in the stack. */
static __attribute__((noinline)) void deep(void (*make)(void)) {
    volatile char room[32 << 10];
    room[0] = 0;
    make();
    room[1] = 0;
}
static void make_and_forget(void (*make)(void)) {
    deep(make);
    clear_below();
}
static void collect(int times) {
    for (int i = 0; i < times; ++i) {
        clear_below();
        GC_gcollect();
    }
}
static int most(int count) { return count >= tries - 4 && count <= tries; }
static int few(int count) { return count <= 4; }

#endif
