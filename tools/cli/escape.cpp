// `cairn escape`: compiles with the escape pass and tells, line by line, what lives on the stack and why not.
//
//   1. Ask the compiler for its version; find the plugins for it beside this command: the pass, which has to
//      be there, and the front end's checks.
//   2. Run the command as it stands, with them and their remarks added; read what it says (remarks.hpp).
//   3. One line a place of the source, in the words of Go's compiler; the rest goes on to standard error.
// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "captured.hpp"
#include "library.hpp"
#include "remarks.hpp"
#include "verb.hpp"

namespace cairn::cli {

namespace {

constexpr std::string_view teaching =
    R"(The compiler is clang++ or clang with its usual arguments, and -O1 or more; what it makes is what
it would make with the pass by itself. One line for each allocation by cairn::make and its kin:

  does not escape      it is on the stack of its function, or in registers; nothing is allocated
  escapes to heap      it is collected; the reason and the place that says so follow
  moved to heap: x     the same for a variable bound to the object: auto& x = *cairn::make<T>()
  leaking param: p     what the parameter points to may outlive the call

Code that is inlined in several places may get several verdicts: the line then tells how many. At -O0 and with
-fsyntax-only the verdicts are a forecast from the source alone. Where the checks of the front end are
installed, their warnings are lines too.

  exit codes   the compiler's; 2 wrong usage; 125 no clang, or one that no plugin is here for

Example:
  cairn escape -- clang++ -std=c++20 -O2 -c file.cpp -o file.o)";

// The major version of the clang that `compiler` is; 0 when it is no clang. `told`: its own first line.
int clang_major(const std::string& compiler, std::string& told) {
    const Captured version = run_captured({compiler, "--version"});
    told = version.output.substr(0, version.output.find('\n'));
    const std::size_t at = told.find("clang version ");
    return version.error != 0 || at == std::string::npos ? 0 : std::atoi(told.c_str() + at + 14);
}

void print_json(const std::vector<Verdict>& verdicts) {
    nlohmann::json lines = nlohmann::json::array();
    for (const Verdict& verdict : verdicts) {
        nlohmann::json line{{"file", verdict.file},     {"line", verdict.line},
                            {"column", verdict.column}, {"verdict", verdict.word()},
                            {"subject", verdict.what},  {"text", verdict.text()}};
        if (!verdict.variable.empty()) line["variable"] = verdict.variable;
        if (!verdict.reason.empty()) line["reason"] = verdict.reason;
        if (verdict.bytes != 0) line["bytes"] = verdict.bytes;
        if (verdict.kind == Verdict::Kind::object)
            line.update({{"on_stack", verdict.on_stack}, {"on_heap", verdict.on_heap}});
        lines.push_back(std::move(line));
    }
    fmt::print("{}\n", lines.dump(2));
}

struct EscapeOptions {
    bool as_json = false;
    bool with_parameters = false;
};

// The usage line, which the parser cannot know: it has no name for what it does not parse.
class EscapeFormatter : public CLI::Formatter {
public:
    std::string make_usage(const CLI::App*, std::string) const override {
        return "Usage: cairn escape [OPTIONS] -- clang++ ARGUMENTS\n";
    }
};

// Parses our options; what follows `--` is the compiler's command.
std::optional<int> split(Arguments arguments, EscapeOptions& options, Arguments& command) {
    const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
    const Arguments behind(dashes, arguments.end());
    arguments.erase(dashes, arguments.end());
    CLI::App app{"Compile with clang, and tell which objects need not be on the heap.", "cairn escape"};
    app.add_flag("--json", options.as_json, "as JSON");
    app.add_flag("--params", options.with_parameters, "also what becomes of pointer parameters");
    app.formatter(std::make_shared<EscapeFormatter>());
    app.footer(std::string(teaching));
    if (const auto code = parse(app, std::move(arguments), &command)) return code;
    const bool is_ours = command.empty();
    command.insert(command.end(), behind.begin() + (is_ours && !behind.empty() ? 1 : 0), behind.end());
    if (command.empty() || command.front().empty())
        return fail(exit_usage,
                    "escape: no compiler given; valid: cairn escape [OPTIONS] -- clang++ ARGUMENTS");
    return std::nullopt;
}

// Will the optimiser run? It does not with -fsyntax-only, at -O0, and when nothing is asked for.
bool is_optimised(const Arguments& command) {
    std::string level = "-O0";
    for (const std::string& word : command) {
        if (word == "-fsyntax-only") return false;
        if (word.starts_with("-O")) level = word;
    }
    return level != "-O0";
}

// What is added to a command, so that the compiler tells. No word about options that a link has no use for.
void add_plugins(Arguments& command, int major, const std::string& pass) {
    const bool is_forecast = !is_optimised(command);
    command.emplace_back("--start-no-unused-arguments");
    for (const char* more : {"-Rpass=escape", "-Rpass-missed=escape", "-Rpass-analysis=escape",
                             "-fno-color-diagnostics", "-fno-caret-diagnostics", "-fno-discard-value-names"})
        command.emplace_back(more);
    command.push_back("-fpass-plugin=" + pass);
    const OwnLibrary checks = find_own_library(fmt::format("libcairn-frontend-{}.so", major));
    if (!checks.path.empty()) {
        command.push_back("-fplugin=" + checks.path);
        if (is_forecast) command.emplace_back("-fplugin-arg-cairn-escape");
    }
    command.emplace_back("--end-no-unused-arguments");
}

}  // namespace

int escape_verb(Arguments arguments) {
    EscapeOptions options;
    Arguments command;
    if (const auto code = split(std::move(arguments), options, command)) return *code;
    std::string told;
    const int major = clang_major(command.front(), told);
    if (major == 0)
        return fail(exit_cairn,
                    fmt::format("escape: {} is no clang ({}); with other compilers every object is on "
                                "the heap",
                                command.front(), told.empty() ? "it cannot be run" : told));
    const std::string name = fmt::format("libcairn-escape-{}.so", major);
    const OwnLibrary plugin = find_own_library(name);
    if (plugin.path.empty())
        return fail(exit_cairn,
                    fmt::format("escape: no {} beside this command (looked for {}): the pass was not "
                                "built for clang {}",
                                name, plugin.looked_for, major));
    add_plugins(command, major, plugin.path);
    const Captured done = run_captured(command);
    const Remarks remarks = read_remarks(done.output, options.with_parameters);
    if (!remarks.rest.empty()) fmt::print(stderr, "{}", remarks.rest);
    if (options.as_json) print_json(remarks.verdicts);
    else
        for (const Verdict& verdict : remarks.verdicts)
            fmt::print("{}:{}:{}: {}\n", verdict.file, verdict.line, verdict.column, verdict.text());
    return done.exit_code;
}

}  // namespace cairn::cli
