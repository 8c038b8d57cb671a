// Conservative runs: where the spans lie whose objects are scanned word by word, as runs of pages.
//
// They are found through the page entries of the object map. Runs with small gaps between them are one, since
// a question to the kernel costs as much as several pages.
//
// Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "heap/shape.hpp"
#include "pages/arena_layout.hpp"
#include "pages/object_map.hpp"

namespace cairn::gc {

using pages::arena_bytes;  // what the object map prepares at once

[[nodiscard]] inline bool is_conservative_entry(std::uint32_t entry) {
    constexpr unsigned first = heap::shape_of_class(0, heap::ObjectKind::conservative);
    const unsigned shape = pages::object_entry_shape(entry);
    return entry != 0 && (shape - first < heap::size_class_count || heap::watched_shapes.holds(shape));
}

// Calls visit(base, bytes) for the runs in [low, high), in order; false ends it. Whole arenas are walked, and
// cut to [low, high). Cost: 2 bytes to read a page of heap.
template <class Visit>
bool for_each_conservative_run(const pages::ObjectMap& objects, std::uintptr_t low, std::uintptr_t high,
                               Visit visit) {
    constexpr std::size_t gap_pages = 8;
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    for (std::uintptr_t start = low & ~(arena_bytes - 1); start < high; start += arena_bytes) {
        if (!objects.is_prepared(start, arena_bytes)) continue;
        const std::uintptr_t end = start + arena_bytes < high ? start + arena_bytes : high;
        for (std::uintptr_t page = start < low ? low : start; page < end; page += base::page_bytes) {
            if (!is_conservative_entry(objects.entry(page))) continue;
            if (from != 0 && page - to <= gap_pages * base::page_bytes) {
                to = page + base::page_bytes;
                continue;
            }
            if (from != 0 && !visit(from, to - from)) return false;
            from = page;
            to = page + base::page_bytes;
        }
    }
    return from == 0 || visit(from, to - from);
}

}  // namespace cairn::gc
