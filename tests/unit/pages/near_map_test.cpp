// The near map: entries as free() reads them, in reach and out of it, as a copy and as a view.
// SPDX-License-Identifier: MIT
#include "pages/near_map.hpp"

#include <gtest/gtest.h>

#include "pages/address_space.hpp"
#include "pages/metadata.hpp"

namespace cairn::pages {
namespace {

constexpr std::uintptr_t first = 0xc0'0000'0000;

TEST(NearMap, EntriesCarryClassAndPage) {
    for (unsigned c = 1; c < 68; ++c) {
        for (std::size_t page = 0; page < 10; ++page) {
            const std::uint16_t entry = make_entry(c, page);
            ASSERT_NE(entry, 0);
            ASSERT_EQ(entry_class(entry), c);
            const std::uintptr_t address = 0x12345 * base::page_bytes + 4711;
            ASSERT_EQ(entry_offset(entry, address), page * base::page_bytes + 4711);
        }
    }
}

TEST(NearMap, IsEmptyBeforeItStarts) {
    NearMap map;
    for (const std::uintptr_t address : {std::uintptr_t{0}, first, ~std::uintptr_t{0}})
        EXPECT_EQ(map.entry(address), 0);
    map.set(first, make_entry(1, 0));  // nothing to write to
    EXPECT_EQ(map.entry(first), 0);
}

TEST(NearMap, ReachesItsPagesAndNoOthers) {
    NearMap map;
    map.start(first);
    const std::uintptr_t last = first + (NearMap::pages - 1) * base::page_bytes;
    const std::uintptr_t beyond = last + base::page_bytes;
    for (const std::uintptr_t address : {first, last, beyond, first - base::page_bytes})
        map.set(address, make_entry(67, 9));
    EXPECT_EQ(map.entry(first + 17), make_entry(67, 9));
    EXPECT_EQ(map.entry(last + base::page_bytes - 1), make_entry(67, 9));
    EXPECT_EQ(map.entry(beyond), 0);
    EXPECT_EQ(map.entry(first - 1), 0);
    EXPECT_EQ(map.entry(0), 0);
    EXPECT_EQ(map.entry(~std::uintptr_t{0}), 0);
    map.start(first + 1);  // only the first start counts
    EXPECT_EQ(map.entry(first), make_entry(67, 9));
    EXPECT_EQ(map.index_bytes(), NearMap::pages * 2);
    EXPECT_LT(map.touched_bytes(std::uint64_t{64} << 20), 64u << 10);
}

TEST(NearMap, AViewIsNotWrittenTwice) {
    static std::atomic<std::uint16_t> entries[4];
    NearMap map;
    map.view(entries, first, 4);
    map.set(first, make_entry(5, 0));
    EXPECT_EQ(entries[0].load(std::memory_order_relaxed), 0);  // relaxed: one thread
    entries[3].store(make_entry(5, 3), std::memory_order_relaxed);  // relaxed: one thread
    EXPECT_EQ(map.entry(first + 3 * base::page_bytes), make_entry(5, 3));
    EXPECT_EQ(map.entry(first + 4 * base::page_bytes), 0);
}

TEST(NearMap, AgreesWithTheRecordsOfBothLayouts) {
    for (const LayoutModel model : {LayoutModel::sparse, LayoutModel::linear}) {
        Metadata metadata;
        AddressSpace space;
        if (!space.initialize(model, metadata)) continue;
        AddressSpace::Grown leftover;
        const AddressSpace::Grown grown = space.grow(512, leftover);
        ASSERT_NE(grown.bytes, 0u);
        space.set_entries(grown.base, 10, 66);
        for (std::size_t page = 0; page < 12; ++page) {
            const std::uintptr_t at = grown.base + page * base::page_bytes + 5;
            EXPECT_EQ(space.near_entry(at), space.page_entry(at)) << page;
        }
        space.set_entries(grown.base, 10, 0);
        EXPECT_EQ(space.near_entry(grown.base), 0);
    }
}

}  // namespace
}  // namespace cairn::pages
