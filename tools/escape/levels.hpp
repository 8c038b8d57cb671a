// How far a value is from a followed object: a set of distances, in loads.
//
// Distance 0: the value may be an address inside the object. Distance k: it may be an address of memory in
// which a value of distance k - 1 lies. So a store adds one, a load takes one off. The last distance also
// stands for all beyond it, which keeps the set finite when objects point at each other.
// One more bit says that such memory may hold the address as a plain integer, which then a load of a plain
// integer can give; without it only loads of pointers can.
// SPDX-License-Identifier: MIT
#pragma once

namespace cairn::escape {

using Levels = unsigned;  // bit k: distance k

inline constexpr Levels object_address = 1;
inline constexpr Levels farthest = 8;
inline constexpr Levels all_distances = 15;
inline constexpr Levels as_integer = 16;

// What an address of memory becomes when a value of `levels` is stored there.
constexpr Levels stored(Levels levels) {
    return (levels << 1 & all_distances) | (levels & farthest) | (levels & as_integer);
}
// What a load through an address of `levels` may give.
constexpr Levels loaded(Levels levels) {
    const Levels distances = (levels & all_distances) >> 1 | (levels & farthest);
    return distances > object_address ? distances | (levels & as_integer) : distances;
}
// All that any number of loads may give, none included.
constexpr Levels reached(Levels levels) {
    Levels all = levels;
    for (Levels next = loaded(all); (all | next) != all; next = loaded(all)) all |= next;
    return all;
}

static_assert(stored(object_address) == 2 && loaded(2) == object_address && loaded(object_address) == 0);
static_assert(stored(farthest) == farthest && loaded(farthest) == (farthest | 4) && reached(4) == 7);
static_assert(loaded(2 | as_integer) == object_address && loaded(4 | as_integer) == (2 | as_integer));

}  // namespace cairn::escape
