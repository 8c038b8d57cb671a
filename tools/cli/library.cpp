// Finds the libraries of this command; see library.hpp.
// SPDX-License-Identifier: MIT
#include "library.hpp"

#include <filesystem>

namespace cairn::cli {

namespace fs = std::filesystem;

OwnLibrary find_own_library(std::string_view name) {
    std::error_code failure;
    const fs::path here = fs::read_symlink("/proc/self/exe", failure).parent_path();
    OwnLibrary found;
    for (const char* folder :
         {"../lib", "../" CAIRN_INSTALL_LIBDIR, "../lib/cairn", "../lib/x86_64-linux-gnu", "../lib64"}) {
        const fs::path place = (here / folder / name).lexically_normal();
        if (found.looked_for.empty()) found.looked_for = place;
        if (found.path.empty() && fs::is_regular_file(place, failure)) found.path = place;
    }
    return found;
}

}  // namespace cairn::cli
