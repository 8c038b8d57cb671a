// Powers of two, alignment and bit search: the arithmetic the whole heap stands on.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace cairn::base {

constexpr bool is_power_of_two(std::uint64_t n) { return std::has_single_bit(n); }

// Needs: `unit` a power of two. Overflow of align_up is the caller's to exclude.
constexpr std::uintptr_t align_down(std::uintptr_t n, std::uintptr_t unit) { return n & ~(unit - 1); }
constexpr std::uintptr_t align_up(std::uintptr_t n, std::uintptr_t unit) {
    return (n + unit - 1) & ~(unit - 1);
}
constexpr bool is_aligned(std::uintptr_t n, std::uintptr_t unit) { return (n & (unit - 1)) == 0; }

constexpr std::size_t divide_up(std::size_t n, std::size_t d) { return n / d + (n % d != 0); }

// Finds the lowest run of at least `count` (1..64) ones in `word`; 64 when there is none.
// Takes count-1 ones off the top of every run, doubling the step. Source: the field's shift-and trick.
constexpr unsigned find_run(std::uint64_t word, unsigned count) {
    unsigned left = count - 1;
    unsigned step = 1;
    while (left > 0 && word != 0) {
        const unsigned take = step < left ? step : left;
        word &= word >> take;
        left -= take;
        step *= 2;
    }
    return word == 0 ? 64 : static_cast<unsigned>(std::countr_zero(word));
}

// `count` (0..64) ones starting at bit `first`; first + count <= 64.
constexpr std::uint64_t bit_range(unsigned first, unsigned count) {
    if (count == 0) return 0;
    return (~std::uint64_t{0} >> (64 - count)) << first;
}

}  // namespace cairn::base
