// What the parts of the marker share, to be inlined into each.
// SPDX-License-Identifier: MIT
#pragma once

#include "gc/marker.hpp"

namespace cairn::gc {

// The program may be writing it, and parked threads their own frames: by design no business of a sanitizer's.
[[gnu::no_sanitize("thread", "address")]] inline std::uintptr_t load_word(std::uintptr_t address) {
    return __atomic_load_n(reinterpret_cast<const std::uintptr_t*>(address), __ATOMIC_RELAXED);
}

// Starts the miss for the bits of a word within bounds. Needs: room in the ring.
[[gnu::always_inline]] inline void Marker::feed(std::uintptr_t word) {
    __builtin_prefetch(&space_.objects->pair(word));
    ring_[tail_++ % ring_size] = word;
}

[[gnu::always_inline]] inline void Marker::keep(std::uintptr_t word) {
    if (buffer_ != nullptr && !buffer_->is_full()) [[likely]] buffer_->words[buffer_->count++] = word;
    else (void)keep_slow(word);
}

[[gnu::always_inline]] inline void Marker::push_inside(std::uintptr_t word) {
    if (tail_ - head_ < ring_size) feed(word);
    else keep(word);
}

// resolve(), with the tables in the caller's registers.
[[gnu::always_inline]] inline Slot Marker::locate(const MarkSpace& space, const pages::ObjectMap::View& map,
                                                  const heap::Shape* shapes, std::uintptr_t word) {
    const std::uint32_t entry = map.entry(word);
    if (entry == 0) return {};
    const std::uint32_t id = pages::object_entry_shape(entry);
    const std::uint32_t page = entry & pages::object_entry_page_mask;
    if (page == pages::object_entry_large) [[unlikely]] return resolve_large(space, word, id);
    const std::uint64_t offset = page << base::page_shift | (word & (base::page_bytes - 1));
    return {word - offset + (offset * shapes[id].magic >> 32) * shapes[id].slot_bytes, id};
}

}  // namespace cairn::gc
