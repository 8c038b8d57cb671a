// Which libraries a program loads: its needed ones, theirs, and so on, as the dynamic linker looks for them.
//
// Told from the files alone, nothing is run. What a program loads later by dlopen() is not among them.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace cairn::cli {

// Whether the program in the ELF file `path` needs a library of this name, itself or through another.
bool needs_library(const std::string& path, std::string_view library);

}  // namespace cairn::cli
