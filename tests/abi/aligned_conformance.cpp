// aligned_alloc, memalign, posix_memalign, valloc and pvalloc: alignments from 1 to 1 MiB, and the odd ones.
//
// glibc 2.36 is the model: memalign and aligned_alloc round an odd alignment up to a power of two,
// posix_memalign refuses it; aligned_alloc takes any size.
// run: timeout=120
// SPDX-License-Identifier: MIT
#include "check.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include <initializer_list>

namespace {

constexpr size_t kib = 1024, mib = 1024 * 1024;
constexpr size_t sizes[] = {0,      1,      7,      8,       15,      16,     17,      24,
                            48,     63,     64,     65,      100,     128,    129,     255,
                            256,    500,    1000,   1024,    2000,    4095,   4096,    4097,
                            8191,   8192,   8193,   10'000,  16'384,  20'000, 32'768,  32'769,
                            40'000, 65'536, 70'000, 131'072, 300'000, mib,    mib + 1, 3 * mib};

using Aligned = void* (*)(size_t alignment, size_t bytes);

void* by_posix_memalign(size_t alignment, size_t bytes) {
    void* p = nullptr;
    return posix_memalign(&p, alignment, bytes) == 0 ? p : nullptr;
}

// Two blocks at a time, both written to the last usable byte.
void check_pair(Aligned allocate, size_t alignment, size_t bytes) {
    void* a = opaque(allocate(alignment, bytes));
    void* b = opaque(allocate(alignment, bytes));
    if (!CHECK_AT(a != nullptr && b != nullptr, bytes)) return;
    CHECK_AT(a != b, bytes);
    CHECK_AT(is_aligned(a, alignment) && is_aligned(b, alignment), alignment);
    const size_t usable_a = malloc_usable_size(a), usable_b = malloc_usable_size(b);
    CHECK_AT(usable_a >= bytes && usable_b >= bytes, bytes);
    fill_block(a, usable_a, 1);
    fill_block(b, usable_b, 2);
    CHECK_AT(block_holds(a, usable_a, 1) && block_holds(b, usable_b, 2), bytes);
    free(a);
    free(b);
}

void every_alignment(Aligned allocate, size_t smallest) {
    for (size_t alignment = smallest; alignment <= mib; alignment *= 2)
        for (size_t bytes : sizes) check_pair(allocate, alignment, bytes);
}

void aligned_blocks_can_be_resized() {
    for (size_t alignment = 16; alignment <= 64 * kib; alignment *= 2) {
        for (size_t bytes : sizes) {
            if (bytes == 0) continue;
            void* p = aligned_alloc(alignment, bytes);
            fill_block(p, bytes, 4);
            p = opaque(realloc(p, bytes * 2 + 1));
            CHECK_AT(p != nullptr && block_holds(p, bytes, 4), bytes);
            p = opaque(realloc(p, bytes / 2 + 1));
            CHECK_AT(p != nullptr && block_holds(p, bytes / 2, 4), bytes);
            free(p);
        }
    }
}

// calloc must clear what aligned blocks left behind.
void aligned_blocks_leave_no_dirt() {
    for (size_t bytes : sizes) {
        void* p = aligned_alloc(256, bytes);
        memset(p, 0xEE, malloc_usable_size(p));
        free(opaque(p));
        void* z = opaque(calloc(1, bytes));
        CHECK_AT(is_all_zero(z, bytes), bytes);
        free(z);
    }
}

void odd_alignments() {
    const size_t refused[] = {0,  1,  2,  4,   3,    5,    7,        9,           12,
                              24, 40, 48, 100, 4095, 4097, SIZE_MAX, SIZE_MAX - 7};
    for (size_t alignment : refused) {
        void* p = reinterpret_cast<void*>(0x1234);
        CHECK_AT(posix_memalign(&p, opaque_size(alignment), 64) == EINVAL, alignment);
        CHECK_AT(p == reinterpret_cast<void*>(0x1234), alignment);  // left alone on failure
    }
    const struct {
        size_t asked, given;
    } rounded[] = {{0, 8},   {1, 8},   {3, 8},     {17, 32},     {24, 32},
                   {33, 64}, {48, 64}, {100, 128}, {1000, 1024}, {4097, 8192}};
    for (const auto& r : rounded) {
        void* p = opaque(memalign(opaque_size(r.asked), 200));
        CHECK_AT(p != nullptr && is_aligned(p, r.given), r.asked);
        free(p);
        p = opaque(aligned_alloc(opaque_size(r.asked), 200));
        CHECK_AT(p != nullptr && is_aligned(p, r.given), r.asked);
        free(p);
    }
    errno = 0;
    CHECK(opaque(memalign(opaque_size(SIZE_MAX), 8)) == nullptr && errno == EINVAL);
    errno = 0;
    CHECK(opaque(memalign(opaque_size((size_t{1} << 63) + 1), 8)) == nullptr && errno == EINVAL);
    errno = 0;
    CHECK(opaque(memalign(opaque_size(size_t{1} << 62), 8)) == nullptr && errno == ENOMEM);
    void* p = nullptr;
    CHECK(posix_memalign(&p, opaque_size(size_t{1} << 62), 8) == ENOMEM && p == nullptr);
}

void absurd_sizes() {
    const size_t absurd[] = {SIZE_MAX, SIZE_MAX - 4096, static_cast<size_t>(PTRDIFF_MAX),
                             static_cast<size_t>(PTRDIFF_MAX) + 1, size_t{1} << 62};
    for (size_t bytes : absurd) {
        for (size_t alignment : {size_t{16}, size_t{64}, size_t{4096}, mib}) {
            errno = 0;
            CHECK_AT(opaque(memalign(alignment, opaque_size(bytes))) == nullptr && errno == ENOMEM,
                     alignment);
            errno = 0;
            CHECK_AT(opaque(aligned_alloc(alignment, opaque_size(bytes))) == nullptr && errno == ENOMEM,
                     alignment);
            void* p = nullptr;
            CHECK_AT(posix_memalign(&p, alignment, opaque_size(bytes)) == ENOMEM && p == nullptr, alignment);
        }
        errno = 0;
        CHECK_AT(opaque(valloc(opaque_size(bytes))) == nullptr && errno == ENOMEM, bytes);
        errno = 0;
        CHECK_AT(opaque(pvalloc(opaque_size(bytes))) == nullptr && errno == ENOMEM, bytes);
    }
}

void whole_pages() {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    for (size_t bytes : sizes) {
        void* v = opaque(valloc(bytes));
        CHECK_AT(v != nullptr && is_aligned(v, page) && malloc_usable_size(v) >= bytes, bytes);
        fill_block(v, bytes, 6);
        void* p = opaque(pvalloc(bytes));
        const size_t whole = (bytes + page - 1) / page * page;
        CHECK_AT(p != nullptr && is_aligned(p, page) && malloc_usable_size(p) >= whole, bytes);
        fill_block(p, whole, 7);
        CHECK_AT(block_holds(v, bytes, 6), bytes);
        free(v);
        free(p);
    }
}

// Large alignments in numbers: nothing overlaps, everything comes back.
void many_aligned_at_once() {
    constexpr size_t count = 600;
    static void* blocks[count];
    static size_t bytes[count];
    uint64_t random = 99;
    for (size_t i = 0; i < count; ++i) {
        const size_t alignment = size_t{8} << (next_random(&random) % 12);
        bytes[i] = next_random(&random) % 6000 + 1;
        blocks[i] = opaque(memalign(alignment, bytes[i]));
        CHECK_AT(blocks[i] != nullptr && is_aligned(blocks[i], alignment), alignment);
        fill_block(blocks[i], malloc_usable_size(blocks[i]), static_cast<unsigned>(i));
    }
    for (size_t i = 0; i < count; ++i)
        CHECK_AT(block_holds(blocks[i], bytes[i], static_cast<unsigned>(i)), i);
    for (void* p : blocks) free(p);
}

}  // namespace

int main() {
    every_alignment(aligned_alloc, 1);
    every_alignment(memalign, 1);
    every_alignment(by_posix_memalign, sizeof(void*));
    aligned_blocks_can_be_resized();
    aligned_blocks_leave_no_dirt();
    odd_alignments();
    absurd_sizes();
    whole_pages();
    many_aligned_at_once();
    return check_summary();
}
