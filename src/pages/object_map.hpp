// Object map: from any word to "start of a live object or nothing" by arithmetic, and the two bits an object
// has.
//
// Two flat tables over one window of addresses, normally all 2^47:
//
//   entries   2 bytes a page:   present | shape id (11 bits) | number of the page in its span (4 bits)
//   pairs     16 bytes a KiB:   [ 64 allocated bits | 64 mark bits ], a bit every 16 bytes of heap
//
// An entry leads from an interior address to the start of its slot (shape.hpp has the multiplication); the
// bits of a slot are those of its first byte. Both bits lie in one cache line, so a marker that must know
// whether an address it found on a stack is an object at all, and whether it was seen, waits for one line.
// Measured against a span record reached through a page table: 2 to 4 times the objects a second.
//
//   allocated  set for whole runs when a thread takes them to allocate from (so also for slots not handed out
//              yet, which are zero); replaced by the mark bits when the span is swept
//   marked     set by markers, and by allocation while marking; zero from sweep to the next cycle, or kept by
//              the sweep, so that the next cycle marks only what is new (gc/young.cpp)
//
// The window: the whole space is reserved without memory behind it; an arena's share is made accessible when
// the first span of a collected kind is made there. Where so much address space is refused (RLIMIT_AS,
// overcommit, sanitizers), a smaller window around the heap's first arena serves; spans outside of it are
// refused.
//
// Locks: prepare() and set_entries() are for the owner of the pages under Rank::heap or before sharing. A
// 64-bit word of bits belongs to one span; allocated bits are written by the span's owner, mark bits by any
// marker. Floor: pages.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/config.hpp"
#include "base/heap_fields.hpp"
#include "os/memory.hpp"

namespace cairn::pages {

inline constexpr unsigned granule_shift = 4;  // a bit for every 16 bytes
inline constexpr std::size_t granule_bytes = std::size_t{1} << granule_shift;
inline constexpr unsigned pair_shift = granule_shift + 6;  // a pair of words for every KiB
inline constexpr std::size_t pairs_per_page = base::page_bytes >> pair_shift;

struct BitPair {
    std::atomic<std::uint64_t> allocated;  // [atomic] written by the span's owner
    std::atomic<std::uint64_t> marked;     // [atomic]
};

inline constexpr std::uint16_t object_entry_present = 0x8000;
inline constexpr unsigned object_entry_shape_shift = 4;
inline constexpr unsigned max_shape_ids = 2048;
inline constexpr unsigned object_entry_page_mask = 15;
// In place of a page number: a large object, whose span must be asked.
inline constexpr unsigned object_entry_large = 15;

constexpr std::uint16_t make_object_entry(unsigned shape, unsigned page) {
    return static_cast<std::uint16_t>(object_entry_present | shape << object_entry_shape_shift | page);
}
constexpr unsigned object_entry_shape(std::uint32_t entry) {
    return entry >> object_entry_shape_shift & (max_shape_ids - 1);
}

class ObjectMap {
public:
    constexpr ObjectMap() = default;

    // Makes the tables ready for [base, base + bytes). False when the OS refuses or the window ends before.
    // Needs: Rank::heap. Cost: nothing once an arena is described.
    [[nodiscard]] bool prepare(std::uintptr_t base, std::size_t bytes);

    // True when prepare() has nothing to do. Any thread.
    [[nodiscard]] bool is_prepared(std::uintptr_t base, std::size_t bytes) const;

    // From the lowest to the highest arena with collected objects: the filter before anything else, to be
    // kept in registers over a loop. Words outside are no objects; inside, entry() may be asked.
    struct Bounds {
        std::uintptr_t low = 0;
        std::uintptr_t extent = 0;
        [[nodiscard]] bool holds(std::uintptr_t address) const { return address - low < extent; }
    };
    [[nodiscard]] Bounds bounds() const {
        const std::uint64_t both = bounds_.load(std::memory_order_acquire);  // acquire: pairs with widen()
        return {(both >> 32) << bounds_shift, (both & 0xffff'ffff) << bounds_shift};
    }

    // The entry of an address within bounds; 0: no collected object is there.
    [[nodiscard]] std::uint16_t entry(std::uintptr_t address) const {
        // acquire: pairs with set_entries(): the span behind it is complete
        return entries_[(address - window_base_) >> base::page_shift].load(std::memory_order_acquire);
    }
    // The bits of an address within a prepared range.
    [[nodiscard]] BitPair& pair(std::uintptr_t address) const {
        return pairs_[(address - window_base_) >> pair_shift];
    }
    [[nodiscard]] static constexpr std::uint64_t bit(std::uintptr_t address) {
        return std::uint64_t{1} << (address >> granule_shift & 63);
    }

    // The tables as a loop wants them, in registers. Valid for ever; bounds() may grow.
    struct View {
        const std::atomic<std::uint16_t>* entries;
        BitPair* pairs;
        std::uintptr_t window_base;

        [[nodiscard]] std::uint32_t entry(std::uintptr_t address) const {
            // acquire: as entry()
            return entries[(address - window_base) >> base::page_shift].load(std::memory_order_acquire);
        }
        [[nodiscard]] BitPair& pair(std::uintptr_t address) const {
            return pairs[(address - window_base) >> pair_shift];
        }
    };
    [[nodiscard]] View view() const { return {entries_, pairs_, window_base_}; }

    // Writes make_object_entry(shape, i) for page i, or `large` for all; see clear_entries().
    void set_entries(std::uintptr_t base, std::size_t pages, unsigned shape, bool is_large);
    void clear_entries(std::uintptr_t base, std::size_t pages);

    // Bits of a slot, by the address of its start.
    [[nodiscard]] bool is_allocated(std::uintptr_t slot) const {
        // acquire: pairs with take_run(): the slot is as its kind promises
        return (pair(slot).allocated.load(std::memory_order_acquire) & bit(slot)) != 0;
    }
    [[nodiscard]] bool is_marked(std::uintptr_t slot) const {
        // relaxed: mark bits only say that somebody will, or did, scan
        return (pair(slot).marked.load(std::memory_order_relaxed) & bit(slot)) != 0;
    }
    // Sets the mark; true for the one caller who did. Cost: a load when it is set, else a locked or.
    bool try_mark(std::uintptr_t slot) const {
        BitPair& both = pair(slot);
        const std::uint64_t mine = bit(slot);
        if ((both.marked.load(std::memory_order_relaxed) & mine) != 0) return false;  // relaxed: see below
        // relaxed: who scans the object is decided here; what it holds is ordered by stops and queues
        return (both.marked.fetch_or(mine, std::memory_order_relaxed) & mine) == 0;
    }

    // Bits of `slots` slots from `first`, `stride` bytes apart: sets allocated ones, and marks if asked.
    // Needs: the caller owns the span.
    void set_run(std::uintptr_t first, std::size_t slots, std::size_t stride, bool is_marked) const;
    // Clears both.
    void clear_run(std::uintptr_t first, std::size_t slots, std::size_t stride) const;
    // Sets the marks alone, as for what is left of a cached run when marking starts; takes them back.
    void mark_run(std::uintptr_t first, std::size_t slots, std::size_t stride) const;
    void unmark_run(std::uintptr_t first, std::size_t slots, std::size_t stride) const;
    // Takes all marks back. Needs: no mark phase runs, nothing is being swept.
    void clear_marks() const;

    // Tables' memory: made accessible, and reserved only.
    [[nodiscard]] std::uint64_t ready_bytes() const { return ready_.value(); }
    [[nodiscard]] std::uintptr_t window_bytes() const {
        return window_bytes_.load(std::memory_order_acquire);  // acquire: pairs with try_window()
    }

private:
    friend struct base::HeapFields;
    [[nodiscard]] bool open_window(std::uintptr_t base);
    [[nodiscard]] bool try_window(std::uintptr_t base, std::uintptr_t bytes);
    [[nodiscard]] bool describe(std::uintptr_t arena);
    void widen(std::uintptr_t low, std::uintptr_t high);

    static constexpr unsigned bounds_shift = 26;    // arenas

    std::atomic<std::uint64_t> bounds_{0};          // [atomic] first arena << 32 | arenas
    std::uintptr_t window_base_ = 0;                // [fixed] once opened
    std::atomic<std::uintptr_t> window_bytes_{0};   // [atomic] 0 until opened
    std::atomic<std::uint16_t>* entries_ = nullptr; // [fixed] once opened
    BitPair* pairs_ = nullptr;                      // [fixed] once opened
    // [atomic] a byte an arena of the window, 1 = described; part of the entries' mapping
    std::atomic<std::uint8_t>* described_ = nullptr;
    os::Stat reserved_;                             // [atomic]
    os::Stat ready_;                                // [atomic]
};

}  // namespace cairn::pages
