// The address space: which addresses are the heap's, what describes each page, and how the heap grows.
//
// Growth keeps two reserved ranges: `current_`, cut from its front in chunks, and `pending_`, a later one
// that waits until it can be mapped. A grow of n pages (rounded up to 4 MiB chunks)
//   1  takes the front of `current_` when it is long enough;
//   2  else asks the layout for more; a block that follows `current_` makes it longer;
//   3  else maps a separate block and switches to it: the rest of the old range is mapped too and handed out
//      through `leftover`, so no reserved address is lost;
//   4  fails when the OS refuses: what was reserved stays reserved, and a smaller ask may succeed later.
// Reserving is by arenas, mapping by chunks: address space is free, memory is not.
//
// Locks: grow() needs Rank::heap. Look-ups take none and allow any address, also wild ones. set_*() are for
// the owner of the pages. Source: Go mheap.go (BSD-3)
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/config.hpp"
#include "base/heap_fields.hpp"
#include "os/memory.hpp"
#include "pages/arena_layout.hpp"
#include "pages/metadata.hpp"
#include "pages/near_map.hpp"

namespace cairn::pages {

class AddressSpace {
public:
    constexpr AddressSpace() = default;

    // False when the OS refuses what the model needs at once: sparse its index, linear its 528.5 GiB. Nothing
    // is kept then, failure_text() says what was missing, and another initialize() may be tried.
    [[nodiscard]] bool initialize(LayoutModel model, Metadata& metadata);
    [[nodiscard]] LayoutModel model() const { return model_; }
    [[nodiscard]] std::string_view failure_text() const;

    struct Grown {
        std::uintptr_t base = 0;
        std::size_t bytes = 0;
    };
    // Makes at least `pages` more pages prepared and described, in one run of whole chunks.
    // Returns: the run, or {} when the OS refuses. `leftover`: a second run, when growth switched ranges.
    // Needs: Rank::heap held.
    [[nodiscard]] Grown grow(std::size_t pages, Grown& leftover);

    [[nodiscard]] std::uint16_t page_entry(std::uintptr_t address) const {
        if (is_sparse()) [[likely]] return sparse_.page_entry(address);
        return linear_.page_entry(address);
    }
    [[nodiscard]] heap::Span* span_of(std::uintptr_t address) const {
        if (is_sparse()) [[likely]] return sparse_.span_of(address);
        return linear_.span_of(address);
    }
    // The same as page_entry() where the near map reaches, else 0: for the shortest path of free.
    [[nodiscard]] std::uint16_t near_entry(std::uintptr_t address) const { return near_.entry(address); }

    // The following need pages that grow() gave, and their owner.

    // Points every page of the run at `span` (nullptr: at none). Crosses arenas.
    void set_span(std::uintptr_t base, std::size_t pages, heap::Span* span);
    // Gives page i of the run make_entry(size_class, i); class 0 clears all.
    void set_entries(std::uintptr_t base, std::size_t pages, unsigned size_class);
    void set_in_use(std::uintptr_t base, bool value);
    void set_has_specials(std::uintptr_t base, bool value);
    [[nodiscard]] bool in_use(std::uintptr_t address) const;
    [[nodiscard]] bool has_specials(std::uintptr_t address) const;

    // Claims the run for its first or a later use: true when its memory may be dirty. A run that starts where
    // no run ever reached is fresh from the OS, and zero. First fit makes that common. Crosses arenas.
    [[nodiscard]] bool claim_zeroed(std::uintptr_t base, std::size_t bytes);

    // Calls visit(base, span) for every page whose in-use bit is set, arena by arena. Needs: nobody frees.
    template <class Visit>
    void for_each_span_start(Visit visit) const;
    // Calls visit(tables) for every arena (linear: once).
    template <class Visit>
    void for_each_arena(Visit visit) const;

    // 64 MiB slots that hold memory of ours.
    [[nodiscard]] std::uint64_t arenas() const;
    [[nodiscard]] std::uint64_t reserved_bytes() const;
    // Address space of the index (sparse) or accessible arrays (linear); arena records are in Metadata.
    [[nodiscard]] std::uint64_t index_bytes() const;
    // Part of os::mapped_ready() that was never touched and costs nothing: to be subtracted before it is
    // compared with a limit.
    [[nodiscard]] std::uint64_t untouched_index_bytes() const;
    // Bytes of heap ever mapped.
    [[nodiscard]] os::Stat& heap_stat() { return heap_; }
    [[nodiscard]] const os::Stat& heap_stat() const { return heap_; }

private:
    friend struct base::HeapFields;
    [[nodiscard]] bool is_sparse() const { return model_ == LayoutModel::sparse; }
    template <class Layout>
    [[nodiscard]] Grown grow_in(Layout& layout, std::size_t bytes, Grown& leftover);
    template <class Layout>
    [[nodiscard]] bool reserve_more(Layout& layout, std::size_t bytes);
    template <class Layout>
    [[nodiscard]] bool prepare(Layout& layout, AddressRange range);
    [[nodiscard]] PageTables tables(std::uintptr_t address) const;
    // Calls visit(tables, first page, page count) for each piece of the run that one set of arrays describes.
    template <class Visit>
    void for_each_piece(std::uintptr_t base, std::size_t pages, Visit visit) const;

    LayoutModel model_ = LayoutModel::sparse;  // [fixed]
    SparseLayout sparse_;
    LinearLayout linear_;
    NearMap near_;
    AddressRange current_;                     // [lock] heap
    AddressRange pending_;                     // [lock] heap
    os::Stat heap_;                            // [atomic]
};

template <class Visit>
void AddressSpace::for_each_arena(Visit visit) const {
    if (!is_sparse()) {
        if (const PageTables all = linear_.tables(linear_.arena_base())) visit(all);
        return;
    }
    for (const ArenaRecord* record = sparse_.first_record(); record != nullptr;
         record = record->next.load(std::memory_order_acquire))  // acquire: pairs with add_record()
        visit(sparse_.tables(record->base));
}

template <class Visit>
void AddressSpace::for_each_span_start(Visit visit) const {
    for_each_arena([&](const PageTables& arena) {
        const std::size_t words = (arena.page_of(arena.end) + 63) / 64;
        for (std::size_t word = 0; word < words; ++word) {
            // acquire: pairs with set_in_use(), the span behind the bit is complete
            std::uint64_t bits = arena.in_use[word].load(std::memory_order_acquire);
            for (; bits != 0; bits &= bits - 1) {
                const std::size_t page = word * 64 + static_cast<unsigned>(std::countr_zero(bits));
                // acquire: pairs with set_span()
                heap::Span* span = arena.spans[page].load(std::memory_order_acquire);
                visit(arena.base + page * base::page_bytes, span);
            }
        }
    });
}

}  // namespace cairn::pages
