// The parts of the page that are the same for every replay: page.html and page.js, made part of the command
// by the build.
// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace cairn::replay {

extern const std::string_view page_head;
extern const std::string_view page_script;

}  // namespace cairn::replay
