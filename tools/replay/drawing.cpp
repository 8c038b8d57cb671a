// The picture of a replay: bars, curves, and each policy's address space when most was alive.
// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "replay/page.hpp"

namespace cairn::replay {

namespace {

using draw::Anchor;
using draw::Color;
using draw::Picture;
using draw::Point;

constexpr Color paper{255, 255, 255};
constexpr Color ink{34, 38, 46};
constexpr Color faint{222, 226, 232};
constexpr Color grey{120, 126, 138};
constexpr Color held{226, 214, 190};  // memory with nothing alive in it
constexpr Color thin{190, 216, 246};  // a little alive
constexpr Color full{16, 78, 168};    // all alive
constexpr Color curve_colors[] = {{214, 80, 60},  {230, 150, 20}, {90, 160, 50},  {0, 150, 140},
                                  {40, 110, 210}, {120, 80, 200}, {200, 70, 150}, {110, 90, 70},
                                  {80, 80, 80},   {150, 150, 30}};
constexpr std::size_t color_count = sizeof curve_colors / sizeof curve_colors[0];

constexpr double page_width = 1120;
constexpr double margin = 24;
constexpr double row_height = 20;
constexpr double curve_height = 210;
constexpr unsigned cells_a_row = 512;
constexpr double cell_size = 2;

std::string size(double bytes) {
    return fmt::format("{:.1f} MiB", bytes / (1 << 20));
}

using Value = std::function<double(const Result&)>;
using Label = std::function<std::string(const Result&)>;

// One bar a policy, in a column of the page.
void draw_bars(Picture& picture, const Comparison& comparison, double x, double y, double width,
               std::string_view title, const Value& value, const Label& label) {
    constexpr double names = 110;
    constexpr double numbers = 90;
    picture.text(x, y, title, ink, 12);
    double most = 0;
    for (const Result& result : comparison.results) most = std::max(most, value(result));
    for (std::size_t i = 0; i < comparison.results.size(); ++i) {
        const Result& result = comparison.results[i];
        const double top = y + 10 + static_cast<double>(i) * row_height;
        picture.text(x, top + 12, result.policy.name.substr(0, 17), ink, 11);
        const double length = most == 0 ? 0 : value(result) / most * (width - names - numbers);
        picture.rectangle(x + names, top + 3, std::max(length, 1.0), row_height - 8,
                          curve_colors[i % color_count]);
        picture.text(x + names + length + 5, top + 12, label(result), grey, 11);
    }
}

// Curves over the events of the trace.
struct Axis {
    double left, top, width, height, most_x, most_y;
    bool is_logarithmic;

    [[nodiscard]] Point point(double x, double y) const {
        const double share =
            is_logarithmic ? std::log10(1 + std::max(y, 0.0)) / std::log10(1 + most_y) : y / most_y;
        return {left + width * x / most_x, top + height * (1 - std::min(share, 1.0))};
    }
};

using MomentValue = std::function<double(const Moment& before, const Moment& now)>;

std::vector<Point> curve_of(const Outcome& outcome, const Axis& axis, const MomentValue& value) {
    std::vector<Point> points;
    // acquire: the last complete sample
    const std::uint32_t count = outcome.moments.load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < count; ++i) {
        const Moment& now = outcome.moment[i];
        points.push_back(
            axis.point(static_cast<double>(now.event), value(outcome.moment[i == 0 ? 0 : i - 1], now)));
    }
    return points;
}

double most_of(const Comparison& comparison, const MomentValue& value) {
    double most = 1;
    for (const Result& result : comparison.results) {
        const Outcome& outcome = result.outcome();
        // acquire: the last complete sample
        const std::uint32_t count = outcome.moments.load(std::memory_order_acquire);
        for (std::uint32_t i = 1; i < count; ++i)
            most = std::max(most, value(outcome.moment[i - 1], outcome.moment[i]));
    }
    return most;
}

// The sheet under the curves: title, four lines with their numbers.
void draw_sheet(Picture& picture, const Axis& axis, std::string_view title,
                const std::function<std::string(double)>& number) {
    picture.text(axis.left, axis.top - 10, title, ink, 12);
    for (int i = 0; i <= 4; ++i) {
        const double share = i / 4.0;
        const double y = axis.is_logarithmic ? std::pow(1 + axis.most_y, share) - 1 : axis.most_y * share;
        const double at = axis.top + axis.height * (1 - share);
        picture.line({{axis.left, at}, {axis.left + axis.width, at}}, i == 0 ? grey : faint);
        picture.text(axis.left + axis.width + 6, at + 4, number(y), grey, 11);
    }
}

void draw_curves(Picture& picture, const Comparison& comparison, const Axis& axis, const MomentValue& value,
                 bool is_textbook_only) {
    for (std::size_t i = 0; i < comparison.results.size(); ++i) {
        const Outcome& outcome = comparison.results[i].outcome();
        if (is_textbook_only && outcome.visited == 0) continue;
        picture.line(curve_of(outcome, axis, value), curve_colors[i % color_count], 1.5);
    }
}

double footprint_at(const Moment&, const Moment& now) {
    return static_cast<double>(now.footprint_bytes);
}

double visited_at(const Moment& before, const Moment& now) {
    const double events = static_cast<double>(now.event - before.event);
    return events == 0 ? 0 : static_cast<double>(now.visited - before.visited) / events;
}

// The most that is drawn: a bump pointer, or a policy that ends early, would flatten the others.
double most_footprint(const Comparison& comparison) {
    double most = static_cast<double>(comparison.plan->head().peak_live_bytes) * 1.1;
    for (const Result& result : comparison.results)
        if (result.policy.name != "bump")
            most = std::max(most, static_cast<double>(result.outcome().peak_footprint_bytes) * 1.02);
    return most;
}

void draw_memory(Picture& picture, const Comparison& comparison, double y) {
    const auto events = static_cast<double>(comparison.plan->head().events);
    const Axis axis{margin, y, page_width - 2 * margin - 80, curve_height, events, most_footprint(comparison),
                    false};
    draw_sheet(picture, axis, "Memory over the events of the trace; black: alive", size);
    draw_curves(picture, comparison, axis, footprint_at, false);
    if (!comparison.results.empty())
        picture.line(
            curve_of(comparison.results.front().outcome(), axis,
                     [](const Moment&, const Moment& now) { return static_cast<double>(now.live_bytes); }),
            ink, 1.5);
}

void draw_visits(Picture& picture, const Comparison& comparison, double y) {
    const auto events = static_cast<double>(comparison.plan->head().events);
    const Axis axis{
        margin, y, page_width - 2 * margin - 80, curve_height, events, most_of(comparison, visited_at), true};
    draw_sheet(picture, axis, "Free blocks looked at per event (logarithmic)",
               [](double value) { return fmt::format("{:.3g}", value); });
    draw_curves(picture, comparison, axis, visited_at, true);
}

Color color_of_cell(std::uint8_t cell) {
    if (cell == cell_absent) return {240, 241, 244};
    if (cell == cell_empty) return held;
    return draw::mixed(thin, full, (cell - 2) / 253.0);
}

double rows_of(const Outcome& outcome) {
    return static_cast<double>((outcome.cells + cells_a_row - 1) / cells_a_row);
}

// Cells from left to right, row by row, in order of address. Returns the height.
double draw_addresses(Picture& picture, const Result& result, double y) {
    const Outcome& outcome = result.outcome();
    if (outcome.frames == 0 || outcome.cells == 0) return 0;
    const std::size_t shown = fullest_frame_index(outcome);
    picture.text(margin, y + 10,
                 fmt::format("{}: {} a cell, {} of memory, {} gap{}", result.policy.name,
                             size(static_cast<double>(outcome.cell_bytes)),
                             size(static_cast<double>(outcome.frame[shown].footprint_bytes)), outcome.gaps,
                             outcome.gaps == 1 ? "" : "s"),
                 ink, 11);
    constexpr double height = 5 * cell_size;
    for (std::uint32_t cell = 0; cell < outcome.cells; ++cell)
        picture.rectangle(margin + cell % cells_a_row * cell_size,
                          y + 16 + static_cast<double>(cell / cells_a_row) * (height + 1), cell_size, height,
                          color_of_cell(outcome.cell[shown][cell]));
    return 16 + rows_of(outcome) * (height + 1) + 14;
}

double addresses_height(const Comparison& comparison) {
    double height = 30;
    for (const Result& result : comparison.results)
        if (result.outcome().cells > 0) height += 30 + rows_of(result.outcome()) * (5 * cell_size + 1);
    return height;
}

}  // namespace

Picture picture(const Comparison& comparison) {
    const double bars = 40 + static_cast<double>(comparison.results.size()) * row_height;
    const double top = 60;
    const double memory_top = top + bars + 30;
    const double visits_top = memory_top + curve_height + 50;
    const double cells_top = visits_top + curve_height + 50;
    Picture picture(static_cast<unsigned>(page_width),
                    static_cast<unsigned>(cells_top + addresses_height(comparison)), paper);
    picture.text(margin, 28, comparison.trace, ink, 22);
    picture.text(margin, 46,
                 fmt::format("{} events, most alive {}", comparison.plan->head().events,
                             size(static_cast<double>(comparison.plan->head().peak_live_bytes))),
                 grey, 12);
    const double half = (page_width - 2 * margin) / 2;
    draw_bars(
        picture, comparison, margin, top + 14, half, "Time",
        [](const Result& result) { return static_cast<double>(result.outcome().ns); },
        [](const Result& result) {
            return result.is_complete()
                       ? fmt::format("{:.3f} s", static_cast<double>(result.outcome().ns) / 1e9)
                       : std::string("not complete");
        });
    draw_bars(
        picture, comparison, margin + half, top + 14, half, "Most memory over most alive",
        [&](const Result& result) { return std::min(fragmentation(comparison, result), 5.0); },
        [&](const Result& result) { return fmt::format("{:.3f}", fragmentation(comparison, result)); });
    draw_memory(picture, comparison, memory_top);
    draw_visits(picture, comparison, visits_top);
    picture.text(margin, cells_top, "Addresses when most was alive: blue alive, sand memory without life",
                 ink, 12);
    double y = cells_top + 14;
    for (const Result& result : comparison.results) y += draw_addresses(picture, result, y);
    return picture;
}

}  // namespace cairn::replay
