// Which clang has loaded a plugin: one built for another major must do nothing, for it would not work.
//
// clang asks no front-end plugin for its version, and a link or `opt` that loads the pass has none to give.
// SPDX-License-Identifier: MIT
#pragma once

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace cairn {

// True if it is `wanted`, or does not say; otherwise a line on standard error has told.
inline bool is_own_clang(const char* plugin, int wanted) {
    using Version = std::string (*)();
    const auto version =
        reinterpret_cast<Version>(dlsym(RTLD_DEFAULT, "_ZN5clang19getClangFullVersionB5cxx11Ev"));
    if (version == nullptr) return true;
    const std::string text = version();
    const std::size_t at = text.find("version ");
    const int major = at == std::string::npos ? 0 : std::atoi(text.c_str() + at + 8);
    if (major == 0 || major == wanted) return true;
    std::fprintf(stderr, "%s: this plugin is for clang %d and does nothing in clang %d\n", plugin, wanted,
                 major);
    return false;
}

}  // namespace cairn
