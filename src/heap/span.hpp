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
// Swept kinds: the allocated and the mark bits are in pages/object_map.hpp, reached from an address without
//            this record. Threads take runs of free slots from `free_index` upwards; a slot is free iff its
//            allocated bit is 0. `alloc_count` counts the bits set.
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
#include "heap/shape.hpp"
#include "heap/size_class.hpp"
#include "pages/object_map.hpp"

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
    // [owner] of the cached span: slots below are not looked at; explicit: first word hint, [lock] central
    std::uint16_t free_index = 0;
    std::uint16_t alloc_count = 0;       // [owner] / [lock] central for explicit spans
    ObjectKind kind = ObjectKind::manual;  // [fixed]
    std::uint8_t size_class = 0;         // [fixed] 0 = large
    ShapeId shape = 0;                   // [fixed] swept kinds
    bool needs_zero = false;             // [fixed] memory may be dirty
    std::atomic<SpanState> state{SpanState::dead};       // [atomic]
    // [atomic] large explicit span in a thread's cache: freeing it again is an error
    std::atomic<bool> is_parked{false};
    std::atomic<std::uint32_t> sweep_generation{0};      // [atomic]
    std::uint64_t* alloc_bits = nullptr; // [fixed] explicit_free: inline_bits or pooled words
    std::uint64_t inline_bits[inline_bit_words] = {};
    // [lock] of the list it is in: central's partial list, or a thread's parked list
    base::ListLink<Span> link;
    Special* specials = nullptr;         // [lock] specials_lock; sorted by (offset, kind)
    Special* specials_hint = nullptr;    // [lock] specials_lock; where the last search ended, or nullptr
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

    // Swept kinds: takes the next run of free slots, of at most `max_slots`, and sets their allocated bits
    // (and marks, if `is_black`), after zeroing them if asked. {} when there is none left. Needs: the caller
    // caches the span.
    struct Run {
        std::uintptr_t base = 0;
        std::size_t slots = 0;
    };
    [[nodiscard]] Run take_run(const pages::ObjectMap& objects, std::size_t max_slots, bool is_black,
                               bool must_zero);
    // Gives slots of the last run back that nobody was handed.
    void return_rest(const pages::ObjectMap& objects, std::uintptr_t first, std::size_t count);

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
