// The address space: growth, and the page tables written across arenas. See address_space.hpp.
// SPDX-License-Identifier: MIT
#include "pages/address_space.hpp"

#include "base/bits.hpp"
#include "base/check.hpp"

namespace cairn::pages {

namespace {

// Atomic because neighbours share the word.
void assign_bit(std::atomic<std::uint64_t>* words, std::size_t bit, bool value) {
    const std::uint64_t mask = std::uint64_t{1} << (bit % 64);
    // release: what the bit announces (a complete span, a list) is visible to who sees it
    if (value) words[bit / 64].fetch_or(mask, std::memory_order_release);
    // release: as above
    else words[bit / 64].fetch_and(~mask, std::memory_order_release);
}

bool test_bit(const std::atomic<std::uint64_t>* words, std::size_t bit) {
    // acquire: pairs with assign_bit()
    return words[bit / 64].load(std::memory_order_acquire) >> (bit % 64) & 1;
}

// Raises `reached` to `end`; true when `begin` lies below it, so that the bytes have had an owner before.
bool claim_part(std::atomic<std::uintptr_t>& reached, std::uintptr_t begin, std::uintptr_t end) {
    // relaxed: the range is the caller's alone; whoever gives it on synchronises
    std::uintptr_t seen = reached.load(std::memory_order_relaxed);
    const bool is_dirty = begin < seen;
    // relaxed: as above
    while (seen < end && !reached.compare_exchange_weak(seen, end, std::memory_order_relaxed)) {
        // Somebody reached into the middle of our range: two owners of one page.
        CAIRN_CHECK(is_dirty || seen <= begin || seen >= end);
    }
    return is_dirty;
}

}  // namespace

bool AddressSpace::initialize(LayoutModel model, Metadata& metadata) {
    model_ = model;
    return is_sparse() ? sparse_.initialize(metadata) : linear_.initialize(metadata);
}

std::string_view AddressSpace::failure_text() const {
    if (is_sparse()) {
        if (sparse_.failure() == LayoutFailure::none) return {};
        return "sparse layout: the system refuses the address space of the arena index";
    }
    switch (linear_.failure()) {
    case LayoutFailure::none: return {};
    case LayoutFailure::taken:
        return "linear layout: other mappings take every place for its 528.5 GiB; sparse goes around them";
    case LayoutFailure::refused:
        return "linear layout: the system refuses 528.5 GiB of address space; sparse needs no such run";
    }
    return {};
}

// ---- growth -----------------------------------------------------------------------------------------------

AddressSpace::Grown AddressSpace::grow(std::size_t pages, Grown& leftover) {
    leftover = {};
    if (pages == 0 || pages > running_platform.reach_bytes() / base::page_bytes) return {};
    const std::size_t bytes = base::align_up(pages, base::chunk_pages) * base::page_bytes;
    const Grown grown = is_sparse() ? grow_in(sparse_, bytes, leftover) : grow_in(linear_, bytes, leftover);
    if (grown.bytes == 0) return grown;
    if (is_sparse()) {
        near_.start(base::align_down(grown.base, arena_bytes));
    } else {  // the linear array is readable as far as the arena is used
        const PageTables all = linear_.tables(linear_.arena_base());
        near_.view(all.page_entry, all.base, all.page_of(all.end));
    }
    return grown;
}

template <class Layout>
AddressSpace::Grown AddressSpace::grow_in(Layout& layout, std::size_t bytes, Grown& leftover) {
    if (current_.bytes() < bytes && pending_.bytes() < bytes && !reserve_more(layout, bytes)) return {};
    const bool is_switch = current_.bytes() < bytes;
    AddressRange& source = is_switch ? pending_ : current_;
    const AddressRange taken{source.base, source.base + bytes};
    if (!prepare(layout, taken)) return {};
    source.base = taken.end;
    if (is_switch) {
        if (!current_.is_empty()) {
            if (prepare(layout, current_)) leftover = {current_.base, current_.bytes()};
            else layout.release(current_);
        }
        current_ = pending_;
        pending_ = {};
    }
    return {taken.base, bytes};
}

// Afterwards `current_` or `pending_` has room for `bytes`; false when the OS refuses.
template <class Layout>
bool AddressSpace::reserve_more(Layout& layout, std::size_t bytes) {
    const AddressRange block = layout.reserve(bytes);
    if (block.is_empty()) return false;
    if (!current_.is_empty() && block.base == current_.end) {
        current_.end = block.end;
    } else if (!pending_.is_empty() && block.base == pending_.end) {
        pending_.end = block.end;
    } else {
        layout.release(pending_);
        pending_ = block;
    }
    return true;
}

// Describes, then maps: a failure of either leaves a reserved range that can be tried again.
template <class Layout>
bool AddressSpace::prepare(Layout& layout, AddressRange range) {
    return layout.describe(range) && os::map(reinterpret_cast<void*>(range.base), range.bytes(), heap_);
}

// ---- page tables ------------------------------------------------------------------------------------------

PageTables AddressSpace::tables(std::uintptr_t address) const {
    return is_sparse() ? sparse_.tables(address) : linear_.tables(address);
}

template <class Visit>
void AddressSpace::for_each_piece(std::uintptr_t base, std::size_t pages, Visit visit) const {
    CAIRN_ASSERT(base::is_aligned(base, base::page_bytes));
    while (pages > 0) {
        const PageTables piece = tables(base);
        CAIRN_CHECK(piece);
        const std::size_t room = (piece.end - base) >> base::page_shift;
        const std::size_t count = pages < room ? pages : room;
        visit(piece, piece.page_of(base), count);
        base += count << base::page_shift;
        pages -= count;
    }
}

void AddressSpace::set_span(std::uintptr_t base, std::size_t pages, heap::Span* span) {
    for_each_piece(base, pages, [span](const PageTables& piece, std::size_t first, std::size_t count) {
        for (std::size_t page = first; page < first + count; ++page)
            // release: the span's fields; pairs with span_of()
            piece.spans[page].store(span, std::memory_order_release);
    });
}

void AddressSpace::set_entries(std::uintptr_t base, std::size_t pages, unsigned size_class) {
    CAIRN_ASSERT(size_class == 0 || pages <= 16);
    std::size_t in_span = 0;
    for_each_piece(base, pages, [&](const PageTables& piece, std::size_t first, std::size_t count) {
        for (std::size_t page = first; page < first + count; ++page, ++in_span) {
            const std::uint16_t entry = size_class == 0 ? 0 : make_entry(size_class, in_span);
            // release: pairs with page_entry()
            piece.page_entry[page].store(entry, std::memory_order_release);
            near_.set(base + in_span * base::page_bytes, entry);
        }
    });
}

void AddressSpace::set_in_use(std::uintptr_t base, bool value) {
    const PageTables at = tables(base);
    CAIRN_CHECK(at);
    assign_bit(at.in_use, at.page_of(base), value);
}

void AddressSpace::set_has_specials(std::uintptr_t base, bool value) {
    const PageTables at = tables(base);
    CAIRN_CHECK(at);
    assign_bit(at.has_specials, at.page_of(base), value);
}

bool AddressSpace::in_use(std::uintptr_t address) const {
    const PageTables at = tables(address);
    return at && test_bit(at.in_use, at.page_of(address));
}

bool AddressSpace::has_specials(std::uintptr_t address) const {
    const PageTables at = tables(address);
    return at && test_bit(at.has_specials, at.page_of(address));
}

bool AddressSpace::claim_zeroed(std::uintptr_t base, std::size_t bytes) {
    bool is_dirty = false;
    const std::size_t pages = base::divide_up(bytes, base::page_bytes);
    for_each_piece(base, pages, [&is_dirty](const PageTables& piece, std::size_t first, std::size_t count) {
        const std::uintptr_t begin = first << base::page_shift;
        if (claim_part(*piece.zeroed_base, begin, begin + (count << base::page_shift))) is_dirty = true;
    });
    return is_dirty;
}

// ---- figures ----------------------------------------------------------------------------------------------

std::uint64_t AddressSpace::arenas() const {
    if (is_sparse()) return sparse_.record_count();
    return base::divide_up(linear_.described_end() - linear_.arena_base(), arena_bytes);
}

std::uint64_t AddressSpace::reserved_bytes() const {
    return is_sparse() ? sparse_.reserved_bytes() : linear_.reserved_bytes();
}

std::uint64_t AddressSpace::index_bytes() const {
    return is_sparse() ? sparse_.index_bytes() + near_.index_bytes() : linear_.described_bytes();
}

std::uint64_t AddressSpace::untouched_index_bytes() const {
    if (!is_sparse()) return 0;
    return sparse_.untouched_index_bytes() + near_.index_bytes() - near_.touched_bytes(heap_.value());
}

}  // namespace cairn::pages
