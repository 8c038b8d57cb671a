// Where arenas may lie and how an address finds what describes it: one concept, two models.
//
//   SparseLayout   64 MiB arenas anywhere in 48 bits. One index of 4 M entries (32 MiB of address space, of
//                  which only touched entries cost memory) leads to an arena's record; unrelated mappings
//                  between arenas do no harm. The default.
//
//        address ──>>26──▶ index ──▶ ArenaRecord { entries, spans, page bits }
//
//   LinearLayout   one reservation, arrays by offset, membership by two comparisons. The classic design:
//                  fewer loads, but it needs 528.5 GiB of address space in one piece and says so when it
//                  cannot have it.
//
//        base │ spans 512 MiB │ bitmap 16 GiB │ arena 512 GiB ──▶ grows upwards to `described_end_`
//                               └ entries, in use, has specials, marks
//
// Both describe a page by the same five arrays, so all but the look-up is written once over `PageTables`.
// Entries of the index go from null to a record once and never back; readers take no lock.
//
// Locks: reserve() and describe() need Rank::heap; look-ups need nothing and allow any address whatsoever.
// Source: Go malloc.go, mheap.go (BSD-3) for sparse, Go 1.10 for linear
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bits.hpp"
#include "base/config.hpp"
#include "base/heap_fields.hpp"
#include "os/memory.hpp"
#include "pages/metadata.hpp"
#include "pages/platforms.hpp"

namespace cairn::heap {
class Span;
}

namespace cairn::pages {

enum class LayoutModel : std::uint8_t { sparse, linear };

// What Cairn runs by; the other rows of platforms.hpp are for the reader.
inline constexpr const Platform& running_platform = linux_amd64;
inline constexpr std::size_t arena_bytes = running_platform.arena_bytes;
inline constexpr unsigned arena_shift = 26;
inline constexpr std::size_t arena_pages = arena_bytes / base::page_bytes;
inline constexpr std::size_t arena_words = arena_pages / 64;
static_assert(std::size_t{1} << arena_shift == arena_bytes && arena_pages == 8192);

constexpr std::size_t page_in_arena(std::uintptr_t address) {
    return (address >> base::page_shift) % arena_pages;
}

struct AddressRange {
    std::uintptr_t base = 0;
    std::uintptr_t end = 0;
    [[nodiscard]] constexpr std::size_t bytes() const { return end - base; }
    [[nodiscard]] constexpr bool is_empty() const { return base == end; }
};

// One per 64 MiB slot that holds memory of ours. Arrays by page in the arena, bit arrays a bit a page.
// Demand-zero: a record takes 83 KiB of address space and the OS pages that are written.
struct ArenaRecord {
    // [atomic] see near_map.hpp; 0 = not of an explicit small span
    std::atomic<std::uint16_t> page_entry[arena_pages];
    std::atomic<heap::Span*> spans[arena_pages];           // [atomic] every page of a span; may be stale
    std::atomic<std::uint64_t> in_use[arena_words];        // [atomic] first page of a span in use
    std::atomic<std::uint64_t> has_specials[arena_words];  // [atomic] first page of one with specials
    std::atomic<std::uint64_t> marks[arena_words];         // [atomic] first page of one with marked objects
    std::atomic<std::uintptr_t> zeroed_base;               // [atomic] first never-used offset; only grows
    std::uintptr_t base;                                   // [fixed] first address of the slot
    std::atomic<ArenaRecord*> next;                        // [atomic] in order of creation; set once
};

// The arrays that describe a run of pages, whatever the layout. Index = (address - base) >> page_shift.
struct PageTables {
    std::uintptr_t base = 0;  // address of page 0
    std::uintptr_t end = 0;   // first address these arrays do not describe; base == end: nothing does
    std::atomic<std::uint16_t>* page_entry = nullptr;
    std::atomic<heap::Span*>* spans = nullptr;
    std::atomic<std::uint64_t>* in_use = nullptr;
    std::atomic<std::uint64_t>* has_specials = nullptr;
    std::atomic<std::uint64_t>* marks = nullptr;
    std::atomic<std::uintptr_t>* zeroed_base = nullptr;

    explicit operator bool() const { return base != end; }
    [[nodiscard]] std::size_t page_of(std::uintptr_t address) const {
        return (address - base) >> base::page_shift;
    }
};

enum class LayoutFailure : std::uint8_t { none, refused, taken };

template <class Layout>
concept ArenaLayout = requires(Layout layout, const Layout& seen, Metadata& metadata, AddressRange range) {
    // False with nothing kept when the OS refuses; failure() says why.
    { layout.initialize(metadata) } -> std::same_as<bool>;
    { seen.failure() } -> std::same_as<LayoutFailure>;
    // Address space of at least so many bytes, whole chunks; empty when there is none.
    { layout.reserve(std::size_t{}) } -> std::same_as<AddressRange>;
    // Gives a range of reserve() back, unmapped as it was.
    layout.release(range);
    // Makes the arrays for a reserved range accessible; false when the OS refuses (what was made stays).
    { layout.describe(range) } -> std::same_as<bool>;
    // Lock-free, any address.
    { seen.tables(std::uintptr_t{}) } -> std::same_as<PageTables>;
    { seen.page_entry(std::uintptr_t{}) } -> std::same_as<std::uint16_t>;
    { seen.span_of(std::uintptr_t{}) } -> std::same_as<heap::Span*>;
};

class SparseLayout {
public:
    constexpr SparseLayout() = default;

    [[nodiscard]] bool initialize(Metadata& metadata);
    [[nodiscard]] LayoutFailure failure() const { return failure_; }
    [[nodiscard]] AddressRange reserve(std::size_t at_least);
    void release(AddressRange range);
    [[nodiscard]] bool describe(AddressRange range);

    [[nodiscard]] PageTables tables(std::uintptr_t address) const;

    // The record of an address, nullptr when there is none (also before initialize() and in a linear heap).
    // Cost: shift, compare, two loads. Addresses of the upper half are never ours, so the index is used from
    // the entry of address 0 upwards and one comparison excludes them.
    [[nodiscard]] ArenaRecord* record_of(std::uintptr_t address) const {
        const std::uintptr_t slot = address >> arena_shift;
        // acquire: pairs with initialize(), for a thread that frees before it ever allocated
        if (slot >= slot_count_.load(std::memory_order_acquire)) [[unlikely]] return nullptr;
        // relaxed: ordered by slot_count_; acquire: pairs with add_record(), the record is complete
        return origin_.load(std::memory_order_relaxed)[slot].load(std::memory_order_acquire);
    }
    [[nodiscard]] std::uint16_t page_entry(std::uintptr_t address) const {
        const ArenaRecord* record = record_of(address);
        if (record == nullptr) [[unlikely]] return 0;
        // acquire: pairs with set_entries(); free on x86
        return record->page_entry[page_in_arena(address)].load(std::memory_order_acquire);
    }
    [[nodiscard]] heap::Span* span_of(std::uintptr_t address) const {
        const ArenaRecord* record = record_of(address);
        if (record == nullptr) [[unlikely]] return nullptr;
        // acquire: pairs with set_span(), the fields of the span are visible
        return record->spans[page_in_arena(address)].load(std::memory_order_acquire);
    }

    [[nodiscard]] const ArenaRecord* first_record() const {
        return first_record_.load(std::memory_order_acquire);  // acquire: pairs with add_record()
    }
    [[nodiscard]] std::uint64_t record_count() const { return record_count_.value(); }
    [[nodiscard]] std::uint64_t reserved_bytes() const { return reserved_.value(); }
    // Address space of the index, and its part that os::mapped_ready() counts though it was never touched.
    [[nodiscard]] std::uint64_t index_bytes() const { return index_.value(); }
    [[nodiscard]] std::uint64_t untouched_index_bytes() const;

private:
    friend struct base::HeapFields;
    struct Hint {
        std::uintptr_t address = 0;
        bool is_downward = false;  // the next block ends here, else it starts here
    };

    [[nodiscard]] AddressRange reserve_block(std::size_t bytes);
    [[nodiscard]] AddressRange reserve_anywhere(std::size_t bytes);
    [[nodiscard]] bool is_in_reach(AddressRange range) const;
    [[nodiscard]] bool current_hint(Hint& hint);
    void discard_hint();
    void advance_hint(AddressRange granted);
    [[nodiscard]] bool add_record(std::uintptr_t slot);

    std::atomic<std::uintptr_t> slot_count_{0};                // [atomic] 0 until the index is there
    std::atomic<std::atomic<ArenaRecord*>*> origin_{nullptr};  // [atomic] entry of address 0
    std::atomic<ArenaRecord*> first_record_{nullptr};          // [atomic] all records, oldest first
    ArenaRecord* last_record_ = nullptr;                       // [lock] heap
    Metadata* metadata_ = nullptr;                             // [fixed]
    Hint hints_[2];                                            // [lock] heap; a stack above the numbered ones
    unsigned hint_count_ = 0;                                  // [lock] heap
    unsigned next_numbered_hint_ = 0;                          // [lock] heap
    LayoutFailure failure_ = LayoutFailure::none;              // [fixed]
    base::Counter record_count_;                               // [atomic]
    os::Stat reserved_;                                        // [atomic]
    os::Stat index_;                                           // [atomic]
    os::Stat touched_index_;                                   // [atomic]
    std::uintptr_t last_touched_page_ = 0;                     // [lock] heap
};

class LinearLayout {
public:
    static constexpr std::size_t spans_bytes = linear_plan.span_map_bytes();
    static constexpr std::size_t bitmap_bytes = linear_plan.bitmap_bytes();
    static constexpr std::size_t heap_bytes = linear_plan.arena_bytes();
    static constexpr std::size_t total_bytes = linear_plan.total_bytes();
    static constexpr std::size_t page_count = heap_bytes / base::page_bytes;

    constexpr LinearLayout() = default;

    [[nodiscard]] bool initialize(Metadata& metadata);
    [[nodiscard]] LayoutFailure failure() const { return failure_; }
    // The whole arena, once; then nothing more.
    [[nodiscard]] AddressRange reserve(std::size_t at_least);
    void release(AddressRange range);
    [[nodiscard]] bool describe(AddressRange range);

    [[nodiscard]] PageTables tables(std::uintptr_t address) const;

    [[nodiscard]] std::uint16_t page_entry(std::uintptr_t address) const {
        if (!is_described(address)) [[unlikely]] return 0;
        // acquire: pairs with set_entries()
        return page_entries_[page_of(address)].load(std::memory_order_acquire);
    }
    [[nodiscard]] heap::Span* span_of(std::uintptr_t address) const {
        if (!is_described(address)) [[unlikely]] return nullptr;
        return spans_[page_of(address)].load(std::memory_order_acquire);  // acquire: pairs with set_span()
    }

    [[nodiscard]] std::uintptr_t arena_base() const { return arena_base_; }
    // First address that was never grown into.
    [[nodiscard]] std::uintptr_t described_end() const {
        return described_end_.load(std::memory_order_acquire);  // acquire: pairs with describe()
    }
    [[nodiscard]] std::uint64_t reserved_bytes() const { return reserved_.value(); }
    // Bytes of spans and bitmap that are accessible.
    [[nodiscard]] std::uint64_t described_bytes() const { return arrays_.value(); }

private:
    friend struct base::HeapFields;
    // One array of the reservation: its accessible part grows with the arena.
    struct Extent {
        std::uintptr_t base = 0;   // [fixed]
        std::size_t ready = 0;     // [lock] heap
    };

    [[nodiscard]] bool is_described(std::uintptr_t address) const {
        // acquire: pairs with describe(), the arrays are accessible and arena_base_ is set
        const std::uintptr_t end = described_end_.load(std::memory_order_acquire);
        return address < end && address >= arena_base_;
    }
    [[nodiscard]] std::size_t page_of(std::uintptr_t address) const {
        return (address - arena_base_) >> base::page_shift;
    }
    [[nodiscard]] bool extend(Extent& extent, std::size_t bytes, std::size_t most);
    void place_arrays(std::uintptr_t base);

    std::atomic<std::uintptr_t> described_end_{0};               // [atomic] only grows
    std::uintptr_t arena_base_ = 0;                              // [fixed]
    std::atomic<std::uint16_t>* page_entries_ = nullptr;         // [fixed]
    std::atomic<heap::Span*>* spans_ = nullptr;                  // [fixed]
    mutable std::atomic<std::uintptr_t> zeroed_base_{0};         // [atomic] offset in the arena; only grows
    Extent span_extent_, entry_extent_, in_use_extent_, specials_extent_, mark_extent_;
    bool is_handed_out_ = false;                                 // [lock] heap
    LayoutFailure failure_ = LayoutFailure::none;                // [fixed]
    os::Stat reserved_;                                          // [atomic]
    os::Stat arrays_;                                            // [atomic]
};

static_assert(ArenaLayout<SparseLayout> && ArenaLayout<LinearLayout>);

}  // namespace cairn::pages
