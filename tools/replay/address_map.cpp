// Gathers granules frame by frame, and lays cells over them at the end.
// SPDX-License-Identifier: MIT
#include "replay/address_map.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>

namespace cairn::replay {

namespace {

// Gaps no longer than this many granules are taken for part of the heap.
constexpr std::uint64_t small_gap = 16;

}  // namespace

void AddressMap::add_frame(const MappedArray<Object>& objects, std::uint64_t live_bytes) {
    while (live_bytes >> shift_ > most_granules) coarsen();
    while (!gather(objects) || !learn()) coarsen();
    FrameRange& range = range_[outcome_.frames];
    range = {entries_.size(), 0, shift_};
    for (const Entry& entry : fresh_) entries_.push_back(entry);
    range.last = entries_.size();
    look_at_empty_ones(range);
}

// Sums living bytes by granule. False: there are too many granules of this size.
bool AddressMap::gather(const MappedArray<Object>& objects) {
    table_.resize(4 * most_granules);
    std::fill(table_.begin(), table_.end(), Entry{});
    counted_ = 0;
    const std::uint64_t granule_bytes = std::uint64_t{1} << shift_;
    for (const Object& object : objects) {
        if (object.at == nullptr) continue;
        auto at = reinterpret_cast<std::uint64_t>(object.at);
        std::uint64_t left = std::max<std::uint64_t>(object.bytes, 1);
        while (left > 0) {
            const std::uint64_t here = std::min(left, granule_bytes - at % granule_bytes);
            if (!count(at >> shift_, here)) return false;
            at += here;
            left -= here;
        }
    }
    fresh_.clear();
    for (const Entry& entry : table_)
        if (entry.granule != 0) fresh_.push_back({entry.granule - 1, entry.live_bytes});
    std::sort(fresh_.begin(), fresh_.end(),
              [](const Entry& a, const Entry& b) { return a.granule < b.granule; });
    return true;
}

bool AddressMap::count(std::uint64_t granule, std::uint64_t bytes) {
    const std::size_t mask = table_.size() - 1;
    std::size_t at = granule * 0x9E3779B97F4A7C15u >> 40 & mask;
    while (table_[at].granule != 0 && table_[at].granule != granule + 1) at = (at + 1) & mask;
    if (table_[at].granule == 0 && ++counted_ > most_granules) return false;
    table_[at].granule = granule + 1;
    table_[at].live_bytes += bytes;
    return true;
}

// Adds this frame's granules to the known ones. False: they have become too many.
bool AddressMap::learn() {
    for (const Entry& entry : fresh_) known_.push_back(entry.granule);
    std::sort(known_.begin(), known_.end());
    known_.resize(static_cast<std::size_t>(std::unique(known_.begin(), known_.end()) - known_.begin()));
    const std::size_t count = known_.size();
    for (std::size_t i = 0; i + 1 < count && known_.size() <= most_granules; ++i)
        if (known_[i + 1] - known_[i] <= small_gap)
            for (std::uint64_t granule = known_[i] + 1; granule < known_[i + 1]; ++granule)
                known_.push_back(granule);
    std::sort(known_.begin(), known_.end());
    return known_.size() <= most_granules;
}

// Makes granules twice as large.
void AddressMap::coarsen() {
    ++shift_;
    for (std::uint64_t& granule : known_) granule >>= 1;
    known_.resize(static_cast<std::size_t>(std::unique(known_.begin(), known_.end()) - known_.begin()));
}

// Of the known granules without anything alive, notes those that have memory.
void AddressMap::look_at_empty_ones(FrameRange& range) {
    const Entry* alive = fresh_.begin();
    for (const std::uint64_t granule : known_) {
        while (alive != fresh_.end() && alive->granule < granule) ++alive;
        const bool is_alive = alive != fresh_.end() && alive->granule == granule;
        if (!is_alive && has_memory(granule)) entries_.push_back({granule, 0});
    }
    range.last = entries_.size();
}

bool AddressMap::has_memory(std::uint64_t granule) const {
    constexpr std::size_t at_once = 256;  // OS pages
    std::array<unsigned char, at_once> pages{};
    const std::size_t count = std::size_t{1} << (shift_ - os_page_shift);
    for (std::size_t first = 0; first < count; first += at_once) {
        const std::size_t now = std::min(at_once, count - first);
        void* start = reinterpret_cast<void*>((granule << shift_) + (first << os_page_shift));
        if (mincore(start, now << os_page_shift, pages.data()) != 0) continue;  // not mapped
        for (std::size_t i = 0; i < now; ++i)
            if ((pages[i] & 1) != 0) return true;
    }
    return false;
}

void AddressMap::finish() {
    if (known_.size() == 0) return;
    const std::size_t a_cell = (known_.size() + most_cells - 1) / most_cells;  // granules
    outcome_.cells = static_cast<std::uint32_t>((known_.size() + a_cell - 1) / a_cell);
    outcome_.cell_bytes = a_cell << shift_;
    for (std::size_t cell = 0; cell < outcome_.cells; ++cell)
        outcome_.cell_address[cell] = known_[cell * a_cell] << shift_;
    draw_gaps(a_cell);
    for (std::size_t frame = 0; frame < outcome_.frames; ++frame) draw_frame(frame, a_cell);
}

// A gap inside a cell is told before the next one.
void AddressMap::draw_gaps(std::size_t a_cell) {
    for (std::size_t i = 1; i < known_.size() && outcome_.gaps < most_gaps; ++i) {
        const std::uint64_t missing = known_[i] - known_[i - 1] - 1;
        const std::size_t cell = (i + a_cell - 1) / a_cell;
        if (missing == 0 || cell >= outcome_.cells) continue;
        outcome_.gap[outcome_.gaps++] = {static_cast<std::uint32_t>(cell), 0, missing << shift_};
    }
}

void AddressMap::draw_frame(std::size_t frame, std::size_t a_cell) {
    const FrameRange& range = range_[frame];
    std::array<std::uint64_t, most_cells> live{};
    std::array<bool, most_cells> has_memory{};
    for (std::size_t i = range.first; i < range.last; ++i) {
        const std::uint64_t granule = entries_[i].granule >> (shift_ - range.shift);
        const auto* at = std::lower_bound(known_.begin(), known_.end(), granule);
        if (at == known_.end() || *at != granule) continue;
        const std::size_t cell = static_cast<std::size_t>(at - known_.begin()) / a_cell;
        live[cell] += entries_[i].live_bytes;
        has_memory[cell] = true;
    }
    for (std::size_t cell = 0; cell < outcome_.cells; ++cell) {
        const std::uint64_t share = std::min<std::uint64_t>(253, live[cell] * 253 / outcome_.cell_bytes);
        std::uint8_t& drawn = outcome_.cell[frame][cell];
        drawn = has_memory[cell] ? cell_empty : cell_absent;
        if (live[cell] > 0) drawn = static_cast<std::uint8_t>(2 + share);
    }
}

}  // namespace cairn::replay
