// One thread's cache: a magazine of free slots per size class, so that malloc and free need no lock and no
// call.
//
//   bin[class]:   base                        top               end
//                  | slot | slot | slot | slot |   room for slots |      an array outside the objects
//
// malloc takes *--top, free puts *top++. An empty magazine (base == top) asks the class's central list for a
// batch; a full one (top == end) sends its oldest half there.
//
// An address proves itself before it enters a magazine: its page is one of a span of this class (page entry,
// one load), it is the start of a slot (one multiplication), and it is not in a cache already: a freed slot's
// first word is the heap's secret key, which allocation wipes. The key is only a hint; what it suspects, and
// what it missed, is decided from the magazines and the spans' bitmaps, which no stray write of the program
// reaches by accident.
//
// A child of fork() finds the caches of threads it does not have as they were at any instruction. The order
// of stores here and in heap.cpp lets it see each slot once or not at all (lost to the child), never twice.
//
// `calls_left` counts mallocs down to the next event (a sample); how many were made follows from it for free.
//
// A blank cache (no array behind any bin) stands in before a thread's first allocation and after its last
// destructor: its bins are empty and full at once, so both fast paths fall through to the slow ones and need
// no test for it.
//
// Floor: heap. Everything is [owner] unless marked; other threads read counts for reports and after fork.
// Source: magazines: Bonwick & Adams 2001; thread caches: tcmalloc; the stand-in: Go's emptymspan.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/config.hpp"
#include "base/list.hpp"
#include "heap/pointer_arrays.hpp"
#include "heap/size_class.hpp"
#include "heap/span_alloc.hpp"

namespace cairn::heap {

class Heap;

struct Bin {
    void** top = nullptr;
    void** base = nullptr;
    void** end = nullptr;
    std::uint32_t calls_left = ~std::uint32_t{0};
    // [fixed] ceil(2^32 / slot size): offset * magic is below magic at slot starts only
    std::uint32_t magic = 0;
};

// a page entry holds its class as a bin's offset
static_assert(sizeof(Bin) == 1u << pages::entry_class_shift);

// What the slow paths know about a bin.
struct BinHistory {
    std::uint64_t calls = 0;          // mallocs counted so far, without those since calls_left was last set
    std::uint32_t calls_set = ~std::uint32_t{0};  // what calls_left was last set to
    std::uint32_t capacity = 0;       // slots the magazine may hold; 0: it has no array
    std::uint64_t taken = 0;          // slots got from the central list
    std::uint64_t sent = 0;           // slots given to it
    std::uint64_t requested_bytes = 0;  // of `requests` mallocs: the mean tells the waste inside slots
    std::uint32_t requests = 0;
    bool has_refilled = false;        // since it last overflowed
    bool has_overflowed = false;      // since it last refilled
    bool is_idle = true;              // no slow path since the last trim
};

class alignas(base::cache_line_bytes) ThreadCache {
public:
    constexpr ThreadCache() {
        for (unsigned c = 1; c < size_class_count; ++c) bins[c].magic = size_classes[c].magic;
    }

    // The key's lowest byte: odd and above ASCII, which neither pointers nor small numbers nor text begin
    // with.
    static constexpr unsigned char key_byte = 0xb5;

    std::array<Bin, size_class_count> bins;
    std::uint64_t key = 0;               // [fixed] the heap's secret; see the opening comment
    Heap* heap = nullptr;                // [fixed] nullptr in a blank cache
    bool is_retired = false;             // a blank cache of a thread whose destructors are over
    std::array<BinHistory, size_class_count> history;
    LocalPages local;
    std::size_t magazine_bytes = 0;      // what all magazines may hold at most
    static constexpr unsigned parked_limit = 8;
    Span* parked[parked_limit] = {};     // large spans freed lately, newest last
    unsigned parked_count = 0;
    std::size_t parked_pages = 0;
    std::uint64_t large_allocations = 0;
    std::uint64_t large_frees = 0;
    std::uint64_t large_bytes = 0;       // allocated so far, in whole pages
    base::ListLink<ThreadCache> link;    // [lock] the heap's list of caches

    // Takes a slot, or nullptr when the magazine is empty or an event is due: then Heap::allocate_slow().
    // Cost: 9 instructions; no lock, no atomic read-modify-write, no call.
    [[nodiscard, gnu::always_inline]] void* try_allocate(unsigned size_class) {
        Bin& bin = bins[size_class];
        void** top = bin.top;
        if (top == bin.base || --bin.calls_left == 0) [[unlikely]] return nullptr;
        void* slot = *--top;
        bin.top = top;
        *static_cast<std::uint64_t*>(slot) = 0;  // wipes the key
        return slot;
    }

    // Puts a slot of `entry`'s class back; false when something about it needs a closer look: then
    // Heap::free_slow().
    [[nodiscard, gnu::always_inline]] bool try_free(void* slot, std::uint32_t entry) {
        const auto address = reinterpret_cast<std::uintptr_t>(slot);
        Bin& bin = bins[pages::entry_class(entry)];
        const std::uint32_t fraction = pages::entry_offset(entry, address) * bin.magic;
        auto* first_word = static_cast<std::uint64_t*>(slot);
        if (fraction >= bin.magic || bin.top == bin.end) [[unlikely]] return false;
        // One byte first: it can be forwarded from whatever store the program did last, a whole word often
        // cannot.
        if (*static_cast<const unsigned char*>(slot) == key_byte && *first_word == key) [[unlikely]]
            return false;
        *first_word = key;
        push(bin, slot);
        return true;
    }

    // Needs: room.
    [[gnu::always_inline]] static void push(Bin& bin, void* slot) {
        void** const top = bin.top;
        *top = slot;
        asm volatile("" ::: "memory");  // for a child of fork(): the slot before the count
        bin.top = top + 1;
    }

    [[nodiscard]] std::uint64_t calls_of(unsigned c) const {
        return history[c].calls + (history[c].calls_set - bins[c].calls_left);
    }
    [[nodiscard]] std::uint64_t count_of(unsigned c) const {
        return history[c].capacity == 0 ? 0 : static_cast<std::uint64_t>(bins[c].top - bins[c].base);
    }
    // Frees follow from what went in and out: count = taken - sent - calls + frees.
    [[nodiscard]] std::uint64_t frees_of(unsigned c) const {
        return count_of(c) - history[c].taken + history[c].sent + calls_of(c);
    }
};

}  // namespace cairn::heap
