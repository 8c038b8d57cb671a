// Bit arithmetic against the obvious loops.
// SPDX-License-Identifier: MIT
#include "base/bits.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>

namespace cairn::base {
namespace {

constexpr std::uint64_t seed = 20250607;

unsigned slow_find_run(std::uint64_t word, unsigned count) {
    for (unsigned first = 0; first + count <= 64; ++first) {
        unsigned length = 0;
        while (length < count && ((word >> (first + length)) & 1) != 0) ++length;
        if (length == count) return first;
    }
    return 64;
}

TEST(Bits, AlignsToPowersOfTwo) {
    struct Case {
        std::uintptr_t n, unit, down, up;
    };
    constexpr std::uintptr_t last = ~std::uintptr_t{0};
    constexpr Case cases[] = {
        {0, 4096, 0, 0},          {1, 4096, 0, 4096}, {4095, 4096, 0, 4096},  {4096, 4096, 4096, 4096},
        {4097, 4096, 4096, 8192}, {7, 1, 7, 7},       {last, 1, last, last},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(align_down(c.n, c.unit), c.down) << c.n;
        EXPECT_EQ(align_up(c.n, c.unit), c.up) << c.n;
        EXPECT_EQ(is_aligned(c.n, c.unit), c.n == c.down) << c.n;
    }
}

TEST(Bits, DividesUpWithoutOverflow) {
    EXPECT_EQ(divide_up(0, 8), 0u);
    EXPECT_EQ(divide_up(1, 8), 1u);
    EXPECT_EQ(divide_up(8, 8), 1u);
    EXPECT_EQ(divide_up(9, 8), 2u);
    EXPECT_EQ(divide_up(~std::size_t{0}, 2), std::size_t{1} << 63);
}

TEST(Bits, FindsTheLowestRun) {
    EXPECT_EQ(find_run(0, 1), 64u);
    EXPECT_EQ(find_run(~std::uint64_t{0}, 64), 0u);
    EXPECT_EQ(find_run(~std::uint64_t{0} >> 1, 64), 64u);
    EXPECT_EQ(find_run(std::uint64_t{1} << 63, 1), 63u);
    EXPECT_EQ(find_run(0b1011'0111, 3), 0u);
    EXPECT_EQ(find_run(0b1011'0110, 3), 64u);
}

TEST(Bits, FindRunAgreesWithTheLoop) {
    std::mt19937_64 random(seed);
    for (unsigned round = 0; round < 20'000; ++round) {
        // Sparse, even and dense words: long runs are rare in even ones.
        std::uint64_t word = random();
        if (round % 3 == 1) word |= random() | random();
        if (round % 3 == 2) word &= random();
        const unsigned count = 1 + static_cast<unsigned>(random() % (round % 2 == 0 ? 8 : 64));
        ASSERT_EQ(find_run(word, count), slow_find_run(word, count))
            << "seed " << seed << " round " << round << " word " << word << " count " << count;
    }
}

TEST(Bits, MakesRanges) {
    EXPECT_EQ(bit_range(0, 0), 0u);
    EXPECT_EQ(bit_range(64, 0), 0u);
    EXPECT_EQ(bit_range(0, 64), ~std::uint64_t{0});
    EXPECT_EQ(bit_range(3, 2), 0b11000u);
    EXPECT_EQ(bit_range(63, 1), std::uint64_t{1} << 63);
}

}  // namespace
}  // namespace cairn::base
