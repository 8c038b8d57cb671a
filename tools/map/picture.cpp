// Colours, and the heap as rectangles.
// SPDX-License-Identifier: MIT
#include "map/picture.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace cairn::map {

namespace {

using draw::Color;

constexpr Color paper{250, 250, 248};
constexpr Color ink{40, 40, 40};
constexpr Color frame{200, 200, 196};
constexpr std::size_t cells_a_line = 512;
constexpr unsigned gap_pixels = 6;
constexpr unsigned left_pixels = 130;
constexpr unsigned top_pixels = 70;
// Steps of paleness: neighbours of one class become one rectangle, and colours stay few.
constexpr unsigned shades = 3;

// Hue in degrees; saturation and lightness from 0 to 1.
Color from_hue(double hue, double saturation, double lightness) {
    const double chroma = (1 - std::abs(2 * lightness - 1)) * saturation;
    const auto channel = [&](double turn) {
        const double k = std::fmod(turn + hue / 30, 12);
        const double value = lightness - chroma / 2 * std::max(-1.0, std::min({k - 3, 9 - k, 1.0}));
        return static_cast<std::uint8_t>(std::lround(255 * std::clamp(value, 0.0, 1.0)));
    };
    return {channel(0), channel(8), channel(4)};
}

// An arena's cells, line by line.
std::vector<Color> cells_of(const HeapModel& model, const Arena& arena) {
    std::vector<Color> cells(arena.pages.size());
    for (std::size_t page = 0; page < cells.size(); ++page) {
        const std::uint32_t number = arena.span_of[page];
        if (number != 0) {
            const Span& span = model.spans[number - 1];
            cells[page] = color_of(span, std::ceil(share_of(span) * shades) / shades);
        } else {
            const PageState state = arena.pages[page];
            cells[page] = color_of(state == PageState::span ? PageState::cached : state);
        }
    }
    return cells;
}

std::string mebibytes(std::uint64_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f MiB", static_cast<double>(bytes) / (1 << 20));
    return text;
}

void draw_head(draw::Picture& picture, const HeapModel& model) {
    const Totals sums = model.totals();
    constexpr std::size_t longest = 80;
    const std::string name =
        model.command.size() > longest ? model.command.substr(0, longest) + "..." : model.command;
    picture.text(10, 20, name + " (process " + std::to_string(model.pid) + ", " + model.time + ")", ink);
    picture.text(10, 38, "live " + mebibytes(sums.live_bytes) + ", waste inside " +
                             mebibytes(sums.internal_waste()) + ", outside " +
                             mebibytes(sums.external_waste()), ink);
    Span large;
    Span half;
    half.size_class = 5;
    const struct {
        Color color;
        std::string text;
    } entries[] = {
        {color_of(large, 1), "large objects"},
        {color_of(half, 1), "a size class, full"},
        {color_of(half, 0), "the same, empty"},
        {color_of(PageState::free), "free " + mebibytes(sums.free_bytes)},
        {color_of(PageState::returned), "with the OS " + mebibytes(sums.returned_bytes)},
        {color_of(PageState::cached), "threads' pages " + mebibytes(sums.cached_page_bytes)},
    };
    double x = 10;
    for (const auto& entry : entries) {
        picture.rectangle(x - 1, 48, 13, 13, frame);
        picture.rectangle(x, 49, 11, 11, entry.color);
        picture.text(x + 17, 58, entry.text, ink);
        x += 34 + static_cast<double>(entry.text.size()) * 7;
    }
}

// Runs of one colour in a line become one rectangle.
void draw_arena(draw::Picture& picture, const std::vector<Color>& cells, double top, double scale) {
    const double lines = static_cast<double>(cells.size() / cells_a_line);
    picture.rectangle(left_pixels - 1, top - 1, cells_a_line * scale + 2, lines * scale + 2, frame);
    picture.rectangle(left_pixels, top, cells_a_line * scale, lines * scale, paper);
    for (std::size_t from = 0; from < cells.size();) {
        const std::size_t line_end = (from / cells_a_line + 1) * cells_a_line;
        std::size_t to = from + 1;
        while (to < std::min(line_end, cells.size()) && cells[to] == cells[from]) ++to;
        if (cells[from] != paper)
            picture.rectangle(left_pixels + static_cast<double>(from % cells_a_line) * scale,
                              top + static_cast<double>(from / cells_a_line) * scale,
                              static_cast<double>(to - from) * scale, scale, cells[from]);
        from = to;
    }
}

}  // namespace

Color color_of(PageState state) {
    switch (state) {
    case PageState::free: return {214, 214, 210};
    case PageState::returned: return {238, 238, 235};
    case PageState::cached: return {186, 200, 214};
    default: return paper;
    }
}

double share_of(const Span& span) {
    if (span.size_class == 0) return span.is_parked ? 0 : 1;
    return span.slots == 0 ? 0 : static_cast<double>(span.live) / span.slots;
}

Color color_of(const Span& span, double share) {
    // collected kinds are duller; the paler, the emptier
    const double saturation = span.kind == explicit_kind ? 0.75 : 0.35;
    if (span.kind == manual_kind) return from_hue(0, 0, 0.25 + 0.5 * (1 - share));
    if (span.size_class == 0) return from_hue(220, 0.35, 0.35 + 0.5 * (1 - share));
    return from_hue(std::fmod(span.size_class * 137.508, 360), saturation, 0.45 + 0.45 * (1 - share));
}

draw::Picture to_picture(const HeapModel& model) {
    const unsigned scale = model.arenas.size() <= 8 ? 3 : 2;  // a heap of few arenas is drawn larger
    const auto lines = static_cast<unsigned>(model.arena_bytes / model.page_bytes / cells_a_line);
    const unsigned band = lines * scale + gap_pixels;
    const auto height = static_cast<unsigned>(top_pixels + model.arenas.size() * band + 10);
    draw::Picture picture(left_pixels + cells_a_line * scale + 10, height, paper);
    draw_head(picture, model);
    for (std::size_t i = 0; i < model.arenas.size(); ++i) {
        const double top = top_pixels + static_cast<double>(i * band);
        char base[32];
        std::snprintf(base, sizeof base, "0x%llx", static_cast<unsigned long long>(model.arenas[i].base));
        picture.text(10, top + 11, base, ink);
        draw_arena(picture, cells_of(model, model.arenas[i]), top, scale);
    }
    return picture;
}

}  // namespace cairn::map
