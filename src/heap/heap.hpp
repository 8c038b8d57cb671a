// The heap: one object that owns spans, central lists and thread caches, and the climb of an allocation in
// four steps.
//
// malloc(n), n <= 32 KiB:   1  the class of n, a slot from this thread's magazine        (inline,
//                                                                                        ThreadCache)
//                           2  a batch from the class's depot or spans                   (allocate_slow,
//                                                                                        ExplicitCentral)
//                           3  a new span from this thread's pages or the page heap      (SpanAlloc)
//                           4  more address space from the OS                            (AddressSpace)
// malloc(n) above:          whole pages: a large span this thread freed lately, else 3, 4.
// free(p):                  1  page entry, slot start, key: into this thread's magazine whoever allocated it
//                           2  the older half of a full magazine goes to the depot, from there home to its
//                              spans
//                           3  a span with all slots home returns its pages; free pages return to the OS in
//                              the background
//
// Failure: nullptr, and the heap is as before. Misuse: misuse.hpp.
//
// Locks: caches_lock_ (Rank::runtime) for the list of caches; the rest is inside the parts.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/heap_fields.hpp"
#include "base/lock.hpp"
#include "heap/central.hpp"
#include "heap/explicit_central.hpp"
#include "heap/misuse.hpp"
#include "heap/pointer_arrays.hpp"
#include "heap/span_alloc.hpp"
#include "heap/swept_heap.hpp"
#include "heap/thread_cache.hpp"

namespace cairn::heap {

// Requests above this are refused: half the address space, as glibc does with PTRDIFF_MAX.
inline constexpr std::size_t max_request_bytes = std::size_t{1} << 46;

class Heap {
public:
    constexpr Heap() = default;

    struct Settings {
        SpanAllocSettings spans;
        bool misuse_is_fatal = true;
        bool verify_often = false;   // CAIRN_VERIFY: check the class's structures on every slow path
    };
    [[nodiscard]] bool initialize(const Settings& settings, const Hooks& hooks);

    // A cache for the calling thread; nullptr when the OS refuses. Give it back with detach() when the thread
    // ends: all it holds goes back to the central lists and the page heap.
    [[nodiscard]] ThreadCache* attach();
    void detach(ThreadCache* cache);

    // Slow half of malloc for a small class: refills the magazine or handles the event. nullptr: out of
    // memory.
    [[nodiscard]] void* allocate_slow(ThreadCache& cache, unsigned size_class, std::size_t request);
    // Whole pages. `alignment` is a power of two; `is_zeroed` tells whether the memory reads as zero.
    [[nodiscard]] void* allocate_large(ThreadCache& cache, std::size_t bytes, std::size_t alignment,
                                       bool& is_zeroed);
    // Slow half of free: nullptr, large objects, full magazines, linear layout, misuse.
    void free_slow(ThreadCache& cache, void* address);
    // Bytes usable at `address`; 0 and a report on misuse.
    [[nodiscard]] std::size_t usable_size(ThreadCache& cache, void* address, Call call);
    // Grows or shrinks a large object in place; true when `bytes` fit now.
    [[nodiscard]] bool resize_in_place(void* address, std::size_t bytes);

    // Sends a thread's magazines, parked spans and pages home.
    void flush(ThreadCache& cache);
    // Sends idle depots home (`all`: everything); called by the background thread and malloc_trim.
    void drain(bool all);

    // fork(): lock everything before, unlock in the parent; in the child also reclaim the other threads'
    // caches.
    void lock_all();
    void unlock_all();
    void reset_after_fork(ThreadCache* survivor);

    // What happened in one class, summed over living and ended threads.
    struct ClassUsage {
        std::uint64_t allocations, frees, live, spans, cached, peak_out;
        std::uint64_t requested_bytes, requests;   // of sampled calls
    };
    [[nodiscard]] ClassUsage usage_of(unsigned size_class);
    struct LargeUsage {
        std::uint64_t allocations, frees, bytes;
    };
    [[nodiscard]] LargeUsage large_usage();
    [[nodiscard]] std::uint64_t thread_count();

    SpanAlloc& spans() { return spans_; }
    SweptHeap& swept() { return swept_; }
    const Misuse& misuse() const { return misuse_; }
    [[nodiscard]] std::uint64_t key() const { return key_; }
    [[nodiscard]] bool verifies_often() const { return verify_often_; }

    // Checks every structure. Needs: no other thread inside the heap.
    void verify();

private:
    friend struct base::HeapFields;
    struct Totals {  // of ended threads
        std::uint64_t calls = 0, frees = 0, requested_bytes = 0, requests = 0;
    };

    [[nodiscard]] bool refill(ThreadCache& cache, unsigned size_class);
    bool grow_magazine(ThreadCache& cache, unsigned size_class);
    void send_oldest(ThreadCache& cache, unsigned size_class, unsigned count);
    void trim(ThreadCache& cache);
    void note_call(ThreadCache& cache, unsigned size_class, std::size_t request);
    void free_small(ThreadCache& cache, void* address, std::uint32_t entry);
    void free_large(ThreadCache& cache, Span* span);
    void explain_bad(Call call, std::uintptr_t address) const;
    [[nodiscard]] bool is_cached(ThreadCache& cache, void* slot, unsigned size_class);
    [[nodiscard]] Span* make_large(ThreadCache& cache, std::size_t pages, std::size_t alignment);
    [[nodiscard]] Span* take_parked(ThreadCache& cache, std::size_t pages);
    void park(ThreadCache& cache, Span* span);
    void drop_oldest_parked(ThreadCache& cache);
    void add_totals(const ThreadCache& cache);
    void reclaim_orphans();
    void relieve(ThreadCache& cache);
    void defend_limit(ThreadCache& cache);

    using Caches = base::List<ThreadCache, &ThreadCache::link>;

    SpanAlloc spans_;
    PointerArrays arrays_;
    std::array<ExplicitCentral, size_class_count> centrals_;
    SweptHeap swept_;
    Misuse misuse_;                       // [fixed]
    std::uint64_t key_ = 0;               // [fixed]
    bool verify_often_ = false;           // [fixed]
    base::RankedLock<base::Rank::runtime> caches_lock_;
    Caches caches_;                       // [lock] caches_lock_
    Caches spare_caches_;                 // [lock] of ended threads, empty, for the next ones
    Caches orphans_;                      // [lock] of threads that fork() did not copy
    std::atomic<bool> has_orphans_{false};  // [atomic]
    std::atomic<std::uint64_t> defended_at_{0};  // [atomic] bytes in use when the limit was last defended
    std::array<Totals, size_class_count> ended_;  // [lock]
    LargeUsage ended_large_{};            // [lock]
};

}  // namespace cairn::heap
