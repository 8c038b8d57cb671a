// Fit policies on one list of free blocks: first fit, next fit, best fit, as the book draws them.
//
// The list is doubly linked, the latest freed block first; what is left of a split block takes its place.
//
//   FirstFit   from the head, the first block that is large enough
//   NextFit    the same, but from where the last search ended, round to there again
//   BestFit    the whole list, the smallest block that is large enough; of equals the first met
//
// Large enough means >=: a block of exactly the wanted size is the best there is. A search costs O(free
// blocks); fit_tree.hpp and fit_segregated.hpp are two ways out.
//
// A policy is told before a block changes its size. It counts every block it looks at in `visited`.
// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdint>

#include "textbook/block.hpp"

namespace cairn::textbook {

template <class P>
concept FitPolicy = requires(P policy, const P& seen, Block* block, std::size_t bytes,
                             std::uint64_t visited) {
    policy.insert(block, visited);
    policy.remove(block, visited);
    // `block` leaves, and `rest` (free, smaller, tagged) comes instead.
    policy.replace(block, block, visited);
    // A free block of at least so many bytes, still in the policy; nullptr when there is none.
    { policy.find(bytes, visited) } -> std::same_as<Block*>;
    // Calls a function with every block it has, and says what is wrong with its own order.
    {
        seen.check([](const Block*) {})
        } -> std::same_as<Fault>;
};

class BlockList {
public:
    [[nodiscard]] Block* head() const { return head_; }
    static Block* next(const Block* block) { return block->link(next_link); }

    void insert(Block* block) {
        block->link(next_link) = head_;
        block->link(previous_link) = nullptr;
        if (head_ != nullptr) head_->link(previous_link) = block;
        head_ = block;
    }
    void remove(Block* block) { join(block->link(previous_link), block->link(next_link)); }
    void replace(Block* block, Block* rest) {
        rest->link(previous_link) = block->link(previous_link);
        rest->link(next_link) = block->link(next_link);
        if (rest->link(next_link) != nullptr) rest->link(next_link)->link(previous_link) = rest;
        (rest->link(previous_link) == nullptr ? head_ : rest->link(previous_link)->link(next_link)) = rest;
    }

    template <class Visit>
    [[nodiscard]] Fault check(Visit visit) const {
        const Block* before = nullptr;
        for (const Block* block = head_; block != nullptr; block = next(block)) {
            if (block->is_used()) return {"a block in use is in a list of free ones", block->address()};
            if (block->link(previous_link) != before) return {"a list is broken", block->address()};
            visit(block);
            before = block;
        }
        return {};
    }

private:
    static constexpr unsigned next_link = 0;
    static constexpr unsigned previous_link = 1;

    void join(Block* before, Block* after) {
        (before == nullptr ? head_ : before->link(next_link)) = after;
        if (after != nullptr) after->link(previous_link) = before;
    }

    Block* head_ = nullptr;  // [owner]
};

class FirstFit {
public:
    void insert(Block* block, std::uint64_t&) { list_.insert(block); }
    void remove(Block* block, std::uint64_t&) { list_.remove(block); }
    void replace(Block* block, Block* rest, std::uint64_t&) { list_.replace(block, rest); }

    [[nodiscard]] Block* find(std::size_t bytes, std::uint64_t& visited) {
        for (Block* block = list_.head(); block != nullptr; block = BlockList::next(block)) {
            ++visited;
            if (block->bytes() >= bytes) return block;
        }
        return nullptr;
    }
    template <class Visit>
    [[nodiscard]] Fault check(Visit visit) const {
        return list_.check(visit);
    }

private:
    BlockList list_;
};

class NextFit {
public:
    void insert(Block* block, std::uint64_t&) { list_.insert(block); }
    void remove(Block* block, std::uint64_t&) {
        if (resume_ == block) resume_ = BlockList::next(block);
        list_.remove(block);
    }
    void replace(Block* block, Block* rest, std::uint64_t&) {
        list_.replace(block, rest);
        if (resume_ == block) resume_ = rest;
    }

    [[nodiscard]] Block* find(std::size_t bytes, std::uint64_t& visited) {
        Block* found = find_between(resume_, nullptr, bytes, visited);
        if (found == nullptr) found = find_between(list_.head(), resume_, bytes, visited);
        if (found != nullptr) resume_ = found;
        return found;
    }
    template <class Visit>
    [[nodiscard]] Fault check(Visit visit) const {
        bool is_resume_listed = resume_ == nullptr;
        const Fault fault = list_.check([&](const Block* block) {
            is_resume_listed |= block == resume_;
            visit(block);
        });
        if (!fault && !is_resume_listed) return {"the search would resume outside the list", 0};
        return fault;
    }

private:
    static Block* find_between(Block* from, const Block* to, std::size_t bytes, std::uint64_t& visited) {
        for (Block* block = from; block != to; block = BlockList::next(block)) {
            ++visited;
            if (block->bytes() >= bytes) return block;
        }
        return nullptr;
    }

    BlockList list_;
    Block* resume_ = nullptr;  // [owner] where the next search begins; null: at the head
};

class BestFit {
public:
    void insert(Block* block, std::uint64_t&) { list_.insert(block); }
    void remove(Block* block, std::uint64_t&) { list_.remove(block); }
    void replace(Block* block, Block* rest, std::uint64_t&) { list_.replace(block, rest); }

    [[nodiscard]] Block* find(std::size_t bytes, std::uint64_t& visited) {
        Block* best = nullptr;
        for (Block* block = list_.head(); block != nullptr; block = BlockList::next(block)) {
            ++visited;
            if (block->bytes() < bytes || (best != nullptr && block->bytes() >= best->bytes())) continue;
            best = block;
            if (best->bytes() == bytes) break;  // nothing behind it can be better
        }
        return best;
    }
    template <class Visit>
    [[nodiscard]] Fault check(Visit visit) const {
        return list_.check(visit);
    }

private:
    BlockList list_;
};

static_assert(FitPolicy<FirstFit> && FitPolicy<NextFit> && FitPolicy<BestFit>);

}  // namespace cairn::textbook
