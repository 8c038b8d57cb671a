// Reads remarks and puts the copies of a line together.
// SPDX-License-Identifier: MIT
#include "remarks.hpp"

#include <fmt/core.h>

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <map>
#include <regex>
#include <tuple>

namespace cairn::cli {

namespace {

constexpr std::string_view not_escaping = " does not escape";
constexpr std::string_view to_heap = " escapes to heap: ";
constexpr std::string_view leaking = "leaking param: ";

std::string_view without_blanks_at_end(std::string_view text) {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
    return text;
}

bool is_name_char(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
}

// Lines of source files, read once.
class Sources {
public:
    std::string_view line(const std::string& file, unsigned number) {
        auto [place, is_new] = files_.try_emplace(file);
        if (is_new) {
            std::ifstream input(file);
            for (std::string text; std::getline(input, text);) place->second.push_back(text);
        }
        return number >= 1 && number <= place->second.size() ? std::string_view(place->second[number - 1])
                                                             : "";
    }

private:
    std::map<std::string, std::vector<std::string>> files_;
};

using Place = std::tuple<std::string, unsigned, unsigned, std::string>;
using Verdicts = std::map<Place, Verdict>;

// The verdict on `what` at the place that a diagnostic starts with.
Verdict& verdict_at(Verdicts& verdicts, const std::smatch& found, const std::string& what) {
    const unsigned line = static_cast<unsigned>(std::stoul(found[2])),
                   column = static_cast<unsigned>(std::stoul(found[3]));
    Verdict& verdict = verdicts[{found[1], line, column, what}];
    verdict.file = found[1];
    verdict.line = line;
    verdict.column = column;
    verdict.what = what;
    return verdict;
}

// The same for a warning of the front end's.
void add_check(Verdicts& verdicts, const std::smatch& found) {
    Verdict& verdict = verdict_at(verdicts, found, found[5]);
    verdict.kind = Verdict::Kind::check;
    verdict.reason = found[4];
}

// Adds one remark to the verdict of its place. False: it is none of the pass's.
bool add(Verdicts& verdicts, const std::smatch& found, bool with_parameters) {
    const std::string text = found[4];
    const bool is_parameter = found[5] == "-analysis";
    const bool is_leak = text.starts_with(leaking);
    const std::size_t stays = text.find(not_escaping), leaves = text.find(to_heap);
    if (is_parameter ? !is_leak && stays == std::string::npos
                     : stays == std::string::npos && leaves == std::string::npos)
        return false;
    if (is_parameter && !with_parameters) return true;
    std::string what =
        is_leak ? text.substr(leaking.size(), text.find_first_of(": ", leaking.size()) - leaking.size())
                : text.substr(0, std::min(stays, leaves));
    std::string variable;  // the front end has names: 'p' (Vec)
    if (what.starts_with("'") && what.ends_with(")") && what.find("' (") != std::string::npos) {
        const std::size_t type = what.find("' (");
        variable = what.substr(1, type - 1);
        what = what.substr(type + 3, what.size() - type - 4);
    }
    Verdict& verdict = verdict_at(verdicts, found, what);
    verdict.kind = is_parameter ? Verdict::Kind::parameter : Verdict::Kind::object;
    verdict.variable = std::move(variable);
    if (is_leak) {
        ++verdict.on_heap;
        verdict.reason = text.substr(leaking.size() + verdict.what.size());
    } else if (leaves != std::string::npos) {
        ++verdict.on_heap;
        if (verdict.reason.empty()) verdict.reason = text.substr(leaves + to_heap.size());
    } else {
        ++verdict.on_stack;
        const std::size_t number = stays + not_escaping.size() + 2;
        if (!is_parameter && number < text.size())
            verdict.bytes = std::strtoull(text.c_str() + number, nullptr, 10);
    }
    return true;
}

}  // namespace

Bound bound_variable(std::string_view line, unsigned column) {
    Bound bound;
    if (column == 0 || column > line.size()) return bound;
    std::string_view before = without_blanks_at_end(line.substr(0, column - 1));
    const bool is_read = before.ends_with("*");
    if (is_read) before = without_blanks_at_end(before.substr(0, before.size() - 1));
    if (!before.ends_with("=") || before.ends_with("==")) return bound;
    before = without_blanks_at_end(before.substr(0, before.size() - 1));
    std::size_t start = before.size();
    while (start > 0 && is_name_char(before[start - 1])) --start;
    bound.name = before.substr(start);
    const std::string_view type = without_blanks_at_end(before.substr(0, start));
    bound.is_reference = is_read && type.ends_with("&");
    if (is_read && !bound.is_reference) bound.name.clear();
    if (!bound.name.empty() && (type.ends_with(".") || type.ends_with("->"))) bound.name.clear();
    return bound;
}

std::string Verdict::word() const {
    if (kind == Kind::check) return what == "could-be-local" ? "advice" : "check";
    if (kind == Kind::parameter) return on_heap != 0 ? "leaks" : "kept";
    return on_heap == 0 ? "stack" : on_stack == 0 ? "heap" : "mixed";
}

std::string Verdict::text() const {
    if (kind == Kind::check) return fmt::format("warning: {} [cairn-{}]", reason, what);
    if (kind == Kind::parameter)
        return on_heap != 0 ? fmt::format("leaking param: {}{}", what, reason)
                            : fmt::format("{} does not escape", what);
    const std::string subject = variable.empty() ? what : fmt::format("{} '{}'", what, variable);
    if (on_heap == 0)
        return fmt::format("{} does not escape{}", subject,
                           bytes == 0 ? std::string() : fmt::format(" ({} bytes)", bytes));
    std::string text = is_reference ? fmt::format("moved to heap: {}: {}", variable, reason)
                                    : fmt::format("{} escapes to heap: {}", subject, reason);
    if (on_stack != 0)
        text += fmt::format(" (not so in {} of {} inlined copies)", on_stack, on_stack + on_heap);
    return text;
}

Remarks read_remarks(std::string_view output, bool with_parameters) {
    static const std::regex remark(
        R"(^(.*?):(\d+):(\d+): remark: (.*) \[-Rpass(-missed|-analysis|)=escape\]$)");
    static const std::regex check(R"(^(.*?):(\d+):(\d+): warning: (.*) \[cairn-([a-z-]+)\]$)");
    static const std::regex count(R"(^\d+ warnings? generated\.$)");
    Remarks remarks;
    Verdicts verdicts;
    std::string included;  // "In file included from": belongs to the next line
    bool has_warnings = false;
    while (!output.empty()) {
        const std::size_t end = output.find('\n');
        const std::string line(output.substr(0, end));
        output.remove_prefix(end == std::string_view::npos ? output.size() : end + 1);
        std::smatch found;
        if (line.starts_with("In file included from ") || line.starts_with("                 from ")) {
            included += line + "\n";
            continue;
        }
        const bool is_remark = line.find(": remark: ") != std::string::npos &&
                               std::regex_match(line, found, remark) && add(verdicts, found, with_parameters);
        const bool is_check = !is_remark && line.find(" [cairn-") != std::string::npos &&
                              std::regex_match(line, found, check);
        if (is_check) add_check(verdicts, found);
        else if (!is_remark && (has_warnings || !std::regex_match(line, count))) {
            remarks.rest += included + line + "\n";
            has_warnings = has_warnings || line.find(": warning: ") != std::string::npos;
        }
        included.clear();
    }
    Sources sources;
    for (auto& [place, verdict] : verdicts) {
        const Bound bound = bound_variable(sources.line(verdict.file, verdict.line), verdict.column);
        if (verdict.kind == Verdict::Kind::object) {
            if (verdict.variable.empty()) verdict.variable = bound.name;
            verdict.is_reference = bound.is_reference;
        }
        remarks.verdicts.push_back(std::move(verdict));
    }
    return remarks;
}

}  // namespace cairn::cli
