// Checks for programs that test an allocator: nothing here calls malloc, for C and for C++.
//
// A failed check prints one line and the program goes on; `check_summary()` prints `N passed, M failed` and
// gives main's exit code. Counting is atomic, so threads may check as well.
// SPDX-License-Identifier: MIT
#ifndef CAIRN_TESTS_ABI_CHECK_H
#define CAIRN_TESTS_ABI_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static unsigned long checks_passed;
static unsigned long checks_failed;
enum { max_failure_lines = 40 };

// Prints one line on `fd` from a buffer of the stack.
#define SAY(fd, ...) \
    do { \
        char say_line_[512]; \
        int say_length_ = snprintf(say_line_, sizeof say_line_, __VA_ARGS__); \
        if (say_length_ > (int)sizeof say_line_ - 1) say_length_ = sizeof say_line_ - 1; \
        if (write((fd), say_line_, (size_t)say_length_) < 0) _exit(99); \
    } while (0)

static inline int check_that(int holds, const char* what, unsigned long detail, const char* file, int line) {
    if (holds) {
        __atomic_fetch_add(&checks_passed, 1,
                           __ATOMIC_RELAXED);  // relaxed: read after all threads are joined
        return 1;
    }
    unsigned long before = __atomic_fetch_add(&checks_failed, 1, __ATOMIC_RELAXED);  // relaxed: as above
    if (before < max_failure_lines) SAY(2, "%s:%d: failed: %s [case %lu]\n", file, line, what, detail);
    return 0;
}

// Checks one claim; CHECK_AT names the case (a size, an index) in the failure line.
#define CHECK(claim) check_that(!!(claim), #claim, 0, __FILE__, __LINE__)
#define CHECK_AT(claim, detail) check_that(!!(claim), #claim, (unsigned long)(detail), __FILE__, __LINE__)

static inline int check_summary(void) {
    SAY(1, "%lu passed, %lu failed\n", checks_passed, checks_failed);
    return checks_failed == 0 ? 0 : 1;
}

// Hides a value from the optimizer, so that absurd sizes and unused blocks reach the allocator.
static inline size_t opaque_size(size_t value) {
    __asm__ volatile("" : "+r"(value));
    return value;
}
static inline void* opaque(void* pointer) {
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

static inline int is_aligned(const void* pointer, size_t alignment) {
    return ((uintptr_t)pointer & (alignment - 1)) == 0;
}

// For programs that cannot go on without this block: a NULL ends them with one line and code 2.
static inline void* given(void* pointer, size_t bytes) {
    if (pointer != NULL) return pointer;
    SAY(2, "a request of %zu bytes was refused\n", bytes);
    _exit(2);
}

// Resident bytes of this process, by plain system calls.
static inline size_t rss_bytes(void) {
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    size_t pages = 0;
    ssize_t i = 0;
    while (i < length && text[i] != ' ') ++i;
    for (++i; i < length && text[i] >= '0' && text[i] <= '9'; ++i)
        pages = pages * 10 + (size_t)(text[i] - '0');
    return pages * 4096;
}

static inline double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void sleep_ms(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

// A small generator of random numbers (xorshift); the state must not be 0.
static inline uint64_t next_random(uint64_t* state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

// Fills a block with bytes that depend on `key`, and later tells whether they are still there.
static inline void fill_block(void* block, size_t bytes, unsigned key) {
    memset(block, (int)(unsigned char)(key * 37u + 11u), bytes);
}
static inline int block_holds(const void* block, size_t bytes, unsigned key) {
    const unsigned char expected = (unsigned char)(key * 37u + 11u);
    const unsigned char* p = (const unsigned char*)block;
    if (bytes == 0) return 1;
    return p[0] == expected && (bytes == 1 || memcmp(p, p + 1, bytes - 1) == 0);
}

static inline int is_all_zero(const void* block, size_t bytes) {
    const unsigned char* p = (const unsigned char*)block;
    if (bytes == 0) return 1;
    return p[0] == 0 && (bytes == 1 || memcmp(p, p + 1, bytes - 1) == 0);
}

#endif
