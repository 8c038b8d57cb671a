// The `cairn` command: a table of verbs, and what holds for all of them.
//
//   cairn VERB [OPTIONS]      cairn help [VERB]      cairn --version
// SPDX-License-Identifier: MIT
#include <cairn/tables.h>
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <exception>

#include "verb.hpp"

namespace cairn::cli {

namespace {

constexpr std::array verb_table{
    Verb{"run", "run a program on Cairn's malloc", run_verb},
    Verb{"classes", "print the size classes and what each can waste", classes_verb},
    Verb{"explain", "tell which class serves a request, and why", explain_verb},
    Verb{"layout", "show how addresses become arenas, and what that costs", layout_verb},
    Verb{"replay", "play a recorded trace on other allocators, and compare them", replay_verb},
    Verb{"trace", "tell what is in a trace of 'cairn run --record'", trace_verb},
    Verb{"map", "draw the heap of a running process, or of a snapshot", map_verb},
    Verb{"escape", "compile, and tell which objects need not be on the heap", escape_verb},
    Verb{"help", "explain a verb; 'help env' lists the environment variables", help_verb},
};

// The names an app accepts after a dash, for the message about one it does not.
std::string valid_options(const CLI::App& app) {
    Arguments names;
    for (const CLI::Option* option : app.get_options())
        if (!option->get_positional() && !option->get_lnames().empty())
            names.push_back("--" + option->get_lnames().front());
    return join(names);
}

}  // namespace

std::span<const Verb> verbs() {
    return verb_table;
}

int fail(int code, std::string_view text) {
    fmt::print(stderr, "cairn: {}\n", text);
    return code;
}

std::string join(std::span<const std::string> words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
    return text;
}

std::optional<int> parse(CLI::App& app, Arguments arguments, Arguments* rest) {
    app.allow_extras();
    if (rest != nullptr) app.prefix_command();
    app.get_formatter()->column_width(30);
    const std::string name = app.get_name().substr(app.get_name().find(' ') + 1);
    try {
        std::reverse(arguments.begin(), arguments.end());
        app.parse(std::move(arguments));
    } catch (const CLI::CallForHelp&) {
        fmt::print("{}", app.help());
        return exit_ok;
    } catch (const CLI::ParseError& error) {
        std::string text = error.what();
        std::replace(text.begin(), text.end(), '\n', ' ');
        return fail(exit_usage, fmt::format("{}: {}", name, text));
    }
    Arguments left = app.remaining();
    if (!left.empty() && left.front().size() > 1 && left.front()[0] == '-')
        return fail(exit_usage,
                    fmt::format("{}: unknown option {}; valid: {}", name, left.front(), valid_options(app)));
    if (!left.empty() && rest == nullptr)
        return fail(exit_usage, fmt::format("{}: '{}' is one argument too many", name, left.front()));
    if (rest != nullptr) *rest = std::move(left);
    return std::nullopt;
}

namespace {

const Verb* find_verb(std::string_view name) {
    const auto* found = std::find_if(verb_table.begin(), verb_table.end(),
                                     [&](const Verb& verb) { return verb.name == name; });
    return found == verb_table.end() ? nullptr : found;
}

std::string verb_names() {
    Arguments names;
    for (const Verb& verb : verb_table) names.emplace_back(verb.name);
    return join(names);
}

void print_overview(std::FILE* to) {
    fmt::print(to,
               "Cairn {}: Go's memory manager for C and C++ programs.\n\n"
               "Usage: cairn VERB [OPTIONS]\n\n",
               cairn_version());
    for (const Verb& verb : verb_table) fmt::print(to, "  {:<10}{}\n", verb.name, verb.summary);
    fmt::print(to,
               "\nTry it:\n"
               "  cairn run --report -- python3 script.py    what happened in the heap of python3\n"
               "  cairn explain 33                           why 33 bytes take a slot of 48\n"
               "  cairn help run                             all that can be said to a verb\n");
}

void print_environment() {
    fmt::print(
        "Environment variables of the library; `cairn run` sets them from its options. A bad value is told "
        "in one\n"
        "line on standard error, and the default goes on.\n\n");
    for (std::size_t i = 0; i < cairn_option_count(); ++i) {
        cairn_option_info option{};
        if (cairn_option_get(i, &option) != 0) break;
        const std::string_view standard = option.default_value;
        fmt::print("{}\n    {}\n    values: {}; default: {}\n", option.name, option.meaning, option.values,
                   standard.empty() ? "unset" : standard);
    }
}

int dispatch(Arguments arguments) {
    if (arguments.empty()) {
        print_overview(stderr);
        return exit_usage;
    }
    const std::string first = arguments.front();
    arguments.erase(arguments.begin());
    if (first == "--version" || first == "-V") {
        fmt::print("cairn {}\n", cairn_version());
        return exit_ok;
    }
    if (first == "--help" || first == "-h") return help_verb({});
    if (const Verb* verb = find_verb(first)) return verb->run(std::move(arguments));
    if (first.starts_with("-"))
        return fail(exit_usage, fmt::format("unknown option {}; valid: --help, --version, or a verb: {}",
                                            first, verb_names()));
    return fail(exit_usage, fmt::format("unknown verb '{}'; valid: {}", first, verb_names()));
}

}  // namespace

int help_verb(Arguments arguments) {
    if (arguments.empty() || arguments.front() == "--help" || arguments.front() == "-h") {
        print_overview(stdout);
        return exit_ok;
    }
    if (arguments.front() == "env") {
        print_environment();
        return exit_ok;
    }
    const Verb* verb = find_verb(arguments.front());
    if (verb == nullptr)
        return fail(exit_usage,
                    fmt::format("help: no page '{}'; valid: env, {}", arguments.front(), verb_names()));
    return verb->run({"--help"});
}

}  // namespace cairn::cli

int main(int count, char** words) {
    try {
        const int code = cairn::cli::dispatch({words + 1, words + count});
        if (std::fflush(stdout) != 0 && code == cairn::cli::exit_ok)
            return cairn::cli::fail(cairn::cli::exit_cairn, "cannot write to standard output");
        return code;
    } catch (const std::exception& error) {
        return cairn::cli::fail(cairn::cli::exit_cairn, error.what());
    }
}
