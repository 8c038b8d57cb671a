// Pages to spans and back: the page heap, its lock, and the memory limit.
//
// An allocation of n pages climbs
//   1  the caller's page cache (n < 16): no lock, its 64 pages are its own;
//   2  the page allocator under the heap lock: lowest run that fits;
//   3  the address space: maps at least 4 MiB more, free and returned ("scavenged") at first;
//   4  nothing: the caller hears nullptr and the heap is as before.
// Then the record is filled, the pages that were returned are committed (after releasing others, if the
// memory limit asks), the page map points to the span, and last of all the state says so (fields,
// state, map, in-use bit, pointer).
//
// Locks: Rank::heap inside; callers hold at most Rank::central. Source: Go mheap.go
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/heap_fields.hpp"
#include "base/lock.hpp"
#include "base/telemetry.hpp"
#include "heap/hooks.hpp"
#include "heap/span.hpp"
#include "pages/address_space.hpp"
#include "pages/metadata.hpp"
#include "pages/object_map.hpp"
#include "pages/page_alloc.hpp"
#include "pages/page_cache.hpp"
#include "pages/scavenger.hpp"

namespace cairn::heap {

using HeapLock = base::RankedLock<base::Rank::heap>;

// What one thread keeps so that small spans need no lock: 64 pages and a few blank records.
struct LocalPages {
    static constexpr unsigned capacity = 16;
    pages::PageCache pages;            // [owner]
    Span* records[capacity] = {};      // [owner]
    unsigned record_count = 0;         // [owner]
};

struct SpanAllocSettings {
    pages::LayoutModel layout = pages::LayoutModel::sparse;
    std::uint64_t memory_limit = UINT64_MAX;  // bytes compared with os::mapped_ready()
    bool use_huge_pages = false;
};

class SpanAlloc {
public:
    constexpr SpanAlloc() = default;

    // False when the OS refuses even the index: nothing was kept.
    [[nodiscard]] bool initialize(const SpanAllocSettings& settings, const Hooks& hooks);

    // Makes a span of `pages` pages for `kind`; class 0 makes one large object. nullptr when the OS refuses.
    // `local` may be nullptr; swept kinds give their shape. Cost: about 100 ns from a page cache, 300 ns
    // under the lock.
    [[nodiscard]] Span* allocate(std::size_t pages, ObjectKind kind, unsigned size_class, LocalPages* local,
                                 ShapeId shape = 0);
    // Large objects whose start is a multiple of `alignment` (a power of two above a page).
    [[nodiscard]] Span* allocate_aligned(std::size_t pages, std::size_t alignment, ObjectKind kind,
                                         ShapeId shape = 0);
    // Needs: no slot in use, the span in no list.
    void free(Span* span);
    // Makes a large span longer or shorter where it is; false when the pages behind it are not free.
    [[nodiscard]] bool try_resize(Span* span, std::size_t pages);
    // Gives a thread's pages and records back.
    void flush(LocalPages& local);

    // Returns at least `bytes` of free pages to the OS if there are so many, highest addresses first; says
    // how many.
    std::size_t scavenge(std::size_t bytes, bool is_forced);
    // Tells the page allocator that time has passed: pages freed before may now be returned in the
    // background.
    void advance_generation();

    [[nodiscard]] Span* span_of(std::uintptr_t address) const {
        Span* span = addresses_.span_of(address);
        return span != nullptr && span->is_alive() && address >= span->base && address < span->end()
                   ? span
                   : nullptr;
    }

    // Bytes in spans; free and still backed; free and returned.
    struct Usage {
        std::uint64_t in_use_bytes;
        std::uint64_t free_bytes;
        std::uint64_t returned_bytes;
        std::uint64_t in_use_spans;
        std::uint64_t peak_in_use_bytes;
    };
    [[nodiscard]] Usage usage() const;
    [[nodiscard]] std::uint64_t in_use_bytes() const { return in_use_bytes_.value(); }
    [[nodiscard]] std::uint64_t backed_free_bytes() const;
    [[nodiscard]] bool is_near_limit() const;
    // What the limit is compared with: ready memory of the process, without index space that was never
    // touched.
    [[nodiscard]] std::uint64_t ready_bytes() const;
    // More free memory is backed by the OS than the heap should keep for long.
    [[nodiscard]] bool has_excess() const;
    [[nodiscard]] std::uint64_t memory_limit() const { return settings_.memory_limit; }
    // Bytes given back to the OS so far, and how many scavenging calls did it.
    [[nodiscard]] std::uint64_t returned_total_bytes() const { return returned_total_bytes_.value(); }

    pages::AddressSpace& addresses() { return addresses_; }
    const pages::AddressSpace& addresses() const { return addresses_; }
    pages::Metadata& metadata() { return metadata_; }
    pages::ObjectMap& objects() { return objects_; }
    const pages::ObjectMap& objects() const { return objects_; }
    const Hooks& hooks() const { return *hooks_; }
    HeapLock& lock() { return lock_; }

    // The heap's generation g (span.hpp); written only while the world is stopped.
    std::atomic<std::uint32_t> sweep_generation{2};  // [stopped]

    // fork(): all locks of this unit but Metadata's, which comes last of all.
    void lock_all();
    void unlock_all();
    void reset_locks_after_fork();
    // Checks every page and span invariant. Needs: no other thread in the heap.
    void verify();

private:
    friend struct base::HeapFields;
    [[nodiscard]] pages::PageRun take_pages(std::size_t pages, LocalPages* local, Span*& record);
    [[nodiscard]] pages::PageRun take_aligned(std::size_t pages, std::size_t alignment, Span*& record);
    [[nodiscard]] bool grow_locked(std::size_t pages);
    [[nodiscard]] Span* take_record_locked();
    void drop_record_locked(Span* record);
    [[nodiscard]] bool make(Span* span, std::uintptr_t base, std::size_t pages, ObjectKind kind,
                            unsigned size_class);
    [[nodiscard]] bool take_bits(Span* span);
    [[nodiscard]] bool take_objects(const Span* span);
    void after_free();
    void commit(std::uintptr_t base, std::size_t bytes, std::size_t scavenged_bytes);
    [[nodiscard]] Span* finish(Span* span, pages::PageRun run, std::size_t pages, ObjectKind kind,
                               unsigned size_class, ShapeId shape = 0);
    void back_ahead(LocalPages& local, const pages::PageRun& run, std::size_t bytes);
    void give_back_locked(Span* record, std::uintptr_t base, std::size_t pages);

    HeapLock lock_;
    pages::Metadata metadata_;
    pages::AddressSpace addresses_;                  // look-ups lock-free, growth [lock]
    pages::ObjectMap objects_;                       // look-ups lock-free, growth [lock]
    pages::PageAlloc pages_;                         // [lock]
    Span* blank_records_ = nullptr;                  // [lock] chained through link.next
    pages::FixedPool short_bits_{4 * sizeof(std::uint64_t), 8};
    pages::FixedPool long_bits_{Span::max_bit_words * sizeof(std::uint64_t), 8};
    const Hooks* hooks_ = nullptr;                   // [fixed]
    SpanAllocSettings settings_;                     // [fixed]
    pages::Scavenger scavenger_;                     // [lock] taken inside
    base::Counter in_use_bytes_;                     // [atomic]
    base::Counter in_use_spans_;                     // [atomic]
    base::Counter peak_in_use_bytes_;                // [atomic]
    base::Counter returned_total_bytes_;             // [atomic]
    // [atomic] copies of the page allocator's counts for lock-free readers
    std::atomic<std::uint64_t> free_pages_{0};
    std::atomic<std::uint64_t> scavenged_pages_{0};  // [atomic]
    void publish_counts_locked();
};

}  // namespace cairn::heap
