// The table for readers outside of the process: where the heap keeps what a picture of it needs.
//
// The way of such a reader:
//   1  the arenas: sparse, the list of records from `sparse.first`; linear, arrays from `linear.spans` on;
//   2  their pages: a pointer to a span at each page, which may be stale; a bit where a span in use begins;
//   3  the page allocator's bitmaps, region by region, tell free from in use, and what the OS has back;
//   4  the spans: how they are cut, which slots are out;
//   5  the caches and depots: slots that are out of their span but not with the program.
// The heap goes on meanwhile. Records are never unmapped, so a stale pointer leads to an old record, not to
// nothing; the reader checks what it finds, and reads again.
//
// Addresses are constants of the link; nothing here runs. Floor: observe.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "base/heap_fields.hpp"
#include "heap/heap.hpp"

namespace cairn::observe {

struct HeapRow {
    std::string_view name;
    const void* address = nullptr;  // nullptr: the row is a number
    std::uint64_t number = 0;
};

constexpr HeapRow at(std::string_view name, const void* address) { return {name, address, 0}; }
constexpr HeapRow is(std::string_view name, std::uint64_t number) { return {name, nullptr, number}; }

}  // namespace cairn::observe

namespace cairn::base {

struct HeapFields {
    using Row = observe::HeapRow;
    using Region = pages::PageAlloc::Region;
    using Span = heap::Span;
    using Cache = heap::ThreadCache;
    using Central = heap::ExplicitCentral;
    using Arena = pages::ArenaRecord;

    // What offsetof is defined for.
    static_assert(std::is_standard_layout_v<Region> && std::is_standard_layout_v<Span> &&
                  std::is_standard_layout_v<Cache> && std::is_standard_layout_v<Central> &&
                  std::is_standard_layout_v<Arena> && std::is_standard_layout_v<pages::PageCache>);

    static constexpr auto sizes() {
        using observe::is;
        return std::array{
            is("page_bytes", page_bytes),
            is("arena_bytes", pages::arena_bytes),
            is("chunk_pages", chunk_pages),
            is("objects.pair_bytes", sizeof(pages::BitPair)),
            is("objects.allocated", offsetof(pages::BitPair, allocated)),
            is("objects.pair_shift", pages::pair_shift),
            is("objects.granule_shift", pages::granule_shift),
            is("class_count", heap::size_class_count),
            is("class.stride", sizeof(heap::SizeClass)),
            is("class.object_bytes", offsetof(heap::SizeClass, object_bytes)),
            is("class.span_bytes", offsetof(heap::SizeClass, span_bytes)),
            is("class.objects", offsetof(heap::SizeClass, objects)),
        };
    }

    static constexpr auto pages_and_spans() {
        using observe::is;
        return std::array{
            is("arena.bytes", sizeof(Arena)),
            is("arena.spans", offsetof(Arena, spans)),
            is("arena.in_use", offsetof(Arena, in_use)),
            is("arena.base", offsetof(Arena, base)),
            is("arena.next", offsetof(Arena, next)),
            is("region.next", offsetof(Region, next)),
            is("region.base", offsetof(Region, base)),
            is("region.chunks", offsetof(Region, chunks)),
            is("region.chunk_count", pages::PageAlloc::region_chunks),
            is("region.densities", offsetof(Region, densities)),
            is("density.stride", sizeof(pages::PageAlloc::Density)),
            // is_grown, the bit above the 14 of in_use_before in the second half-word
            is("density.grown", 2),
            is("density.grown_mask", 1u << 14),
            is("chunk.stride", sizeof(pages::ChunkBitmap)),
            is("chunk.in_use", offsetof(pages::ChunkBitmap, in_use)),
            is("chunk.returned", offsetof(pages::ChunkBitmap, scavenged)),
            is("span.bytes", sizeof(Span)),
            is("span.base", offsetof(Span, base)),
            is("span.pages", offsetof(Span, pages)),
            is("span.slot_bytes", offsetof(Span, slot_bytes)),
            is("span.slots", offsetof(Span, slots)),
            is("span.alloc_count", offsetof(Span, alloc_count)),
            is("span.kind", offsetof(Span, kind)),
            is("span.class", offsetof(Span, size_class)),
            is("span.state", offsetof(Span, state)),
            is("span.is_parked", offsetof(Span, is_parked)),
            is("span.alloc_bits", offsetof(Span, alloc_bits)),
            is("span.inline_bits", offsetof(Span, inline_bits)),
        };
    }

    static constexpr auto caches() {
        using observe::is;
        return std::array{
            is("cache.bytes", sizeof(Cache)),
            is("cache.next", offsetof(Cache, link) + offsetof(ListLink<Cache>, next)),
            is("cache.bins", offsetof(Cache, bins)),
            is("bin.stride", sizeof(heap::Bin)),
            is("bin.top", offsetof(heap::Bin, top)),
            is("bin.base", offsetof(heap::Bin, base)),
            is("cache.history", offsetof(Cache, history)),
            is("history.stride", sizeof(heap::BinHistory)),
            is("history.requested_bytes", offsetof(heap::BinHistory, requested_bytes)),
            is("history.requests", offsetof(heap::BinHistory, requests)),
            is("cache.pages.base", offsetof(Cache, local) + offsetof(heap::LocalPages, pages) +
                                       offsetof(pages::PageCache, base_)),
            is("cache.pages.free", offsetof(Cache, local) + offsetof(heap::LocalPages, pages) +
                                       offsetof(pages::PageCache, free_mask_)),
            is("cache.pages.returned", offsetof(Cache, local) + offsetof(heap::LocalPages, pages) +
                                           offsetof(pages::PageCache, scavenged_mask_)),
            is("central.stride", sizeof(Central)),
            is("central.depot", offsetof(Central, depot_)),
            is("central.depot_count", offsetof(Central, depot_count_)),
            is("ended.stride", sizeof(heap::Heap::Totals)),
            is("ended.requested_bytes", offsetof(heap::Heap::Totals, requested_bytes)),
            is("ended.requests", offsetof(heap::Heap::Totals, requests)),
        };
    }

    static constexpr auto places(const heap::Heap& heap) {
        using observe::at;
        const heap::SpanAlloc& spans = heap.spans_;
        const pages::AddressSpace& space = spans.addresses_;
        return std::array{
            at("class_table", heap::size_classes.data()),
            at("layout", &space.model_),
            at("sparse.first", &space.sparse_.first_record_),
            at("linear.base", &space.linear_.arena_base_),
            at("linear.end", &space.linear_.described_end_),
            at("linear.spans", &space.linear_.spans_),
            at("linear.in_use", &space.linear_.in_use_extent_.base),
            at("regions.first", &spans.pages_.first_region_),
            at("objects.window", &spans.objects_.window_base_),
            at("objects.pairs", &spans.objects_.pairs_),
            at("caches.first", &heap.caches_.first_),
            at("centrals", heap.centrals_.data()),
            at("ended", heap.ended_.data()),
            at("mapped_bytes", &space.heap_),
            at("metadata_bytes", &spans.metadata_.mapped_),
            at("in_use_bytes", &spans.in_use_bytes_),
            at("returned_total_bytes", &spans.returned_total_bytes_),
        };
    }
};

}  // namespace cairn::base
