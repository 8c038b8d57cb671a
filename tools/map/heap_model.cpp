// Sums over a model, and where its parts lie.
// SPDX-License-Identifier: MIT
#include "map/heap_model.hpp"

#include <algorithm>

namespace cairn::map {

const Arena* HeapModel::arena_of(std::uint64_t address) const {
    const auto behind = std::upper_bound(arenas.begin(), arenas.end(), address,
                                         [](std::uint64_t a, const Arena& arena) { return a < arena.base; });
    if (behind == arenas.begin()) return nullptr;
    const Arena& arena = *(behind - 1);
    return address - arena.base < arena_bytes ? &arena : nullptr;
}

void HeapModel::place_spans() {
    for (std::size_t i = 0; i < spans.size(); ++i) {
        std::uint64_t address = spans[i].base;
        for (std::uint64_t left = spans[i].pages; left > 0;) {
            auto* arena = const_cast<Arena*>(arena_of(address));
            if (arena == nullptr) break;
            const std::uint64_t first = (address - arena->base) / page_bytes;
            const std::uint64_t count = std::min(left, arena->pages.size() - first);
            std::fill_n(arena->pages.begin() + static_cast<std::ptrdiff_t>(first), count, PageState::span);
            std::fill_n(arena->span_of.begin() + static_cast<std::ptrdiff_t>(first), count,
                        static_cast<std::uint32_t>(i + 1));
            address += count * page_bytes;
            left -= count;
        }
    }
}

// malloc's classes know what was asked, from a sample; for large and collected objects nothing is known.
std::uint64_t HeapModel::rounding_waste(const Span& span) const {
    if (span.kind != explicit_kind || span.size_class == 0 || span.size_class >= classes.size()) return 0;
    const SizeClass& row = classes[span.size_class];
    if (row.requests == 0) return 0;
    const std::uint64_t mean = std::min<std::uint64_t>(row.requested_bytes / row.requests, row.object_bytes);
    return (row.object_bytes - mean) * span.live;
}

Totals HeapModel::totals() const {
    Totals sums;
    for (const Span& span : spans) {
        const std::uint64_t bytes = span.pages * page_bytes;
        ++sums.spans;
        sums.span_bytes += bytes;
        if (span.size_class == 0) {
            if (span.is_parked) sums.cached_bytes += bytes;
            else {
                sums.live_bytes += bytes;
                ++sums.live_objects;
            }
            continue;
        }
        const std::uint64_t slots_bytes = span.slots * span.slot_bytes;
        sums.live_objects += span.live;
        sums.live_bytes += span.live * span.slot_bytes;
        sums.cached_bytes += span.cached * span.slot_bytes;
        sums.free_slot_bytes += slots_bytes - (span.live + span.cached) * span.slot_bytes;
        sums.tail_waste += bytes - std::min(bytes, slots_bytes);
        sums.rounding_waste += rounding_waste(span);
    }
    for (const Arena& arena : arenas) {
        std::array<std::uint64_t, page_state_count> pages{};
        for (const PageState state : arena.pages) ++pages[static_cast<unsigned>(state)];
        sums.free_bytes += pages[static_cast<unsigned>(PageState::free)] * page_bytes;
        sums.returned_bytes += pages[static_cast<unsigned>(PageState::returned)] * page_bytes;
        sums.cached_page_bytes += pages[static_cast<unsigned>(PageState::cached)] * page_bytes;
    }
    return sums;
}

}  // namespace cairn::map
