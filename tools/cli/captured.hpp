// A child whose words are read: standard error and output in one text.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

namespace cairn::cli {

struct Captured {
    std::string output;
    int exit_code = 0;
    int error = 0;  // errno when there was no child
};

// Runs the program, which is looked for in PATH, and waits for its end. A signal counts as 128 and its
// number.
Captured run_captured(const std::vector<std::string>& words);

}  // namespace cairn::cli
