// Size classes: the 67 slot sizes that every small request is rounded up to, computed here from their rules.
//
// A span is a run of 8 KiB pages cut into equal slots. The table balances two losses, each held to about one
// eighth: rounding (a request is smaller than its slot) by spacing the sizes closely, and chopping (slots do
// not fill the span) by giving a size more pages. Class 0 is no size: it stands for "large", above 32 KiB.
//
//   1. Sizes run from 8 to 32 KiB in steps that grow at powers of two, mostly an eighth of the size or less.
//   2. A size takes as many pages as leave at most an eighth of the span as tail.
//   3. A size that gives as many slots in as many pages as the one before replaces it.
//   4. Slots then grow into the tail, in steps of 128, where that costs no slot.
//
// A request finds its class by one load: a byte for each 8 bytes of size to 1016, for each 128 above. The
// same two tables exist again for malloc, whose slots are 16-byte aligned from 9 bytes up, so that it never
// uses the 24-byte class. A slot's number is found from its offset by one multiplication, exact everywhere.
//
// Invariants (asserted below): the table is Go's, byte for byte; every slot number is exact.
// Floor: heap, but standard headers only. Source: the rules of Go's mksizeclasses.go (BSD-3), see CREDITS.md.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/config.hpp"

namespace cairn::heap {

using base::page_bytes;
inline constexpr unsigned size_class_count = 68;       // with class 0
inline constexpr std::size_t max_small_bytes = 32768;  // above: large, whole pages
inline constexpr std::size_t tiny_bytes = 16;          // pointer-free requests below share such a block
inline constexpr std::size_t max_align8_bytes = 1016;  // up to here the tables have a byte for each 8 bytes
inline constexpr std::size_t small_step_bytes = 8;
inline constexpr std::size_t large_step_bytes = 128;
inline constexpr std::size_t max_slot_align = page_bytes;  // no more: a span starts at any page

// One row of the table. 16 bytes, so that indexing is a shift.
struct SizeClass {
    std::uint32_t object_bytes = 0;  // bytes of one slot
    std::uint32_t span_bytes = 0;    // bytes of the span that is cut up
    std::uint16_t span_pages = 0;    // the same in pages
    std::uint16_t objects = 0;       // slots in the span
    std::uint32_t magic = 0;         // ceil(2^32 / object_bytes); 0 for large: all is slot 0
};
static_assert(sizeof(SizeClass) == 16);

using SizeClassTable = std::array<SizeClass, size_class_count>;

// The step from one candidate size to the next; `step` is the one in use below `bytes`.
constexpr std::size_t candidate_step(std::size_t bytes, std::size_t step) {
    if (!std::has_single_bit(bytes)) return step;
    if (bytes >= 2048) return 256;
    if (bytes >= 128) return bytes / 8;
    if (bytes >= 32) return 16;
    return step;
}

// The fewest pages whose tail, once cut into slots of `bytes`, is at most an eighth of the span.
constexpr std::size_t pages_for_slots(std::size_t bytes) {
    std::size_t span = page_bytes;
    while (span % bytes > span / 8) span += page_bytes;
    return span / page_bytes;
}

// Applies the four rules. `count`, when asked for, receives how many classes they give.
constexpr SizeClassTable compute_size_classes(unsigned* count = nullptr) {
    SizeClassTable table{};
    unsigned used = 1;
    std::size_t step = small_step_bytes;
    for (std::size_t bytes = small_step_bytes; bytes <= max_small_bytes; bytes += step) {
        step = candidate_step(bytes, step);
        const std::size_t pages = pages_for_slots(bytes);
        const std::size_t objects = pages * page_bytes / bytes;
        const SizeClass& before = table[used - 1];
        if (before.span_pages == pages && before.objects == objects) --used;
        SizeClass& row = table[used++];
        row.object_bytes = static_cast<std::uint32_t>(bytes);
        row.span_bytes = static_cast<std::uint32_t>(pages * page_bytes);
        row.span_pages = static_cast<std::uint16_t>(pages);
        row.objects = static_cast<std::uint16_t>(objects);
    }
    for (unsigned c = 1; c < used; ++c) {
        SizeClass& row = table[c];
        const std::size_t widest = row.span_bytes / row.objects;
        const auto grown = static_cast<std::uint32_t>(widest - widest % large_step_bytes);
        if (grown > row.object_bytes) row.object_bytes = grown;
        row.magic = 0xffffffffU / row.object_bytes + 1;
    }
    if (count != nullptr) *count = used;
    return table;
}

alignas(64) inline constexpr SizeClassTable size_classes = compute_size_classes();

// ---- What a class promises and what it can lose --------------------------------------------------------

// An exact share, because percentages are for people.
struct Share {
    std::uint64_t part = 0;
    std::uint64_t whole = 1;

    constexpr double value() const { return static_cast<double>(part) / static_cast<double>(whole); }
    constexpr std::uint32_t percent_hundredths() const {
        return static_cast<std::uint32_t>((part * 10000 + whole / 2) / whole);
    }
};

// Bytes behind the last slot of the span.
constexpr std::uint32_t tail_waste(unsigned c) {
    return size_classes[c].span_bytes - size_classes[c].object_bytes * size_classes[c].objects;
}

// The smallest request that this class and no smaller one serves; 32769 for class 0.
constexpr std::uint32_t smallest_request(unsigned c) {
    return size_classes[c == 0 ? size_class_count - 1 : c - 1].object_bytes + 1;
}

// The share of a span lost when every slot holds the smallest request of the class.
constexpr Share max_waste(unsigned c) {
    if (c == 0) return {};
    const SizeClass& row = size_classes[c];
    const std::uint64_t lost_in_slot = row.object_bytes - smallest_request(c);
    return {lost_in_slot * row.objects + tail_waste(c), row.span_bytes};
}

// The alignment of every slot: the largest power of two that divides it, a page at most. Class 0: a page.
constexpr std::uint32_t min_align(unsigned c) {
    const std::uint32_t bytes = size_classes[c].object_bytes;
    const std::uint32_t align = bytes & (~bytes + 1);
    return align == 0 || align > max_slot_align ? static_cast<std::uint32_t>(max_slot_align) : align;
}

// The number of the slot that holds `offset`, counted from the span's base.
constexpr std::uint32_t object_index(unsigned c, std::uint32_t offset) {
    return static_cast<std::uint32_t>((std::uint64_t{offset} * size_classes[c].magic) >> 32);
}

// ---- From a request to its class -----------------------------------------------------------------------

inline constexpr std::size_t class8_entries = (max_align8_bytes + 8) / small_step_bytes + 1;
inline constexpr std::size_t class128_entries = (max_small_bytes - 1024) / large_step_bytes + 1;
using Class8Table = std::array<std::uint8_t, class8_entries>;
using Class128Table = std::array<std::uint8_t, class128_entries>;

// Entry i: the smallest class whose slots hold first + i * step bytes and are aligned as `align` says.
template <std::size_t Entries>
constexpr std::array<std::uint8_t, Entries> compute_lookup(std::size_t first, std::size_t step,
                                                           std::size_t align) {
    std::array<std::uint8_t, Entries> table{};
    unsigned c = 1;
    for (std::size_t i = 0; i < Entries; ++i) {
        const std::size_t bytes = first + i * step;
        const std::size_t needed_align = bytes <= small_step_bytes ? small_step_bytes : align;
        while (size_classes[c].object_bytes < bytes || min_align(c) < needed_align) ++c;
        table[i] = static_cast<std::uint8_t>(c);
    }
    return table;
}

// Go's tables. Entry 0 of class8 is never asked for by Go, which answers a request of 0 bytes elsewhere.
constexpr Class8Table compute_class8() {
    Class8Table table = compute_lookup<class8_entries>(0, small_step_bytes, small_step_bytes);
    table[0] = 0;
    return table;
}
alignas(64) inline constexpr Class8Table class8 = compute_class8();
alignas(64) inline constexpr Class128Table class128 = compute_lookup<class128_entries>(1024, large_step_bytes,
                                                                                       small_step_bytes);

// malloc's tables: to 8 bytes the 8-byte class (also for 0 bytes), above it slots aligned to 16.
inline constexpr std::size_t malloc_align = 16;
alignas(64) inline constexpr Class8Table malloc_class8 = compute_lookup<class8_entries>(0, small_step_bytes,
                                                                                        malloc_align);
alignas(64) inline constexpr Class128Table malloc_class128 =
    compute_lookup<class128_entries>(1024, large_step_bytes, malloc_align);

// Index of a request in the tables above. The border is 1016, not 1024: the last 8 bytes belong to both.
constexpr std::size_t class8_index(std::size_t bytes) {
    return (bytes + small_step_bytes - 1) / small_step_bytes;
}
constexpr std::size_t class128_index(std::size_t bytes) {
    return (bytes - 1024 + large_step_bytes - 1) / large_step_bytes;
}

// The smallest class that holds `bytes`; 0 when there is none (large), and for 0 bytes.
constexpr unsigned size_class_of(std::size_t bytes) {
    if (bytes <= max_align8_bytes) return class8[class8_index(bytes)];
    if (bytes <= max_small_bytes) return class128[class128_index(bytes)];
    return 0;
}

// The class malloc takes for `bytes`; 0 means large.
constexpr unsigned malloc_class_of(std::size_t bytes) {
    if (bytes <= max_align8_bytes) return malloc_class8[class8_index(bytes)];
    if (bytes <= max_small_bytes) return malloc_class128[class128_index(bytes)];
    return 0;
}

// The smallest class that holds `bytes` in slots aligned to `align`, a power of two; 0 when there is none.
// Cost: a walk over the table, so for requests that name an alignment, not for plain ones.
constexpr unsigned aligned_class_of(std::size_t bytes, std::size_t align) {
    if (bytes > max_small_bytes || align > max_slot_align) return 0;
    for (unsigned c = bytes == 0 ? 1 : size_class_of(bytes); c < size_class_count; ++c)
        if (min_align(c) >= align) return c;
    return 0;
}

// ---- The table is Go's ---------------------------------------------------------------------------------

struct ExpectedClass {
    std::uint32_t object_bytes, span_pages, objects, tail_waste, max_waste_hundredths, min_align;
};

// clang-format off
inline constexpr ExpectedClass expected_classes[] = {  // classes 1 to 67, read from left to right
    {8, 1, 1024, 0, 8750, 8}, {16, 1, 512, 0, 4375, 16}, {24, 1, 341, 8, 2924, 8},
    {32, 1, 256, 0, 2188, 32}, {48, 1, 170, 32, 3152, 16}, {64, 1, 128, 0, 2344, 64},
    {80, 1, 102, 32, 1907, 16}, {96, 1, 85, 32, 1595, 32}, {112, 1, 73, 16, 1356, 16},
    {128, 1, 64, 0, 1172, 128}, {144, 1, 56, 128, 1182, 16}, {160, 1, 51, 32, 973, 32},
    {176, 1, 46, 96, 959, 16}, {192, 1, 42, 128, 925, 64}, {208, 1, 39, 80, 812, 16},
    {224, 1, 36, 128, 815, 32}, {240, 1, 34, 32, 662, 16}, {256, 1, 32, 0, 586, 256},
    {288, 1, 28, 128, 1216, 32}, {320, 1, 25, 192, 1180, 64}, {352, 1, 23, 96, 988, 32},
    {384, 1, 21, 128, 951, 128}, {416, 1, 19, 288, 1071, 32}, {448, 1, 18, 128, 837, 64},
    {480, 1, 17, 32, 682, 32}, {512, 1, 16, 0, 605, 512}, {576, 1, 14, 128, 1233, 64},
    {640, 1, 12, 512, 1548, 128}, {704, 1, 11, 448, 1393, 64}, {768, 1, 10, 512, 1394, 256},
    {896, 1, 9, 128, 1552, 128}, {1024, 1, 8, 0, 1240, 1024}, {1152, 1, 7, 128, 1241, 128},
    {1280, 1, 6, 512, 1555, 256}, {1408, 2, 11, 896, 1400, 128}, {1536, 1, 5, 512, 1400, 512},
    {1792, 2, 9, 256, 1557, 256}, {2048, 1, 4, 0, 1245, 2048}, {2304, 2, 7, 256, 1246, 256},
    {2688, 1, 3, 128, 1559, 128}, {3072, 3, 8, 0, 1247, 1024}, {3200, 2, 5, 384, 622, 128},
    {3456, 3, 7, 384, 883, 128}, {4096, 1, 2, 0, 1560, 4096}, {4864, 3, 5, 256, 1665, 256},
    {5376, 2, 3, 256, 1092, 256}, {6144, 3, 4, 0, 1248, 2048}, {6528, 4, 5, 128, 623, 128},
    {6784, 5, 6, 256, 436, 128}, {6912, 6, 7, 768, 337, 256}, {8192, 1, 1, 0, 1561, 8192},
    {9472, 7, 6, 512, 1428, 256}, {9728, 6, 5, 512, 364, 512}, {10240, 5, 4, 0, 499, 2048},
    {10880, 4, 3, 128, 624, 128}, {12288, 3, 2, 0, 1145, 4096}, {13568, 5, 3, 256, 999, 256},
    {14336, 7, 4, 0, 535, 2048}, {16384, 2, 1, 0, 1249, 8192}, {18432, 9, 4, 0, 1111, 2048},
    {19072, 7, 3, 128, 357, 128}, {20480, 5, 2, 0, 687, 4096}, {21760, 8, 3, 256, 625, 256},
    {24576, 3, 1, 0, 1145, 8192}, {27264, 10, 3, 128, 1000, 128}, {28672, 7, 2, 0, 491, 4096},
    {32768, 4, 1, 0, 1250, 8192},
};
// clang-format on

constexpr bool table_is_as_expected() {
    unsigned count = 0;
    compute_size_classes(&count);
    if (count != size_class_count || std::size(expected_classes) + 1 != size_class_count) return false;
    for (unsigned c = 1; c < size_class_count; ++c) {
        const ExpectedClass& want = expected_classes[c - 1];
        const SizeClass& have = size_classes[c];
        if (have.object_bytes != want.object_bytes || have.span_pages != want.span_pages) return false;
        if (have.objects != want.objects || tail_waste(c) != want.tail_waste) return false;
        if (max_waste(c).percent_hundredths() != want.max_waste_hundredths) return false;
        if (min_align(c) != want.min_align) return false;
    }
    return true;
}
static_assert(table_is_as_expected());

// The product rises with the offset, so the multiplication is right everywhere once it is right at both ends
// of every slot and at the end of the tail. (The unit test tries every offset all the same.)
constexpr bool magic_is_exact() {
    for (unsigned c = 1; c < size_class_count; ++c) {
        const SizeClass& row = size_classes[c];
        for (std::uint32_t i = 0; i < row.objects; ++i) {
            const std::uint32_t first = i * row.object_bytes;
            const std::uint32_t last = first + row.object_bytes - 1;
            if (object_index(c, first) != i || object_index(c, last) != i) return false;
        }
        if (object_index(c, row.span_bytes) != row.span_bytes / row.object_bytes) return false;
    }
    return true;
}
static_assert(magic_is_exact());

}  // namespace cairn::heap
