// Every run-time switch in one table: environment name, default, values, meaning. Read once, pushed down as
// arguments.
//
// A bad value: one line that names the valid ones, and the default goes on.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "gc/mode.hpp"
#include "pages/arena_layout.hpp"

namespace cairn::api {

enum class ReportFormat : std::uint8_t { none, text, json };

struct Options {
    pages::LayoutModel layout = pages::LayoutModel::sparse;
    std::uint64_t memory_limit = UINT64_MAX;
    bool use_huge_pages = false;
    bool has_background = true;
    bool verify_often = false;
    bool misuse_is_fatal = true;
    bool trace_scavenger = false;
    bool trace_gc = false;
    gc::Mode gc_mode = gc::Mode::concurrent;
    gc::Young gc_young = gc::Young::by_yield;
    std::int32_t gc_percent = 100;       // -1: off
    std::uint32_t gc_stop_ms = gc::default_one_stop_ms;
    bool poisons = false;
    ReportFormat report = ReportFormat::none;
    const char* report_file = nullptr;   // nullptr: standard error
    std::uint32_t report_pid = 0;        // 0: any process
};

// Reads the environment; complains about bad values on standard error. Allocates nothing.
[[nodiscard]] Options read_options();

}  // namespace cairn::api
