// How cycles run: beside the program, with the world stopped, or not at all.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace cairn::gc {

enum class Mode : std::uint8_t { off, stw, concurrent };

// Young cycles (young.cpp): when they free more for their time than full ones; whenever they are possible,
// and then with survivors that stay young; not at all.
enum class Young : std::uint8_t { by_yield, always, always_unaged, never };

// A conservative heap that is marked sooner than this is marked in one stop (tracking.cpp).
inline constexpr std::uint32_t default_one_stop_ms = 7;

}  // namespace cairn::gc
