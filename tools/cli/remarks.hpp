// The escape pass's remarks, read from what clang prints: one verdict for each place of the source.
//
// The pass judges every inlined copy of a line; a reader wants one line. The variable's name is taken from
// the source itself, which needs no debug information: what stands before `=`. The front end's checks and
// advice are lines among the others.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::cli {

struct Verdict {
    enum class Kind { object, parameter, check };

    std::string file;
    unsigned line = 0;
    unsigned column = 0;
    Kind kind = Kind::object;
    std::string what;           // the type of the object, the name of the parameter or of the check
    std::string variable;       // what it is bound to, if that is seen
    bool is_reference = false;  // auto& x = *make<T>()
    std::string reason;         // why it escapes, first copy that does; what a check says
    std::uint64_t bytes = 0;    // 0: not told
    unsigned on_stack = 0, on_heap = 0;  // copies

    std::string word() const;  // stack, heap, mixed, leaks, kept, check, advice
    std::string text() const;  // in Go's words
};

struct Remarks {
    std::vector<Verdict> verdicts;  // by file, line and column
    std::string rest;               // what else the compiler said
};
Remarks read_remarks(std::string_view output, bool with_parameters);

// The variable that the expression at `column` (from 1) of a line of source initialises or is assigned to.
struct Bound {
    std::string name;
    bool is_reference = false;
};
Bound bound_variable(std::string_view line, unsigned column);

}  // namespace cairn::cli
