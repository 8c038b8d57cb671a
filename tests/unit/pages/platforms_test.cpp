// Platforms: the rows of the source notes, and arena numbers of addresses at every border.
// SPDX-License-Identifier: MIT
#include "pages/platforms.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace cairn::pages {
namespace {

constexpr std::uint64_t kib = 1024;

struct RowCase {
    const char* name;
    unsigned address_bits;
    std::uint64_t arena_bytes, l1_entries, l2_entries, table_bytes;
};

constexpr RowCase row_cases[] = {
    {"linux/amd64", 48, 65536 * kib, 1, 4194304, 32768 * kib},
    {"linux/arm64", 48, 65536 * kib, 1, 4194304, 32768 * kib},
    {"windows/amd64", 48, 4096 * kib, 64, 1048576, 8192 * kib},
    {"ios/arm64", 40, 4096 * kib, 1, 262144, 2048 * kib},
    {"linux/386", 32, 4096 * kib, 1, 1024, 4 * kib},
    {"linux/mips", 31, 4096 * kib, 1, 512, 2 * kib},
    {"wasm", 32, 512 * kib, 1, 8192, 64 * kib},
};

TEST(Platforms, RowsAreThoseOfTheSourceNotes) {
    for (const RowCase& wanted : row_cases) {
        const Platform* p = find_platform(wanted.name);
        ASSERT_NE(p, nullptr) << wanted.name;
        EXPECT_EQ(p->address_bits, wanted.address_bits) << wanted.name;
        EXPECT_EQ(p->arena_bytes, wanted.arena_bytes) << wanted.name;
        EXPECT_EQ(p->l1_entries, wanted.l1_entries) << wanted.name;
        EXPECT_EQ(p->l2_entries, wanted.l2_entries) << wanted.name;
        EXPECT_EQ(p->l2_table_bytes(), wanted.table_bytes) << wanted.name;
    }
    EXPECT_EQ(find_platform("vax"), nullptr);
}

TEST(Platforms, IndexReachesTheWholeAddressSpace) {
    EXPECT_EQ(linux_amd64.reach_bytes(), std::uint64_t{256} << 40) << "4M x 64 MB = 256 TB";
    for (const Platform& p : platforms)
        EXPECT_EQ(p.reach_bytes(), std::uint64_t{1} << p.address_bits) << p.name;
}

TEST(Platforms, RecordsOfAnArenaHaveTheKnownSizes) {
    EXPECT_EQ(linux_amd64.arena_pages(), 8192U);
    EXPECT_EQ(linux_amd64.span_map_bytes(), 64 * kib);
    EXPECT_EQ(linux_amd64.class_map_bytes(), 16 * kib);
    EXPECT_EQ(linux_amd64.page_bitmap_bytes(), kib);
    EXPECT_EQ(linux_amd64.pointer_bitmap_bytes(), 2048 * kib);
    const Platform& windows = *find_platform("windows/amd64");
    EXPECT_EQ(windows.span_map_bytes(), 4 * kib);
    EXPECT_EQ(windows.page_bitmap_bytes(), 64U);
    EXPECT_EQ(windows.pointer_bitmap_bytes(), 128 * kib);
}

TEST(Platforms, ArenaNumbersAreThoseOfTheWorkedVectors) {
    EXPECT_EQ(arena_index(linux_amd64, 0xc000000000), 2109440U);
    EXPECT_EQ(arena_index(linux_amd64, 0), 1U << 21);
    EXPECT_EQ(arena_index(linux_amd64, 0x7fffffffffff), 4194303U);
    EXPECT_EQ(arena_index(linux_amd64, 0xffff800000000000), 0U);
    EXPECT_EQ(arena_index(linux_amd64, 0xffffffffffffffff), (1U << 21) - 1)
        << "the negative half comes first";
    EXPECT_EQ(arena_index(linux_amd64, 0xc000000000 + 65536 * kib - 1), 2109440U);
    EXPECT_EQ(arena_index(linux_amd64, 0xc000000000 + 65536 * kib), 2109441U);
}

TEST(Platforms, AddressesOutOfReachHaveNoArena) {
    EXPECT_EQ(arena_index(linux_amd64, 0x800000000000), std::nullopt);
    EXPECT_EQ(arena_index(linux_amd64, 0xffff7fffffffffff), std::nullopt);
    EXPECT_EQ(arena_index(*find_platform("linux/386"), std::uint64_t{1} << 32), std::nullopt);
    EXPECT_EQ(arena_index(*find_platform("linux/mips"), std::uint64_t{1} << 31), std::nullopt);
    EXPECT_EQ(arena_index(*find_platform("aix/ppc64"), 0x1000), std::nullopt);
}

TEST(Platforms, ArenaNumbersSplitAndJoinWithoutLoss) {
    for (const Platform& p : platforms)
        for (const std::uint64_t arena :
             {std::uint64_t{0}, std::uint64_t{1}, p.l2_entries - 1, p.l1_entries * p.l2_entries - 1}) {
            EXPECT_EQ(l1_index(p, arena) * p.l2_entries + l2_index(p, arena), arena) << p.name;
            EXPECT_LT(l1_index(p, arena), p.l1_entries) << p.name;
            EXPECT_EQ(arena_index(p, arena_base(p, arena)), arena) << p.name;
        }
}

TEST(Platforms, LinearPlanAndRadixLevelsAreThoseOfTheSourceNotes) {
    EXPECT_EQ(linear_plan.arena_bytes(), std::uint64_t{512} << 30);
    EXPECT_EQ(linear_plan.span_map_bytes(), std::uint64_t{512} << 20);
    EXPECT_EQ(linear_plan.bitmap_bytes(), std::uint64_t{16} << 30);
    std::uint64_t reserved = 0;
    for (const RadixLevel& level : radix_levels) reserved += level.reserved_bytes;
    EXPECT_EQ(reserved, (128 + 1024 + 8 * 1024 + 64 * 1024 + 512 * 1024) * kib);
}

}  // namespace
}  // namespace cairn::pages
