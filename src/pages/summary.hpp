// Summaries: three figures that say which runs fit into a stretch of pages, and a tree of them over a region.
//
// A summary is (start, longest, end): free pages at the front, in the longest free run, at the back. Packed
// in one word of three 21-bit fields; a stretch of 2^21 free pages (a whole region) is bit 63 alone. Word 0
// says nothing is free.
//
// The tree stands over one region of 16 GiB: one root, then 8, 64, 512 and 4096 summaries, the last for a
// chunk each. Eight siblings fill one cache line, so a level costs one line.
//
// Floor: pages. Locks: callers hold Rank::heap.
// Source: Go runtime mpagealloc.go (BSD-3)
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/config.hpp"
#include "pages/page_bitmap.hpp"

namespace cairn::pages {

class Summary {
public:
    static constexpr unsigned field_bits = 21;
    static constexpr std::size_t field_limit = std::size_t{1} << field_bits;  // pages of a region

    constexpr Summary() = default;
    constexpr Summary(std::size_t start, std::size_t longest, std::size_t end)
        : word_(longest == field_limit ? whole_region
                                       : start | longest << field_bits | end << 2 * field_bits) {}
    explicit constexpr Summary(FreeRuns runs) : Summary(runs.start, runs.longest, runs.end) {}
    // All `pages` free.
    static constexpr Summary all_free(std::size_t pages) { return {pages, pages, pages}; }

    [[nodiscard]] constexpr std::size_t start() const { return field(0); }
    [[nodiscard]] constexpr std::size_t longest() const { return field(field_bits); }
    [[nodiscard]] constexpr std::size_t end() const { return field(2 * field_bits); }
    // The same of part of a region, where bit 63 cannot be: one shift and a mask.
    [[nodiscard]] constexpr std::size_t part_start() const { return part(0); }
    [[nodiscard]] constexpr std::size_t part_longest() const { return part(field_bits); }
    [[nodiscard]] constexpr std::size_t part_end() const { return part(2 * field_bits); }
    [[nodiscard]] constexpr bool is_empty() const { return word_ == 0; }
    [[nodiscard]] constexpr std::uint64_t word() const { return word_; }
    constexpr bool operator==(const Summary&) const = default;

private:
    static constexpr std::uint64_t whole_region = std::uint64_t{1} << 63;

    [[nodiscard]] constexpr std::size_t field(unsigned shift) const {
        return word_ == whole_region ? field_limit : part(shift);
    }
    [[nodiscard]] constexpr std::size_t part(unsigned shift) const {
        return word_ >> shift & (field_limit - 1);
    }

    std::uint64_t word_ = 0;  // [lock] Rank::heap
};

class SummaryTree {
public:
    static constexpr unsigned level_count = 5;
    static constexpr unsigned leaf_level = level_count - 1;
    static constexpr std::size_t leaf_count = 4096;
    static constexpr std::size_t fanout = 8;

    // Pages under one summary of `level`.
    static constexpr std::size_t pages_at(unsigned level) {
        return base::chunk_pages << 3 * (leaf_level - level);
    }

    [[nodiscard]] Summary root() const { return root_; }
    // Needs: level 1..4.
    [[nodiscard]] Summary at(unsigned level, std::size_t index) const {
        return inner_[first_of[level] + index];
    }
    [[nodiscard]] Summary leaf(std::size_t index) const { return at(leaf_level, index); }

    // Returns: whether the leaf changed; the levels above are then repaired by refresh().
    bool set_leaf(std::size_t index, Summary summary) {
        Summary& leaf = inner_[first_of[leaf_level] + index];
        const bool is_changed = leaf != summary;
        leaf = summary;
        return is_changed;
    }

    // Recomputes what stands over the leaves `first`..`last`, upward until a level does not change.
    void refresh(std::size_t first, std::size_t last);

    // Joins eight neighbours of `child_pages` pages each. All-free ones come in long rows: their shortcut is
    // well predicted.
    [[nodiscard]] static Summary merge(const Summary* children, std::size_t child_pages) {
        const Summary free_child = Summary::all_free(child_pages);
        std::size_t start = 0;
        std::size_t longest = 0;
        std::size_t end = 0;  // free pages directly before the child
        for (std::size_t i = 0; i < fanout; ++i) {
            const Summary child = children[i];
            if (child == free_child) {
                end += child_pages;
                continue;
            }
            const std::size_t joined = end + child.part_start();
            if (end == i * child_pages) start = joined;
            longest = joined > longest ? joined : longest;
            longest = child.part_longest() > longest ? child.part_longest() : longest;
            end = child.part_end();
        }
        if (end == fanout * child_pages) start = end;
        return {start, end > longest ? end : longest, end};
    }

    // Fatal unless every inner summary is the merge of its children.
    void verify() const;

private:
    template <unsigned level>
    void refresh_from(std::size_t first, std::size_t last);

    static constexpr std::size_t first_of[level_count] = {0, 0, 8, 8 + 64, 8 + 64 + 512};

    alignas(base::cache_line_bytes) Summary inner_[8 + 64 + 512 + 4096];  // [lock] levels 1 to 4
    Summary root_;                                                        // [lock] level 0
};

}  // namespace cairn::pages
