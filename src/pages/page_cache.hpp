// Page cache: up to 64 neighbouring pages owned by one thread, so that small spans need no lock.
//
// It holds a base aligned to 64 pages (512 KiB) and two masks: bit i stands for the page base + i pages.
//   free_mask       pages the cache may still hand out
//   scavenged_mask  those of them whose memory is with the OS
//
// Invariants: scavenged_mask is a subset of free_mask; for the page allocator every page of free_mask is in
// use, and no other cache has it. The owner counts these pages as free heap: they belong to no span.
//
// Floor: pages. Locks: none to take pages; to refill (PageAlloc::allocate_cache) and flush, Rank::heap.
// Source: Go runtime mpagecache.go (BSD-3)
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/bits.hpp"
#include "base/config.hpp"
#include "base/heap_fields.hpp"

namespace cairn::pages {

class PageAlloc;

// Neighbouring pages handed out. The caller must commit exactly `scavenged_bytes` of them before use.
struct PageRun {
    std::uintptr_t base = 0;
    std::size_t scavenged_bytes = 0;
    explicit operator bool() const { return base != 0; }
};

// Neighbouring bytes; empty when base is 0.
struct ByteRun {
    std::uintptr_t base = 0;
    std::size_t bytes = 0;
    explicit operator bool() const { return base != 0; }
};

class PageCache {
public:
    static constexpr unsigned capacity_pages = 64;
    static constexpr std::size_t capacity_bytes = capacity_pages * base::page_bytes;
    // Larger requests go to the page allocator: they would waste most of a cache. Units: pages.
    static constexpr std::size_t request_limit_pages = capacity_pages / 4;

    constexpr PageCache() = default;
    constexpr PageCache(std::uintptr_t base, std::uint64_t free_mask, std::uint64_t scavenged_mask)
        : base_(base), free_mask_(free_mask), scavenged_mask_(scavenged_mask) {}

    // Takes the lowest run of `pages` (1..64) pages. Returns: empty when none fits (caller refills).
    [[nodiscard]] PageRun allocate(std::size_t pages) {
        if (free_mask_ == 0) return {};
        const unsigned count = static_cast<unsigned>(pages);
        const unsigned first = base::find_run(free_mask_, count);
        if (first >= capacity_pages) return {};
        const std::uint64_t taken = base::bit_range(first, count);
        const auto scavenged = static_cast<std::size_t>(std::popcount(scavenged_mask_ & taken));
        free_mask_ &= ~taken;
        scavenged_mask_ &= ~taken;
        return {base_ + first * base::page_bytes, scavenged * base::page_bytes};
    }

    // Counts scavenged pages that follow a run as backed, up to the next multiple of `unit` bytes. Returns:
    // their bytes, which the caller commits with the run. Needs: the run was of this cache.
    std::size_t take_ahead(std::uintptr_t run_end, std::size_t unit) {
        const std::size_t end = run_end - base_;
        const auto first = static_cast<unsigned>(end / base::page_bytes);
        if (first >= capacity_pages) return 0;
        const auto most = static_cast<unsigned>((base::align_up(end, unit) - end) / base::page_bytes);
        const auto there = static_cast<unsigned>(std::countr_one(scavenged_mask_ >> first));
        const unsigned count = there < most ? there : most;
        scavenged_mask_ &= ~base::bit_range(first, count);
        return count * base::page_bytes;
    }

    // Gives every page back and leaves the cache empty. Needs: Rank::heap held.
    void flush(PageAlloc& allocator);

    [[nodiscard]] bool is_empty() const { return free_mask_ == 0; }
    [[nodiscard]] std::size_t free_pages() const {
        return static_cast<std::size_t>(std::popcount(free_mask_));
    }
    [[nodiscard]] std::size_t scavenged_pages() const {
        return static_cast<std::size_t>(std::popcount(scavenged_mask_));
    }
    [[nodiscard]] std::uintptr_t base() const { return base_; }
    [[nodiscard]] std::uint64_t free_mask() const { return free_mask_; }
    [[nodiscard]] std::uint64_t scavenged_mask() const { return scavenged_mask_; }

private:
    friend struct base::HeapFields;
    std::uintptr_t base_ = 0;           // [owner]
    std::uint64_t free_mask_ = 0;       // [owner]
    std::uint64_t scavenged_mask_ = 0;  // [owner]
};

}  // namespace cairn::pages
