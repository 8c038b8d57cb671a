// The table of switches and how each value is read.
// SPDX-License-Identifier: MIT
#include "api/options.hpp"

#include <cstddef>
#include <cstring>
#include <string_view>

#include "base/check.hpp"
#include "cairn/tables.h"
#include "os/process.hpp"

namespace cairn::api {

namespace {

// Each reader returns false when it does not understand the value.
using Reader = bool (*)(std::string_view value, Options& into);

// Not substr(): it would need a C++ library to throw with.
std::string_view head_of(std::string_view text, std::size_t bytes) {
    return {text.data(), text.size() < bytes ? text.size() : bytes};
}

bool read_switch(std::string_view value, bool& into) {
    if (value == "1" || value == "on") into = true;
    else if (value == "0" || value == "off") into = false;
    else return false;
    return true;
}

bool read_number(std::string_view& value, std::uint64_t& number) {
    std::size_t used = 0;
    number = 0;
    while (used < value.size() && value[used] >= '0' && value[used] <= '9') {
        if (number > (UINT64_MAX - 9) / 10) return false;
        number = number * 10 + static_cast<std::uint64_t>(value[used++] - '0');
    }
    value.remove_prefix(used);
    return used > 0;
}

bool read_limit(std::string_view value, Options& into) {
    if (value == "off") return true;
    std::uint64_t number = 0;
    if (!read_number(value, number)) return false;
    unsigned shift = 0;
    if (value == "KiB") shift = 10;
    else if (value == "MiB") shift = 20;
    else if (value == "GiB") shift = 30;
    else if (value == "TiB") shift = 40;
    else if (value != "" && value != "B") return false;
    if (number == 0 || number > (UINT64_MAX >> shift)) return false;
    into.memory_limit = number << shift;
    return true;
}

bool read_layout(std::string_view value, Options& into) {
    if (value == "sparse") into.layout = pages::LayoutModel::sparse;
    else if (value == "linear") into.layout = pages::LayoutModel::linear;
    else return false;
    return true;
}

// A copy: a program that writes its title over its environment (redis) would leave us no name.
constinit char report_path[4096];  // [fixed] once read

bool read_report(std::string_view value, Options& into) {
    const std::size_t colon = value.find(':');
    if (colon != std::string_view::npos && colon + 1 == value.size()) return false;
    const std::string_view format = head_of(value, colon);
    if (format == "text" || format == "1") into.report = ReportFormat::text;
    else if (format == "json") into.report = ReportFormat::json;
    else if (format == "0" || format == "off") into.report = ReportFormat::none;
    else return false;
    if (colon == std::string_view::npos) return true;
    value.remove_prefix(colon + 1);
    if (value.size() >= sizeof report_path) return false;
    std::memcpy(report_path, value.data(), value.size());
    report_path[value.size()] = 0;
    into.report_file = report_path;
    return true;
}

bool read_report_pid(std::string_view value, Options& into) {
    std::uint64_t number = 0;
    if (!read_number(value, number) || !value.empty() || number > UINT32_MAX) return false;
    into.report_pid = static_cast<std::uint32_t>(number);
    return true;
}

bool read_misuse(std::string_view value, Options& into) {
    if (value == "abort") into.misuse_is_fatal = true;
    else if (value == "report") into.misuse_is_fatal = false;
    else return false;
    return true;
}

// One or more, separated by commas.
bool read_trace(std::string_view value, Options& into) {
    if (value == "off") return true;
    Options read = into;
    for (;;) {
        const std::size_t comma = value.find(',');
        const std::string_view word = head_of(value, comma);
        if (word == "scav") read.trace_scavenger = true;
        else if (word == "gc") read.trace_gc = true;
        else return false;
        if (comma == std::string_view::npos) break;
        value.remove_prefix(comma + 1);
    }
    into = read;
    return true;
}

bool read_gc(std::string_view value, Options& into) {
    if (value == "concurrent") into.gc_mode = gc::Mode::concurrent;
    else if (value == "stw") into.gc_mode = gc::Mode::stw;
    else if (value == "off") into.gc_mode = gc::Mode::off;
    else return false;
    return true;
}

bool read_gc_young(std::string_view value, Options& into) {
    if (value == "auto") into.gc_young = gc::Young::by_yield;
    else if (value == "on") into.gc_young = gc::Young::always;
    else if (value == "unaged") into.gc_young = gc::Young::always_unaged;
    else if (value == "off") into.gc_young = gc::Young::never;
    else return false;
    return true;
}

bool read_gc_percent(std::string_view value, Options& into) {
    if (value == "off") {
        into.gc_percent = -1;
        return true;
    }
    std::uint64_t number = 0;
    if (!read_number(value, number) || !value.empty() || number == 0 || number > 1'000'000) return false;
    into.gc_percent = static_cast<std::int32_t>(number);
    return true;
}

bool read_gc_stop(std::string_view value, Options& into) {
    std::uint64_t number = 0;
    if (!read_number(value, number) || !value.empty() || number > 10'000) return false;
    into.gc_stop_ms = static_cast<std::uint32_t>(number);
    return true;
}

struct Row {
    cairn_option_info info;
    Reader read;
};

constexpr Row rows[] = {
    {{"CAIRN_MEMORY_LIMIT", "off", "a size such as 256MiB, 2GiB, 1000000, or off",
      "soft limit on memory that is mapped and ready: free pages go back to the OS before it is passed"},
     read_limit},
    {{"CAIRN_LAYOUT", "sparse", "sparse, linear",
      "where the heap lives: 64 MiB arenas anywhere, or the classic single reservation of 528.5 GiB"},
     read_layout},
    {{"CAIRN_HUGE_PAGES", "off", "on, off", "ask for huge pages once the heap is larger than 32 MiB"},
     [](std::string_view value, Options& into) { return read_switch(value, into.use_huge_pages); }},
    {{"CAIRN_BACKGROUND", "on", "on, off",
      "return idle memory by a thread of our own, started when needed; off: whoever frees does it, later and "
      "coarser"},
     [](std::string_view value, Options& into) { return read_switch(value, into.has_background); }},
    {{"CAIRN_REPORT", "off", "text, json, text:FILE, json:FILE, off",
      "what happened in the heap, written at exit"},
     read_report},
    {{"CAIRN_REPORT_PID", "0", "a process id, or 0 for every process", "only this process writes the report"},
     read_report_pid},
    {{"CAIRN_ON_MISUSE", "abort", "abort, report",
      "after a double free or a foreign pointer: stop, or say so and go on"},
     read_misuse},
    {{"CAIRN_TRACE", "off", "gc, scav (or both: gc,scav), off",
      "gc: one line a collection; scav: one line each time memory was returned to the OS"},
     read_trace},
    {{"CAIRN_GC", "concurrent", "concurrent, stw, off",
      "collected objects: mark beside the program, with the world stopped, or never"},
     read_gc},
    {{"CAIRN_GC_YOUNG", "auto", "auto, on, unaged, off",
      "libgc's programs: cycles that mark only what is new: where they free more for their time, whenever "
      "possible, the same with survivors that stay new until the next full cycle, or never"},
     read_gc_young},
    {{"CAIRN_GC_PERCENT", "100", "a number from 1 to 1000000, or off",
      "collected objects: how much the heap may grow, in percent of what was live, before the next "
      "collection"},
     read_gc_percent},
    {{"CAIRN_GC_STOP_MS", "7", "a number from 0 to 10000",
      "libgc's programs and conservative objects: a heap that is marked within so many milliseconds is "
      "marked in one stop, others beside the program: shorter stops for more time and memory"},
     read_gc_stop},
    {{"CAIRN_POISON", "off", "on, off", "fill collected objects with 0xdeadbeef when they are freed (slow)"},
     [](std::string_view value, Options& into) { return read_switch(value, into.poisons); }},
    {{"CAIRN_VERIFY", "off", "on, off", "check the heap's structures on every slow path (slow)"},
     [](std::string_view value, Options& into) { return read_switch(value, into.verify_often); }},
};

}  // namespace

Options read_options() {
    Options options;
    for (const Row& row : rows) {
        const char* value = os::environment(row.info.name);
        if (value == nullptr || row.read(value, options)) continue;
        base::Message line;
        line << row.info.name << "=" << head_of(value, 80) << " is not valid (valid: " << row.info.values
             << "); going on with " << row.info.default_value;
        base::report(line.view());
    }
    return options;
}

}  // namespace cairn::api

extern "C" size_t cairn_option_count(void) { return sizeof cairn::api::rows / sizeof cairn::api::rows[0]; }

extern "C" int cairn_option_get(size_t index, cairn_option_info* out) {
    if (index >= cairn_option_count() || out == nullptr) return -1;
    *out = cairn::api::rows[index].info;
    return 0;
}
