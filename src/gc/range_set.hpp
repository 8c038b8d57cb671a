// A set of address ranges: adding joins what touches, removing cuts. A treap of disjoint ranges.
//
// Any number of ranges at O(log n) each, in memory of our own; a priority is a scrambled address, so the
// shape does not depend on the order in which a program adds.
//
// Not synchronised: belongs to whoever holds the lock of its owner. Source: Seidel, Aragon, "Randomized
// search trees" (1996)
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/check.hpp"
#include "pages/metadata.hpp"

namespace cairn::gc {

class RangeSet {
public:
    struct Range {
        std::uintptr_t low;
        std::uintptr_t high;
    };

    constexpr RangeSet() = default;

    void initialize(pages::Metadata& metadata) { nodes_.initialize(metadata); }

    // False when the OS refuses memory: nothing has changed then. Empty ranges are no change.
    [[nodiscard]] bool add(std::uintptr_t low, std::uintptr_t high);
    [[nodiscard]] bool remove(std::uintptr_t low, std::uintptr_t high);
    void clear();

    // The first range that ends above `address`; empty when there is none.
    [[nodiscard]] Range first_above(std::uintptr_t address) const;
    [[nodiscard]] bool contains(std::uintptr_t address) const {
        const Range range = first_above(address);
        return range.low <= address && address < range.high;
    }
    [[nodiscard]] std::size_t count() const { return count_; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

    void reset_lock_after_fork() { nodes_.reset_lock_after_fork(); }

private:
    friend class RangeCursor;

    struct Node {
        Range range;  // [lock] of the owner, as all below
        Node* left;
        Node* right;
        std::uint64_t priority;
    };
    struct Halves {
        Node* below;
        Node* above;
    };

    [[nodiscard]] static std::uint64_t priority_of(std::uintptr_t low);
    // Nodes whose range starts below `low`, and the others.
    [[nodiscard]] static Halves split(Node* tree, std::uintptr_t low);
    [[nodiscard]] static Node* merge(Node* below, Node* above);
    void free_all(Node* tree);
    [[nodiscard]] Halves cut_out(std::uintptr_t low, std::uintptr_t high, Range& overlapped);
    [[nodiscard]] Node* fill(Node* node, Range range);

    pages::TypedPool<Node> nodes_;
    Node* root_ = nullptr;     // [lock] of the owner
    std::size_t count_ = 0;    // [lock] of the owner
    std::uint64_t bytes_ = 0;  // [lock] of the owner
};

// Walks a set in address order. The set may not change meanwhile.
class RangeCursor {
public:
    explicit RangeCursor(const RangeSet& set) { descend(set.root_); }

    // An empty range at the end.
    RangeSet::Range next();

private:
    // Chance makes a treap this deep less often than memory fails, whatever its size.
    static constexpr unsigned depth_max = 192;

    void descend(const RangeSet::Node* node);

    const RangeSet::Node* path_[depth_max];  // [owner]
    unsigned depth_ = 0;                     // [owner]
};

// Two sets as if they were one: ranges that touch or overlap come as one.
class JointCursor {
public:
    JointCursor(const RangeSet& a, const RangeSet& b) : cursors_{RangeCursor(a), RangeCursor(b)} {
        for (unsigned i = 0; i < 2; ++i) heads_[i] = cursors_[i].next();
    }

    // An empty range at the end.
    RangeSet::Range next();

private:
    [[nodiscard]] unsigned lower() const;

    RangeCursor cursors_[2];    // [owner]
    RangeSet::Range heads_[2];  // [owner] the next of each
};

}  // namespace cairn::gc
