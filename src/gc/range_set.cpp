// Ranges in a treap: see range_set.hpp.
// SPDX-License-Identifier: MIT
#include "gc/range_set.hpp"

namespace cairn::gc {

// Source: the finaliser of SplitMix64
std::uint64_t RangeSet::priority_of(std::uintptr_t low) {
    std::uint64_t word = low + 0x9e3779b97f4a7c15;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    return word ^ (word >> 31);
}

RangeSet::Halves RangeSet::split(Node* tree, std::uintptr_t low) {
    Halves halves{nullptr, nullptr};
    Node** below = &halves.below;
    Node** above = &halves.above;
    while (tree != nullptr) {
        if (tree->range.low < low) {
            *below = tree;
            below = &tree->right;
            tree = tree->right;
        } else {
            *above = tree;
            above = &tree->left;
            tree = tree->left;
        }
    }
    *below = nullptr;
    *above = nullptr;
    return halves;
}

RangeSet::Node* RangeSet::merge(Node* below, Node* above) {
    Node* merged = nullptr;
    Node** link = &merged;
    while (below != nullptr && above != nullptr) {
        if (below->priority > above->priority) {
            *link = below;
            link = &below->right;
            below = below->right;
        } else {
            *link = above;
            link = &above->left;
            above = above->left;
        }
    }
    *link = below != nullptr ? below : above;
    return merged;
}

void RangeSet::free_all(Node* tree) {
    while (tree != nullptr) {
        // Turned into a list on the way: no recursion.
        if (tree->left != nullptr) {
            Node* left = tree->left;
            tree->left = left->right;
            left->right = tree;
            tree = left;
            continue;
        }
        Node* right = tree->right;
        --count_;
        bytes_ -= tree->range.high - tree->range.low;
        nodes_.free(tree);
        tree = right;
    }
}

void RangeSet::clear() {
    free_all(root_);
    root_ = nullptr;
}

// Takes every range that overlaps or touches [low, high) out and returns what is on both sides of it.
// `overlapped` becomes the first one's start and the last one's end, or [low, high) when there is none.
RangeSet::Halves RangeSet::cut_out(std::uintptr_t low, std::uintptr_t high, Range& overlapped) {
    Halves outer = split(root_, low);
    const Halves inner = split(outer.above, high == UINTPTR_MAX ? high : high + 1);
    overlapped = {low, high};
    const auto widen = [&](const Range& range) {
        overlapped.low = range.low < overlapped.low ? range.low : overlapped.low;
        overlapped.high = range.high > overlapped.high ? range.high : overlapped.high;
    };
    // Ranges are disjoint: of those that start below, only the last can reach up to here.
    Node** last = &outer.below;
    while (*last != nullptr && (*last)->right != nullptr) last = &(*last)->right;
    if (*last != nullptr && (*last)->range.high >= low) {
        Node* reached = *last;
        widen(reached->range);
        *last = reached->left;
        reached->left = reached->right = nullptr;
        free_all(reached);
    }
    // The last of those inside reaches farthest.
    for (const Node* node = inner.below; node != nullptr; node = node->right) widen(node->range);
    free_all(inner.below);
    return {outer.below, inner.above};
}

RangeSet::Node* RangeSet::fill(Node* node, Range range) {
    *node = {range, nullptr, nullptr, priority_of(range.low)};
    ++count_;
    bytes_ += range.high - range.low;
    return node;
}

bool RangeSet::add(std::uintptr_t low, std::uintptr_t high) {
    if (low >= high) return true;
    Node* node = nodes_.allocate();
    if (node == nullptr) return false;
    Range joined;
    const Halves sides = cut_out(low, high, joined);
    root_ = merge(merge(sides.below, fill(node, joined)), sides.above);
    return true;
}

bool RangeSet::remove(std::uintptr_t low, std::uintptr_t high) {
    if (low >= high) return true;
    const Range first = first_above(low);
    if (first.high == 0 || first.low >= high) return true;
    Node* nodes[2] = {nodes_.allocate(), nodes_.allocate()};  // for what sticks out on either side
    const bool has_memory = nodes[0] != nullptr && nodes[1] != nullptr;
    if (has_memory) {
        Range cut;
        Halves sides = cut_out(low, high, cut);
        if (cut.low < low) {
            sides.below = merge(sides.below, fill(nodes[0], {cut.low, low}));
            nodes[0] = nullptr;
        }
        if (cut.high > high) {
            sides.above = merge(fill(nodes[1], {high, cut.high}), sides.above);
            nodes[1] = nullptr;
        }
        root_ = merge(sides.below, sides.above);
    }
    for (Node* unused : nodes) {
        if (unused != nullptr) nodes_.free(unused);
    }
    return has_memory;
}

RangeSet::Range RangeSet::first_above(std::uintptr_t address) const {
    Range found{0, 0};
    for (const Node* node = root_; node != nullptr;) {
        if (node->range.high > address) {
            found = node->range;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return found;
}

void RangeCursor::descend(const RangeSet::Node* node) {
    for (; node != nullptr; node = node->left) {
        CAIRN_CHECK(depth_ < depth_max);
        path_[depth_++] = node;
    }
}

RangeSet::Range RangeCursor::next() {
    if (depth_ == 0) return {0, 0};
    const RangeSet::Node* node = path_[--depth_];
    descend(node->right);
    return node->range;
}

// The head that starts first; the other one's place when one set is at its end.
unsigned JointCursor::lower() const {
    return heads_[0].high == 0 || (heads_[1].high != 0 && heads_[1].low < heads_[0].low);
}

RangeSet::Range JointCursor::next() {
    RangeSet::Range joined{0, 0};
    for (;;) {
        const unsigned i = lower();
        const RangeSet::Range head = heads_[i];
        if (head.high == 0 || (joined.high != 0 && head.low > joined.high)) return joined;
        if (joined.high == 0) joined = head;
        else if (head.high > joined.high) joined.high = head.high;
        heads_[i] = cursors_[i].next();
    }
}

}  // namespace cairn::gc
