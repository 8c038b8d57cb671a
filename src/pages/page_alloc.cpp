// Page allocator: growth, the search, marking, scavenging.
// SPDX-License-Identifier: MIT
#include "pages/page_alloc.hpp"

#include <algorithm>

#include "base/bits.hpp"
#include "base/check.hpp"

namespace cairn::pages {

using base::chunk_bytes;
using base::chunk_pages;
using base::page_bytes;

// A chunk with this many pages in use (31/32) is being packed: the background leaves it whole.
static constexpr unsigned dense_pages = chunk_pages - chunk_pages / 32;

// ---- growth ----------------------------------------------------------------------------------------------

bool PageAlloc::grow(std::uintptr_t base, std::size_t bytes) {
    CAIRN_CHECK(base != 0 && base::is_aligned(base | bytes, chunk_bytes));
    if (regions_ == nullptr) {
        regions_ = static_cast<Region**>(metadata_->allocate(region_count * sizeof(Region*)));
        if (regions_ == nullptr) return false;
    }
    const std::uintptr_t last = base + bytes - 1;
    CAIRN_CHECK(last >> region_shift < region_count);
    for (std::size_t index = base >> region_shift; index <= last >> region_shift; ++index) {
        if (regions_[index] == nullptr && !add_region(index)) return false;
    }
    const std::size_t pages = bytes / page_bytes;
    for_pieces(base, pages, [](Piece piece) {
        Density& density = piece.region->densities[piece.chunk];
        CAIRN_CHECK(!density.is_grown);
        density.is_grown = 1;
        piece.region->chunks[piece.chunk].scavenged.set(0, chunk_pages);
    });
    free_pages_ += pages;
    scavenged_pages_ += pages;
    search_ = std::min(search_, base);
    refresh(base, pages);
    return true;
}

bool PageAlloc::add_region(std::size_t index) {
    // The record is used as it comes, zeroed: writing initial values would touch all of it.
    auto* region = static_cast<Region*>(metadata_->allocate(sizeof(Region), alignof(Region)));
    if (region == nullptr) return false;
    region->base = index << region_shift;
    Region* above = first_region_;
    while (above != nullptr && above->base < region->base) above = above->next;
    region->next = above;
    region->previous = above == nullptr ? last_region_ : above->previous;
    (region->previous == nullptr ? first_region_ : region->previous->next) = region;
    (above == nullptr ? last_region_ : above->previous) = region;
    regions_[index] = region;
    return true;
}

PageAlloc::Region* PageAlloc::region_at(std::uintptr_t address) const {
    const std::size_t index = address >> region_shift;
    return regions_ == nullptr || index >= region_count ? nullptr : regions_[index];
}

// Finds the first region that reaches above `address`.
const PageAlloc::Region* PageAlloc::region_from(std::uintptr_t address) const {
    if (const Region* region = region_at(address)) return region;
    const Region* region = first_region_;
    while (region != nullptr && region->base < address) region = region->next;
    return region;
}

// ---- search ----------------------------------------------------------------------------------------------

// Finds the lowest run of `pages` free pages that starts at or above `from`.
// Only the pages of from's own chunk are read one by one, so nothing is assumed about those below `from`.
PageAlloc::Fit PageAlloc::find(std::size_t pages, std::uintptr_t from) const {
    const Region* region = region_from(from);
    if (region == nullptr) return {};
    Walk walk{.pages = pages};
    std::size_t chunk = 0;
    if (from > region->base) {
        if (search_first_chunk(*region, from, walk)) return walk.fit;
        chunk = (from - region->base) / chunk_bytes + 1;
    }
    for (;;) {
        if (search_region(*region, chunk, walk)) return walk.fit;
        const Region* above = region->next;
        if (above == nullptr) return walk.fit;
        if (above->base != region->base + region_bytes) walk.run_pages = 0;
        region = above;
        chunk = 0;
    }
}

bool PageAlloc::search_first_chunk(const Region& region, std::uintptr_t from, Walk& walk) {
    const std::size_t chunk = (from - region.base) / chunk_bytes;
    const auto page = static_cast<unsigned>(from % chunk_bytes / page_bytes);
    const Summary leaf = region.summaries.leaf(chunk);
    if (leaf.is_empty()) return false;
    if (walk.pages <= leaf.part_longest() && find_in_chunk(region, chunk, page, walk)) return true;
    const unsigned first_free = region.chunks[chunk].in_use.find_zero(page);
    if (first_free == chunk_pages) return false;
    walk.saw_free(region.address_of(chunk, first_free));
    walk.run_pages = std::min<std::size_t>(leaf.part_end(), chunk_pages - page);
    walk.run_base = region.address_of(chunk + 1, 0) - walk.run_pages * page_bytes;
    return false;
}

// Searches from `chunk` to the end of the region. Stands on entry `i` of a level; passes to the right
// neighbour, climbs where a block of eight begins (its parent says the same in one word), descends where
// a run fits.
bool PageAlloc::search_region(const Region& region, std::size_t chunk, Walk& walk) {
    const SummaryTree& tree = region.summaries;
    unsigned level = SummaryTree::leaf_level;
    for (std::size_t i = chunk;; ++i) {
        for (; level > 0 && i % SummaryTree::fanout == 0; --level) i /= SummaryTree::fanout;
        if (level == 0 && i > 0) return false;  // right of the root
        for (;;) {
            const std::size_t span = SummaryTree::pages_at(level);
            const Summary entry = level == 0 ? tree.root() : tree.at(level, i);
            const Step step = walk.look_at(entry, region.base + i * span * page_bytes, span);
            if (step == Step::found) return true;
            if (step == Step::pass) break;
            if (level == SummaryTree::leaf_level) return find_in_chunk(region, i, 0, walk);
            ++level;
            i *= SummaryTree::fanout;
        }
    }
}

// Needs: a run that fits is there, or lies below `page`. Returns: whether one was found.
bool PageAlloc::find_in_chunk(const Region& region, std::size_t chunk, unsigned page, Walk& walk) {
    const PageBits& in_use = region.chunks[chunk].in_use;
    const unsigned found = in_use.find_zeros(static_cast<unsigned>(walk.pages), page);
    if (found == chunk_pages) return false;
    walk.fit.base = region.address_of(chunk, found);
    walk.saw_free(region.address_of(chunk, walk.pages == 1 ? found : in_use.find_zero(page)));
    return true;
}

PageAlloc::Step PageAlloc::Walk::look_at(Summary entry, std::uintptr_t base, std::size_t span) {
    if (run_pages + entry.start() >= pages) {
        fit.base = run_pages > 0 ? run_base : base;
        saw_free(base);
        return Step::found;
    }
    if (entry.longest() >= pages) return Step::descend;
    if (!entry.is_empty()) saw_free(base);
    if (entry.start() == span) {
        if (run_pages == 0) run_base = base;
        run_pages += span;
    } else {
        run_pages = entry.end();
        run_base = base + (span - run_pages) * page_bytes;
    }
    return Step::pass;
}

// Finds the lowest page of the range that is in use or not ours; 0 when all are free.
std::uintptr_t PageAlloc::first_used(std::uintptr_t base, std::size_t pages) const {
    const std::uintptr_t end = base + pages * page_bytes;
    for (std::uintptr_t at = base; at < end; at = base::align_down(at, chunk_bytes) + chunk_bytes) {
        const Region* region = region_at(at);
        if (region == nullptr) return at;
        const std::size_t chunk = at % region_bytes / chunk_bytes;
        if (region->summaries.leaf(chunk).is_empty()) return at;
        const auto page = static_cast<unsigned>(at % chunk_bytes / page_bytes);
        const unsigned used = region->chunks[chunk].in_use.find_one(page);
        const std::uintptr_t used_at = region->address_of(chunk, used);
        if (used < chunk_pages) return used_at < end ? used_at : 0;
    }
    return 0;
}

// ---- allocation ------------------------------------------------------------------------------------------

PageRun PageAlloc::allocate(std::size_t pages) {
    CAIRN_ASSERT(pages > 0);
    const Fit fit = find(pages, search_);
    search_ = fit.first_free;
    return fit.base == 0 ? PageRun{} : take(fit.base, pages);
}

PageRun PageAlloc::allocate_aligned(std::size_t pages, std::size_t alignment_bytes) {
    CAIRN_ASSERT(pages > 0 && base::is_power_of_two(alignment_bytes));
    if (alignment_bytes <= page_bytes) return allocate(pages);
    // Runs too short once aligned are skipped one by one, but only a few before a run is asked for that is
    // long enough in any case; when even that fails, one by one to the end: growing would cost more.
    constexpr unsigned patience = 16;
    Fit fit = find(pages, search_);
    search_ = fit.first_free;
    for (unsigned tries = 1; fit.base != 0; ++tries) {
        const std::uintptr_t aligned = base::align_up(fit.base, alignment_bytes);
        const std::uintptr_t used = aligned == fit.base ? 0 : first_used(aligned, pages);
        if (used == 0) return take(aligned, pages);
        const std::uintptr_t next = base::align_up(used + page_bytes, alignment_bytes);
        if (tries == patience) {
            const Fit ample = find(pages + alignment_bytes / page_bytes - 1, next);
            if (ample.base != 0) return take(base::align_up(ample.base, alignment_bytes), pages);
        }
        fit = find(pages, next);
    }
    return {};
}

PageRun PageAlloc::allocate_at(std::uintptr_t base, std::size_t pages) {
    CAIRN_ASSERT(pages > 0 && base::is_aligned(base, page_bytes));
    return first_used(base, pages) != 0 ? PageRun{} : take(base, pages);
}

// Marks free pages in use.
PageRun PageAlloc::take(std::uintptr_t base, std::size_t pages) {
    std::size_t scavenged = 0;
    for_pieces(base, pages, [&](Piece piece) {
        ChunkBitmap& bitmap = piece.region->chunks[piece.chunk];
        bitmap.in_use.set(piece.first, piece.count);
        scavenged += bitmap.scavenged.count(piece.first, piece.count);
        bitmap.scavenged.clear(piece.first, piece.count);
        piece.region->densities[piece.chunk].change(static_cast<int>(piece.count), generation_);
    });
    free_pages_ -= pages;
    scavenged_pages_ -= scavenged;
    if (search_ == base) search_ = base + pages * page_bytes;
    refresh(base, pages);
    return {base, scavenged * page_bytes};
}

void PageAlloc::free(std::uintptr_t base, std::size_t pages) {
    CAIRN_ASSERT(pages > 0 && base::is_aligned(base, page_bytes));
    for_pieces(base, pages, [&](Piece piece) {
        PageBits& in_use = piece.region->chunks[piece.chunk].in_use;
        CAIRN_ASSERT(in_use.count(piece.first, piece.count) == piece.count);
        in_use.clear(piece.first, piece.count);
        piece.region->densities[piece.chunk].change(-static_cast<int>(piece.count), generation_);
        offer_to_scavenger(*piece.region, piece.chunk);
    });
    free_pages_ += pages;
    search_ = std::min(search_, base);
    refresh(base, pages);
}

template <class Visit>
void PageAlloc::for_pieces(std::uintptr_t base, std::size_t pages, Visit visit) const {
    while (pages > 0) {
        Region* region = regions_[base >> region_shift];
        const auto first = static_cast<unsigned>(base % chunk_bytes / page_bytes);
        const auto count = static_cast<unsigned>(std::min<std::size_t>(pages, chunk_pages - first));
        visit(Piece{region, base % region_bytes / chunk_bytes, first, count});
        base += count * page_bytes;
        pages -= count;
    }
}

// Repairs the summaries over pages whose bits were changed.
void PageAlloc::refresh(std::uintptr_t base, std::size_t pages) {
    const std::uintptr_t end = base + pages * page_bytes;
    while (base < end) {
        Region* region = regions_[base >> region_shift];
        const std::size_t first = base % region_bytes / chunk_bytes;
        const std::uintptr_t stop = std::min(end, region->base + region_bytes);
        const std::size_t last = (stop - 1) % region_bytes / chunk_bytes;
        bool is_changed = false;
        for (std::size_t chunk = first; chunk <= last; ++chunk) {
            const Summary leaf(region->chunks[chunk].in_use.free_runs());
            is_changed |= region->summaries.set_leaf(chunk, leaf);
        }
        if (is_changed) region->summaries.refresh(first, last);
        base = stop;
    }
}

// ---- page caches -----------------------------------------------------------------------------------------

PageCache PageAlloc::allocate_cache() {
    const Fit fit = find(1, search_);
    if (fit.base == 0) {
        search_ = nothing_free;
        return {};
    }
    const std::uintptr_t base = base::align_down(fit.base, PageCache::capacity_bytes);
    Region& region = *regions_[base >> region_shift];
    const std::size_t chunk = base % region_bytes / chunk_bytes;
    const auto group = static_cast<unsigned>(base % chunk_bytes / PageCache::capacity_bytes);
    ChunkBitmap& bitmap = region.chunks[chunk];
    const PageCache cache(base, ~bitmap.in_use.word(group), bitmap.scavenged.word(group));
    bitmap.in_use.set_word(group, ~std::uint64_t{0});
    bitmap.scavenged.set_word(group, 0);
    region.densities[chunk].change(static_cast<int>(cache.free_pages()), generation_);
    free_pages_ -= cache.free_pages();
    scavenged_pages_ -= cache.scavenged_pages();
    search_ = base + PageCache::capacity_bytes;
    refresh(base, PageCache::capacity_pages);
    return cache;
}

void PageAlloc::take_back(const PageCache& cache) {
    Region& region = *regions_[cache.base() >> region_shift];
    const std::size_t chunk = cache.base() % region_bytes / chunk_bytes;
    const auto group = static_cast<unsigned>(cache.base() % chunk_bytes / PageCache::capacity_bytes);
    ChunkBitmap& bitmap = region.chunks[chunk];
    CAIRN_ASSERT((bitmap.in_use.word(group) & cache.free_mask()) == cache.free_mask());
    bitmap.in_use.set_word(group, bitmap.in_use.word(group) & ~cache.free_mask());
    bitmap.scavenged.set_word(group, bitmap.scavenged.word(group) | cache.scavenged_mask());
    region.densities[chunk].change(-static_cast<int>(cache.free_pages()), generation_);
    if (cache.free_mask() != cache.scavenged_mask()) offer_to_scavenger(region, chunk);
    free_pages_ += cache.free_pages();
    scavenged_pages_ += cache.scavenged_pages();
    const auto lowest = static_cast<unsigned>(std::countr_zero(cache.free_mask()));
    search_ = std::min(search_, cache.base() + lowest * page_bytes);
    refresh(cache.base(), PageCache::capacity_pages);
}

void PageCache::flush(PageAlloc& allocator) {
    if (!is_empty()) allocator.take_back(*this);
    *this = {};
}

// ---- scavenging ------------------------------------------------------------------------------------------

void PageAlloc::Density::change(int pages, std::uint32_t now) {
    if (generation != now) {
        in_use_before = in_use & 0x3ff;
        generation = now;
    }
    in_use = static_cast<std::uint16_t>(in_use + pages);
}

bool PageAlloc::Density::may_be_scavenged(bool is_forced, std::uint32_t now) const {
    if (is_candidate == 0) return false;
    return is_forced || (in_use < dense_pages && (generation != now || in_use_before < dense_pages));
}

void PageAlloc::offer_to_scavenger(Region& region, std::size_t chunk) {
    region.densities[chunk].is_candidate = 1;
    const std::uintptr_t end = region.address_of(chunk + 1, 0);
    forced_limit_ = std::max(forced_limit_, end);
    freed_limit_ = std::max(freed_limit_, end);
}

void PageAlloc::advance_generation() {
    ++generation_;
    background_limit_ = std::max(background_limit_, freed_limit_);
    freed_limit_ = 0;
}

ByteRun PageAlloc::take_unscavenged(std::size_t max_bytes, bool is_forced, std::size_t min_bytes,
                                    std::size_t huge_bytes) {
    const std::size_t minimum = std::max(min_bytes / page_bytes, std::size_t{1});
    const std::size_t maximum = std::clamp(base::divide_up(max_bytes, page_bytes), minimum, chunk_pages);
    CAIRN_CHECK(base::is_power_of_two(minimum) && minimum <= 64 && huge_bytes <= chunk_bytes);
    const bool has_huge = huge_bytes > std::max(min_bytes, page_bytes);
    const ScavengeRequest request{
        .minimum = static_cast<unsigned>(minimum),
        .maximum = static_cast<unsigned>(base::align_up(maximum, minimum)),
        .huge = static_cast<unsigned>(has_huge ? huge_bytes / page_bytes : 0),
    };
    std::uintptr_t& limit = is_forced ? forced_limit_ : background_limit_;
    for (Region* region = last_region_; region != nullptr; region = region->previous) {
        if (limit <= region->base) continue;
        std::size_t chunk = std::min(limit - region->base, region_bytes) / chunk_bytes;
        while (chunk-- > 0) {
            Density& density = region->densities[chunk];
            if (!density.may_be_scavenged(is_forced, generation_)) continue;
            if (const ByteRun run = take_unscavenged_in(*region, chunk, request)) {
                limit = region->address_of(chunk + 1, 0);
                return run;
            }
            density.is_candidate = 0;
        }
    }
    limit = 0;
    return {};
}

ByteRun PageAlloc::take_unscavenged_in(Region& region, std::size_t chunk, ScavengeRequest request) {
    ChunkBitmap& bitmap = region.chunks[chunk];
    const ChunkBitmap::Run run = bitmap.find_unscavenged(request);
    if (run.count == 0) return {};
    bitmap.in_use.set(run.first, run.count);
    free_pages_ -= run.count;
    taken_pages_ += run.count;
    const std::uintptr_t base = region.address_of(chunk, run.first);
    refresh(base, run.count);
    return {base, run.count * page_bytes};
}

void PageAlloc::give_back_scavenged(std::uintptr_t base, std::size_t bytes) {
    const std::size_t pages = bytes / page_bytes;
    for_pieces(base, pages, [](Piece piece) {
        ChunkBitmap& bitmap = piece.region->chunks[piece.chunk];
        bitmap.in_use.clear(piece.first, piece.count);
        bitmap.scavenged.set(piece.first, piece.count);
    });
    free_pages_ += pages;
    scavenged_pages_ += pages;
    taken_pages_ -= pages;
    search_ = std::min(search_, base);
    refresh(base, pages);
}

// ---- checks ----------------------------------------------------------------------------------------------

bool PageAlloc::is_free(std::uintptr_t page_address) const {
    return first_used(base::align_down(page_address, page_bytes), 1) == 0;
}

void PageAlloc::verify() const {
    Totals totals;
    const Region* below = nullptr;
    for (const Region* region = first_region_; region != nullptr; region = region->next) {
        CAIRN_CHECK(region->previous == below && (below == nullptr || below->base < region->base));
        CAIRN_CHECK(regions_[region->base >> region_shift] == region);
        verify_region(*region, totals);
        below = region;
    }
    CAIRN_CHECK(last_region_ == below);
    CAIRN_CHECK(totals.free == free_pages_);
    CAIRN_CHECK(totals.scavenged == scavenged_pages_);
    CAIRN_CHECK(totals.taken == taken_pages_);
}

void PageAlloc::verify_region(const Region& region, Totals& totals) const {
    for (std::size_t chunk = 0; chunk < region_chunks; ++chunk) {
        const Summary leaf = region.summaries.leaf(chunk);
        const Density& density = region.densities[chunk];
        if (density.is_grown == 0) {
            CAIRN_CHECK(leaf.is_empty() && density.is_candidate == 0);
            continue;
        }
        const ChunkBitmap& bitmap = region.chunks[chunk];
        CAIRN_CHECK(leaf == Summary(bitmap.in_use.free_runs()));
        for (unsigned i = 0; i < PageBits::word_count; ++i) {
            CAIRN_CHECK((bitmap.in_use.word(i) & bitmap.scavenged.word(i)) == 0);
        }
        const unsigned first_free = bitmap.in_use.find_zero(0);
        CAIRN_CHECK(first_free == chunk_pages || region.address_of(chunk, first_free) >= search_);
        CAIRN_CHECK(density.is_candidate == 0 || region.address_of(chunk + 1, 0) <= forced_limit_);
        const unsigned in_use = bitmap.in_use.count();
        CAIRN_CHECK(density.in_use <= in_use);
        totals.free += chunk_pages - in_use;
        totals.scavenged += bitmap.scavenged.count();
        totals.taken += in_use - density.in_use;
    }
    region.summaries.verify();
}

}  // namespace cairn::pages
