// Page allocator: finds runs of free pages, lowest address first.
//
// A bit a page (1 = in use) in chunks of 512 pages = 4 MiB. Over the chunks stands a radix tree of
// summaries (free at the front, longest run, free at the back), so that a search reads a few words, not the
// bitmaps. An allocation goes
//   1. to the chunk of search_: when its longest run is long enough, search its bitmap;
//   2. from there up and down the tree: pass over neighbours, add up runs that straddle them, climb at the
//      end of a block of eight, descend where a run fits (see find());
//   3. mark the bits, count the scavenged pages among them, repair the summaries from the leaf up to the
//      first level that does not change.
//
// Levels: 14 + 3 + 3 + 3 + 3 bits of the chunk index (address >> 22), 48-bit addresses. Go reserves some
// 585 MiB of address space for the five summary arrays. We differ: level 0 is a table of 16,384 pointers to
// `Region` records; a record holds the summary of its 16 GiB, the four lower levels under it, the bitmaps of
// its 4096 chunks and their scavenge index, and comes from Metadata on the first growth into that region.
// Demand-zero pages make untouched parts free. Nothing large is reserved, so RLIMIT_AS, valgrind and qemu
// are no problem. The records are linked in address order.
//
// Invariants (verify()): a leaf is what its bitmap says, an inner summary what its eight children say; no
// page below search_ is free; a chunk never grown has summary 0; scavenged pages are free pages.
//
// Scavenging goes the other way, from the highest address down. A chunk that was 31/32 full in this
// or the last density generation is left alone by the background: it is being packed and should stay huge.
//
// Floor: pages. Locks: callers hold Rank::heap for every member unless said otherwise.
// Source: Go runtime mpagealloc.go, mgcscavenge.go (BSD-3); the climbing search is ours.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/config.hpp"
#include "base/heap_fields.hpp"
#include "pages/metadata.hpp"
#include "pages/page_bitmap.hpp"
#include "pages/page_cache.hpp"
#include "pages/summary.hpp"

namespace cairn::pages {

class PageAlloc {
public:
    constexpr PageAlloc() = default;
    PageAlloc(const PageAlloc&) = delete;
    PageAlloc& operator=(const PageAlloc&) = delete;

    // Keeps the source of records. Allocates nothing.
    void initialize(Metadata& metadata) { metadata_ = &metadata; }

    // Makes the pages of a chunk-aligned range free and scavenged.
    // Returns: false when there is no memory for records; nothing changed then.
    [[nodiscard]] bool grow(std::uintptr_t base, std::size_t bytes);

    // Takes `pages` neighbouring pages, the lowest run that fits. Returns: empty when none does.
    [[nodiscard]] PageRun allocate(std::size_t pages);

    // The same with base a multiple of `alignment_bytes`, a power of two. Low, but not always the lowest fit;
    // empty only when no fit exists.
    [[nodiscard]] PageRun allocate_aligned(std::size_t pages, std::size_t alignment_bytes);

    // Takes exactly these pages if all are free, else nothing. For growth in place.
    [[nodiscard]] PageRun allocate_at(std::uintptr_t base, std::size_t pages);

    // Gives pages back, their memory still here.
    void free(std::uintptr_t base, std::size_t pages);

    // Takes all free pages of the 64-page group of the first free page. Returns: empty when out of pages.
    [[nodiscard]] PageCache allocate_cache();

    // Takes the highest free unscavenged run and marks it in use, so that the caller may drop the lock while
    // it calls the OS; then comes give_back_scavenged(). Length: whole OS pages, at most `max_bytes` rounded
    // up to one, more only to keep a huge page whole. `min_bytes`: the OS page; `huge_bytes`: the huge page
    // or 0.
    // Not forced: dense chunks and those freed into since advance_generation() are left alone.
    [[nodiscard]] ByteRun take_unscavenged(std::size_t max_bytes, bool is_forced, std::size_t min_bytes,
                                           std::size_t huge_bytes);
    void give_back_scavenged(std::uintptr_t base, std::size_t bytes);

    // Starts a density generation: at each collection, or at each round of a timer.
    void advance_generation();

    // Free, scavenged or not. Excluded: pages in caches and between take_unscavenged() and its return.
    [[nodiscard]] std::size_t free_pages() const { return free_pages_; }
    // Free and with the OS.
    [[nodiscard]] std::size_t scavenged_pages() const { return scavenged_pages_; }
    // Below this address no page is free; all ones when none is.
    [[nodiscard]] std::uintptr_t search_address() const { return search_; }

    // For tests and verify: is the page that holds this address free?
    [[nodiscard]] bool is_free(std::uintptr_t page_address) const;
    // Checks every invariant about pages; fatal at the first breach. Cost: all records.
    void verify() const;

private:
    friend struct base::HeapFields;
    friend class PageCache;

    // How full a chunk is and was: what the scavenger decides by.
    struct Density {
        std::uint16_t in_use = 0;              // [lock] pages allocated, cached ones too, taken ones not
        std::uint16_t in_use_before : 14 = 0;  // [lock] in_use when the generation of the last change began
        std::uint16_t is_grown : 1 = 0;        // [lock] the chunk is ours
        std::uint16_t is_candidate : 1 = 0;    // [lock] may have free unscavenged pages
        std::uint32_t generation = 0;          // [lock] of the last change

        void change(int pages, std::uint32_t now);
        [[nodiscard]] bool may_be_scavenged(bool is_forced, std::uint32_t now) const;
    };
    static_assert(sizeof(Density) == 8);

    static constexpr unsigned region_shift = 34;  // 16 GiB: one entry of level 0
    static constexpr std::size_t region_bytes = std::size_t{1} << region_shift;
    static constexpr std::size_t region_count = std::size_t{1} << 14;
    static constexpr std::size_t region_chunks = SummaryTree::leaf_count;

    struct Region {
        Region* next;                       // [lock] with higher addresses
        Region* previous;                   // [lock] with lower ones
        std::uintptr_t base;                // [fixed] a multiple of 16 GiB
        SummaryTree summaries;              // [lock]
        ChunkBitmap chunks[region_chunks];  // [lock]
        Density densities[region_chunks];   // [lock]

        [[nodiscard]] std::uintptr_t address_of(std::size_t chunk, unsigned page) const {
            return base + chunk * base::chunk_bytes + page * base::page_bytes;
        }
    };

    // The part of a run that lies in one chunk.
    struct Piece {
        Region* region;
        std::size_t chunk;  // in the region
        unsigned first;     // page in the chunk
        unsigned count;
    };

    static constexpr std::uintptr_t nothing_free = ~std::uintptr_t{0};

    // What a search found: both are addresses; base is 0 when no run fits.
    struct Fit {
        std::uintptr_t base = 0;
        std::uintptr_t first_free = nothing_free;  // no page between the start of the search and here is free
    };

    enum class Step { found, descend, pass };

    // State of a search: the run that ends where the search stands.
    struct Walk {
        std::size_t pages;  // wanted
        std::uintptr_t run_base = 0;
        std::size_t run_pages = 0;
        Fit fit = {};

        // Goes on with a summary of `span` pages at `base`, which begin where the last one ended.
        [[nodiscard]] Step look_at(Summary entry, std::uintptr_t base, std::size_t span);
        void saw_free(std::uintptr_t address) {
            if (fit.first_free == nothing_free) fit.first_free = address;
        }
    };

    // What verify() adds up.
    struct Totals {
        std::size_t free = 0;
        std::size_t scavenged = 0;
        std::size_t taken = 0;
    };

    [[nodiscard]] Fit find(std::size_t pages, std::uintptr_t from) const;
    [[nodiscard]] static bool search_first_chunk(const Region& region, std::uintptr_t from, Walk& walk);
    [[nodiscard]] static bool search_region(const Region& region, std::size_t chunk, Walk& walk);
    [[nodiscard]] static bool find_in_chunk(const Region& region, std::size_t chunk, unsigned page,
                                            Walk& walk);
    [[nodiscard]] std::uintptr_t first_used(std::uintptr_t base, std::size_t pages) const;

    template <class Visit>
    void for_pieces(std::uintptr_t base, std::size_t pages, Visit visit) const;
    void refresh(std::uintptr_t base, std::size_t pages);
    PageRun take(std::uintptr_t base, std::size_t pages);
    void take_back(const PageCache& cache);
    void offer_to_scavenger(Region& region, std::size_t chunk);

    [[nodiscard]] bool add_region(std::size_t index);
    [[nodiscard]] Region* region_at(std::uintptr_t address) const;
    [[nodiscard]] const Region* region_from(std::uintptr_t address) const;
    [[nodiscard]] ByteRun take_unscavenged_in(Region& region, std::size_t chunk, ScavengeRequest request);
    void verify_region(const Region& region, Totals& totals) const;

    Metadata* metadata_ = nullptr;          // [fixed]
    Region** regions_ = nullptr;            // [lock] table of level 0, made at the first growth
    Region* first_region_ = nullptr;        // [lock] lowest addresses
    Region* last_region_ = nullptr;         // [lock] highest addresses
    std::uintptr_t search_ = nothing_free;  // [lock] no page below is free
    std::size_t free_pages_ = 0;            // [lock]
    std::size_t scavenged_pages_ = 0;       // [lock]
    std::size_t taken_pages_ = 0;           // [lock] between take_unscavenged() and give_back_scavenged()
    std::uintptr_t forced_limit_ = 0;       // [lock] no chunk from here up is a candidate
    std::uintptr_t background_limit_ = 0;   // [lock] the background looks below here only; see freed_limit_
    std::uintptr_t freed_limit_ = 0;        // [lock] end of the highest chunk freed into in this generation
    std::uint32_t generation_ = 1;          // [lock] of densities
};

}  // namespace cairn::pages
