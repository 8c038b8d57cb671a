// The picture of an address space: cells over what objects touched, told from memory that is only held.
// SPDX-License-Identifier: MIT
#include "replay/address_map.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace cairn::replay {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t mib = 1024 * 1024;

class AddressMapTest : public testing::Test {
protected:
    ~AddressMapTest() override {
        if (memory_ != nullptr) munmap(memory_, bytes_);
    }
    // Fresh addresses, of which nothing is memory yet.
    char* reserve(std::size_t bytes) {
        bytes_ = bytes;
        memory_ =
            mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        madvise(memory_, bytes, MADV_NOHUGEPAGE);
        return static_cast<char*>(memory_);
    }
    // A frame with these objects, every page of them written.
    void frame(std::initializer_list<Object> objects) {
        MappedArray<Object> table;
        std::uint64_t sum = 0;
        for (const Object& object : objects) {
            std::memset(object.at, 1, object.bytes);
            table.push_back(object);
            sum += object.bytes;
        }
        map_.add_frame(table, sum);
        ++outcome_->frames;
    }

    std::unique_ptr<Outcome> outcome_ = std::make_unique<Outcome>();
    AddressMap map_{*outcome_};
    void* memory_ = nullptr;
    std::size_t bytes_ = 0;
};

TEST_F(AddressMapTest, CellsSayHowFullTheyAre) {
    char* start = reserve(16 * page);
    frame({{start, page}, {start + page, page / 2}, {start + 3 * page, 16}});
    map_.finish();
    ASSERT_EQ(outcome_->cells, 4u);
    EXPECT_EQ(outcome_->cell_bytes, page);
    EXPECT_EQ(outcome_->cell_address[0], reinterpret_cast<std::uint64_t>(start));
    EXPECT_EQ(outcome_->cell[0][0], cell_full);
    EXPECT_EQ(outcome_->cell[0][1], 2 + 253 / 2);
    EXPECT_EQ(outcome_->cell[0][2], cell_absent) << "nobody wrote there";
    EXPECT_EQ(outcome_->cell[0][3], 2) << "a little is not nothing";
}

TEST_F(AddressMapTest, HeldMemoryIsToldFromReturnedMemory) {
    char* start = reserve(64 * page);
    frame({{start, 8 * page}});
    madvise(start + 4 * page, 4 * page, MADV_DONTNEED);
    frame({{start, page}});
    map_.finish();
    ASSERT_EQ(outcome_->cells, 8u);
    const std::uint8_t* later = outcome_->cell[1];
    EXPECT_EQ(later[0], cell_full);
    EXPECT_EQ(later[3], cell_empty);
    EXPECT_EQ(later[4], cell_absent);
    EXPECT_EQ(outcome_->cell[0][7], cell_full) << "the first frame as it was";
}

TEST_F(AddressMapTest, FarApartRangesLeaveAGap) {
    char* start = reserve(64 * mib);
    frame({{start, page}, {start + 63 * mib, page}});
    map_.finish();
    ASSERT_EQ(outcome_->cells, 2u);
    ASSERT_EQ(outcome_->gaps, 1u);
    EXPECT_EQ(outcome_->gap[0].before_cell, 1u);
    EXPECT_EQ(outcome_->gap[0].bytes, 63 * mib - page);
}

TEST_F(AddressMapTest, LargeHeapsGetLargerCellsAndOldFramesFollow) {
    char* start = reserve(256 * mib);
    frame({{start, page}});
    frame({{start, 160 * mib}});
    map_.finish();
    EXPECT_LE(outcome_->cells, most_cells);
    EXPECT_GE(outcome_->cells * outcome_->cell_bytes, 160 * mib);
    EXPECT_EQ(outcome_->cell[1][0], cell_full);
    EXPECT_GE(outcome_->cell[0][0], 2) << "one page of a large cell";
    EXPECT_LT(outcome_->cell[0][0], cell_full);
    EXPECT_EQ(outcome_->cell[0][1], cell_absent);
}

TEST_F(AddressMapTest, ScatteredObjectsGetLargerCellsToo) {
    char* start = reserve(1024 * mib);
    MappedArray<Object> table;
    for (std::size_t i = 0; i < 40'000; ++i) table.push_back({start + i * 5 * page, 16});
    map_.add_frame(table, 40'000 * 16);
    outcome_->frames = 1;
    map_.finish();
    EXPECT_LE(outcome_->cells, most_cells);
    EXPECT_TRUE(std::all_of(outcome_->cell[0], outcome_->cell[0] + outcome_->cells,
                            [](std::uint8_t cell) { return cell >= 2; }));
}

TEST_F(AddressMapTest, NoObjectsMakeNoPicture) {
    frame({});
    map_.finish();
    EXPECT_EQ(outcome_->cells, 0u);
}

}  // namespace
}  // namespace cairn::replay
