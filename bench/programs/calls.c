// Programs that do nothing but allocate, for the benchmarks of recording, replaying and mapping.
//
//   calls pairs N            N calls, malloc and free of 64 bytes in turn
//   calls mixed N SLOTS      N calls on a table of slots: an empty one is filled, a full one emptied
//   calls hold MIB           MIB MiB of many sizes, every second object freed; says so and waits
//
// The first two print their own nanoseconds, without start and end. `mixed` does to its objects what a replay
// does: writes the first word, and a byte of every page, and looks at the word before it frees.
// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t seed = 1;

static uint64_t draw(void) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 32;
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Small as a rule: 85 in 100 below 144 bytes, 12 below 1 KiB, 3 below 17 KiB.
static size_t draw_size(void) {
    const uint64_t kind = draw() % 100;
    return 16 + draw() % (kind < 85 ? 128 : kind < 97 ? 1008 : 16384);
}

static void* make(size_t bytes, uint64_t word) {
    char* object = malloc(bytes);
    if (object == NULL) abort();
    for (size_t at = 0; at < bytes; at += 4096) object[at] = 1;
    memcpy(object, &word, sizeof word);
    return object;
}

static void pairs(uint64_t calls) {
    for (uint64_t i = 0; i < calls; i += 2) {
        char* volatile object = malloc(64);
        object[0] = 1;
        free(object);
    }
}

struct call {
    uint32_t slot;
    uint32_t bytes;
};

// What is called is drawn before the clock starts: a replay does not draw either.
static uint64_t mixed(uint64_t calls, size_t slots) {
    void** table = calloc(slots, sizeof *table);
    struct call* plan = malloc(calls * sizeof *plan);
    if (table == NULL || plan == NULL) abort();
    for (uint64_t i = 0; i < calls; ++i) {
        plan[i].slot = (uint32_t)(draw() % slots);
        plan[i].bytes = (uint32_t)draw_size();
    }
    const uint64_t start = now_ns();
    for (uint64_t i = 0; i < calls; ++i) {
        void** slot = &table[plan[i].slot];
        if (*slot == NULL) {
            *slot = make(plan[i].bytes, plan[i].slot);
            continue;
        }
        uint64_t word;
        memcpy(&word, *slot, sizeof word);
        if (word != plan[i].slot) abort();
        free(*slot);
        *slot = NULL;
    }
    return start;
}

static void hold(size_t mib) {
    const size_t most = mib * 8192;  // one of 128 bytes on average would be the most
    void** all = malloc(most * sizeof *all);
    if (all == NULL) abort();
    size_t count = 0;
    for (size_t got = 0; got < mib << 20 && count < most;) {
        const size_t bytes = draw_size();
        got += bytes;
        all[count] = make(bytes, count);
        ++count;
    }
    for (size_t i = 1; i < count; i += 2) free(all[i]);
    puts("ready");
    fflush(stdout);
    pause();
}

int main(int count, char** words) {
    const char* what = count > 2 ? words[1] : "";
    const uint64_t number = count > 2 ? strtoull(words[2], NULL, 10) : 0;
    uint64_t start = now_ns();
    if (strcmp(what, "pairs") == 0) pairs(number);
    else if (strcmp(what, "mixed") == 0 && count > 3) start = mixed(number, strtoull(words[3], NULL, 10));
    else if (strcmp(what, "hold") == 0) hold(number);
    else return 2;
    printf("%llu\n", (unsigned long long)(now_ns() - start));
    return 0;
}
