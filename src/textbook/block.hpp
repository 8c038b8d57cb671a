// Blocks with boundary tags: how a free-list allocator knows its neighbours without a map.
//
//   in use   │ tag │ the object ...                                  │
//   free     │ tag │ first link │ second link │ ...           │ size │
//              8         8             8                          8      bytes, 32 at least
//
// The tag holds the size (a multiple of 16, tag included) and two bits: whether this block is in use, whether
// the one before it is. The next block is found by adding the size. The one before is only ever wanted when
// it is free, and then its size stands right before our tag: a block in use need not spend a word on that.
//
// Blocks tile the heap without a gap and end at an epilogue, a tag of size 0 that is always in use. Tags lie
// 8 bytes below a multiple of 16, so objects are aligned. Source: Knuth, The Art of Computer Programming 2.5
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "textbook/allocator.hpp"

namespace cairn::textbook {

class Block {
public:
    static constexpr std::size_t tag_bytes = 8;
    static constexpr std::size_t unit_bytes = 16;
    static constexpr std::size_t smallest_bytes = 32;  // a tag, two links, the size at the end

    // Bytes of the block for a request. Needs: bytes <= max_request_bytes.
    static constexpr std::size_t bytes_for(std::size_t bytes) {
        const std::size_t whole = (bytes + tag_bytes + unit_bytes - 1) / unit_bytes * unit_bytes;
        return whole < smallest_bytes ? smallest_bytes : whole;
    }

    static Block* at(std::uintptr_t address) { return reinterpret_cast<Block*>(address); }
    static Block* of(void* object) { return at(reinterpret_cast<std::uintptr_t>(object) - tag_bytes); }

    [[nodiscard]] std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(this); }
    [[nodiscard]] void* object() const { return reinterpret_cast<void*>(address() + tag_bytes); }
    [[nodiscard]] std::size_t bytes() const { return tag_ & ~(used_bit | before_used_bit); }
    [[nodiscard]] bool is_used() const { return (tag_ & used_bit) != 0; }
    [[nodiscard]] bool is_before_used() const { return (tag_ & before_used_bit) != 0; }
    [[nodiscard]] Block* next_in_memory() const { return at(address() + bytes()); }
    // Needs: the block before is free.
    [[nodiscard]] Block* before_in_memory() const {
        return at(address() - *reinterpret_cast<const std::uint64_t*>(address() - sizeof(std::uint64_t)));
    }
    // The size a free block repeats at its end.
    [[nodiscard]] std::uint64_t end_bytes() const { return *end_word(); }

    void set_used(std::size_t bytes, bool is_before_used) {
        tag_ = bytes | used_bit | (is_before_used ? before_used_bit : 0);
    }
    // A free block never follows a free one, so the block before is in use.
    void set_free(std::size_t bytes) {
        tag_ = bytes | before_used_bit;
        *end_word() = bytes;
    }
    void set_before_used(bool is_used) { tag_ = is_used ? tag_ | before_used_bit : tag_ & ~before_used_bit; }

    // What the policy needs of a free block: neighbours in its list, or children in its tree.
    [[nodiscard]] Block*& link(unsigned which) { return links_[which]; }
    [[nodiscard]] Block* link(unsigned which) const { return links_[which]; }

private:
    static constexpr std::uint64_t used_bit = 1;
    static constexpr std::uint64_t before_used_bit = 2;

    [[nodiscard]] std::uint64_t* end_word() const {
        return reinterpret_cast<std::uint64_t*>(address() + bytes() - sizeof(std::uint64_t));
    }

    std::uint64_t tag_;  // [owner]
    Block* links_[2];    // [owner] of a free block; otherwise the object lies here
};

}  // namespace cairn::textbook
