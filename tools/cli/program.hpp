// A program to be run: where it is, and whether a library can be preloaded into it.
//
// The system drops LD_PRELOAD without a word for static programs (nobody reads it) and for those that gain
// privileges (nobody may). Cairn says so beforehand, so that no run looks as if it had happened on it.
// Scripts are judged by what interprets them, `env` by what it starts.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace cairn::cli {

struct Program {
    std::string path;   // what to execute; empty when it cannot be
    int code = 0;       // the exit code that says why not
    std::string error;  // one line for people
    std::string image;  // the ELF file that will run: the program's, or its interpreter's
};

// Finds `name` as execvp does and judges it.
Program find_program(const std::string& name);

}  // namespace cairn::cli
