// The libraries that belong to this command: where they lie, seen from where the command lies.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace cairn::cli {

struct OwnLibrary {
    std::string path;        // empty: there is none
    std::string looked_for;  // the first place that was tried
};

// Looks beside this command: a build tree, then installed trees.
OwnLibrary find_own_library(std::string_view name);

}  // namespace cairn::cli
