// Opening the window.
// SPDX-License-Identifier: MIT
#include "pages/old_marks.hpp"

#include <algorithm>

namespace cairn::pages {

namespace {

// Some room for the heap to grow into, and what is too wide to be worth it: arenas far from each other.
constexpr std::uintptr_t least_window = std::uintptr_t{256} << 20;
constexpr std::uintptr_t widest_heap = std::uintptr_t{1} << 37;

constexpr std::size_t table_bytes(std::uintptr_t window) {
    return (window >> pair_shift) * sizeof(std::uint64_t);
}

}  // namespace

bool OldMarks::cover(const ObjectMap::Bounds& bounds) {
    if (bounds.low >= low_ && bounds.low + bounds.extent <= low_ + extent_) return true;
    if (bounds.extent > widest_heap) return false;
    if (extent_ != 0) {
        os::free(words_, table_bytes(extent_), memory_);
        extent_ = 0;
    }
    was_noted_ = false;
    const std::uintptr_t window = std::max(least_window, 2 * bounds.extent);
    words_ = static_cast<std::uint64_t*>(os::alloc(table_bytes(window), memory_));
    if (words_ == nullptr) return false;
    low_ = bounds.low;
    extent_ = window;
    return true;
}

}  // namespace cairn::pages
