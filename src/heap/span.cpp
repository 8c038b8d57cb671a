// Slot search in a span, and its self-check.
// SPDX-License-Identifier: MIT
#include "heap/span.hpp"

#include "base/bits.hpp"

namespace cairn::heap {

void Span::refill_alloc_cache(unsigned slot) {
    alloc_cache = ~alloc_bits[slot / 64] >> (slot % 64);
}

unsigned Span::next_free_index() {
    unsigned slot = free_index;
    while (slot < slots) {
        const unsigned skip = static_cast<unsigned>(std::countr_zero(alloc_cache));
        if (skip == 64) {  // this group of 64 is used up
            slot = (slot + 64) & ~63u;
            if (slot >= slots) break;
            refill_alloc_cache(slot);
            continue;
        }
        slot += skip;
        if (slot >= slots) break;
        alloc_cache = skip == 63 ? 0 : alloc_cache >> (skip + 1);
        const unsigned next = slot + 1;
        if (next % 64 == 0 && next != slots) refill_alloc_cache(next);
        return slot;
    }
    // So that what alloc_cache says beyond the last slot is never believed. Not written again: a stand-in is
    // shared.
    if (free_index != slots) free_index = slots;
    return slots;
}

unsigned Span::take_slots(void** out, unsigned want) {
    unsigned taken = 0;
    const unsigned words = static_cast<unsigned>(bit_words());
    // free_index is a hint here: no word before it has a free slot.
    unsigned word = free_index / 64u;
    for (; word < words; ++word) {
        const unsigned valid = slots - word * 64u;
        std::uint64_t free_slots = ~alloc_bits[word];
        if (valid < 64) free_slots &= base::bit_range(0, valid);
        std::uint64_t chosen = 0;
        std::uintptr_t group = base + std::size_t{word} * 64u * slot_bytes;
        while (free_slots != 0 && taken < want) {
            const unsigned bit = static_cast<unsigned>(std::countr_zero(free_slots));
            free_slots &= free_slots - 1;
            chosen |= std::uint64_t{1} << bit;
            out[taken++] = reinterpret_cast<void*>(group + bit * slot_bytes);
        }
        alloc_bits[word] |= chosen;
        if (free_slots != 0) break;
    }
    free_index = static_cast<std::uint16_t>(word * 64u < slots ? word * 64u : slots);
    alloc_count = static_cast<std::uint16_t>(alloc_count + taken);
    // the lowest address is taken first from the top
    for (unsigned low = 0, high = taken; low + 1 < high; ++low) {
        --high;
        void* swap = out[low];
        out[low] = out[high];
        out[high] = swap;
    }
    return taken;
}

Span::Returned Span::return_slot(std::uintptr_t address) {
    const std::size_t slot = slot_of(address);
    if (slot >= slots || slot_address(slot) != address) return Returned::not_a_slot;
    const std::uint64_t bit = std::uint64_t{1} << (slot % 64);
    std::uint64_t& word = alloc_bits[slot / 64];
    if ((word & bit) == 0) return Returned::already_free;
    word &= ~bit;
    --alloc_count;
    if (slot < free_index) free_index = static_cast<std::uint16_t>(slot & ~std::size_t{63});
    return Returned::ok;
}

void Span::verify() const {
    CAIRN_CHECK(is_alive());
    CAIRN_CHECK(base % base::page_bytes == 0 && pages > 0);
    CAIRN_CHECK(limit > base && limit <= end());
    if (is_large()) {
        CAIRN_CHECK(kind == ObjectKind::manual || slots == 1);
        return;
    }
    CAIRN_CHECK(slots > 0 && slots * slot_bytes <= bytes());
    CAIRN_CHECK(alloc_count <= slots && free_index <= slots);
    if (kind == ObjectKind::explicit_free) {
        unsigned set = 0;
        for (std::size_t word = 0; word < bit_words(); ++word)
            set += static_cast<unsigned>(std::popcount(alloc_bits[word]));
        CAIRN_CHECK(set == alloc_count);
        for (std::size_t word = 0; word < free_index / 64u; ++word) CAIRN_CHECK(~alloc_bits[word] == 0);
    }
}

}  // namespace cairn::heap
