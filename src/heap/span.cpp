// Slot search in a span, and its self-check.
// SPDX-License-Identifier: MIT
#include "heap/span.hpp"

#include <bit>
#include <cstring>

#include "base/bits.hpp"

namespace cairn::heap {

namespace {

// Bits at which slots start, in any word of a span whose slots divide a KiB; 0: they do not.
constexpr std::uint64_t starts_of(std::size_t slot_bytes) {
    const std::size_t step = slot_bytes >> pages::granule_shift;
    if ((slot_bytes & (slot_bytes - 1)) != 0 || step > 64) return 0;
    return step == 64 ? 1 : ~std::uint64_t{0} / ((std::uint64_t{1} << step) - 1);
}

// First slot at or after `slot` whose allocated bit is clear; `slots` when there is none.
std::size_t next_free(const Span& span, const pages::ObjectMap& objects, std::size_t slot) {
    const std::uint64_t starts = starts_of(span.slot_bytes);
    if (starts == 0 || slot >= span.slots) {
        while (slot < span.slots && objects.is_allocated(span.slot_address(slot))) ++slot;
        return slot;
    }
    std::uintptr_t address = span.slot_address(slot);
    std::uint64_t from = starts & ~std::uint64_t{0} << (address >> pages::granule_shift & 63);
    address = base::align_down(address, std::uintptr_t{1} << pages::pair_shift);
    for (; address < span.limit; address += std::uintptr_t{1} << pages::pair_shift, from = starts) {
        // relaxed: the owner's own bits
        const std::uint64_t word = from & ~objects.pair(address).allocated.load(std::memory_order_relaxed);
        if (word == 0) continue;
        address += static_cast<std::uintptr_t>(std::countr_zero(word)) << pages::granule_shift;
        return address >= span.limit ? span.slots : span.slot_of(address);
    }
    return span.slots;
}

// First slot at or after `slot` whose allocated bit is set; `slots` when there is none. Reads a word at a
// time: bits are set at starts of slots only.
std::size_t next_allocated(const Span& span, const pages::ObjectMap& objects, std::size_t slot) {
    if (slot >= span.slots) return span.slots;
    std::uintptr_t address = span.slot_address(slot);
    // relaxed: the owner's own bits
    std::uint64_t word = objects.pair(address).allocated.load(std::memory_order_relaxed);
    word &= ~std::uint64_t{0} << (address >> pages::granule_shift & 63);
    const std::uintptr_t end = span.limit;
    address = base::align_down(address, std::uintptr_t{1} << pages::pair_shift);
    while (word == 0) {
        address += std::uintptr_t{1} << pages::pair_shift;
        if (address >= end) return span.slots;
        word = objects.pair(address).allocated.load(std::memory_order_relaxed);  // relaxed: the owner's own
    }
    address += static_cast<std::uintptr_t>(std::countr_zero(word)) << pages::granule_shift;
    return address >= end ? span.slots : span.slot_of(address);
}

}  // namespace

Span::Run Span::take_run(const pages::ObjectMap& objects, std::size_t max_slots, bool is_black,
                         bool must_zero) {
    const std::size_t first = next_free(*this, objects, free_index);
    if (first == slots) {
        free_index = slots;
        return {};
    }
    std::size_t end = next_allocated(*this, objects, first);
    if (end - first > max_slots) end = first + max_slots;
    const Run run{slot_address(first), end - first};
    if (must_zero) std::memset(reinterpret_cast<void*>(run.base), 0, run.slots * slot_bytes);
    objects.set_run(run.base, run.slots, slot_bytes, is_black);
    free_index = static_cast<std::uint16_t>(end);
    alloc_count = static_cast<std::uint16_t>(alloc_count + run.slots);
    return run;
}

void Span::return_rest(const pages::ObjectMap& objects, std::uintptr_t first, std::size_t count) {
    const std::size_t slot = slot_of(first);
    objects.clear_run(first, count, slot_bytes);
    if (slot < free_index) free_index = static_cast<std::uint16_t>(slot);
    alloc_count = static_cast<std::uint16_t>(alloc_count - count);
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
