// How cycles run: beside the program, with the world stopped, or not at all.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace cairn::gc {

enum class Mode : std::uint8_t { off, stw, concurrent };

}  // namespace cairn::gc
