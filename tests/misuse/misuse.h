// What the misuse programs share: they say which address they misuse, and if the heap works afterwards.
//
// Each program makes one mistake. Its first line is the message that must appear on stderr, as a regular
// expression; @P@ and @O@ in it stand for the addresses that the program printed with say_address(). Then
// either SIGABRT ends it, or (CAIRN_ON_MISUSE=report) it goes on and ends with code 0 through finish().
// SPDX-License-Identifier: MIT
#ifndef CAIRN_TESTS_MISUSE_H
#define CAIRN_TESTS_MISUSE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <malloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// Hides where a pointer comes from, so that the compiler neither warns nor optimizes.
static inline void* hidden(const void* pointer) {
    void* copy = (void*)(uintptr_t)pointer;
    __asm__ volatile("" : "+r"(copy) : : "memory");
    return copy;
}

// Prints `P=0x...` with a bare write: nothing is allocated, and it works before libc is ready.
static inline void say_address(char name, const void* pointer) {
    char line[32];
    size_t at = sizeof line;
    uintptr_t rest = (uintptr_t)pointer;
    line[--at] = '\n';
    do {
        line[--at] = "0123456789abcdef"[rest % 16];
        rest /= 16;
    } while (rest != 0);
    line[--at] = 'x';
    line[--at] = '0';
    line[--at] = '=';
    line[--at] = name;
    if (write(1, line + at, sizeof line - at) < 0) _exit(99);
}

// Ends a program whose mistake was only reported: the heap must go on, and hand out no block twice.
static inline int finish(size_t bytes) {
    enum { count = 2000 };
    static void* blocks[count];
    for (int i = 0; i < count; ++i) {
        blocks[i] = malloc(bytes);
        if (blocks[i] == NULL) return 3;
        memset(blocks[i], 0x11, bytes);
    }
    for (int i = 0; i < count; ++i) {
        if (*(unsigned char*)blocks[i] != 0x11) return 4;
        memset(blocks[i], 0x22, bytes);
    }
    for (int i = 0; i < count; ++i) {
        *(unsigned char*)blocks[i] += 1;
        if (*(unsigned char*)blocks[i] != 0x23) return 5;  // 0x24: two of the blocks are one
    }
    for (int i = 0; i < count; ++i) free(blocks[i]);
    return 0;
}

#endif
