// Page bitmaps: two bits a page for one chunk of 512 pages, and the searches inside a chunk.
//
//   in_use     1 = not free: a span, a page cache or the scavenger has the page
//   scavenged  1 = free, and its memory is with the OS
//
// Invariant: scavenged is a subset of the free pages. Coalescing needs no work: neighbouring free pages
// are neighbouring zeros. Page i is bit i % 64 of word i / 64.
//
// Floor: pages. Locks: callers hold Rank::heap.
// Source: Go runtime mpallocbits.go (BSD-3)
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/bits.hpp"
#include "base/config.hpp"

namespace cairn::pages {

// Three figures that let the free runs of neighbours be joined. Units: pages.
struct FreeRuns {
    unsigned start = 0;    // free pages at the front
    unsigned longest = 0;  // longest free run
    unsigned end = 0;      // free pages at the back
};

// 512 bits, one a page.
class PageBits {
public:
    static constexpr unsigned bit_count = base::chunk_pages;
    static constexpr unsigned word_count = bit_count / 64;

    [[nodiscard]] bool test(unsigned page) const { return (words_[page / 64] >> (page % 64) & 1) != 0; }
    [[nodiscard]] std::uint64_t word(unsigned index) const { return words_[index]; }
    void set_word(unsigned index, std::uint64_t word) { words_[index] = word; }

    // Set, clear or count the bits of `count` pages from `first`; first + count <= 512, count >= 1.
    void set(unsigned first, unsigned count) {
        for_words(first, count, [this](unsigned i, std::uint64_t mask) { words_[i] |= mask; });
    }
    void clear(unsigned first, unsigned count) {
        for_words(first, count, [this](unsigned i, std::uint64_t mask) { words_[i] &= ~mask; });
    }
    [[nodiscard]] unsigned count(unsigned first, unsigned count) const {
        unsigned total = 0;
        for_words(first, count, [&](unsigned i, std::uint64_t mask) {
            const std::uint64_t ones = words_[i] & mask;
            if (ones != 0)
                total += static_cast<unsigned>(std::popcount(ones));  // a call where there is no popcnt
        });
        return total;
    }
    [[nodiscard]] unsigned count() const { return count(0, bit_count); }

    // Finds the lowest zero at or above `from`; 512 when there is none.
    [[nodiscard]] unsigned find_zero(unsigned from) const {
        if (from >= bit_count) return bit_count;
        unsigned i = from / 64;
        std::uint64_t zeros = ~words_[i] & (~std::uint64_t{0} << (from % 64));
        while (zeros == 0) {
            if (++i == word_count) return bit_count;
            zeros = ~words_[i];
        }
        return i * 64 + static_cast<unsigned>(std::countr_zero(zeros));
    }

    // Finds the lowest one at or above `from`; 512 when there is none.
    [[nodiscard]] unsigned find_one(unsigned from) const {
        if (from >= bit_count) return bit_count;
        unsigned i = from / 64;
        std::uint64_t ones = words_[i] & (~std::uint64_t{0} << (from % 64));
        while (ones == 0) {
            if (++i == word_count) return bit_count;
            ones = words_[i];
        }
        return i * 64 + static_cast<unsigned>(std::countr_zero(ones));
    }

    // Finds the lowest run of `count` (1..512) zeros that starts at or above `from`; 512 when there is none.
    // Cost: one pass over the words; shifts find a run inside a word, adding up finds one across words.
    [[nodiscard]] unsigned find_zeros(unsigned count, unsigned from) const;

    // Measures the runs of zeros. Cost: 8 words, and shifts inside words only when a run there can matter.
    [[nodiscard]] FreeRuns free_runs() const;

private:
    template <class Visit>
    static void for_words(unsigned first, unsigned count, Visit visit) {
        unsigned i = first / 64;
        const unsigned last = (first + count - 1) / 64;
        std::uint64_t mask = ~std::uint64_t{0} << (first % 64);
        for (; i < last; ++i) {
            visit(i, mask);
            mask = ~std::uint64_t{0};
        }
        visit(last, mask & (~std::uint64_t{0} >> (63 - (first + count - 1) % 64)));
    }

    std::uint64_t words_[word_count] = {};  // [lock] Rank::heap
};

// What the scavenger asks of a chunk. Units: pages.
struct ScavengeRequest {
    unsigned minimum = 1;  // pages of one OS page (1 when that is smaller): size and alignment of a result
    unsigned maximum = 8;  // a result is shortened to this, at its low end
    unsigned huge = 0;     // pages of a huge page, 0 when there are none: one is not broken without need
};

// Both bitmaps of one chunk: two neighbouring cache lines.
struct alignas(base::cache_line_bytes) ChunkBitmap {
    PageBits in_use;     // [lock] Rank::heap
    PageBits scavenged;  // [lock] Rank::heap

    struct Run {
        unsigned first = 0;
        unsigned count = 0;  // 0: nothing found
    };

    // Finds the highest free run with its memory still here, as `request` wants it.
    [[nodiscard]] Run find_unscavenged(ScavengeRequest request) const;

    // Fills every aligned group of `group` (a power of two, 1..64) bits in which any bit is set.
    static constexpr std::uint64_t close_groups(std::uint64_t bits, unsigned group) {
        for (unsigned step = 1; step < group; step *= 2) bits |= bits >> step;  // a lowest bit: its group
        const std::uint64_t filled = base::bit_range(0, group);
        return (bits & ~std::uint64_t{0} / filled) * filled;
    }
};
static_assert(sizeof(ChunkBitmap) == 128);

inline unsigned PageBits::find_zeros(unsigned count, unsigned from) const {
    unsigned run = 0;  // zeros directly below the current word
    for (unsigned i = from / 64; i < word_count; ++i) {
        std::uint64_t ones = words_[i];
        if (i == from / 64 && from % 64 != 0) ones |= base::bit_range(0, from % 64);
        if (ones == 0) {
            run += 64;
            if (run >= count) return (i + 1) * 64 - run;
            continue;
        }
        if (run + static_cast<unsigned>(std::countr_zero(ones)) >= count) return i * 64 - run;
        if (count < 64) {
            const unsigned inside = base::find_run(~ones, count);
            if (inside < 64) return i * 64 + inside;
        }
        run = static_cast<unsigned>(std::countl_zero(ones));
    }
    return bit_count;
}

inline FreeRuns PageBits::free_runs() const {
    FreeRuns runs;
    unsigned run = 0;
    unsigned first_one = bit_count;
    for (unsigned i = 0; i < word_count; ++i) {
        const std::uint64_t ones = words_[i];
        if (ones == 0) {
            run += 64;
            continue;
        }
        run += static_cast<unsigned>(std::countr_zero(ones));
        if (first_one == bit_count) first_one = run;
        if (run > runs.longest) runs.longest = run;
        run = static_cast<unsigned>(std::countl_zero(ones));
    }
    runs.start = first_one;
    runs.end = run;
    if (run > runs.longest) runs.longest = run;
    if (runs.longest >= 62) return runs;  // between two ones of a word at most 62 zeros fit
    for (const std::uint64_t ones : words_) {
        // A bit survives when `longest` more zeros stand above it: only a longer run than any so far.
        std::uint64_t zeros = ~ones;
        unsigned left = runs.longest;
        for (unsigned step = 1; left > 0 && zeros != 0; step *= 2) {
            const unsigned take = step < left ? step : left;
            zeros &= zeros >> take;
            left -= take;
        }
        for (; zeros != 0; zeros &= zeros >> 1) ++runs.longest;
    }
    return runs;
}

inline ChunkBitmap::Run ChunkBitmap::find_unscavenged(ScavengeRequest request) const {
    // Highest OS page of which every allocator page is free and here; then down as far as that holds.
    unsigned end = 0;
    unsigned start = 0;
    for (unsigned i = PageBits::word_count; i-- > 0;) {
        const std::uint64_t closed = close_groups(in_use.word(i) | scavenged.word(i), request.minimum);
        if (end == 0) {
            if (closed == ~std::uint64_t{0}) continue;
            const auto above = static_cast<unsigned>(std::countl_one(closed));
            end = i * 64 + 64 - above;
            const auto open = static_cast<unsigned>(std::countl_zero(closed << above));
            start = open >= 64 - above ? i * 64 : end - open;
        } else {
            start -= static_cast<unsigned>(std::countl_zero(closed));
        }
        if (start != i * 64) break;
    }
    if (end == 0) return {};
    unsigned first = end - start > request.maximum ? end - request.maximum : start;
    if (request.huge > 0 && base::align_up(first, request.huge) <= end) {
        const auto whole = static_cast<unsigned>(base::align_down(first, request.huge));
        if (whole >= start) first = whole;
    }
    return {first, end - first};
}

}  // namespace cairn::pages
