// One size class of malloc's objects, shared by all threads: a depot of free slots over spans with free
// slots.
//
// Threads exchange batches. A batch coming in
//   1  is copied onto the depot, a stack of pointers that touches neither objects nor spans;
//   2  or, the depot being full, goes home: each slot's bit is cleared in its span, which is where a double
//      free that the threads' own check missed is found; a span whose slots are all back returns to the page
//      heap.
// A batch going out comes from the depot, else from the span that got a slot back last (the fullest), else
// from a new span. An idle depot is drained by the background thread, so free memory does not wait for a
// program that sleeps.
//
// Floor: heap. Lock: Rank::central, one a class; the page heap is called without it.
// Source: the depot is Bonwick & Adams' magazine depot (2001) as tcmalloc's transfer cache uses it; spans are
// Go's.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/config.hpp"
#include "base/heap_fields.hpp"
#include "base/list.hpp"
#include "base/lock.hpp"
#include "heap/misuse.hpp"
#include "heap/pointer_arrays.hpp"
#include "heap/span.hpp"
#include "heap/span_alloc.hpp"

namespace cairn::heap {

class alignas(base::cache_line_bytes) ExplicitCentral {
public:
    constexpr ExplicitCentral() = default;

    void initialize(unsigned size_class, SpanAlloc& spans, PointerArrays& arrays, const Misuse& misuse);

    // Takes up to `want` free slots; the last written is to be used first. 0 when the OS refuses.
    [[nodiscard]] unsigned take(void** out, unsigned want, LocalPages* local);
    // Takes slots back; `local` may be nullptr.
    void put(void* const* slots, unsigned count);
    // Sends home what the depot has not needed since the last call (`all`: everything). Returns slots sent
    // home.
    unsigned drain(bool all);

    // True when `slot` lies in the depot or is free in its span: the exact answer behind the quick
    // double-free check.
    [[nodiscard]] bool holds(void* slot);

    struct Usage {
        std::uint64_t spans;
        std::uint64_t slots_out;       // with the program or in threads' caches or in the depot
        std::uint64_t slots_depot;
        std::uint64_t peak_slots_out;
    };
    [[nodiscard]] Usage usage();

    void lock() { lock_.lock(); }
    void unlock() { lock_.unlock(); }
    void reset_lock_after_fork() { lock_.reset_after_fork(); }
    void verify();

private:
    friend struct base::HeapFields;
    using Partial = base::List<Span, &Span::link>;

    unsigned take_from_spans_locked(void** out, unsigned want);
    [[nodiscard]] bool make_room_locked(unsigned count);
    // What a batch held that is not ours to take: told when the lock is free, since a handler of SIGABRT may
    // allocate.
    struct Wrong {
        static constexpr unsigned capacity = 8;
        std::uintptr_t addresses[capacity];
        bool is_double[capacity];
        unsigned count = 0;
        void add(std::uintptr_t address, bool is_double_free) {
            if (count == capacity) return;
            addresses[count] = address;
            is_double[count++] = is_double_free;
        }
    };
    // Returns the chain (through link.next) of spans that became empty and were unlisted.
    Span* send_home_locked(void* const* slots, unsigned count, bool keep_one, Wrong& wrong);
    void report(const Wrong& wrong) const;
    void free_chain(Span* chain);

    base::RankedLock<base::Rank::central> lock_;
    std::uint8_t size_class_ = 0;      // [fixed]
    std::uint32_t depot_limit_ = 0;    // [fixed] entries the depot may grow to
    std::uint32_t depot_count_ = 0;    // [lock]
    std::uint32_t depot_capacity_ = 0; // [lock]
    std::uint32_t depot_low_ = 0;      // [lock] fewest entries since the last drain
    void** depot_ = nullptr;           // [lock]
    Partial partial_;                  // [lock] spans with a free slot
    std::uint64_t spans_count_ = 0;    // [lock]
    std::uint64_t slots_out_ = 0;      // [lock]
    std::uint64_t peak_slots_out_ = 0; // [lock]
    SpanAlloc* spans_ = nullptr;       // [fixed]
    PointerArrays* arrays_ = nullptr;  // [fixed]
    const Misuse* misuse_ = nullptr;   // [fixed]
};

}  // namespace cairn::heap
