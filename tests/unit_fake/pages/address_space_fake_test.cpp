// The address space over a hostile system: neighbours in the way, and every call refused once or for ever.
// SPDX-License-Identifier: MIT
#include "pages/address_space.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "base/bits.hpp"
#include "os/fake.hpp"

namespace cairn::pages {
namespace {

using os::fake::Move;
using os::fake::State;

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t page = base::page_bytes;
constexpr std::uintptr_t first_hint = 0xc0'0000'0000;

void* pointer(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

class AddressSpaceFake : public testing::Test {
protected:
    void SetUp() override {
        os::fake::reset();
        if (base::sanitized_build) GTEST_SKIP() << "no places are asked for under sanitizers";
    }

    // Grows and checks what every growth promises.
    AddressSpace::Grown grow(std::size_t pages) {
        const std::uint64_t before = space_.heap_stat().value();
        AddressSpace::Grown grown = space_.grow(pages, leftover_);
        for (const AddressSpace::Grown& run : {grown, leftover_}) {
            if (run.bytes == 0) continue;
            EXPECT_TRUE(base::is_aligned(run.base, base::chunk_bytes));
            EXPECT_TRUE(base::is_aligned(run.bytes, base::chunk_bytes));
            EXPECT_TRUE(os::fake::is_all(pointer(run.base), run.bytes, State::prepared));
            space_.set_span(run.base, run.bytes / page, nullptr);  // described, or this dies
        }
        if (grown.bytes == 0) EXPECT_EQ(leftover_.bytes, 0u);
        else EXPECT_GE(grown.bytes, pages * page);
        EXPECT_EQ(space_.heap_stat().value(), before + grown.bytes + leftover_.bytes);
        EXPECT_EQ(os::fake::bytes_in(State::prepared), space_.heap_stat().value());
        return grown;
    }
    void make(LayoutModel model = LayoutModel::sparse) {
        ASSERT_TRUE(space_.initialize(model, metadata_)) << space_.failure_text();
    }
    static void stop_refusing() {
        for (const Move move : {Move::alloc, Move::reserve, Move::map, Move::any}) os::fake::fail(move, 0, 0);
    }

    Metadata metadata_;
    AddressSpace space_;
    AddressSpace::Grown leftover_;
};

// ---- start ------------------------------------------------------------------------------------------------

TEST_F(AddressSpaceFake, SparseMakesDoWithASmallIndex) {
    os::fake::fail(Move::alloc, 1);
    make();
    EXPECT_EQ(space_.index_bytes(), mib / 2);
    EXPECT_EQ(grow(1).base, first_hint);
    EXPECT_EQ(space_.span_of(std::uintptr_t{1} << 42), nullptr);
    EXPECT_EQ(space_.span_of(0x7fff'ffff'ffff), nullptr);
}

TEST_F(AddressSpaceFake, SparseWithoutAnIndexFailsAndKeepsNothing) {
    os::fake::fail(Move::alloc, 1, 2);
    EXPECT_FALSE(space_.initialize(LayoutModel::sparse, metadata_));
    EXPECT_FALSE(space_.failure_text().empty());
    EXPECT_EQ(os::mapped_ready(), 0u);
    EXPECT_EQ(space_.span_of(first_hint), nullptr);
    make();
    EXPECT_TRUE(space_.failure_text().empty());
    EXPECT_EQ(grow(1).base, first_hint);
}

TEST_F(AddressSpaceFake, LinearFailsAndKeepsNothingWhenRefused) {
    os::fake::fail(Move::reserve, 1, os::fake::for_ever);
    EXPECT_FALSE(space_.initialize(LayoutModel::linear, metadata_));
    EXPECT_NE(space_.failure_text().find("refuses"), std::string_view::npos);
    EXPECT_EQ(os::fake::bytes_in(State::reserved), 0u);
    EXPECT_EQ(space_.reserved_bytes(), 0u);
    stop_refusing();
    make(LayoutModel::sparse);
    EXPECT_EQ(grow(1).base, first_hint);
}

// ---- neighbours -------------------------------------------------------------------------------------------

// The case for sparse arenas: something of another's sits inside the classic range, everywhere it might lie.
TEST_F(AddressSpaceFake, SparseGoesOnWhereLinearCannot) {
    for (const bool is_refused : {false, true}) {
        os::fake::reset();
        os::fake::refuse_hints_into_foreign(is_refused);
        for (std::uintptr_t i = 0; i < 128; ++i) os::fake::occupy(pointer((i << 40) + first_hint), 4096);
        Metadata metadata;
        AddressSpace linear;
        EXPECT_FALSE(linear.initialize(LayoutModel::linear, metadata));
        EXPECT_NE(linear.failure_text().find("linear layout: "), std::string_view::npos);
        EXPECT_EQ(os::fake::bytes_in(State::reserved), 0u);
        AddressSpace sparse;
        ASSERT_TRUE(sparse.initialize(LayoutModel::sparse, metadata));
        AddressSpace::Grown leftover;
        const AddressSpace::Grown grown = sparse.grow(3 * arena_pages, leftover);
        EXPECT_EQ(grown.bytes, 3 * arena_bytes);
        EXPECT_TRUE(os::fake::is_all(pointer(grown.base), grown.bytes, State::prepared));
    }
}

TEST_F(AddressSpaceFake, BothTakeTheNextPlaceWhenOneIsTaken) {
    os::fake::occupy(pointer(first_hint + 8 * mib), mib);
    make();
    EXPECT_EQ(grow(1).base, first_hint + (std::uintptr_t{1} << 40));
    AddressSpace linear;
    ASSERT_TRUE(linear.initialize(LayoutModel::linear, metadata_));
    AddressSpace::Grown leftover;
    // The second place holds the sparse arena by now.
    const std::uintptr_t third_hint = (std::uintptr_t{2} << 40) + first_hint;
    EXPECT_EQ(linear.grow(1, leftover).base, third_hint + (16 * 1024 + 512) * mib);
}

TEST_F(AddressSpaceFake, ARefusedPlaceIsNotARefusedSize) {
    make();
    os::fake::fail(Move::reserve, 1);
    const AddressSpace::Grown elsewhere = grow(1);
    EXPECT_EQ(elsewhere.bytes, base::chunk_bytes);
    EXPECT_EQ(space_.reserved_bytes(), arena_bytes);
    EXPECT_NE(elsewhere.base, first_hint);
    EXPECT_EQ(grow(arena_pages).base, first_hint + (std::uintptr_t{1} << 40)) << "the next place";
}

TEST_F(AddressSpaceFake, HandsOutTheRestOfARangeThatCannotGrow) {
    make();
    EXPECT_EQ(grow(1).base, first_hint);
    os::fake::occupy(pointer(first_hint + arena_bytes), 4096);
    const AddressSpace::Grown far = grow(arena_pages);
    EXPECT_EQ(far.base, first_hint + (std::uintptr_t{1} << 40));
    EXPECT_EQ(leftover_.base, first_hint + base::chunk_bytes);
    EXPECT_EQ(leftover_.bytes, arena_bytes - base::chunk_bytes);
    EXPECT_EQ(space_.arenas(), 2u);
    EXPECT_EQ(grow(1).base, far.base + arena_bytes);
}

TEST_F(AddressSpaceFake, GivesUpTheRestWhenItCannotBeMapped) {
    make();
    (void)grow(1);
    os::fake::occupy(pointer(first_hint + arena_bytes), 4096);
    os::fake::fail(Move::map, 2);
    EXPECT_EQ(grow(arena_pages).bytes, arena_bytes);
    EXPECT_EQ(leftover_.bytes, 0u);
    EXPECT_EQ(os::fake::state_of(pointer(first_hint + base::chunk_bytes)), State::none);
    EXPECT_EQ(space_.reserved_bytes(), arena_bytes + base::chunk_bytes);
    EXPECT_EQ(space_.span_of(first_hint + base::chunk_bytes), nullptr);
}

TEST_F(AddressSpaceFake, FollowsARunGrantedAnywhereUpwardsThenDownwards) {
    os::fake::refuse_hints_into_foreign(true);
    for (std::uintptr_t i = 0; i < 128; ++i) os::fake::occupy(pointer((i << 40) + first_hint), 4096);
    make();
    std::vector<AddressSpace::Grown> runs;
    for (int i = 0; i < 6; ++i) {
        runs.push_back(grow(arena_pages));
        ASSERT_EQ(runs.back().bytes, arena_bytes);
        for (std::size_t k = 0; k + 1 < runs.size(); ++k) EXPECT_NE(runs[k].base, runs.back().base);
    }
    EXPECT_EQ(space_.arenas(), 6u);
}

// ---- refusals while growing -------------------------------------------------------------------------------

TEST_F(AddressSpaceFake, ClimbsDownStepByStep) {
    // Each step asks twice: at its place, then anywhere.
    for (const unsigned refused_steps : {0u, 1u, 2u, 3u, 4u}) {
        os::fake::reset();
        Metadata metadata;
        AddressSpace space;
        ASSERT_TRUE(space.initialize(LayoutModel::sparse, metadata));
        os::fake::fail(Move::reserve, 1, 2 * refused_steps);
        AddressSpace::Grown leftover;
        EXPECT_EQ(space.grow(512, leftover).base, first_hint) << refused_steps;
        EXPECT_EQ(space.reserved_bytes(), arena_bytes >> refused_steps);
    }
}

TEST_F(AddressSpaceFake, NeverClimbsBelowWhatIsAsked) {
    make();
    os::fake::fail(Move::reserve, 1, 4);  // 128 MiB, then 68 MiB
    EXPECT_EQ(grow(arena_pages + 1).bytes, 0u);
    EXPECT_EQ(space_.reserved_bytes(), 0u);
    os::fake::fail(Move::reserve, 1, 2);
    EXPECT_EQ(grow(arena_pages + 1).bytes, arena_bytes + base::chunk_bytes);
    EXPECT_EQ(space_.reserved_bytes(), arena_bytes + base::chunk_bytes);
}

TEST_F(AddressSpaceFake, PartsOfAnArenaShareItsRecord) {
    make();
    os::fake::fail(Move::reserve, 1, 4);
    EXPECT_EQ(grow(1).base, first_hint);
    EXPECT_EQ(space_.reserved_bytes(), 16 * mib);
    const AddressSpace::Grown second = grow(4 * 512);
    EXPECT_EQ(second.base, first_hint + base::chunk_bytes) << "the next part follows, so the range is one";
    EXPECT_EQ(space_.arenas(), 1u);
    EXPECT_EQ(grow(arena_pages - 5 * 512).bytes, arena_bytes - 5 * base::chunk_bytes);
    EXPECT_EQ(space_.arenas(), 1u);
    EXPECT_EQ(grow(1).base, first_hint + arena_bytes);
    EXPECT_EQ(space_.arenas(), 2u);
}

TEST_F(AddressSpaceFake, NoAddressSpaceAtAllIsAnAnswerNotAnEnd) {
    make();
    os::fake::fail(Move::reserve, 1, os::fake::for_ever);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(grow(1).bytes, 0u);
    stop_refusing();
    EXPECT_EQ(grow(1).base, first_hint) << "hints are kept when the size was refused";
}

TEST_F(AddressSpaceFake, ARefusedRecordIsMadeLater) {
    make();
    os::fake::fail(Move::alloc, 1, os::fake::for_ever);
    EXPECT_EQ(grow(1).bytes, 0u);
    EXPECT_EQ(grow(1).bytes, 0u);
    EXPECT_EQ(space_.arenas(), 0u);
    EXPECT_EQ(space_.reserved_bytes(), arena_bytes) << "reserved once";
    stop_refusing();
    EXPECT_EQ(grow(1).base, first_hint);
    EXPECT_EQ(space_.reserved_bytes(), arena_bytes);
}

TEST_F(AddressSpaceFake, ARefusedMapLeavesRoomForASmallerAsk) {
    for (const LayoutModel model : {LayoutModel::sparse, LayoutModel::linear}) {
        os::fake::reset();
        Metadata metadata;
        AddressSpace space;
        ASSERT_TRUE(space.initialize(model, metadata));
        AddressSpace::Grown leftover;
        const AddressSpace::Grown first = space.grow(1, leftover);
        os::fake::fail(Move::map, 1, os::fake::for_ever);
        EXPECT_EQ(space.grow(3 * arena_pages, leftover).bytes, 0u);
        EXPECT_EQ(space.grow(1, leftover).bytes, 0u);
        stop_refusing();
        const AddressSpace::Grown second = space.grow(1, leftover);
        EXPECT_EQ(second.base, first.base + first.bytes);
        EXPECT_EQ(space.grow(3 * arena_pages, leftover).base, second.base + second.bytes);
    }
}

TEST_F(AddressSpaceFake, ABlockThatCannotBeMappedWaitsWhileTheOldOneServes) {
    make();
    (void)grow(1);
    os::fake::occupy(pointer(first_hint + arena_bytes), 4096);
    os::fake::fail(Move::map, 1);
    EXPECT_EQ(grow(arena_pages).bytes, 0u);
    EXPECT_EQ(space_.reserved_bytes(), 2 * arena_bytes);
    EXPECT_EQ(grow(512).base, first_hint + base::chunk_bytes) << "the old range goes on";
    EXPECT_EQ(grow(arena_pages).base, first_hint + (std::uintptr_t{1} << 40)) << "the new one was kept";
    EXPECT_EQ(space_.reserved_bytes(), 2 * arena_bytes);
    EXPECT_EQ(leftover_.base, first_hint + 2 * base::chunk_bytes);
}

// Every call of a fixed story refused in turn, once or from then on; afterwards the heap grows as ever.
TEST_F(AddressSpaceFake, EveryRefusalInTurnLeavesAWholeHeap) {
    for (const LayoutModel model : {LayoutModel::sparse, LayoutModel::linear}) {
        for (const std::uint64_t times : {std::uint64_t{1}, std::uint64_t{2}, os::fake::for_ever}) {
            for (std::uint64_t nth = 1; nth <= 40; ++nth) {
                os::fake::reset();
                Metadata metadata;
                AddressSpace space;
                ASSERT_TRUE(space.initialize(model, metadata));
                os::fake::fail(Move::any, nth, times);
                std::uint64_t given = 0;
                const auto grow_once = [&](std::size_t pages) {
                    AddressSpace::Grown leftover;
                    const AddressSpace::Grown grown = space.grow(pages, leftover);
                    if (grown.bytes != 0) space.set_span(grown.base, grown.bytes / page, nullptr);
                    if (leftover.bytes != 0) space.set_span(leftover.base, leftover.bytes / page, nullptr);
                    given += grown.bytes + leftover.bytes;
                    EXPECT_EQ(os::fake::bytes_in(State::prepared), given);
                    return grown.bytes != 0;
                };
                for (const std::size_t pages : {1u, 600u, 9000u, 512u, 20000u, 1u}) (void)grow_once(pages);
                stop_refusing();
                for (const std::size_t pages : {1u, 9000u, 20000u}) EXPECT_TRUE(grow_once(pages)) << nth;
                EXPECT_EQ(space.heap_stat().value(), given);
            }
        }
    }
}

// ---- OS pages of other sizes ------------------------------------------------------------------------------

TEST_F(AddressSpaceFake, GrowsWithLargeOsPages) {
    os::fake::set_page_bytes(512 * 1024, 0);
    for (const LayoutModel model : {LayoutModel::sparse, LayoutModel::linear}) {
        Metadata metadata;
        AddressSpace space;
        ASSERT_TRUE(space.initialize(model, metadata));
        AddressSpace::Grown leftover;
        const AddressSpace::Grown grown = space.grow(arena_pages + 1, leftover);
        EXPECT_EQ(grown.bytes, arena_bytes + base::chunk_bytes);
        EXPECT_FALSE(space.claim_zeroed(grown.base, grown.bytes));
        space.set_in_use(grown.base + arena_bytes, true);
        EXPECT_TRUE(space.in_use(grown.base + arena_bytes));
    }
}

}  // namespace
}  // namespace cairn::pages
