// Span: a run of pages cut into equal slots (or one large object), with its allocation state outside the
// slots.
//
//   base                                   limit        base + pages * 8 KiB
//    | slot 0 | slot 1 | ... | slot n-1    |  tail waste  |
//
// Slot i is at base + i * slot_bytes; an address finds its slot by one multiplication with `magic` =
// ceil(2^32 / slot_bytes).
//
// State:     dead -> in_use or manual at any time; back only while no mark phase runs. The state is
//            stored last (release) when a span is made, and read first (acquire) by whoever got the span from
//            an untrusted address.
// Swept kinds (Go): `alloc_bits` is what the last sweep found alive; allocation never writes it but advances
// `free_index`,
//            and `alloc_cache` is its complement from `free_index` on. Slot n is free iff n >= free_index and
//            bit n is 0.
// explicit_free: `alloc_bits` is exact under the central lock: 1 = slot is with the program or in some
// thread's cache.
// sweep_generation (heap generation g grows by 2 a cycle):  g-2 needs sweeping | g-1 being swept | g swept |
//            g+1 cached before this sweep began, needs sweeping | g+3 swept, then cached.
//
// Span records are recycled without zeroing: `sweep_generation` must survive, or a concurrent sweeper could
// claim a half-made span. Only the first word may be clobbered by the pool.
//
// Source: Go mheap.go, mbitmap.go
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/config.hpp"
#include "base/list.hpp"
#include "base/lock.hpp"
#include "heap/object_kind.hpp"
#include "heap/size_class.hpp"

namespace cairn::heap {

struct Special;

enum class SpanState : std::uint8_t { dead, in_use, manual };

class Span {
public:
    static constexpr std::size_t inline_bit_words = 2;   // 128 slots: every class from 64 bytes up
    static constexpr std::size_t max_bit_words = 16;     // 1024 slots of 8 bytes

    std::uintptr_t base = 0;             // [owner] until published; then [fixed] until freed
    // [owner]; grows in place for large explicit spans by the object's owner
    std::size_t pages = 0;
    std::size_t slot_bytes = 0;          // [fixed] large: pages * page_bytes
    // [fixed] end of the last slot; large: what was asked, in whole pages for malloc
    std::uintptr_t limit = 0;
    std::uint32_t magic = 0;             // [fixed] ceil(2^32 / slot_bytes); 0 for large: index is always 0
    std::uint16_t slots = 0;             // [fixed]
    // [owner] of the cached span; explicit: first word hint, [lock] central
    std::uint16_t free_index = 0;
    std::uint16_t alloc_count = 0;       // [owner] / [lock] central for explicit spans
    ObjectKind kind = ObjectKind::manual;  // [fixed]
    std::uint8_t size_class = 0;         // [fixed] 0 = large
    bool needs_zero = false;             // [fixed] memory may be dirty
    std::atomic<SpanState> state{SpanState::dead};       // [atomic]
    // [atomic] large explicit span in a thread's cache: freeing it again is an error
    std::atomic<bool> is_parked{false};
    std::atomic<std::uint32_t> sweep_generation{0};      // [atomic]
    std::uint64_t alloc_cache = 0;       // [owner]
    std::uint64_t* alloc_bits = nullptr; // [fixed] inline_bits or pooled words
    std::uint64_t inline_bits[inline_bit_words] = {};
    // [lock] of the list it is in: central's partial list, or a thread's parked list
    base::ListLink<Span> link;
    Special* specials = nullptr;         // [lock] specials_lock; sorted by (offset, kind)
    base::RankedLock<base::Rank::specials> specials_lock;
    std::uint16_t alloc_count_before_cache = 0;  // [owner] statistics

    [[nodiscard]] std::size_t bytes() const { return pages * base::page_bytes; }
    [[nodiscard]] std::uintptr_t end() const { return base + bytes(); }
    [[nodiscard]] bool is_large() const { return size_class == 0; }
    [[nodiscard]] std::size_t bit_words() const { return (slots + 63u) / 64u; }

    // Slot of an interior address. Needs: base <= address < end().
    [[nodiscard]] std::size_t slot_of(std::uintptr_t address) const {
        return (static_cast<std::uint64_t>(address - base) * magic) >> 32;
    }
    [[nodiscard]] std::uintptr_t slot_address(std::size_t slot) const { return base + slot * slot_bytes; }

    [[nodiscard]] bool is_alive() const {
        // acquire: pairs with publish(); fields follow
        return state.load(std::memory_order_acquire) != SpanState::dead;
    }
    void publish(SpanState made) {
        state.store(made, std::memory_order_release);  // release: all fields are visible before the state is
    }

    // Swept kinds: the fast path. Takes the next free slot covered by alloc_cache, or returns 0 (slow path
    // reloads).
    [[nodiscard]] std::uintptr_t take_next_fast() {
        const unsigned skip = static_cast<unsigned>(std::countr_zero(alloc_cache));
        if (skip == 64) return 0;
        const unsigned slot = free_index + skip;
        if (slot >= slots) return 0;
        const unsigned next = slot + 1;
        if (next % 64 == 0 && next != slots) return 0;
        alloc_cache = skip == 63 ? 0 : alloc_cache >> (skip + 1);
        free_index = static_cast<std::uint16_t>(next);
        ++alloc_count;
        return slot_address(slot);
    }

    // Swept kinds: index of the next free slot at or after free_index, `slots` when full; reloads alloc_cache
    // on the way.
    [[nodiscard]] unsigned next_free_index();
    // Loads alloc_cache with the complement of the 64-slot group that holds `slot`.
    void refill_alloc_cache(unsigned slot);
    [[nodiscard]] bool is_slot_free(unsigned slot) const {
        return slot >= free_index && (alloc_bits[slot / 64] >> (slot % 64) & 1) == 0;
    }

    // explicit_free: takes up to `want` free slots, lowest first, and writes their addresses so that the last
    // written is the lowest. Returns how many. Needs: the central lock, or sole ownership.
    unsigned take_slots(void** out, unsigned want);
    // explicit_free: gives one slot back. Needs: the central lock. The result says what was wrong instead.
    enum class Returned : std::uint8_t { ok, already_free, not_a_slot };
    [[nodiscard]] Returned return_slot(std::uintptr_t address);

    // Checks the span's invariants; stops the program when one is broken.
    void verify() const;
};

}  // namespace cairn::heap
