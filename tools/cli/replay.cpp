// `cairn replay`: a recorded trace on other allocators: time, memory, search length, and pictures of it.
//
//   1. Read the policies; find the library of each that is one.
//   2. Turn the trace into a plan in shared memory.
//   3. Play it on each policy in a process of its own: this command again, as `replay --play`.
//   4. Print the table; write what else was asked for.
// SPDX-License-Identifier: MIT
#include <cairn/textbook.h>
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <variant>

#include "library.hpp"
#include "quantity.hpp"
#include "replay/page.hpp"
#include "replay/player.hpp"
#include "replay/report.hpp"
#include "replay/runner.hpp"
#include "verb.hpp"

namespace cairn::cli {

namespace {

namespace fs = std::filesystem;
using replay::Kind;
using replay::Policy;

constexpr std::string_view malloc_library = "libcairn-malloc.so";
constexpr std::string_view default_policies =
    "bump,first-fit,next-fit,best-fit,best-fit-tree,segregated,cairn,cairn-linear,system";

constexpr std::string_view teaching =
    R"(TRACE is what 'cairn run --record TRACE -- PROGRAM' wrote. The same requests are made in the same
order by one thread; of each object the first word and a byte of each OS page are written.

  seconds      of the fastest of up to three runs, with what playing costs (told below the table)
  peak MiB     memory the process got, at its most; / live: over the most bytes alive at once
  waste %      of the bytes in blocks, what nobody asked for, when most was alive (without the tags of
               libraries, which nobody can ask them for; for bump, dead objects count too)
  visited/op   free blocks looked at, per operation; most: in one operation

A policy that runs out of its region or of time, or crashes, is told in its row, and the others go on.

Examples:
  cairn run --record g++.trace -- g++ -c program.cpp
  cairn replay g++.trace
  cairn replay g++.trace --policies cairn,system,/usr/lib/x86_64-linux-gnu/libjemalloc.so.2
  cairn replay g++.trace --html page.html --png picture.png)";

struct ReplayOptions {
    std::string trace;
    std::string policies{default_policies};
    std::string region;
    double most_seconds = 600;
    unsigned runs = 3;
    bool wants_json = false;
    bool is_quiet = false;
    std::string html, svg, png;
};

void declare_options(CLI::App& app, ReplayOptions& options) {
    app.add_option("TRACE", options.trace, "the recorded trace");
    app.add_option("--policies", options.policies, "by comma, from the list below (default: all)")
        ->type_name("LIST");
    app.add_option("--region", options.region,
                   "addresses for a textbook policy (default: 4 GiB, more if the trace needs it)")
        ->type_name("SIZE");
    app.add_option("--time-limit", options.most_seconds, "most seconds for a policy (default: 600)")
        ->type_name("SECONDS");
    app.add_option("--runs", options.runs, "most runs of a fast policy (default: 3)")->type_name("N");
    app.add_flag("--json", options.wants_json, "for programs, with all that was measured over time");
    app.add_flag("--quiet", options.is_quiet, "show no progress");
    app.add_option("--html", options.html, "write a page with charts and the address space over time")
        ->type_name("FILE");
    app.add_option("--svg", options.svg, "write the charts as a picture")->type_name("FILE");
    app.add_option("--png", options.png, "the same as pixels")->type_name("FILE");
}

// The other half of this verb: what the runner starts. Nobody else does, so its options are told nowhere.
int play(Arguments arguments) {
    replay::PlayerOrder order;
    CLI::App app{"Play a plan.", "cairn replay"};
    app.add_option("--play", order.policy)->required();
    app.add_option("--plan-file", order.plan_file)->required();
    app.add_option("--outcome-file", order.outcome_file)->required();
    app.add_option("--region-bytes", order.region_bytes);
    app.add_option("--most-seconds", order.most_seconds);
    app.add_option("--library", order.library);
    if (const auto code = parse(app, std::move(arguments))) return *code;
    return replay::play(order);
}

// ---- policies

Arguments known_policies() {
    Arguments names;
    for (std::size_t i = 0; cairn_textbook_policy_name(i) != nullptr; ++i)
        names.emplace_back(cairn_textbook_policy_name(i));
    names.insert(names.end(), {"cairn", "cairn-linear", "system"});
    return names;
}

std::string policy_list() {
    std::string text = "\n\nPolicies:\n";
    const auto add = [&](std::string_view name, std::string_view meaning) {
        text += fmt::format("  {:<15}{}\n", name, meaning);
    };
    for (std::size_t i = 0; cairn_textbook_policy_name(i) != nullptr; ++i)
        add(cairn_textbook_policy_name(i), cairn_textbook_policy_meaning(i));
    add("cairn", "Cairn's malloc");
    add("cairn-linear", "the same in the classic layout, one reservation of 528.5 GiB");
    add("system", "the malloc of this system");
    add("PATH.so", "any library that replaces malloc, by its path (with a '/')");
    text.pop_back();
    return text;
}

// The policy of this name; on a mistake the exit code, the mistake having been told.
std::variant<Policy, int> read_policy(const std::string& name) {
    Policy policy;
    policy.name = name;
    const auto with_library = [&](Kind kind, const std::string& path) -> std::variant<Policy, int> {
        if (path.find_first_of(": ") != std::string::npos)
            return fail(
                exit_cairn,
                fmt::format("replay: LD_PRELOAD cannot hold the path {}: it has a colon or a blank", path));
        policy.kind = kind;
        policy.library = path;
        return policy;
    };
    if (name == "system") {
        policy.kind = Kind::system;
        return policy;
    }
    if (name == "cairn" || name == "cairn-linear") {
        const OwnLibrary own = find_own_library(malloc_library);
        if (own.path.empty())
            return fail(exit_cairn, fmt::format("replay: no {} beside this command (looked for {})",
                                                malloc_library, own.looked_for));
        policy.settings.push_back(name == "cairn" ? "CAIRN_LAYOUT=sparse" : "CAIRN_LAYOUT=linear");
        return with_library(Kind::cairn, own.path);
    }
    if (name.find('/') != std::string::npos) {
        std::error_code failure;
        const fs::path path = fs::absolute(name, failure);
        if (!fs::is_regular_file(path, failure))
            return fail(exit_cairn, fmt::format("replay: no library at {}", name));
        policy.name = path.filename();
        return with_library(Kind::library, path);
    }
    for (std::size_t i = 0; cairn_textbook_policy_name(i) != nullptr; ++i)
        if (name == cairn_textbook_policy_name(i)) return policy;
    return fail(exit_usage, fmt::format("replay: unknown policy '{}'; valid: {}, or the path of a library",
                                        name, join(known_policies())));
}

std::optional<int> read_policies(const std::string& list, std::vector<Policy>& policies) {
    std::size_t start = 0;
    while (start <= list.size()) {
        const std::size_t end = std::min(list.find(',', start), list.size());
        const std::string name = list.substr(start, end - start);
        start = end + 1;
        if (name.empty()) continue;
        auto read = read_policy(name);
        if (const int* code = std::get_if<int>(&read)) return *code;
        policies.push_back(std::get<Policy>(std::move(read)));
    }
    if (policies.empty())
        return fail(exit_usage, fmt::format("replay: no policy given; valid: {}, or the path of a library",
                                            join(known_policies())));
    return std::nullopt;
}

// ---- limits

// What the system says could be had without swapping; 0 when it does not say.
std::uint64_t available_bytes() {
    std::ifstream file("/proc/meminfo");
    std::string name;
    std::uint64_t kib = 0;
    for (std::string rest; file >> name >> kib; std::getline(file, rest))
        if (name == "MemAvailable:") return kib * 1024;
    return 0;
}

// Room for the most alive four times over, 4 GiB at least, and no more than half of what there is: a bump
// pointer would else take the machine's memory for what nobody needs any more.
std::uint64_t default_region(std::uint64_t peak_live_bytes) {
    constexpr std::uint64_t least = std::uint64_t{4} << 30;
    const std::uint64_t wanted = std::max(least, 4 * peak_live_bytes);
    const std::uint64_t available = available_bytes();
    return available == 0 ? wanted : std::min(wanted, available / 2);
}

std::optional<int> read_limits(const ReplayOptions& options, replay::Limits& limits) {
    if (!(options.most_seconds > 0 && options.most_seconds < 1e6))
        return fail(exit_usage, "replay: --time-limit: valid: a number of seconds above 0");
    if (options.runs < 1 || options.runs > 1000) return fail(exit_usage, "replay: --runs: valid: 1 to 1000");
    limits.most_seconds = options.most_seconds;
    limits.most_runs = options.runs;
    if (options.region.empty()) return std::nullopt;
    const ParsedSize size = parse_size(options.region);
    if (!size.error.empty()) return fail(exit_usage, fmt::format("replay: --region: {}", size.error));
    if (size.bytes < 4096) return fail(exit_usage, "replay: --region: valid: a size from 4KiB up");
    limits.region_bytes = size.bytes;
    return std::nullopt;
}

// ---- progress

// One line on the terminal that is written over; nothing where nobody looks.
class Progress {
public:
    explicit Progress(bool is_wanted) : is_shown_(is_wanted && isatty(STDERR_FILENO) != 0) {}
    ~Progress() { clear(); }

    void show(const std::string& text) {
        if (!is_shown_) return;
        fmt::print(stderr, "\r\033[K{}", text);
        std::fflush(stderr);
        is_dirty_ = true;
    }
    void clear() {
        if (is_dirty_) fmt::print(stderr, "\r\033[K");
        is_dirty_ = false;
    }

private:
    bool is_shown_;
    bool is_dirty_ = false;
};

// ---- files

std::optional<int> write_file(const std::string& path, const std::string& bytes) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << bytes;
    file.close();
    if (file) return std::nullopt;
    return fail(exit_cairn, fmt::format("replay: cannot write {}: {}", path, std::strerror(errno)));
}

std::optional<int> write_files(const ReplayOptions& options, const replay::Comparison& comparison) {
    if (!options.html.empty())
        if (const auto code = write_file(options.html, replay::html_page(comparison))) return code;
    if (!options.svg.empty())
        if (const auto code = write_file(options.svg, replay::picture(comparison).svg())) return code;
    if (!options.png.empty())
        if (const auto code = write_file(options.png, replay::picture(comparison).png())) return code;
    return std::nullopt;
}

// Plays the plan on all policies. 0, or 125 when not one could be played to the end.
int compare(const std::vector<Policy>& policies, replay::Comparison& comparison, Progress& progress) {
    const replay::Plan& plan = *comparison.plan;
    const auto watch = [&](const Policy& policy, std::uint64_t played) {
        progress.show(fmt::format("{}: {} of {} events ({})", policy.name, with_commas(played),
                                  with_commas(plan.head().events), percent(played, plan.head().events)));
    };
    Policy alone;
    alone.name = "the player alone";
    alone.kind = Kind::player_alone;
    const replay::Result player = replay::run_policy(plan, alone, comparison.limits, watch);
    comparison.player_ns = player.outcome().ns;
    bool is_any_complete = false;
    for (const Policy& policy : policies) {
        comparison.results.push_back(replay::run_policy(plan, policy, comparison.limits, watch));
        is_any_complete |= comparison.results.back().is_complete();
    }
    progress.clear();
    return is_any_complete ? exit_ok : exit_cairn;
}

}  // namespace

int replay_verb(Arguments arguments) {
    if (!arguments.empty() && arguments.front() == "--play") return play(std::move(arguments));
    ReplayOptions options;
    CLI::App app{"Play a recorded trace on other allocators, and compare them.", "cairn replay"};
    declare_options(app, options);
    app.footer(std::string(teaching) + policy_list());
    if (const auto code = parse(app, std::move(arguments))) return *code;
    if (options.trace.empty())
        return fail(exit_usage, "replay: no trace given; 'cairn run --record FILE -- PROGRAM' makes one");

    std::vector<Policy> policies;
    if (const auto code = read_policies(options.policies, policies)) return *code;
    replay::Comparison comparison;
    if (const auto code = read_limits(options, comparison.limits)) return *code;
    Progress progress(!options.is_quiet);
    replay::Plan plan;
    const auto show_share = [&](double share) {
        progress.show(fmt::format("reading {}: {:.0f} %", options.trace, 100 * share));
    };
    if (!plan.load(options.trace, show_share)) {
        progress.clear();
        return fail(exit_cairn, fmt::format("replay: {} {}", options.trace, plan.error()));
    }
    comparison.trace = options.trace;
    comparison.plan = &plan;
    if (comparison.limits.region_bytes == 0)
        comparison.limits.region_bytes = default_region(plan.head().peak_live_bytes);
    const int code = compare(policies, comparison, progress);
    if (options.wants_json) fmt::print("{}\n", replay::to_json(comparison).dump());
    else fmt::print("{}", replay::table(comparison));
    if (const auto failed = write_files(options, comparison)) return *failed;
    return code;
}

}  // namespace cairn::cli
