// `cairn run`: starts a program on Cairn, and is then out of its way.
//
//   1. Find the program and see that a library can be preloaded into it.
//   2. Choose: a program that needs the Boehm collector gets ours, every other one our malloc, a shell
//      script, which may start either, both; or as told.
//   3. Find the library: --lib, or beside this command. Malloc's comes first in LD_PRELOAD; the collector's
//      folder first in LD_LIBRARY_PATH, so that programs which do not ask for it never see it.
//   4. Turn options into environment variables. Become the program; only with --summary and --record stay to
//      wait for it.
// SPDX-License-Identifier: MIT
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "child.hpp"
#include "library.hpp"
#include "needs.hpp"
#include "program.hpp"
#include "quantity.hpp"
#include "trace/recording.hpp"
#include "verb.hpp"

namespace cairn::cli {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view plain_library = "libcairn-malloc.so";
constexpr std::string_view recording_library = "libcairn-record.so";
constexpr std::string_view collector_library = "libgc/libgc.so.1";
constexpr std::string_view collector_name = "libgc.so.1";

constexpr std::string_view teaching =
    R"(The program needs no rebuild: its malloc, free, new and delete are answered by Cairn, and so are
those of the programs it starts. A program that needs the Boehm collector (libgc.so.1: guile, ecl, w3m, ...)
gets Cairn's instead, and keeps its malloc; a shell script gets both. Its exit code and signals are its own.

  exit codes   the program's; 2 wrong usage; 125 Cairn cannot run it (static, setuid, another machine's);
               126 it cannot be executed; 127 it does not exist

Options become CAIRN_* environment variables ('cairn help env'); what the environment already says stays
when no option says otherwise.

Examples:
  cairn run -- python3 script.py
  cairn run --report -- sqlite3 :memory: 'select 1'
  cairn run --report -- guile -c '(display (length (iota 1000000)))'
  cairn run --memory-limit 256MiB --report=json --report-file heap.json -- ./server)";

struct RunOptions {
    std::string memory_limit;
    std::string layout;
    std::string report;
    std::string report_file;
    std::string library;
    std::string record;
    bool record_sites = false;
    bool verify = false;
    bool summary = false;
    bool wants_malloc = false;
    bool wants_collector = false;
    bool chooses = false;
};

// Often a wrapper: what it starts cannot be known.
bool is_shell_script(const Program& program) {
    const std::string shell = fs::path(program.image).filename().string();
    return program.image != program.path &&
           (shell == "sh" || shell == "dash" || shell == "bash" || shell == "ksh" || shell == "zsh");
}

// Decides what the program runs on, where the options leave it open.
void choose(RunOptions& options, const Program& program) {
    if (!options.record.empty() || !options.library.empty()) options.wants_malloc = true;
    if (options.wants_malloc || options.wants_collector) return;
    const bool is_client = !program.image.empty() && needs_library(program.image, collector_name);
    options.wants_malloc = !is_client;
    options.wants_collector =
        is_client || (is_shell_script(program) && !find_own_library(collector_library).path.empty());
}

// Sets `library` to the full path, or says in one line why there is none and returns the exit code.
std::optional<int> find_library(const RunOptions& options, std::string& library) {
    std::error_code failure;
    if (!options.library.empty()) {
        const fs::path given = fs::absolute(options.library, failure);
        if (!fs::is_regular_file(given, failure))
            return fail(exit_cairn, fmt::format("run: --lib: no library at {}", options.library));
        library = given;
    } else {
        const std::string_view library_name = options.record.empty() ? plain_library : recording_library;
        const OwnLibrary found = find_own_library(library_name);
        if (found.path.empty())
            return fail(exit_cairn,
                        fmt::format("run: no {} beside this command (looked for {}); name it with --lib",
                                    library_name, found.looked_for));
        library = found.path;
    }
    if (library.find_first_of(": ") != std::string::npos)
        return fail(
            exit_cairn,
            fmt::format("run: LD_PRELOAD cannot hold the path {}: it has a colon or a blank", library));
    return std::nullopt;
}

// The same for the collector's.
std::optional<int> find_collector(std::string& library) {
    const OwnLibrary found = find_own_library(collector_library);
    if (found.path.empty())
        return fail(exit_cairn, fmt::format("run: no {} beside this command (looked for {})",
                                            collector_library, found.looked_for));
    library = found.path;
    if (library.find_first_of(":;") == std::string::npos) return std::nullopt;
    return fail(exit_cairn, fmt::format("run: LD_LIBRARY_PATH cannot hold the path {}: it has a colon or a "
                                        "semicolon", library));
}

// Checks what the parser could not, and brings sizes into the form the library reads.
std::optional<int> check_options(RunOptions& options) {
    if (!options.memory_limit.empty() && options.memory_limit != "off") {
        const ParsedSize size = parse_size(options.memory_limit);
        if (!size.error.empty())
            return fail(exit_usage, fmt::format("run: --memory-limit: {}; or off", size.error));
        if (size.bytes == 0)
            return fail(exit_usage,
                        "run: --memory-limit: 0 leaves no memory; valid: a size such as 256MiB; or off");
        options.memory_limit = exact_size_iec(size.bytes);
    }
    if (!options.report_file.empty()) {
        std::error_code failure;
        const fs::path file = fs::absolute(options.report_file, failure);
        if (!fs::is_directory(file.parent_path(), failure) || fs::is_directory(file, failure))
            return fail(exit_usage, fmt::format("run: --report-file: cannot write {}", options.report_file));
        options.report_file = file;
        if (options.report.empty()) options.report = "text";
    }
    if (options.chooses && (options.wants_malloc || options.wants_collector))
        return fail(exit_usage, "run: --auto chooses by itself: leave out --libgc and --malloc");
    if (options.wants_collector && (!options.record.empty() || !options.library.empty()))
        return fail(exit_usage, "run: --record and --lib are about malloc: leave out --libgc");
    if (options.record_sites && options.record.empty())
        return fail(exit_usage, "run: --record-sites needs --record FILE");
    return std::nullopt;
}

// `first` before what the environment has in a list with colons.
std::string prepended(const char* variable, const std::string& first) {
    const char* given = std::getenv(variable);
    return fmt::format("{}={}{}{}", variable, first, given != nullptr && *given != '\0' ? ":" : "",
                       given != nullptr ? given : "");
}

std::vector<std::string> environment_for(const RunOptions& options, const std::string& library,
                                         const std::string& collector) {
    std::vector<std::string> settings;
    if (options.wants_malloc) settings.push_back(prepended("LD_PRELOAD", library));
    if (options.wants_collector)
        settings.push_back(prepended("LD_LIBRARY_PATH", fs::path(collector).parent_path().string()));
    const auto add = [&](std::string_view name, const std::string& value) {
        if (!value.empty()) settings.push_back(fmt::format("{}={}", name, value));
    };
    add("CAIRN_MEMORY_LIMIT", options.memory_limit);
    add("CAIRN_LAYOUT", options.layout);
    add("CAIRN_REPORT", options.report + (options.report_file.empty() ? "" : ":" + options.report_file));
    add("CAIRN_VERIFY", options.verify ? "1" : "");
    return settings;
}

void print_summary(const ChildEnd& end) {
    const std::string how = WIFSIGNALED(end.status) ? fmt::format("signal {}", WTERMSIG(end.status))
                                                    : fmt::format("exit {}", WEXITSTATUS(end.status));
    fmt::print(stderr, "cairn: wall {:.3f} s, user {:.3f} s, sys {:.3f} s, peak RSS {:.1f} MiB, {}\n",
               end.wall_seconds, end.user_seconds, end.system_seconds,
               static_cast<double>(end.peak_bytes) / (1 << 20), how);
}

// Runs the program and stays; `ended` hears how it went. Ends as it ended.
int run_beside(const RunOptions& options, const ChildPlan& plan,
               const std::function<void(const ChildEnd&)>& ended = {}) {
    const ChildEnd end = run_and_wait(plan);
    if (ended) ended(end);
    if (end.error != 0)
        return fail(exit_cairn, fmt::format("run: no new process: {}", std::strerror(end.error)));
    if (options.summary) print_summary(end);
    return end_like(end.status);
}

void print_recording(const std::vector<trace::Recording::Result>& results) {
    if (results.empty())
        fmt::print(stderr, "cairn: nothing was recorded: the program ended before its first allocation, "
                           "or has a malloc of its own\n");
    std::uint64_t others = 0;
    for (std::size_t i = 0; i < results.size(); ++i) {
        const trace::Recording::Result& one = results[i];
        const std::string trouble = one.error.empty() ? "" : "; then writing failed: " + one.error;
        if (i == 0)
            fmt::print(stderr, "cairn: recorded {} of {} in {}{}\n", plural(one.events, "event"), one.program,
                       one.trace, trouble);
        else if (!trouble.empty()) fmt::print(stderr, "cairn: {}{}\n", one.trace, trouble);
        others += one.events;
    }
    if (results.size() > 1)
        fmt::print(stderr, "cairn: and {} of {} it started, in {}.PID\n",
                   plural(others - results.front().events, "event"), plural(results.size() - 1, "program"),
                   results.front().trace);
}

int run_recorded(const RunOptions& options, ChildPlan& plan) {
    trace::Recording recording;
    if (!recording.prepare(options.record, options.record_sites))
        return fail(exit_cairn, "run: --record: " + recording.error());
    plan.settings.push_back(recording.setting());
    recording.start();
    return run_beside(options, plan, [&](const ChildEnd& end) {
        recording.stop(end.error == 0 ? end.status : -1);
        print_recording(recording.results());
    });
}

// The usage line, which the parser cannot know: it has no name for what it does not parse.
class RunFormatter : public CLI::Formatter {
public:
    std::string make_usage(const CLI::App*, std::string) const override {
        return "Usage: cairn run [OPTIONS] -- PROGRAM [ARGUMENTS]\n";
    }
    std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
        if (option->check_lname("report")) return "--report[=text|json]";
        return CLI::Formatter::make_option_name(option, is_positional);
    }
};

void declare_options(CLI::App& app, RunOptions& options) {
    app.add_option("--memory-limit", options.memory_limit,
                   "keep the heap near SIZE by giving memory back sooner: 256MiB, 2GiB, or off")
        ->type_name("SIZE");
    app.add_option("--layout", options.layout, "sparse (default) or linear; 'cairn layout' shows both")
        ->check(CLI::IsMember({"sparse", "linear"}).description(""))
        ->type_name("MODEL");
    app.add_flag("--report{text}", options.report,
                 "at exit, tell what happened in the heap; --report=json for programs")
        ->check(CLI::IsMember({"text", "json"}).description(""));
    app.add_option("--report-file", options.report_file, "write the report to FILE instead of standard error")
        ->type_name("FILE");
    app.add_option("--record", options.record,
                   "write every malloc, free, realloc to FILE; 'cairn trace' and 'cairn replay' read it")
        ->type_name("FILE");
    app.add_flag("--record-sites", options.record_sites, "with --record: also who called");
    app.add_flag("--verify", options.verify, "let the heap check itself as it goes (slow)");
    app.add_flag("--summary", options.summary, "at the end, tell time and peak memory of the program");
    app.add_flag("--libgc", options.wants_collector, "run it on Cairn's collector in place of libgc.so.1");
    app.add_flag("--malloc", options.wants_malloc, "run it on Cairn's malloc; with --libgc: on both");
    app.add_flag("--auto", options.chooses,
                 "the collector if the program needs libgc.so.1, else malloc; a script of a shell: "
                 "both (default)");
    app.add_option("--lib", options.library, "preload this file instead of the library beside this command")
        ->type_name("FILE");
    app.formatter(std::make_shared<RunFormatter>());
    app.footer(std::string(teaching));
}

// Parses our options; what follows `--`, or the first word that is no option, is the program.
std::optional<int> split(Arguments arguments, RunOptions& options, Arguments& program) {
    const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
    const Arguments behind(dashes, arguments.end());
    arguments.erase(dashes, arguments.end());
    CLI::App app{"Run a program on Cairn's malloc, or on its collector if it was built for libgc.",
                 "cairn run"};
    declare_options(app, options);
    if (const auto code = parse(app, std::move(arguments), &program)) return code;
    const bool is_ours = program.empty();  // a later `--` belongs to the program
    program.insert(program.end(), behind.begin() + (is_ours && !behind.empty() ? 1 : 0), behind.end());
    if (program.empty() || program.front().empty())
        return fail(exit_usage, "run: no program given; valid: cairn run [OPTIONS] -- PROGRAM [ARGUMENTS]");
    return std::nullopt;
}

}  // namespace

int run_verb(Arguments arguments) {
    RunOptions options;
    Arguments words;
    if (const auto code = split(std::move(arguments), options, words)) return *code;
    if (const auto code = check_options(options)) return *code;
    const Program program = find_program(words.front());
    if (program.path.empty()) return fail(program.code, "run: " + program.error);
    choose(options, program);
    std::string library;
    std::string collector;
    if (options.wants_malloc)
        if (const auto code = find_library(options, library)) return *code;
    if (options.wants_collector)
        if (const auto code = find_collector(collector)) return *code;

    ChildPlan plan{program.path, std::move(words), environment_for(options, library, collector),
                   "CAIRN_REPORT_PID"};
    std::fflush(nullptr);
    if (!options.record.empty()) return run_recorded(options, plan);
    if (!options.summary) return become(plan);
    return run_beside(options, plan);
}

}  // namespace cairn::cli
