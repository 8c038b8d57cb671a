// Segregated fit: a list of free blocks for each range of sizes, and a bit for each list that is not empty.
//
//   bin   2   3   4  ...  63 │  64   65  ...  71 │  72 ...
//   from 32  48  64 ... 1008 │1024 1152 ...  1920│2048 ...        one size a bin below 1 KiB,
//                                                                  eight bins a doubling above
//
// A block of the wanted bin may be too small, when the bin has several sizes: there first fit decides. Every
// block of a later bin is large enough, and the next bin that has one is found by its bit. So a search looks
// at one block, most often. Size classes are this idea taken further: blocks are never split or merged, and
// what a list holds is all of one size.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>

#include "textbook/fit_list.hpp"

namespace cairn::textbook {

class Segregated {
public:
    static constexpr unsigned exact_bins = 64;  // below exact_bytes: size / 16
    static constexpr unsigned exact_bytes = 1024;
    static constexpr unsigned bins_a_doubling = 8;
    static constexpr unsigned doublings = 38;  // up to 2^48, more than a block can have
    static constexpr unsigned bin_count = exact_bins + doublings * bins_a_doubling;

    static constexpr unsigned bin_of(std::size_t bytes) {
        if (bytes < exact_bytes) return static_cast<unsigned>(bytes / Block::unit_bytes);
        const unsigned power = static_cast<unsigned>(std::bit_width(bytes)) - 1;
        const unsigned eighth = static_cast<unsigned>(bytes >> (power - 3)) % bins_a_doubling;
        return exact_bins + (power - 10) * bins_a_doubling + eighth;
    }

    void insert(Block* block, std::uint64_t&) {
        const unsigned bin = bin_of(block->bytes());
        lists_[bin].insert(block);
        filled_[bin / 64] |= std::uint64_t{1} << bin % 64;
    }
    void remove(Block* block, std::uint64_t&) {
        const unsigned bin = bin_of(block->bytes());
        lists_[bin].remove(block);
        if (lists_[bin].head() == nullptr) filled_[bin / 64] &= ~(std::uint64_t{1} << bin % 64);
    }
    void replace(Block* block, Block* rest, std::uint64_t& visited) {
        remove(block, visited);
        insert(rest, visited);
    }

    [[nodiscard]] Block* find(std::size_t bytes, std::uint64_t& visited) {
        const unsigned bin = bin_of(bytes);
        for (Block* block = lists_[bin].head(); block != nullptr; block = BlockList::next(block)) {
            ++visited;
            if (block->bytes() >= bytes) return block;
        }
        const unsigned later = next_filled(bin + 1);
        if (later == bin_count) return nullptr;
        ++visited;
        return lists_[later].head();
    }

    template <class Visit>
    [[nodiscard]] Fault check(Visit visit) const {
        for (unsigned bin = 0; bin < bin_count; ++bin) {
            const bool is_filled = (filled_[bin / 64] >> bin % 64 & 1) != 0;
            if (is_filled != (lists_[bin].head() != nullptr)) return {"a bin's bit is wrong", bin};
            const Block* stray = nullptr;
            const Fault fault = lists_[bin].check([&](const Block* block) {
                if (bin_of(block->bytes()) != bin) stray = block;
                visit(block);
            });
            if (fault) return fault;
            if (stray != nullptr) return {"a block is in the wrong bin", stray->address()};
        }
        return {};
    }

private:
    static constexpr unsigned word_count = (bin_count + 63) / 64;

    // The first bin from `bin` on that has a block; bin_count when none has.
    [[nodiscard]] unsigned next_filled(unsigned bin) const {
        if (bin >= bin_count) return bin_count;
        unsigned word = bin / 64;
        std::uint64_t bits = filled_[word] & (~std::uint64_t{0} << bin % 64);
        while (bits == 0) {
            if (++word == word_count) return bin_count;
            bits = filled_[word];
        }
        return word * 64 + static_cast<unsigned>(std::countr_zero(bits));
    }

    BlockList lists_[bin_count];          // [owner]
    std::uint64_t filled_[word_count]{};  // [owner] a bit a bin
};

static_assert(FitPolicy<Segregated>);
static_assert(Segregated::bin_of(Block::smallest_bytes) == 2 && Segregated::bin_of(1008) == 63);
static_assert(Segregated::bin_of(1024) == 64 && Segregated::bin_of(1151) == 64);
static_assert(Segregated::bin_of(1152) == 65 && Segregated::bin_of(2047) == 71);
static_assert(Segregated::bin_of(2048) == 72);
static_assert(Segregated::bin_of(2 * max_request_bytes + 64) < Segregated::bin_count);

}  // namespace cairn::textbook
