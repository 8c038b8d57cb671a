// The child of `cairn run`: started in this process's place, or beside it when something is to be told after.
//
// In its place there is nothing to get wrong: terminal, signals and exit code are the program's own. Beside
// it, this process only waits: signals sent to it go on to the child (those of the keyboard reach the child
// by themselves), and it ends as the child ended, by the same signal if it was one.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cairn::cli {

struct ChildPlan {
    std::string path;                   // what to execute
    std::vector<std::string> words;     // its arguments, its name first
    std::vector<std::string> settings;  // NAME=value, set in its environment
    std::string pid_variable;           // set to the child's own process id
};

// How a child ended and what it used.
struct ChildEnd {
    int status = 0;  // as wait() gives it
    int error = 0;   // errno when there was no child
    double wall_seconds = 0;
    double user_seconds = 0;
    double system_seconds = 0;
    std::uint64_t peak_bytes = 0;
};

// Becomes the program. Returns only when that fails: with the exit code, the reason having been told.
int become(const ChildPlan& plan);

// Runs the program and waits for its end.
ChildEnd run_and_wait(const ChildPlan& plan);

// Ends this process the way the child ended. Returns the exit code when it was a plain exit.
int end_like(int status);

}  // namespace cairn::cli
