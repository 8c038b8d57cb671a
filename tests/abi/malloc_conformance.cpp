// malloc, calloc, realloc, reallocarray and free behave at every edge as glibc's do.
//
// Sizes go from 0 to 70,000 in prime steps and on to 64 MiB; every block is written to its last byte.
// run: timeout=120
// SPDX-License-Identifier: MIT
#include "check.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

namespace {

constexpr size_t kib = 1024, mib = 1024 * 1024;
const size_t largest_request = static_cast<size_t>(PTRDIFF_MAX);

constexpr size_t large_sizes[] = {
    32 * kib - 1, 32 * kib,     32 * kib + 1, 40 * kib, 64 * kib,     64 * kib + 1, 100'000,        128 * kib,
    200'003,      256 * kib,    511 * kib,    mib - 1,  mib,          mib + 1,      3 * mib + 7,    4 * mib,
    8 * mib + 1,  16 * mib - 9, 32 * mib,     48 * mib, 64 * mib - 1, 64 * mib,     64 * mib + 4096};

// What C asks: any object of at most `bytes` can live there; 16 from 16 bytes up.
bool is_aligned_for(const void* p, size_t bytes) {
    if (bytes >= 16) return is_aligned(p, 16);
    size_t alignment = 1;
    while (alignment * 2 <= bytes) alignment *= 2;
    return is_aligned(p, alignment);
}

void check_one_size(size_t bytes, unsigned key) {
    void* p = opaque(malloc(bytes));
    if (!CHECK_AT(p != nullptr, bytes)) return;
    CHECK_AT(is_aligned_for(p, bytes), bytes);
    CHECK_AT(malloc_usable_size(p) >= bytes, bytes);
    fill_block(p, bytes, key);
    CHECK_AT(block_holds(p, bytes, key), bytes);
    free(p);
}

void sweep_of_sizes() {
    constexpr size_t steps[] = {7, 61, 251, 1021};
    for (size_t step : steps)
        for (size_t bytes = 0; bytes <= 70'000; bytes += step)
            check_one_size(bytes, static_cast<unsigned>(bytes + step));
    for (size_t bytes = 0; bytes <= 1100; ++bytes) check_one_size(bytes, static_cast<unsigned>(bytes));
    for (size_t bytes : large_sizes) check_one_size(bytes, static_cast<unsigned>(bytes));
}

// Many blocks of different sizes live at once: none may reach into another.
void blocks_do_not_overlap() {
    constexpr size_t count = 4000;
    static unsigned char* blocks[count];
    static size_t sizes[count];
    uint64_t random = 12345;
    for (size_t i = 0; i < count; ++i) {
        sizes[i] = next_random(&random) % (i % 16 == 0 ? 70'000 : 900);
        blocks[i] = static_cast<unsigned char*>(malloc(sizes[i]));
        CHECK_AT(blocks[i] != nullptr, sizes[i]);
        fill_block(blocks[i], malloc_usable_size(blocks[i]), static_cast<unsigned>(i));
    }
    for (size_t i = 0; i < count; i += 2) {
        CHECK_AT(block_holds(blocks[i], sizes[i], static_cast<unsigned>(i)), sizes[i]);
        free(blocks[i]);
        blocks[i] = nullptr;
    }
    for (size_t i = 0; i < count; i += 2) {
        blocks[i] = static_cast<unsigned char*>(malloc(sizes[i]));
        fill_block(blocks[i], sizes[i], static_cast<unsigned>(i + 7));
    }
    for (size_t i = 0; i < count; ++i) {
        CHECK_AT(block_holds(blocks[i], sizes[i], static_cast<unsigned>(i % 2 ? i : i + 7)), sizes[i]);
        free(blocks[i]);
    }
}

void size_zero_is_a_block_of_its_own() {
    constexpr size_t count = 100;
    void* blocks[count];
    for (size_t i = 0; i < count; ++i) {
        blocks[i] = opaque(malloc(0));
        CHECK(blocks[i] != nullptr);
        for (size_t j = 0; j < i; ++j) CHECK(blocks[i] != blocks[j]);
    }
    for (void* p : blocks) free(p);
    void* c = opaque(calloc(0, 8));
    void* d = opaque(calloc(8, 0));
    CHECK(c != nullptr && d != nullptr && c != d);
    free(c);
    free(d);
}

void free_keeps_errno() {
    constexpr size_t sizes[] = {0, 1, 64, 4096, 32 * kib, 33 * kib, mib, 40 * mib};
    for (size_t bytes : sizes) {
        void* p = malloc(bytes);
        if (p != nullptr) fill_block(p, bytes, 1);
        errno = 1234;
        free(p);
        CHECK_AT(errno == 1234, bytes);
    }
    errno = 77;
    free(nullptr);
    CHECK(errno == 77);
}

void absurd_sizes_give_enomem() {
    const size_t absurd[] = {largest_request + 1, largest_request, SIZE_MAX,         SIZE_MAX - 1,
                             SIZE_MAX - 8,        SIZE_MAX - 15,   SIZE_MAX - 16,    SIZE_MAX - 4096,
                             SIZE_MAX - 8192,     SIZE_MAX / 2,    SIZE_MAX / 2 + 2, size_t{1} << 62,
                             size_t{1} << 48};
    for (size_t bytes : absurd) {
        errno = 0;
        CHECK_AT(opaque(malloc(opaque_size(bytes))) == nullptr && errno == ENOMEM, bytes);
        errno = 0;
        CHECK_AT(opaque(calloc(1, opaque_size(bytes))) == nullptr && errno == ENOMEM, bytes);
        errno = 0;
        CHECK_AT(opaque(calloc(opaque_size(bytes), 1)) == nullptr && errno == ENOMEM, bytes);
        errno = 0;
        CHECK_AT(opaque(realloc(nullptr, opaque_size(bytes))) == nullptr && errno == ENOMEM, bytes);
    }
}

void calloc_overflow_gives_enomem() {
    const struct {
        size_t count, each;
    } cases[] = {{SIZE_MAX, 2},          {2, SIZE_MAX},
                 {SIZE_MAX / 2 + 1, 2},  {size_t{1} << 32, size_t{1} << 32},
                 {SIZE_MAX, SIZE_MAX},   {(size_t{1} << 33) + 1, size_t{1} << 31},
                 {SIZE_MAX / 16 + 1, 16}};
    for (const auto& c : cases) {
        errno = 0;
        CHECK_AT(opaque(calloc(opaque_size(c.count), opaque_size(c.each))) == nullptr && errno == ENOMEM,
                 c.count);
        errno = 0;
        CHECK_AT(opaque(reallocarray(nullptr, opaque_size(c.count), c.each)) == nullptr && errno == ENOMEM,
                 c.count);
        void* kept = malloc(100);
        fill_block(kept, 100, 9);
        errno = 0;
        CHECK_AT(
            opaque(reallocarray(opaque(kept), opaque_size(c.count), c.each)) == nullptr && errno == ENOMEM,
            c.count);
        CHECK(block_holds(kept, 100, 9));
        free(kept);
    }
}

// Memory that was dirtied and freed comes back as zeroes from calloc.
void calloc_of_reused_memory(size_t bytes) {
    constexpr size_t batch = 8;
    void* blocks[batch];
    const size_t count = bytes > mib ? 2 : batch;
    for (size_t i = 0; i < count; ++i) {
        blocks[i] = malloc(bytes);
        if (!CHECK_AT(blocks[i] != nullptr, bytes)) return;
        memset(blocks[i], 0xA5, malloc_usable_size(blocks[i]));
    }
    for (size_t i = 0; i < count; ++i) free(opaque(blocks[i]));
    for (size_t i = 0; i < count; ++i) {
        blocks[i] = opaque(i % 2 ? calloc(bytes, 1) : calloc(1, bytes));
        CHECK_AT(blocks[i] != nullptr && is_all_zero(blocks[i], bytes), bytes);
    }
    for (size_t i = 0; i < count; ++i) free(blocks[i]);
}

void calloc_is_zeroed() {
    for (size_t bytes = 1; bytes <= 1100; ++bytes) calloc_of_reused_memory(bytes);
    for (size_t bytes = 1100; bytes <= 34'000; bytes += 61) calloc_of_reused_memory(bytes);
    for (size_t bytes : large_sizes) calloc_of_reused_memory(bytes);
    for (size_t count = 1; count < 300; count += 7) {
        void* p = opaque(calloc(count, 24));
        CHECK_AT(p != nullptr && is_all_zero(p, count * 24), count);
        free(p);
    }
}

void realloc_edges() {
    void* p = opaque(realloc(nullptr, 100));
    CHECK(p != nullptr && malloc_usable_size(p) >= 100);
    fill_block(p, 100, 3);
    CHECK(opaque(realloc(p, opaque_size(0))) == nullptr);  // glibc: frees, gives NULL
    p = opaque(realloc(nullptr, opaque_size(0)));
    CHECK(p != nullptr);
    CHECK(opaque(realloc(p, opaque_size(0))) == nullptr);
    p = malloc(3 * mib);
    CHECK(opaque(realloc(p, opaque_size(0))) == nullptr);
    p = opaque(reallocarray(nullptr, 10, 10));
    CHECK(p != nullptr && malloc_usable_size(p) >= 100);
    CHECK(opaque(reallocarray(p, opaque_size(0), 10)) == nullptr);
}

void failed_realloc_keeps_the_block() {
    constexpr size_t sizes[] = {1, 48, 1000, 20'000, 100'000, 2 * mib};
    for (size_t bytes : sizes) {
        void* p = malloc(bytes);
        fill_block(p, bytes, 5);
        errno = 0;
        CHECK_AT(opaque(realloc(opaque(p), opaque_size(largest_request))) == nullptr && errno == ENOMEM,
                 bytes);
        errno = 0;
        CHECK_AT(opaque(realloc(opaque(p), opaque_size(SIZE_MAX))) == nullptr && errno == ENOMEM, bytes);
        CHECK_AT(block_holds(p, bytes, 5), bytes);
        free(p);
    }
}

// Goes from one size to another and checks what both have in common.
void check_realloc(size_t from, size_t to) {
    void* p = malloc(from);
    fill_block(p, from, static_cast<unsigned>(from));
    void* q = opaque(realloc(opaque(p), to));
    if (!CHECK_AT(q != nullptr, to)) return free(p);
    CHECK_AT(block_holds(q, from < to ? from : to, static_cast<unsigned>(from)), from);
    CHECK_AT(malloc_usable_size(q) >= to, to);
    CHECK_AT(is_aligned_for(q, to), to);
    fill_block(q, to, static_cast<unsigned>(to));
    free(q);
}

void realloc_keeps_contents() {
    constexpr size_t sizes[] = {1,      8,      15,      16,   17,          48,      64,       100,
                                128,    500,    1024,    4000, 8192,        16'000,  32 * kib, 32 * kib + 1,
                                40'000, 65'536, 131'072, mib,  3 * mib + 1, 20 * mib};
    for (size_t from : sizes)
        for (size_t to : sizes) check_realloc(from, to);
    for (size_t from = 1; from < 70'000; from += 509)
        for (size_t to = 1; to < 70'000; to += 9973) check_realloc(from, to);
}

// The way vectors and strings grow: many small steps on one block, with neighbours in the way.
void realloc_in_small_steps() {
    unsigned char* p = static_cast<unsigned char*>(malloc(1));
    p[0] = 0;
    size_t bytes = 1;
    while (bytes < 300'000) {
        const size_t next = bytes + 1 + bytes / 9;
        p = static_cast<unsigned char*>(realloc(p, next));
        if (!CHECK_AT(p != nullptr, next)) return;
        for (size_t i = bytes; i < next; ++i) p[i] = static_cast<unsigned char>(i * 7);
        bytes = next;
        free(opaque(malloc(bytes)));
    }
    bool is_intact = true;
    while (bytes > 1) {
        for (size_t i = 0; i < bytes; i += 97) is_intact &= p[i] == static_cast<unsigned char>(i * 7);
        bytes -= 1 + bytes / 11;
        p = static_cast<unsigned char*>(realloc(p, bytes));
    }
    CHECK(is_intact);
    free(p);
}

// A large block shrunk by realloc gives its tail back, so the sum below fits in memory.
void shrinking_large_blocks_gives_memory_back() {
    constexpr size_t count = 64;
    void* blocks[count];
    const size_t before = rss_bytes();
    for (void*& p : blocks) {
        p = malloc(16 * mib);
        memset(p, 1, 16 * mib);
        p = realloc(p, 100 * kib);
    }
    CHECK_AT(rss_bytes() < before + 256 * mib, rss_bytes() / mib);
    for (void* p : blocks) free(p);
}

}  // namespace

int main() {
    sweep_of_sizes();
    blocks_do_not_overlap();
    size_zero_is_a_block_of_its_own();
    free_keeps_errno();
    absurd_sizes_give_enomem();
    calloc_overflow_gives_enomem();
    calloc_is_zeroed();
    realloc_edges();
    failed_realloc_keeps_the_block();
    realloc_keeps_contents();
    realloc_in_small_steps();
    shrinking_large_blocks_gives_memory_back();
    return check_summary();
}
