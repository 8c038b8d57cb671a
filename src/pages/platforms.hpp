// Platforms: how each system's address space is cut into arenas and indexed, as constants.
//
// The index answers "which arena holds this address" in two steps, L1 then L2, one pointer an entry:
//
//     address - base_offset  =  [ L1 bits | L2 bits | offset in the arena ]
//
// Its reach is a range of addresses, not memory: an L2 table is demand-zero memory from the OS, and only the
// OS pages whose entries were written cost anything. L1 is static storage, so it is small or a single entry.
//
// Invariant (asserted for every row): 2^address_bits = arena_bytes x l1_entries x l2_entries.
// Floor: pages; standard headers only. Source: the platform constants of Go's runtime malloc.go (BSD-3).
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace cairn::pages {

// On amd64 the upper half of the space is sign-extended; this offset makes both halves one run of indexes.
inline constexpr std::uint64_t amd64_base_offset = 0xffff'8000'0000'0000;
inline constexpr std::uint64_t aix_base_offset = 0x0a00'0000'0000'0000;

inline constexpr std::uint64_t platform_page_bytes = 8192;  // the allocator's page, the same everywhere

struct Platform {
    std::string_view name;          // what `--platform` takes
    unsigned address_bits = 0;      // width of an address the index can tell apart
    std::uint64_t arena_bytes = 0;  // what one entry describes
    std::uint64_t l1_entries = 0;   // entries of the static table
    std::uint64_t l2_entries = 0;   // entries of each table the OS provides
    unsigned pointer_bytes = 0;     // bytes of an entry
    std::uint64_t base_offset = 0;  // subtracted from an address first, modulo 2^64
    std::string_view note;          // where the row applies

    constexpr std::uint64_t l2_table_bytes() const { return l2_entries * pointer_bytes; }
    constexpr std::uint64_t arena_pages() const { return arena_bytes / platform_page_bytes; }

    // Parts of the record of one arena: page -> span; page -> size class, which is Cairn's own, for free();
    // a bit a page, three times (in use, marks, specials); and what Go had there to 1.19, two bits a word.
    constexpr std::uint64_t span_map_bytes() const { return arena_pages() * pointer_bytes; }
    constexpr std::uint64_t class_map_bytes() const { return arena_pages() * 2; }
    constexpr std::uint64_t page_bitmap_bytes() const { return arena_pages() / 8; }
    constexpr std::uint64_t pointer_bitmap_bytes() const { return arena_bytes / pointer_bytes * 2 / 8; }

    constexpr std::uint64_t reach_bytes() const { return arena_bytes * l1_entries * l2_entries; }
};

inline constexpr std::uint64_t one_mib = std::uint64_t{1} << 20;

inline constexpr std::array platforms{
    Platform{"linux/amd64", 48, 64 * one_mib, 1, 4194304, 8, amd64_base_offset,
             "any 64-bit x86 system but Windows; the row Cairn runs by"},
    Platform{"linux/arm64", 48, 64 * one_mib, 1, 4194304, 8, 0, "any other 64-bit system but Windows"},
    Platform{"windows/amd64", 48, 4 * one_mib, 64, 1048576, 8, amd64_base_offset,
             "reserved page tables count against the process, so arenas and L2 tables are small"},
    Platform{"windows/arm64", 48, 4 * one_mib, 64, 1048576, 8, 0, "as windows/amd64, without the offset"},
    Platform{"aix/ppc64", 48, 64 * one_mib, 1, 4194304, 8, aix_base_offset, "mappings start at 0x0a00..."},
    Platform{"ios/arm64", 40, 4 * one_mib, 1, 262144, 8, 0, "the system gives a process only this range"},
    Platform{"linux/386", 32, 4 * one_mib, 1, 1024, 4, 0, "any 32-bit system but MIPS"},
    Platform{"linux/mips", 31, 4 * one_mib, 1, 512, 4, 0, "also mipsle: half of the 32-bit space"},
    Platform{"wasm", 32, one_mib / 2, 1, 8192, 8, 0, "64-bit pointers over a 32-bit memory"},
};

constexpr bool platforms_cover_their_space() {
    for (const Platform& p : platforms)
        if (p.reach_bytes() != std::uint64_t{1} << p.address_bits) return false;
    return true;
}
static_assert(platforms_cover_their_space());

// The row called `name`, or nullptr.
constexpr const Platform* find_platform(std::string_view name) {
    for (const Platform& p : platforms)
        if (p.name == name) return &p;
    return nullptr;
}

// The row Cairn itself runs by.
inline constexpr const Platform& linux_amd64 = platforms[0];

// Number of the arena that holds `address`; none when the index cannot describe that address.
constexpr std::optional<std::uint64_t> arena_index(const Platform& p, std::uint64_t address) {
    const std::uint64_t index = (address - p.base_offset) / p.arena_bytes;
    if (index >= p.l1_entries * p.l2_entries) return std::nullopt;
    return index;
}

// An arena number split into its two steps.
constexpr std::uint64_t l1_index(const Platform& p, std::uint64_t arena) {
    return arena / p.l2_entries;
}
constexpr std::uint64_t l2_index(const Platform& p, std::uint64_t arena) {
    return arena % p.l2_entries;
}

// First address of arena number `arena`: the inverse of arena_index.
constexpr std::uint64_t arena_base(const Platform& p, std::uint64_t arena) {
    return arena * p.arena_bytes + p.base_offset;
}

static_assert(arena_index(linux_amd64, 0xc0'0000'0000) == 2'109'440);
static_assert(arena_index(linux_amd64, 0) == std::uint64_t{1} << 21);
static_assert(linux_amd64.l2_table_bytes() == 32 * one_mib);

// ---- the classic layout, one reservation ---------------------------------------------------------------

// Everything follows from the bits of the arena: a pointer for each page, and two bits for each word.
struct LinearPlan {
    unsigned arena_bits = 39;

    constexpr std::uint64_t arena_bytes() const { return std::uint64_t{1} << arena_bits; }
    constexpr std::uint64_t span_map_bytes() const { return arena_bytes() / platform_page_bytes * 8; }
    constexpr std::uint64_t bitmap_bytes() const { return arena_bytes() / 8 * 2 / 8; }
    constexpr std::uint64_t total_bytes() const { return span_map_bytes() + bitmap_bytes() + arena_bytes(); }
};
inline constexpr LinearPlan linear_plan{};
static_assert(linear_plan.span_map_bytes() == 512 * one_mib);
static_assert(linear_plan.bitmap_bytes() == 16 * 1024 * one_mib);
static_assert(linear_plan.arena_bytes() == 512 * 1024 * one_mib);

// ---- the page allocator's summaries over 48 bits -------------------------------------------------------

struct RadixLevel {
    unsigned bits;                 // index bits this level adds
    std::uint64_t entries;         // summaries at this level
    std::uint64_t region_bytes;    // what one summary describes
    std::uint64_t reserved_bytes;  // address space of the level, 8 bytes a summary
};

constexpr std::array<RadixLevel, 5> compute_radix_levels() {
    std::array<RadixLevel, 5> levels{};
    constexpr unsigned level_bits[] = {14, 3, 3, 3, 3};
    unsigned bits = 0;
    for (unsigned i = 0; i < levels.size(); ++i) {
        bits += level_bits[i];
        const std::uint64_t entries = std::uint64_t{1} << bits;
        levels[i] = {level_bits[i], entries, (std::uint64_t{1} << 48) / entries, entries * 8};
    }
    return levels;
}
inline constexpr std::array<RadixLevel, 5> radix_levels = compute_radix_levels();
static_assert(radix_levels[0].region_bytes == 16 * 1024 * one_mib);
static_assert(radix_levels[4].region_bytes == 4 * one_mib);
static_assert(radix_levels[4].entries == 67'108'864 && radix_levels[4].reserved_bytes == 512 * one_mib);

}  // namespace cairn::pages
