// The free-list allocator: blocks with boundary tags, split when too large, merged with free neighbours.
//
// allocate   1  ask the policy for a free block that is large enough
//            2  none: grow the heap at its end, by what the last block lacks when that is free
//            3  cut off what is not needed, if a block can be made of it
// free       1  merge with the block behind, if it is free
//            2  merge with the block before, if it is free: its size stands before our tag
//            3  give the result to the policy
//
//   base  8                                            frontier
//    │    │ block │ block │ block │ ...         │ block │ epilogue │ not yet ours      limit
//
// The heap grows only when nothing fits: there is no huge last block, which next fit would never leave and
// which best fit must be kept from. The frontier never falls.
//
// Invariants: blocks tile [base + 8, frontier); no two neighbours are both free; the policy has exactly the
// free blocks. check() proves all three. Overhead: 8 bytes a block and rounding to 16.
//
// Source: Knuth, The Art of Computer Programming 2.5; policies: Wilson and others, Dynamic Storage
// Allocation, a Survey (1995)
// SPDX-License-Identifier: MIT
#pragma once

#include "base/bits.hpp"
#include "base/check.hpp"
#include "textbook/block.hpp"
#include "textbook/fit_list.hpp"
#include "textbook/fit_segregated.hpp"
#include "textbook/fit_tree.hpp"
#include "textbook/region.hpp"

namespace cairn::textbook {

template <FitPolicy Policy>
class FreeList {
public:
    // Needs: an open region, used by nobody else, that outlives this; its base aligned to 16.
    explicit FreeList(Region& region) : region_(region), frontier_(region.base() + Block::tag_bytes) {}

    // Needs: `align` a power of two. Zero bytes get a block as well.
    [[nodiscard]] void* allocate(std::size_t bytes, std::size_t align = default_align) {
        last_ = {};
        Block* block = nullptr;
        if (bytes <= max_request_bytes && align <= max_request_bytes) {
            const std::size_t needed = Block::bytes_for(bytes);
            // What lies before an aligned object must be nothing or a block: 16 bytes alone cannot be one.
            const std::size_t searched = align <= default_align ? needed : needed + align + Block::unit_bytes;
            block = take(searched, needed, align);
        }
        statistics_.add(last_);
        if (block == nullptr) {
            ++statistics_.failures;
            return nullptr;
        }
        ++statistics_.allocations;
        statistics_.set_used(statistics_.used_bytes + block->bytes());
        return block->object();
    }

    // Ends the program when `address` is no block in use, as far as its tag can tell.
    void free(void* address) {
        if (address == nullptr) return;
        last_ = {};
        Block* block = Block::of(address);
        check_used(block);
        ++statistics_.frees;
        statistics_.set_used(statistics_.used_bytes - block->bytes());
        give(block, block->bytes());
        statistics_.add(last_);
    }

    // Shrinks, or grows into a free block behind or over the frontier. False: the block is as it was.
    [[nodiscard]] bool resize(void* address, std::size_t bytes) {
        last_ = {};
        Block* block = Block::of(address);
        check_used(block);
        if (bytes > max_request_bytes) return false;
        const std::size_t needed = Block::bytes_for(bytes);
        const std::size_t before = block->bytes();
        const bool has_room = needed <= before || extend(block, needed);
        if (has_room) trim(block, needed);
        statistics_.set_used(statistics_.used_bytes - before + block->bytes());
        statistics_.add(last_);
        return has_room;
    }

    // Bytes the object may use. Needs: a block in use.
    [[nodiscard]] std::size_t usable_bytes(void* address) const {
        return Block::of(address)->bytes() - Block::tag_bytes;
    }

    [[nodiscard]] Statistics statistics() const {
        Statistics now = statistics_;
        now.extent_bytes = is_started() ? frontier_ - region_.base() : 0;
        return now;
    }
    [[nodiscard]] Operation last_operation() const { return last_; }

    // Calls visit(start of the object, bytes of the block, is in use) for every block in address order.
    template <class Visit>
    void for_each_block(Visit visit) const {
        if (!is_started()) return;
        for (const Block* block = first(); block->address() < frontier_; block = block->next_in_memory())
            visit(block->object(), block->bytes(), block->is_used());
    }

    [[nodiscard]] Fault check() const {
        if (!is_started()) return {};
        Census census;
        if (const Fault fault = check_blocks(census)) return fault;
        std::uint64_t listed = 0;
        const Fault fault = policy_.check([&](const Block* block) {
            ++listed;
            census.free_hash ^= hash(block);
        });
        if (fault) return fault;
        if (listed != census.free_blocks || census.free_hash != 0)
            return {"the policy does not have exactly the free blocks", 0};
        if (census.used_bytes != statistics_.used_bytes) return {"bytes in use were miscounted", 0};
        return {};
    }

private:
    struct Census {
        std::uint64_t free_blocks = 0;
        std::uint64_t used_bytes = 0;
        std::uint64_t free_hash = 0;  // of all free blocks, each once
    };

    static std::uint64_t hash(const Block* block) {
        const std::uint64_t mixed = block->address() * 0x9E3779B97F4A7C15u;
        return mixed ^ mixed >> 29;
    }

    [[nodiscard]] Block* first() const { return Block::at(region_.base() + Block::tag_bytes); }
    [[nodiscard]] bool is_started() const { return frontier_ != region_.base() + Block::tag_bytes; }

    // A block in use of at least `needed` bytes whose object is aligned; found by asking for `searched`.
    [[nodiscard]] Block* take(std::size_t searched, std::size_t needed, std::size_t align) {
        Block* block = policy_.find(searched, last_.visited);
        if (align <= default_align && block != nullptr) return place(block, needed);
        if (block != nullptr) policy_.remove(block, last_.visited);
        else block = grow(searched);
        if (block == nullptr) return nullptr;
        block = cut_front(block, align);
        block->set_used(block->bytes(), block->is_before_used());
        block->next_in_memory()->set_before_used(true);
        trim(block, needed);
        return block;
    }

    // Takes `needed` bytes of a block the policy has; the rest stays with it in the same place.
    Block* place(Block* block, std::size_t needed) {
        const std::size_t rest_bytes = block->bytes() - needed;
        if (rest_bytes < Block::smallest_bytes) {
            policy_.remove(block, last_.visited);
            block->set_used(block->bytes(), true);
            block->next_in_memory()->set_before_used(true);
            return block;
        }
        Block* rest = Block::at(block->address() + needed);
        rest->set_free(rest_bytes);
        policy_.replace(block, rest, last_.visited);
        block->set_used(needed, true);
        ++last_.splits;
        return block;
    }

    // A free block of at least `bytes` at the end of the heap, which the policy does not have.
    [[nodiscard]] Block* grow(std::size_t bytes) {
        if (!is_started()) {
            if (!region_.reach(frontier_ + Block::tag_bytes)) return nullptr;
            Block::at(frontier_)->set_used(0, true);
        }
        Block* block = Block::at(frontier_);
        const bool is_last_free = !block->is_before_used();
        if (is_last_free) block = block->before_in_memory();
        if (!region_.reach(block->address() + bytes + Block::tag_bytes)) return nullptr;
        ++statistics_.growths;
        if (is_last_free) {
            policy_.remove(block, last_.visited);
            ++last_.merges;
        }
        move_frontier(block->address() + bytes);
        block->set_free(bytes);
        return block;
    }

    void move_frontier(std::uintptr_t end) {
        frontier_ = end;
        Block::at(end)->set_used(0, false);
    }

    // Gives the front of a free block back so that the object behind is aligned.
    [[nodiscard]] Block* cut_front(Block* block, std::size_t align) {
        const auto object = reinterpret_cast<std::uintptr_t>(block->object());
        std::size_t front = base::align_up(object, align) - object;
        if (front == 0) return block;
        if (front < Block::smallest_bytes) front += align;
        Block* rest = Block::at(block->address() + front);
        rest->set_free(block->bytes() - front);
        rest->set_before_used(false);
        block->set_free(front);
        policy_.insert(block, last_.visited);
        ++last_.splits;
        return rest;
    }

    // Gives the end of a block in use back, if it makes a block.
    void trim(Block* block, std::size_t needed) {
        const std::size_t rest_bytes = block->bytes() - needed;
        if (rest_bytes < Block::smallest_bytes) return;
        block->set_used(needed, block->is_before_used());
        Block* rest = block->next_in_memory();
        rest->set_used(rest_bytes, true);
        ++last_.splits;
        give(rest, rest_bytes);
    }

    // Makes a block in use at least `needed` bytes by what lies behind it.
    [[nodiscard]] bool extend(Block* block, std::size_t needed) {
        Block* behind = block->next_in_memory();
        const std::size_t spare = behind->is_used() ? 0 : behind->bytes();
        const bool is_last = behind->address() + spare == frontier_;
        if (block->bytes() + spare < needed) {
            if (!is_last || !region_.reach(block->address() + needed + Block::tag_bytes)) return false;
            ++statistics_.growths;
        }
        if (spare != 0) {
            policy_.remove(behind, last_.visited);
            ++last_.merges;
        }
        const std::size_t joined = block->bytes() + spare;
        if (joined < needed) move_frontier(block->address() + needed);
        block->set_used(joined < needed ? needed : joined, block->is_before_used());
        block->next_in_memory()->set_before_used(true);
        return true;
    }

    // Merges a block that is in use no longer with its neighbours and hands it to the policy.
    void give(Block* block, std::size_t bytes) {
        Block* behind = Block::at(block->address() + bytes);
        if (!behind->is_used()) {
            policy_.remove(behind, last_.visited);
            bytes += behind->bytes();
            ++last_.merges;
        }
        if (!block->is_before_used()) {
            block = block->before_in_memory();
            policy_.remove(block, last_.visited);
            bytes += block->bytes();
            ++last_.merges;
        }
        block->set_free(bytes);
        block->next_in_memory()->set_before_used(false);
        policy_.insert(block, last_.visited);
    }

    void check_used(const Block* block) const {
        const std::uintptr_t at = block->address();
        const bool is_inside = at >= region_.base() + Block::tag_bytes && at < frontier_;
        if (is_inside && at % Block::unit_bytes == Block::tag_bytes && block->is_used() &&
            block->bytes() >= Block::smallest_bytes && block->bytes() <= frontier_ - at)
            return;
        base::Message text;
        text << "textbook: no block in use at ";
        text.hex(at + Block::tag_bytes);
        base::fatal(text.view());
    }

    [[nodiscard]] Fault check_blocks(Census& census) const {
        bool is_before_used = true;
        std::uintptr_t at = first()->address();
        while (at < frontier_) {
            const Block* block = Block::at(at);
            if (block->bytes() < Block::smallest_bytes || block->bytes() % Block::unit_bytes != 0 ||
                block->bytes() > frontier_ - at)
                return {"a tag has an impossible size", at};
            if (block->is_before_used() != is_before_used)
                return {"a tag is wrong about the block before", at};
            if (!block->is_used()) {
                if (!is_before_used) return {"two free neighbours were not merged", at};
                if (block->end_bytes() != block->bytes()) return {"the sizes at both ends differ", at};
                ++census.free_blocks;
                census.free_hash ^= hash(block);
            } else {
                census.used_bytes += block->bytes();
            }
            is_before_used = block->is_used();
            at += block->bytes();
        }
        const Block* epilogue = Block::at(frontier_);
        if (at != frontier_ || !epilogue->is_used() || epilogue->bytes() != 0)
            return {"the blocks do not end at the epilogue", at};
        if (epilogue->is_before_used() != is_before_used)
            return {"the epilogue is wrong about the last block", at};
        return {};
    }

    Region& region_;           // [fixed]
    std::uintptr_t frontier_;  // [owner] the epilogue's address
    Policy policy_;            // [owner] has the free blocks
    Statistics statistics_;    // [owner]
    Operation last_;           // [owner]
};

static_assert(Allocator<FreeList<FirstFit>> && Allocator<FreeList<NextFit>>);
static_assert(Allocator<FreeList<BestFit>> && Allocator<FreeList<BestFitTree>>);
static_assert(Allocator<FreeList<Segregated>>);

}  // namespace cairn::textbook
