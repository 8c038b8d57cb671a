// The address space, both models through the same tests: growth, page tables across arenas, wild look-ups.
// SPDX-License-Identifier: MIT
#include "pages/address_space.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "base/bits.hpp"

namespace cairn::pages {
namespace {

constexpr std::size_t page = base::page_bytes;

heap::Span* fake_span(std::uintptr_t number) { return reinterpret_cast<heap::Span*>(number * 64); }

class AddressSpaceTest : public testing::TestWithParam<LayoutModel> {
protected:
    void SetUp() override {
        if (!space_.initialize(GetParam(), metadata_)) GTEST_SKIP() << space_.failure_text();
    }
    std::uintptr_t grow(std::size_t pages) {
        AddressSpace::Grown leftover;
        const AddressSpace::Grown grown = space_.grow(pages, leftover);
        EXPECT_GE(grown.bytes, pages * page);
        return grown.base;
    }

    Metadata metadata_;
    AddressSpace space_;
};

TEST_P(AddressSpaceTest, GrowsByWholeChunksOneAfterTheOther) {
    AddressSpace::Grown leftover;
    const AddressSpace::Grown first = space_.grow(1, leftover);
    const AddressSpace::Grown second = space_.grow(513, leftover);
    EXPECT_EQ(first.bytes, base::chunk_bytes);
    EXPECT_EQ(second.bytes, 2 * base::chunk_bytes);
    EXPECT_TRUE(base::is_aligned(first.base, base::chunk_bytes));
    EXPECT_EQ(second.base, first.base + first.bytes);
    EXPECT_EQ(leftover.bytes, 0u);
    EXPECT_EQ(space_.heap_stat().value(), 3 * base::chunk_bytes);
    EXPECT_EQ(space_.arenas(), 1u);
    EXPECT_GE(space_.reserved_bytes(), arena_bytes);
}

TEST_P(AddressSpaceTest, GrownMemoryIsUsableAndZero) {
    const std::uintptr_t base = grow(1);
    os::used(reinterpret_cast<void*>(base), base::chunk_bytes, base::chunk_bytes);
    auto* bytes = reinterpret_cast<unsigned char*>(base);
    EXPECT_EQ(bytes[0], 0);
    bytes[base::chunk_bytes - 1] = 1;
    os::unused(reinterpret_cast<void*>(base), base::chunk_bytes);
}

TEST_P(AddressSpaceTest, RefusesAbsurdGrowth) {
    AddressSpace::Grown leftover;
    EXPECT_EQ(space_.grow(0, leftover).bytes, 0u);
    EXPECT_EQ(space_.grow(SIZE_MAX, leftover).bytes, 0u);
    EXPECT_EQ(space_.grow(std::size_t{1} << 35, leftover).bytes, 0u);
    EXPECT_EQ(space_.heap_stat().value(), 0u);
    EXPECT_NE(grow(1), 0u);
}

TEST_P(AddressSpaceTest, SpansAndEntriesCrossArenas) {
    const std::size_t pages = 5 * arena_pages / 2;
    const std::uintptr_t base = grow(pages);
    EXPECT_GE(space_.arenas(), 3u);
    space_.set_span(base, pages, fake_span(7));
    EXPECT_EQ(space_.span_of(base), fake_span(7));
    EXPECT_EQ(space_.span_of(base + pages * page - 1), fake_span(7));
    EXPECT_EQ(space_.span_of(base + pages * page), nullptr);
    for (std::size_t i = 0; i < pages; i += 511) EXPECT_EQ(space_.span_of(base + i * page + i), fake_span(7));

    const std::uintptr_t border = base::align_up(base + 1, arena_bytes);
    const std::uintptr_t start = border - 4 * page;
    space_.set_entries(start, 10, 66);
    for (unsigned i = 0; i < 10; ++i)
        EXPECT_EQ(space_.page_entry(start + i * page + 4711), make_entry(66, i));
    EXPECT_EQ(space_.page_entry(start - 1), 0);
    EXPECT_EQ(space_.page_entry(start + 10 * page), 0);
    space_.set_entries(start, 10, 0);
    for (unsigned i = 0; i < 10; ++i) EXPECT_EQ(space_.page_entry(start + i * page), 0);

    space_.set_span(base, pages, nullptr);
    EXPECT_EQ(space_.span_of(border), nullptr);
}

TEST_P(AddressSpaceTest, PageBitsAreIndependent) {
    const std::uintptr_t base = grow(128);
    space_.set_in_use(base + 3 * page, true);
    space_.set_has_specials(base + 4 * page, true);
    EXPECT_TRUE(space_.in_use(base + 3 * page + 100));
    EXPECT_FALSE(space_.in_use(base + 4 * page));
    EXPECT_TRUE(space_.has_specials(base + 4 * page));
    EXPECT_FALSE(space_.has_specials(base + 3 * page));
    space_.set_in_use(base + 3 * page, false);
    EXPECT_FALSE(space_.in_use(base + 3 * page));
    EXPECT_TRUE(space_.has_specials(base + 4 * page));
}

TEST_P(AddressSpaceTest, PageBitsOfNeighboursDoNotRace) {
    const std::uintptr_t base = grow(64);
    std::vector<std::thread> threads;
    for (std::size_t id = 0; id < 2; ++id) {
        threads.emplace_back([this, base, id] {
            for (int round = 0; round < 20000; ++round) space_.set_in_use(base + id * page, round % 2 == 0);
            space_.set_in_use(base + id * page, true);
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(space_.in_use(base));
    EXPECT_TRUE(space_.in_use(base + page));
}

TEST_P(AddressSpaceTest, WalksSpansInUseInEveryArena) {
    const std::uintptr_t base = grow(2 * arena_pages);
    std::vector<std::uintptr_t> expected;
    for (const std::size_t at : {std::size_t{0}, std::size_t{63}, std::size_t{64}, std::size_t{511},
                                 arena_pages - 1, arena_pages, 2 * arena_pages - 1}) {
        expected.push_back(base + at * page);
        space_.set_span(base + at * page, 1, fake_span(at + 1));
        space_.set_in_use(base + at * page, true);
    }
    std::vector<std::uintptr_t> seen;
    space_.for_each_span_start([&](std::uintptr_t start, heap::Span* span) {
        seen.push_back(start);
        EXPECT_EQ(span, fake_span((start - base) / page + 1));
    });
    EXPECT_EQ(seen, expected);
}

TEST_P(AddressSpaceTest, LooksUpAnyAddress) {
    const std::uintptr_t base = grow(1);
    space_.set_span(base, 1, fake_span(1));
    std::mt19937_64 random(20240607);
    for (int i = 0; i < 200000; ++i) {
        const std::uintptr_t address = random() >> (i % 40);
        if (address - base < base::chunk_bytes) continue;
        ASSERT_EQ(space_.span_of(address), nullptr) << std::hex << address;
        ASSERT_EQ(space_.page_entry(address), 0) << std::hex << address;
        ASSERT_FALSE(space_.in_use(address)) << std::hex << address;
        ASSERT_FALSE(space_.has_specials(address)) << std::hex << address;
    }
    EXPECT_EQ(space_.span_of(base), fake_span(1));
}

TEST_P(AddressSpaceTest, FreshMemoryIsZeroedUntilSomebodyReachedIt) {
    const std::uintptr_t base = grow(64);
    EXPECT_FALSE(space_.claim_zeroed(base, 2 * page));
    EXPECT_FALSE(space_.claim_zeroed(base + 2 * page, page));
    EXPECT_TRUE(space_.claim_zeroed(base, page));
    EXPECT_TRUE(space_.claim_zeroed(base + 2 * page, 10 * page));
    EXPECT_TRUE(space_.claim_zeroed(base + 11 * page, page));
    EXPECT_FALSE(space_.claim_zeroed(base + 20 * page, page));
    EXPECT_TRUE(space_.claim_zeroed(base + 12 * page, page)) << "passed over: may be dirty for all we know";
}

TEST_P(AddressSpaceTest, ZeroedClaimsCrossArenas) {
    const std::uintptr_t base = grow(2 * arena_pages);
    const std::uintptr_t border = base::align_up(base + 1, arena_bytes);
    EXPECT_FALSE(space_.claim_zeroed(border - 2 * page, 4 * page));
    EXPECT_TRUE(space_.claim_zeroed(border, page));
    EXPECT_TRUE(space_.claim_zeroed(border + page, page));
    EXPECT_FALSE(space_.claim_zeroed(border + 2 * page, page));
    EXPECT_TRUE(space_.claim_zeroed(border - page, 8 * page)) << "half of it is dirty";
}

TEST_P(AddressSpaceTest, ThreadsClaimTheirOwnPages) {
    constexpr std::size_t rounds = 4000;
    const std::uintptr_t base = grow(2 * rounds);
    std::vector<std::thread> threads;
    for (std::size_t id = 0; id < 2; ++id) {
        threads.emplace_back([this, base, id] {
            for (std::size_t i = 0; i < rounds; ++i)
                (void)space_.claim_zeroed(base + (2 * i + id) * page, page);
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(space_.claim_zeroed(base + (2 * rounds - 1) * page, page));
    EXPECT_TRUE(space_.claim_zeroed(base, page));
}

TEST_P(AddressSpaceTest, LooksUpWhileItGrows) {
    std::atomic<bool> is_done{false};
    const std::uintptr_t base = grow(1);
    std::thread reader([&] {
        while (!is_done.load(std::memory_order_relaxed)) {  // relaxed: ends the test, orders nothing
            for (std::uintptr_t at = base; at < base + 8 * arena_bytes; at += arena_bytes / 3) {
                heap::Span* span = space_.span_of(at);
                EXPECT_TRUE(span == nullptr || span == fake_span(9));
            }
        }
    });
    for (int i = 0; i < 40; ++i) {
        const std::uintptr_t more = grow(arena_pages / 8);
        space_.set_span(more, arena_pages / 8, fake_span(9));
    }
    is_done.store(true, std::memory_order_relaxed);  // relaxed: ends the test, orders nothing
    reader.join();
}

TEST_P(AddressSpaceTest, SeveralSpacesDoNotMix) {
    AddressSpace other;
    if (!other.initialize(GetParam(), metadata_)) GTEST_SKIP() << other.failure_text();
    const std::uintptr_t base = grow(1);
    space_.set_span(base, 1, fake_span(1));
    EXPECT_EQ(other.span_of(base), nullptr);
    EXPECT_EQ(other.page_entry(base), 0);
}

INSTANTIATE_TEST_SUITE_P(Layouts, AddressSpaceTest, testing::Values(LayoutModel::sparse, LayoutModel::linear),
                         [](const auto& model) {
                             return model.param == LayoutModel::sparse ? "Sparse" : "Linear";
                         });

TEST(AddressSpace, KnowsNothingBeforeItIsMade) {
    static constinit AddressSpace space;
    EXPECT_EQ(space.page_entry(0xc0'0000'0000), 0);
    EXPECT_EQ(space.span_of(0xc0'0000'0000), nullptr);
    EXPECT_EQ(space.near_entry(0xc0'0000'0000), 0);
    EXPECT_FALSE(space.in_use(0));
    EXPECT_EQ(space.arenas(), 0u);
}

TEST(AddressSpaceDeathTest, ClaimsOfForeignPagesStopTheProgram) {
    Metadata metadata;
    AddressSpace space;
    ASSERT_TRUE(space.initialize(LayoutModel::sparse, metadata));
    EXPECT_DEATH(space.set_span(0x1000'0000, 1, nullptr), "cairn: ");
    EXPECT_DEATH((void)space.claim_zeroed(0x1000'0000, page), "cairn: ");
}

}  // namespace
}  // namespace cairn::pages
