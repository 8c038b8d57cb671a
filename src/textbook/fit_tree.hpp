// Best fit on a tree of free blocks ordered by size: the same answer without walking the whole list.
//
// A treap: a search tree by (size, address) that is a heap by priority at the same time. The priority is a
// hash of the address, so a node needs two words, its children, which is what a free block has; and since
// hashes are as good as dice, the tree is balanced as if blocks came in random order: O(log n) is expected
// of every operation. Of equal sizes the lowest address is taken.
//
//             (96, a)        all to the left are smaller, or as large and lower;
//            ╱       ╲       none below has a higher priority
//       (48, c)     (96, d)
//
// Source: Seidel and Aragon, Randomized Search Trees (1996)
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "textbook/fit_list.hpp"

namespace cairn::textbook {

class BestFitTree {
public:
    void insert(Block* block, std::uint64_t& visited) {
        Block** link = &root_;
        while (*link != nullptr && priority(*link) >= priority(block)) {
            ++visited;
            link = &(*link)->link(is_before(block, *link) ? left : right);
        }
        split(*link, block, visited);
        *link = block;
    }

    void remove(Block* block, std::uint64_t& visited) {
        Block** link = &root_;
        while (*link != block) {
            ++visited;
            link = &(*link)->link(is_before(block, *link) ? left : right);
        }
        merge(link, block->link(left), block->link(right), visited);
    }

    void replace(Block* block, Block* rest, std::uint64_t& visited) {
        remove(block, visited);
        insert(rest, visited);
    }

    [[nodiscard]] Block* find(std::size_t bytes, std::uint64_t& visited) {
        Block* best = nullptr;
        for (Block* block = root_; block != nullptr;) {
            ++visited;
            const bool is_enough = block->bytes() >= bytes;
            if (is_enough) best = block;
            block = block->link(is_enough ? left : right);
        }
        return best;
    }

    // Walks in order without a stack: down by search for each block's successor. O(n log n).
    template <class Visit>
    [[nodiscard]] Fault check(Visit visit) const {
        for (const Block* block = after(nullptr); block != nullptr; block = after(block)) {
            if (block->is_used()) return {"a block in use is in the tree of free ones", block->address()};
            for (const unsigned side : {left, right}) {
                const Block* child = block->link(side);
                if (child == nullptr) continue;
                if (priority(child) > priority(block)) return {"the tree is no heap", child->address()};
                if (is_before(child, block) != (side == left))
                    return {"the tree is not in order", child->address()};
            }
            visit(block);
        }
        return {};
    }

private:
    static constexpr unsigned left = 0;
    static constexpr unsigned right = 1;

    static bool is_before(const Block* a, const Block* b) {
        return a->bytes() != b->bytes() ? a->bytes() < b->bytes() : a->address() < b->address();
    }
    // The high half of a product with an odd constant depends on all bits of the address.
    static std::uint32_t priority(const Block* block) {
        return static_cast<std::uint32_t>((block->address() >> 4) * 0x9E3779B97F4A7C15u >> 32);
    }

    // Hangs all of `tree` that is before `block` to its left, the others to its right.
    static void split(Block* tree, Block* block, std::uint64_t& visited) {
        Block** lower = &block->link(left);
        Block** higher = &block->link(right);
        while (tree != nullptr) {
            ++visited;
            Block**& end = is_before(tree, block) ? lower : higher;
            *end = tree;
            end = &tree->link(&end == &lower ? right : left);
            tree = *end;
        }
        *lower = *higher = nullptr;
    }

    // Puts at `link` the tree of both, all of `a` being before all of `b`.
    static void merge(Block** link, Block* a, Block* b, std::uint64_t& visited) {
        while (a != nullptr && b != nullptr) {
            ++visited;
            Block*& top = priority(a) >= priority(b) ? a : b;
            const unsigned side = &top == &a ? right : left;
            *link = top;
            link = &top->link(side);
            top = *link;
        }
        *link = a != nullptr ? a : b;
    }

    [[nodiscard]] const Block* after(const Block* block) const {
        const Block* found = nullptr;
        for (const Block* at = root_; at != nullptr;) {
            const bool is_later = block == nullptr || is_before(block, at);
            if (is_later) found = at;
            at = at->link(is_later ? left : right);
        }
        return found;
    }

    Block* root_ = nullptr;  // [owner]
};

static_assert(FitPolicy<BestFitTree>);

}  // namespace cairn::textbook
