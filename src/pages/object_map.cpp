// Opening the window, describing arenas, and bits of whole runs.
// SPDX-License-Identifier: MIT
#include "pages/object_map.hpp"

#include "base/bits.hpp"
#include "base/check.hpp"
#include "pages/arena_layout.hpp"

namespace cairn::pages {

static_assert(arena_shift == 26, "bounds_ counts arenas");

namespace {

// Windows tried, largest first: all of user space, then ever smaller ones around the first arena.
constexpr unsigned full_window_bits = 47;
constexpr unsigned window_ladder[] = {40, 38, 36, 34, 32, 30};

constexpr std::uintptr_t entry_table_bytes(std::uintptr_t window) {
    return (window >> base::page_shift) * sizeof(std::uint16_t);
}
constexpr std::uintptr_t pair_table_bytes(std::uintptr_t window) {
    return (window >> pair_shift) * sizeof(BitPair);
}
constexpr std::uintptr_t flag_table_bytes(std::uintptr_t window) {
    return base::align_up((window >> arena_shift) + 1, std::uintptr_t{1} << 16);
}

constexpr std::size_t arena_entry_bytes = entry_table_bytes(arena_bytes);
constexpr std::size_t arena_pair_bytes = pair_table_bytes(arena_bytes);

}  // namespace

bool ObjectMap::try_window(std::uintptr_t base, std::uintptr_t bytes) {
    const std::uintptr_t entry_bytes = entry_table_bytes(bytes) + flag_table_bytes(bytes);
    const std::uintptr_t pair_bytes = pair_table_bytes(bytes);
    // A quarter of what the process may have at most: the heap needs the rest.
    if (entry_bytes + pair_bytes > os::address_space_limit() / 4) return false;
    void* tables = os::reserve(nullptr, entry_bytes + pair_bytes);
    if (tables == nullptr) return false;
    // All entries can be read at once: a stray word between two arenas asks for one that was never written.
    if (!os::map_sparse(tables, entry_bytes, reserved_)) {
        os::release(tables, entry_bytes + pair_bytes);
        return false;
    }
    entries_ = static_cast<std::atomic<std::uint16_t>*>(tables);
    described_ = reinterpret_cast<std::atomic<std::uint8_t>*>(static_cast<char*>(tables) +
                                                              entry_table_bytes(bytes));
    pairs_ = reinterpret_cast<BitPair*>(static_cast<char*>(tables) + entry_bytes);
    window_base_ = base;
    window_bytes_.store(bytes, std::memory_order_release);  // release: publishes the tables
    return true;
}

bool ObjectMap::open_window(std::uintptr_t base) {
    if (window_bytes() != 0 || try_window(0, std::uintptr_t{1} << full_window_bits)) return true;
    const std::uintptr_t first = base::align_down(base, arena_bytes);
    for (const unsigned bits : window_ladder) {
        const std::uintptr_t bytes = std::uintptr_t{1} << bits;
        // A heap grows upwards from its first arena, and where that is refused downwards: some room below.
        const std::uintptr_t below = first < bytes / 4 ? first : bytes / 4;
        if (try_window(base::align_down(first - below, arena_bytes), bytes)) return true;
    }
    return false;
}

bool ObjectMap::describe(std::uintptr_t arena) {
    if (arena - window_base_ >= window_bytes()) return false;
    std::atomic<std::uint8_t>& flag = described_[(arena - window_base_) >> arena_shift];
    if (flag.load(std::memory_order_relaxed) != 0) return true;  // relaxed: under the heap lock
    BitPair* bits = &pair(arena);
    if (!os::map(bits, arena_pair_bytes, ready_)) return false;
    os::used(bits, arena_pair_bytes, arena_pair_bytes);
    ready_.add(arena_entry_bytes);
    flag.store(1, std::memory_order_release);  // release: the arena's tables are accessible
    return true;
}

bool ObjectMap::is_prepared(std::uintptr_t base, std::size_t bytes) const {
    const std::uintptr_t window = window_bytes();
    for (std::uintptr_t arena = base::align_down(base, arena_bytes); arena < base + bytes;
         arena += arena_bytes) {
        if (arena - window_base_ >= window) return false;
        const std::atomic<std::uint8_t>& flag = described_[(arena - window_base_) >> arena_shift];
        if (flag.load(std::memory_order_acquire) == 0) return false;  // acquire: pairs with describe()
    }
    return true;
}

void ObjectMap::widen(std::uintptr_t low, std::uintptr_t high) {
    const Bounds now = bounds();
    if (now.extent != 0) {
        if (now.low < low) low = now.low;
        if (now.low + now.extent > high) high = now.low + now.extent;
        if (low == now.low && high == now.low + now.extent) return;
    }
    // release: publishes the tables
    bounds_.store(low >> bounds_shift << 32 | (high - low) >> bounds_shift, std::memory_order_release);
}

bool ObjectMap::prepare(std::uintptr_t base, std::size_t bytes) {
    if (!open_window(base)) return false;
    const std::uintptr_t low = base::align_down(base, arena_bytes);
    const std::uintptr_t high = base::align_up(base + bytes, arena_bytes);
    for (std::uintptr_t arena = low; arena < high; arena += arena_bytes)
        if (!describe(arena)) return false;
    widen(low, high);
    return true;
}

void ObjectMap::set_entries(std::uintptr_t base, std::size_t pages, unsigned shape, bool is_large) {
    std::atomic<std::uint16_t>* first = &entries_[(base - window_base_) >> base::page_shift];
    for (std::size_t page = 0; page < pages; ++page) {
        const unsigned number = is_large ? object_entry_large : static_cast<unsigned>(page);
        // release: pairs with entry()
        first[page].store(make_object_entry(shape, number), std::memory_order_release);
    }
}

void ObjectMap::clear_entries(std::uintptr_t base, std::size_t pages) {
    std::atomic<std::uint16_t>* first = &entries_[(base - window_base_) >> base::page_shift];
    // relaxed: no marker runs while spans are freed
    for (std::size_t page = 0; page < pages; ++page) first[page].store(0, std::memory_order_relaxed);
}

namespace {

// Calls visit(pair, bits) for every word that holds bits of the run: one call a word, not one a slot.
template <class Visit>
void for_each_word(const ObjectMap& map, std::uintptr_t first, std::size_t slots, std::size_t stride,
                   Visit visit) {
    const std::size_t step = stride >> granule_shift;
    std::uintptr_t address = first;
    while (slots > 0) {
        const unsigned start = static_cast<unsigned>(address >> granule_shift & 63);
        std::uint64_t bits = 0;
        std::size_t taken = 0;
        if (step == 1) {
            taken = slots < 64 - start ? slots : 64 - start;
            bits = base::bit_range(start, static_cast<unsigned>(taken));
        } else {
            for (std::size_t at = start; at < 64 && taken < slots; at += step, ++taken)
                bits |= std::uint64_t{1} << at;
        }
        visit(map.pair(address), bits);
        address += taken * stride;
        slots -= taken;
    }
}

}  // namespace

void ObjectMap::set_run(std::uintptr_t first, std::size_t slots, std::size_t stride, bool is_marked) const {
    for_each_word(*this, first, slots, stride, [&](BitPair& both, std::uint64_t bits) {
        // relaxed: markers set other bits of the word; ours alone writes these
        if (is_marked) both.marked.fetch_or(bits, std::memory_order_relaxed);
        // release: pairs with is_allocated(): zeroing comes before. A plain read: only the owner writes.
        both.allocated.store(both.allocated.load(std::memory_order_relaxed) | bits,
                             std::memory_order_release);  // release: as above
    });
}

void ObjectMap::clear_run(std::uintptr_t first, std::size_t slots, std::size_t stride) const {
    for_each_word(*this, first, slots, stride, [&](BitPair& both, std::uint64_t bits) {
        // relaxed, all: the owner gives back what nobody was handed
        if ((both.marked.load(std::memory_order_relaxed) & bits) != 0)
            both.marked.fetch_and(~bits, std::memory_order_relaxed);  // relaxed: as above
        // relaxed: as above
        both.allocated.store(both.allocated.load(std::memory_order_relaxed) & ~bits,
                             std::memory_order_relaxed);  // relaxed: nobody was handed them
    });
}

void ObjectMap::mark_run(std::uintptr_t first, std::size_t slots, std::size_t stride) const {
    for_each_word(*this, first, slots, stride, [&](BitPair& both, std::uint64_t bits) {
        both.marked.fetch_or(bits, std::memory_order_relaxed);  // relaxed: as set_run()
    });
}

void ObjectMap::clear_marks() const {
    const Bounds all = bounds();
    for (std::uintptr_t arena = all.low; all.holds(arena); arena += arena_bytes) {
        if (!is_prepared(arena, arena_bytes)) continue;
        for (std::uintptr_t page = arena; page < arena + arena_bytes; page += base::page_bytes) {
            if (entry(page) == 0) continue;
            for (std::size_t i = 0; i < pairs_per_page; ++i) {
                BitPair& both = pairs_[((page - window_base_) >> pair_shift) + i];
                // relaxed, both: no marker runs, and starting one synchronises
                if (both.marked.load(std::memory_order_relaxed) == 0) continue;
                both.marked.store(0, std::memory_order_relaxed);  // relaxed: as above
            }
        }
    }
}

void ObjectMap::unmark_run(std::uintptr_t first, std::size_t slots, std::size_t stride) const {
    for_each_word(*this, first, slots, stride, [&](BitPair& both, std::uint64_t bits) {
        // relaxed, both: no marker runs, and starting one synchronises
        if ((both.marked.load(std::memory_order_relaxed) & bits) != 0)
            both.marked.fetch_and(~bits, std::memory_order_relaxed);  // relaxed: as above
    });
}

}  // namespace cairn::pages
