// The picture of an address space over time: which addresses held living objects, which only memory.
//
// It cannot know beforehand where a heap will lie, so it gathers granules (4 KiB, more for large heaps) as
// objects are seen in them, and lays the cells of the picture over all of them at the end:
//
//   frame(objects)   living bytes by granule; of the granules known from before, which still have memory
//   finish()         neighbours become cells, at most 2048; every frame is drawn in the same cells
//
// Nothing here calls malloc, for that is what is looked at.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "replay/outcome.hpp"
#include "replay/shared_memory.hpp"

namespace cairn::replay {

struct Object {
    void* at;  // null: the slot is free
    std::uint64_t bytes;
};

class AddressMap {
public:
    explicit AddressMap(Outcome& outcome) : outcome_(outcome) {}

    // Adds a frame to the picture. Needs: fewer than most_frames so far.
    void add_frame(const MappedArray<Object>& objects, std::uint64_t live_bytes);
    // Draws the cells into the outcome.
    void finish();

private:
    static constexpr std::size_t most_granules = 16384;
    static constexpr unsigned os_page_shift = 12;

    struct Entry {
        std::uint64_t granule;
        std::uint64_t live_bytes;  // 0: there is memory, and nothing alive
    };
    struct FrameRange {
        std::size_t first, last;
        unsigned shift;
    };

    [[nodiscard]] bool gather(const MappedArray<Object>& objects);
    [[nodiscard]] bool count(std::uint64_t granule, std::uint64_t bytes);
    [[nodiscard]] bool learn();
    void coarsen();
    void look_at_empty_ones(FrameRange& range);
    [[nodiscard]] bool has_memory(std::uint64_t granule) const;
    void draw_gaps(std::size_t a_cell);
    void draw_frame(std::size_t frame, std::size_t a_cell);

    Outcome& outcome_;
    unsigned shift_ = os_page_shift;    // of a granule
    MappedArray<Entry> table_;          // a hash table; granule + 1, 0 is empty
    std::size_t counted_ = 0;           // entries in it
    MappedArray<Entry> fresh_;          // of this frame, sorted
    MappedArray<std::uint64_t> known_;  // of all frames, sorted
    MappedArray<Entry> entries_;        // of all frames, one behind the other
    FrameRange range_[most_frames];
};

}  // namespace cairn::replay
