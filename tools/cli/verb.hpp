// A verb of the command: its name, what it is for, and the function that does it.
//
// Each verb owns its options and its help and stands in a file of its own; main.cpp holds the table. What
// they share is here: exit codes, how arguments are parsed and how a mistake is said: one line, `cairn: ...`,
// that names what would have been right.
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace cairn::cli {

using Arguments = std::vector<std::string>;

// Exit codes. Under `run` the code is the program's own unless the program could not be started.
inline constexpr int exit_ok = 0;
inline constexpr int exit_usage = 2;             // a wrong command line
inline constexpr int exit_cairn = 125;           // Cairn cannot do this
inline constexpr int exit_not_executable = 126;  // as a shell has it
inline constexpr int exit_not_found = 127;       // as a shell has it

struct Verb {
    std::string_view name;
    std::string_view summary;
    int (*run)(Arguments arguments);
};

std::span<const Verb> verbs();

int run_verb(Arguments arguments);
int classes_verb(Arguments arguments);
int explain_verb(Arguments arguments);
int layout_verb(Arguments arguments);
int replay_verb(Arguments arguments);
int trace_verb(Arguments arguments);
int map_verb(Arguments arguments);
int escape_verb(Arguments arguments);
int help_verb(Arguments arguments);

// Writes `cairn: <text>` to standard error as one line and returns `code`.
int fail(int code, std::string_view text);

// Parses `arguments`. Returns nothing when the verb may go on, else the exit code: after --help, or after a
// mistake that has been told. What no option takes is left in `rest` when given, and is a mistake when not.
std::optional<int> parse(CLI::App& app, Arguments arguments, Arguments* rest = nullptr);

// "a, b, c"
std::string join(std::span<const std::string> words);

}  // namespace cairn::cli
