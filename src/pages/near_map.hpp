// Near map: the page entries of the heap's first 64 GiB in one flat array, so that free() finds a slot's
// class by one load.
//
// A page entry tells what free() must know of a page of small explicit slots, ready for use:
//   bits 0..11   size class << 5: the byte offset of its bin in a thread cache
//   bits 12..15  number of the page in its span
// 0 is any other page. The entries of all pages are in the arena records (sparse) or in one array (linear);
//   this is a
// second copy of the former, or a view of the latter. An address outside of it costs one comparison and the
// longer way.
//
// Why: the way address -> record -> entry -> bin -> store is what the next malloc of the class waits for; a
// load less there is 1 ns of a 6 ns pair. Address space: 16 MiB, touched 2 bytes a page.
//
// Floor: pages. Written under the rules of AddressSpace::set_entries(); read without a lock.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/bits.hpp"
#include "base/config.hpp"
#include "os/memory.hpp"

namespace cairn::pages {

inline constexpr unsigned entry_class_shift = 5;
inline constexpr unsigned entry_page_shift = 12;
inline constexpr std::uint32_t entry_class_mask = (1u << entry_page_shift) - 1;

constexpr std::uint16_t make_entry(unsigned size_class, std::size_t page_in_span) {
    return static_cast<std::uint16_t>(size_class << entry_class_shift | page_in_span << entry_page_shift);
}
constexpr unsigned entry_class(std::uint32_t entry) {
    return (entry & entry_class_mask) >> entry_class_shift;
}
// Bytes from the start of the span to `address`, which lies in the entry's page.
constexpr std::uint32_t entry_offset(std::uint32_t entry, std::uintptr_t address) {
    return (entry & ~entry_class_mask) << (base::page_shift - entry_page_shift) |
           static_cast<std::uint32_t>(address & (base::page_bytes - 1));
}
static_assert(entry_class(make_entry(67, 9)) == 67 &&
              entry_offset(make_entry(67, 9), 5) == 9 * base::page_bytes + 5);

// A process allowed less address space than this has none to spare for indexes: the sparse index is made
// small, and there is no near map.
inline constexpr std::uint64_t roomy_bytes = std::uint64_t{1} << 30;

class NearMap {
public:
    static constexpr std::size_t pages = std::size_t{1} << 23;

    constexpr NearMap() = default;

    // The entry of an address, 0 when the map does not reach it. Cost: subtract, shift, compare, load.
    [[nodiscard]] std::uint16_t entry(std::uintptr_t address) const {
        // relaxed: pages_ orders it
        const std::uintptr_t page = (address - base_.load(std::memory_order_relaxed)) >> base::page_shift;
        // acquire: pairs with view()
        if (page >= pages_.load(std::memory_order_acquire)) [[unlikely]] return 0;
        // relaxed: pages_ orders the array; an address the program owns has had its entry since it was handed
        // out
        // relaxed: as above
        return entries_.load(std::memory_order_relaxed)[page].load(std::memory_order_relaxed);
    }

    // Makes the copy for the heap that starts at `first`. Without memory for it there is none: slower, not
    // wrong. Needs: Rank::heap.
    void start(std::uintptr_t first) {
        if (is_started_) return;
        is_started_ = true;
        // address space is short: better spent on the heap
        if (os::address_space_limit() < roomy_bytes) return;
        void* array = os::alloc(pages * sizeof(std::uint16_t), bytes_);
        if (array == nullptr) return;
        os::refuse_huge_pages(array, bytes_.value());  // one touched entry must cost one OS page
        view(static_cast<std::atomic<std::uint16_t>*>(array), first, pages);
    }

    // Looks at an array that exists: `count` entries from the page at `first`. Again with more when it has
    // grown.
    void view(std::atomic<std::uint16_t>* array, std::uintptr_t first, std::size_t count) {
        is_started_ = true;
        base_.store(first, std::memory_order_relaxed);     // relaxed: ordered by pages_
        entries_.store(array, std::memory_order_relaxed);  // relaxed: ordered by pages_
        pages_.store(count, std::memory_order_release);    // release: publishes both to entry()
    }

    // Copies one entry; pages out of reach are left out.
    void set(std::uintptr_t address, std::uint16_t value) {
        if (bytes_.value() == 0) return;  // none, or a view of what the caller has written
        // relaxed: fixed
        const std::uintptr_t page = (address - base_.load(std::memory_order_relaxed)) >> base::page_shift;
        if (page >= pages) return;
        // release: pairs with the loads of who was handed an address in this page
        // relaxed: fixed
        entries_.load(std::memory_order_relaxed)[page].store(value, std::memory_order_release);
    }

    // Address space of the copy.
    [[nodiscard]] std::uint64_t index_bytes() const { return bytes_.value(); }
    // Its part that was touched when `heap_bytes` are mapped; at most, rounded up.
    [[nodiscard]] std::uint64_t touched_bytes(std::uint64_t heap_bytes) const {
        const std::uint64_t touched =
            base::align_up(heap_bytes / base::page_bytes * sizeof(std::uint16_t), os::page_bytes()) +
            os::page_bytes();
        return touched < bytes_.value() ? touched : bytes_.value();
    }

private:
    std::atomic<std::uintptr_t> pages_{0};                             // [atomic] 0 until there is an array
    std::atomic<std::uintptr_t> base_{0};                              // [atomic] address of page 0
    std::atomic<std::atomic<std::uint16_t>*> entries_{nullptr};        // [atomic]
    bool is_started_ = false;                                          // [lock] heap
    os::Stat bytes_;                                                   // [atomic]
};

}  // namespace cairn::pages
