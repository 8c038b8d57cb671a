// Cleanup ids: numbers the program may keep for ever and give back once, each leading to an address.
//
//   id = [ generation : 32 | ticket + 1 : 32 ]        a ticket is reused under the next generation
//
// A number that was taken back, never given out or made up finds nothing. Tickets lie in blocks that double,
// block k with 1024 << k of them, so that none ever moves and no growth copies.
//
// Locks: Rank::metadata, held over a few loads and stores and, once a block, while metadata gives memory.
// Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>

#include "base/lock.hpp"
#include "pages/metadata.hpp"

namespace cairn::gc {

class CleanupIds {
public:
    constexpr CleanupIds() = default;

    void initialize(pages::Metadata& metadata) { metadata_ = &metadata; }

    // A new id for `address`, never 0; 0 when the OS refuses memory.
    [[nodiscard]] std::uint64_t take(std::uintptr_t address);
    // The address of an id that is out; 0 for every other number.
    [[nodiscard]] std::uintptr_t find(std::uint64_t id);
    // Ends the id. Needs: it is out.
    void drop(std::uint64_t id);

    void lock_for_fork() { lock_.lock(); }
    void unlock_after_fork() { lock_.unlock(); }
    void reset_lock_after_fork() { lock_.reset_after_fork(); }

private:
    struct Ticket {
        std::uintptr_t address = 0;    // [lock] 0: free
        std::uint32_t generation = 0;  // [lock]
        std::uint32_t next = 0;        // [lock] of a free one: the next free ticket + 1
    };
    static constexpr unsigned first_block_shift = 10;
    static constexpr unsigned block_count = 20;  // a thousand million ids at a time
    static constexpr std::uint32_t ticket_limit = ((1u << block_count) - 1) << first_block_shift;

    static constexpr unsigned block_of(std::uint32_t ticket) {
        return static_cast<unsigned>(std::bit_width((ticket >> first_block_shift) + 1)) - 1;
    }
    [[nodiscard]] Ticket& at(std::uint32_t ticket) const {
        const unsigned block = block_of(ticket);
        return blocks_[block][ticket - (((1u << block) - 1) << first_block_shift)];
    }
    [[nodiscard]] Ticket* find_locked(std::uint64_t id) const;
    [[nodiscard]] bool grow_locked();

    base::RankedLock<base::Rank::metadata> lock_;
    Ticket* blocks_[block_count] = {};     // [lock]
    std::uint32_t made_ = 0;               // [lock] tickets that exist
    std::uint32_t free_ = 0;               // [lock] first free ticket + 1
    pages::Metadata* metadata_ = nullptr;  // [fixed]
};

}  // namespace cairn::gc
