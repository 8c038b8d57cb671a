// The two layouts: where address space comes from and how it gets described. Look-ups are in the header.
// SPDX-License-Identifier: MIT
#include "pages/arena_layout.hpp"

#include "base/check.hpp"
#include "pages/near_map.hpp"

namespace cairn::pages {

namespace {

// Recognisable in dumps, far from where systems put programs and libraries, unlikely as text or as a number.
constexpr std::uintptr_t first_hint = std::uintptr_t{0x00c0} << 32;
constexpr unsigned numbered_hints = 128;
constexpr std::uintptr_t numbered_hint(unsigned i) { return std::uintptr_t{i} << 40 | first_hint; }

// Index entries from address 0 upwards: what a user process can have. The other half stays untouched.
constexpr std::uintptr_t zero_slot = *arena_index(running_platform, 0);
constexpr std::uintptr_t full_slots = running_platform.l2_entries - zero_slot;
constexpr std::size_t full_index_bytes = running_platform.l2_table_bytes();
// Where 32 MiB of address space are refused: the first 4 TiB, which hold the first four hints.
constexpr std::uintptr_t small_slots = std::uintptr_t{1} << 16;

void* pointer(std::uintptr_t address) { return reinterpret_cast<void*>(address); }
std::uintptr_t address_of(void* start) { return reinterpret_cast<std::uintptr_t>(start); }

enum class Exact : std::uint8_t { granted, taken, refused };

// Reserves at `base` or nowhere. `refused` may mean the size as well as the place.
Exact reserve_exactly(std::uintptr_t base, std::size_t bytes) {
    void* got = os::reserve(pointer(base), bytes);
    if (got == nullptr) return Exact::refused;
    if (address_of(got) == base) return Exact::granted;
    os::release(got, bytes);
    return Exact::taken;
}

}  // namespace

// ---- sparse -----------------------------------------------------------------------------------------------

bool SparseLayout::initialize(Metadata& metadata) {
    metadata_ = &metadata;
    std::uintptr_t below = zero_slot;
    std::uintptr_t slots = full_slots;
    // Where address space is short, 32 MiB of it are better spent on the heap.
    void* index = os::address_space_limit() < roomy_bytes ? nullptr : os::alloc(full_index_bytes, index_);
    if (index == nullptr) {
        below = 0;
        slots = small_slots;
        index = os::alloc(slots * sizeof(ArenaRecord*), index_);
    }
    if (index == nullptr) {
        failure_ = LayoutFailure::refused;
        return false;
    }
    failure_ = LayoutFailure::none;
    os::refuse_huge_pages(index, index_.value());  // one touched entry must cost one OS page
    // relaxed: ordered by slot_count_
    origin_.store(static_cast<std::atomic<ArenaRecord*>*>(index) + below, std::memory_order_relaxed);
    slot_count_.store(slots, std::memory_order_release);  // release: origin_ is set; pairs with record_of()
    return true;
}

// Climbs down: whole arenas, then halves of an arena, then what is asked. A smaller block is a part of its
// arena's slot; the rest of the slot may come later.
AddressRange SparseLayout::reserve(std::size_t at_least) {
    const std::size_t least = base::align_up(at_least, base::chunk_bytes);
    std::size_t bytes = base::align_up(at_least, arena_bytes);
    while (true) {
        const AddressRange block = reserve_block(bytes);
        if (!block.is_empty()) {
            reserved_.add(block.bytes());
            return block;
        }
        if (bytes == least) return {};
        bytes = bytes > arena_bytes ? least : bytes / 2;
        if (bytes < least) bytes = least;
    }
}

void SparseLayout::release(AddressRange range) {
    if (range.is_empty()) return;
    os::release(pointer(range.base), range.bytes());
    reserved_.subtract(range.bytes());
}

// A hint whose place is taken is dropped for good. A refusal may mean the size, which no other place would
// change, or the place: one try elsewhere tells, and its block is used if it is granted.
AddressRange SparseLayout::reserve_block(std::size_t bytes) {
    Hint hint;
    while (current_hint(hint)) {
        const std::uintptr_t base = hint.is_downward ? hint.address - bytes : hint.address;
        const AddressRange wanted{base, base + bytes};
        if ((hint.is_downward && bytes > hint.address) || !is_in_reach(wanted)) {
            discard_hint();
            continue;
        }
        const Exact result = reserve_exactly(base, bytes);
        if (result == Exact::granted) {
            advance_hint(wanted);
            return wanted;
        }
        if (result == Exact::refused) {
            const AddressRange elsewhere = reserve_anywhere(bytes);
            if (!elsewhere.is_empty()) discard_hint();
            return elsewhere;
        }
        discard_hint();
    }
    const AddressRange block = reserve_anywhere(bytes);
    if (block.is_empty() || base::sanitized_build) return block;
    hints_[0] = {block.base, true};
    hints_[1] = {block.end, false};
    hint_count_ = 2;
    return block;
}

AddressRange SparseLayout::reserve_anywhere(std::size_t bytes) {
    // Parts of an arena need only whole chunks; more alignment would need twice the space for a moment.
    void* got = os::reserve_aligned(bytes, bytes < arena_bytes ? base::chunk_bytes : arena_bytes);
    if (got == nullptr) return {};
    const AddressRange block{address_of(got), address_of(got) + bytes};
    if (is_in_reach(block)) return block;
    os::release(got, bytes);
    return {};
}

bool SparseLayout::is_in_reach(AddressRange range) const {
    // relaxed: written once before the heap grows
    const std::uintptr_t slots = slot_count_.load(std::memory_order_relaxed);
    return range.base < range.end && (range.end - 1) >> arena_shift < slots;
}

// Sanitizers own large parts of the address space, so under them no place is asked for.
bool SparseLayout::current_hint(Hint& hint) {
    if (base::sanitized_build) return false;
    if (hint_count_ > 0) {
        hint = hints_[hint_count_ - 1];
        return true;
    }
    if (next_numbered_hint_ == numbered_hints) return false;
    hint = {numbered_hint(next_numbered_hint_), false};
    return true;
}

void SparseLayout::discard_hint() {
    if (hint_count_ > 0) --hint_count_;
    else ++next_numbered_hint_;
}

// The next block shall follow this one. The numbered hint it came from is used up.
void SparseLayout::advance_hint(AddressRange granted) {
    if (hint_count_ == 0) {
        ++next_numbered_hint_;
        hints_[hint_count_++] = {granted.end, false};
        return;
    }
    Hint& hint = hints_[hint_count_ - 1];
    hint.address = hint.is_downward ? granted.base : granted.end;
}

std::uint64_t SparseLayout::untouched_index_bytes() const {
    const std::uint64_t touched = touched_index_.value();  // at most: an OS page may have been counted twice
    return touched < index_.value() ? index_.value() - touched : 0;
}

bool SparseLayout::describe(AddressRange range) {
    const std::uintptr_t last = (range.end - 1) >> arena_shift;
    for (std::uintptr_t slot = range.base >> arena_shift; slot <= last; ++slot)
        if (record_of(slot << arena_shift) == nullptr && !add_record(slot)) return false;
    return true;
}

bool SparseLayout::add_record(std::uintptr_t slot) {
    void* memory = metadata_->allocate(sizeof(ArenaRecord), base::cache_line_bytes);
    auto* record = static_cast<ArenaRecord*>(memory);
    if (record == nullptr) return false;
    record->base = slot << arena_shift;
    // relaxed: written once in initialize(), the caller holds the heap lock
    std::atomic<ArenaRecord*>& entry = origin_.load(std::memory_order_relaxed)[slot];
    // release: the record is complete; pairs with record_of()
    entry.store(record, std::memory_order_release);
    // release: the record is complete; pairs with first_record() and for_each_arena()
    (last_record_ == nullptr ? first_record_ : last_record_->next).store(record, std::memory_order_release);
    last_record_ = record;
    record_count_.add(1);
    const std::uintptr_t page = base::align_down(reinterpret_cast<std::uintptr_t>(&entry), os::page_bytes());
    if (page != last_touched_page_) touched_index_.add(os::page_bytes());  // arenas mostly follow each other
    last_touched_page_ = page;
    return true;
}

PageTables SparseLayout::tables(std::uintptr_t address) const {
    ArenaRecord* record = record_of(address);
    if (record == nullptr) return {};
    return {record->base,   record->base + arena_bytes, record->page_entry, record->spans,
            record->in_use, record->has_specials,       record->marks,      &record->zeroed_base};
}

// ---- linear -----------------------------------------------------------------------------------------------

bool LinearLayout::initialize(Metadata&) {
    failure_ = LayoutFailure::taken;
    if (base::sanitized_build) {
        void* got = os::reserve_aligned(total_bytes, arena_bytes);
        if (got != nullptr) {
            place_arrays(address_of(got));
            return true;
        }
        failure_ = LayoutFailure::refused;
        return false;
    }
    for (unsigned i = 0; i < numbered_hints; ++i) {
        const Exact result = reserve_exactly(numbered_hint(i), total_bytes);
        if (result == Exact::granted) {
            place_arrays(numbered_hint(i));
            return true;
        }
        if (result == Exact::refused) failure_ = LayoutFailure::refused;
    }
    return false;
}

// The bitmap's two bits a word would be 256 bytes a page; entries and page bits need 19 bits.
void LinearLayout::place_arrays(std::uintptr_t base) {
    static_assert(page_count * sizeof(std::uint16_t) + 3 * (page_count / 8) <= bitmap_bytes);
    std::uintptr_t next = base;
    span_extent_.base = next;
    next += spans_bytes;
    entry_extent_.base = next;
    in_use_extent_.base = entry_extent_.base + page_count * sizeof(std::uint16_t);
    specials_extent_.base = in_use_extent_.base + page_count / 8;
    mark_extent_.base = specials_extent_.base + page_count / 8;
    next += bitmap_bytes;
    spans_ = static_cast<std::atomic<heap::Span*>*>(pointer(span_extent_.base));
    page_entries_ = static_cast<std::atomic<std::uint16_t>*>(pointer(entry_extent_.base));
    arena_base_ = next;
    reserved_.add(total_bytes);
    failure_ = LayoutFailure::none;
    // release: the fields above are set; pairs with is_described(), which still says no for every address
    described_end_.store(next, std::memory_order_release);
}

AddressRange LinearLayout::reserve(std::size_t at_least) {
    if (is_handed_out_ || at_least > heap_bytes) return {};
    is_handed_out_ = true;
    return {arena_base_, arena_base_ + heap_bytes};
}

// One reservation is kept whole.
void LinearLayout::release(AddressRange) {}

bool LinearLayout::describe(AddressRange range) {
    // relaxed: the caller holds the heap lock, the only writer
    if (range.end <= described_end_.load(std::memory_order_relaxed)) return true;
    const std::size_t pages = (range.end - arena_base_) >> base::page_shift;
    const std::size_t bit_bytes = base::align_up(pages, 64) / 8;
    const std::size_t entry_bytes = pages * sizeof(std::uint16_t);
    if (!extend(span_extent_, pages * sizeof(heap::Span*), spans_bytes)) return false;
    if (!extend(entry_extent_, entry_bytes, page_count * sizeof(std::uint16_t))) return false;
    if (!extend(in_use_extent_, bit_bytes, page_count / 8)) return false;
    if (!extend(specials_extent_, bit_bytes, page_count / 8)) return false;
    if (!extend(mark_extent_, bit_bytes, page_count / 8)) return false;
    described_end_.store(range.end, std::memory_order_release);  // release: the arrays are accessible
    return true;
}

// Makes the first `bytes` of an array accessible, in steps of 64 KiB so that few growths call the OS.
bool LinearLayout::extend(Extent& extent, std::size_t bytes, std::size_t most) {
    if (bytes <= extent.ready) return true;
    const std::size_t step = os::page_bytes() > 64 * 1024 ? os::page_bytes() : 64 * 1024;
    std::size_t wanted = base::align_up(bytes, step);
    if (wanted > most) wanted = most;
    void* start = pointer(extent.base + extent.ready);
    const std::size_t more = wanted - extent.ready;
    if (!os::map(start, more, arrays_)) return false;
    os::used(start, more, more);
    extent.ready = wanted;
    return true;
}

PageTables LinearLayout::tables(std::uintptr_t address) const {
    if (!is_described(address)) return {};
    auto bits = [](const Extent& extent) {
        return static_cast<std::atomic<std::uint64_t>*>(pointer(extent.base));
    };
    return {arena_base_,
            described_end(),
            page_entries_,
            spans_,
            bits(in_use_extent_),
            bits(specials_extent_),
            bits(mark_extent_),
            &zeroed_base_};
}

}  // namespace cairn::pages
