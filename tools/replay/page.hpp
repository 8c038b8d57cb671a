// The results of a replay to look at: one page for a browser, or one picture.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "draw/picture.hpp"
#include "replay/report.hpp"

namespace cairn::replay {

// A page that needs nothing beside itself: charts, and each policy's address space at any moment.
[[nodiscard]] std::string html_page(const Comparison& comparison);

// The charts and the address spaces at the moment when most was alive.
[[nodiscard]] draw::Picture picture(const Comparison& comparison);

}  // namespace cairn::replay
