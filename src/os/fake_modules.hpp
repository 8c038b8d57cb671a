// The modules of the fake operating system: what a test says.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "os/modules.hpp"

namespace cairn::os::fake {

inline constexpr std::size_t segments_max = 64;

// A new list of segments, with as many loads and unloads as it takes to notice.
void set_modules(const ModuleSegment* segments, std::size_t count);

}  // namespace cairn::os::fake
