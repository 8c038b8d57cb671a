// Pictures of a heap: one drawing of cells, as PNG, SVG, or a page that answers to the mouse.
//
// An arena is a band of 16 lines of 512 cells, a cell a page of 8 KiB. A cell's colour is its size class,
// paler where fewer of its slots are with the program; large objects are dark; free pages are light, those
// that the OS has back nearly white.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "draw/picture.hpp"
#include "map/heap_model.hpp"

namespace cairn::map {

[[nodiscard]] draw::Color color_of(PageState state);
// `share`: of the slots, with the program; 0 to 1.
[[nodiscard]] draw::Color color_of(const Span& span, double share);
[[nodiscard]] double share_of(const Span& span);

[[nodiscard]] draw::Picture to_picture(const HeapModel& model);
[[nodiscard]] std::string to_html(const HeapModel& model);

}  // namespace cairn::map
