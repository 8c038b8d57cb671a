// Colours, cells, PNG and SVG.
// SPDX-License-Identifier: MIT
#include "map/picture.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace cairn::map {

namespace {

constexpr std::size_t gap_pixels = 6;
constexpr Colour background{250, 250, 248};
constexpr unsigned shades = 8;  // steps of paleness, so that neighbours of one class become one rectangle

Colour from_hue(double hue, double saturation, double lightness) {
    const double chroma = (1 - std::abs(2 * lightness - 1)) * saturation;
    const auto channel = [&](double turn) {
        const double k = std::fmod(turn + hue / 30, 12);
        const double value = lightness - chroma / 2 * std::max(-1.0, std::min({k - 3, 9 - k, 1.0}));
        return static_cast<std::uint8_t>(std::lround(255 * std::clamp(value, 0.0, 1.0)));
    };
    return {channel(0), channel(8), channel(4)};
}

// One page as a cell: its colour. An arena's cells lie line by line.
std::vector<Colour> cells_of(const HeapModel& model, const Arena& arena) {
    std::vector<Colour> cells(arena.pages.size());
    for (std::size_t page = 0; page < cells.size(); ++page) {
        const std::uint32_t number = arena.span_of[page];
        if (number == 0) {
            const PageState state = arena.pages[page];
            cells[page] = colour_of(state == PageState::span ? PageState::cached : state);
            continue;
        }
        const Span& span = model.spans[number - 1];
        cells[page] = colour_of(span, std::round(share_of(span) * shades) / shades);
    }
    return cells;
}

// Arenas from below are drawn; a heap of few is drawn larger.
std::size_t pixels_a_cell(const HeapModel& model) { return model.arenas.size() <= 8 ? 3 : 2; }

class Checksums {
public:
    Checksums() {
        for (std::uint32_t i = 0; i < 256; ++i) {
            std::uint32_t value = i;
            for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ ((value & 1) != 0 ? 0xedb88320u : 0);
            table_[i] = value;
        }
    }
    [[nodiscard]] std::uint32_t crc(const std::string& text) const {
        std::uint32_t sum = ~0u;
        for (const char c : text) sum = table_[(sum ^ static_cast<unsigned char>(c)) & 0xff] ^ sum >> 8;
        return ~sum;
    }

private:
    std::array<std::uint32_t, 256> table_{};
};

void big_endian(std::string& to, std::uint32_t number) {
    for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(number >> shift & 0xff);
}

void add_chunk(std::string& png, const Checksums& sums, const std::string& kind, const std::string& data) {
    big_endian(png, static_cast<std::uint32_t>(data.size()));
    const std::string body = kind + data;
    png += body;
    big_endian(png, sums.crc(body));
}

// A zlib stream of stored blocks: larger than a packed one, and needs no library.
std::string stored(const std::string& raw) {
    constexpr std::size_t most = 65535;
    std::string out = "\x78\x01";
    std::uint32_t a = 1, b = 0;
    for (std::size_t at = 0; at == 0 || at < raw.size(); at += most) {
        const std::size_t size = std::min(most, raw.size() - at);
        out += static_cast<char>(at + size == raw.size());
        for (const std::size_t number : {size, size ^ 0xffff}) {
            out += static_cast<char>(number & 0xff);
            out += static_cast<char>(number >> 8);
        }
        out.append(raw, at, size);
    }
    for (const char c : raw) {
        a = (a + static_cast<unsigned char>(c)) % 65521;
        b = (b + a) % 65521;
    }
    big_endian(out, b << 16 | a);
    return out;
}

std::string hex(Colour colour) {
    char text[8];
    std::snprintf(text, sizeof text, "#%02x%02x%02x", colour.red, colour.green, colour.blue);
    return text;
}

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '<') out += "&lt;";
        else if (c == '>') out += "&gt;";
        else if (c == '&') out += "&amp;";
        else if (c == '"') out += "&quot;";
        else out += static_cast<unsigned char>(c) < 32 || static_cast<unsigned char>(c) > 126 ? '?' : c;
    }
    return out;
}

std::string mebibytes(std::uint64_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f MiB", static_cast<double>(bytes) / (1 << 20));
    return text;
}

void add_text(std::string& svg, std::size_t x, std::size_t y, const std::string& text) {
    svg += "<text x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y) + "\">" + escaped(text) +
           "</text>\n";
}

void add_legend(std::string& svg, const HeapModel& model, std::size_t y) {
    const Totals sums = model.totals();
    struct Entry {
        Colour colour;
        std::string text;
    };
    Span large;
    large.slots = 1;
    const Entry entries[] = {
        {colour_of(large, 1), "large objects"},
        {colour_of(PageState::free), "free " + mebibytes(sums.free_bytes)},
        {colour_of(PageState::returned), "with the OS " + mebibytes(sums.returned_bytes)},
        {colour_of(PageState::cached), "threads' pages " + mebibytes(sums.cached_page_bytes)},
    };
    std::size_t x = 10;
    for (const Entry& entry : entries) {
        svg += "<rect x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y - 10) +
               "\" width=\"12\" height=\"12\" fill=\"" + hex(entry.colour) + "\" stroke=\"#999\"/>\n";
        add_text(svg, x + 18, y, entry.text);
        x += 230;
    }
}

}  // namespace

Colour colour_of(PageState state) {
    switch (state) {
    case PageState::free: return {214, 214, 210};
    case PageState::returned: return {238, 238, 235};
    case PageState::cached: return {186, 200, 214};
    default: return background;
    }
}

double share_of(const Span& span) {
    if (span.size_class == 0) return span.is_parked ? 0 : 1;
    return span.slots == 0 ? 0 : static_cast<double>(span.live) / span.slots;
}

Colour colour_of(const Span& span, double share) {
    // collected kinds are duller; the paler, the emptier
    const double saturation = span.kind == explicit_kind ? 0.75 : 0.35;
    if (span.kind == manual_kind) return from_hue(0, 0, 0.25 + 0.5 * (1 - share));
    if (span.size_class == 0) return from_hue(220, 0.35, 0.35 + 0.5 * (1 - share));
    return from_hue(std::fmod(span.size_class * 137.508, 360), saturation, 0.45 + 0.45 * (1 - share));
}

std::string to_png(const HeapModel& model) {
    const std::size_t scale = pixels_a_cell(model);
    const std::size_t lines = model.arena_bytes / model.page_bytes / cells_a_line;
    const std::size_t width = cells_a_line * scale;
    const std::size_t height = std::max<std::size_t>(model.arenas.size() * (lines * scale + gap_pixels), 1);
    std::string raw;
    raw.reserve(height * (width * 3 + 1));
    const auto add_line = [&](const Colour* cells) {
        raw += '\0';  // no filter
        for (std::size_t x = 0; x < width; ++x) {
            const Colour colour = cells == nullptr ? background : cells[x / scale];
            raw += static_cast<char>(colour.red);
            raw += static_cast<char>(colour.green);
            raw += static_cast<char>(colour.blue);
        }
    };
    for (const Arena& arena : model.arenas) {
        const std::vector<Colour> cells = cells_of(model, arena);
        for (std::size_t y = 0; y < lines * scale; ++y) add_line(&cells[y / scale * cells_a_line]);
        for (std::size_t y = 0; y < gap_pixels; ++y) add_line(nullptr);
    }
    if (model.arenas.empty()) add_line(nullptr);
    const Checksums sums;
    std::string png = "\x89PNG\r\n\x1a\n";
    std::string head;
    big_endian(head, static_cast<std::uint32_t>(width));
    big_endian(head, static_cast<std::uint32_t>(height));
    head += std::string("\x08\x02\x00\x00\x00", 5);  // 8 bits a channel, RGB
    add_chunk(png, sums, "IHDR", head);
    add_chunk(png, sums, "IDAT", stored(raw));
    add_chunk(png, sums, "IEND", "");
    return png;
}

std::string to_svg(const HeapModel& model) {
    const std::size_t scale = pixels_a_cell(model);
    const std::size_t lines = model.arena_bytes / model.page_bytes / cells_a_line;
    const std::size_t top = 60;
    const std::size_t left = 150;
    const std::size_t band = lines * scale + gap_pixels;
    const std::size_t width = left + cells_a_line * scale + 10;
    const std::size_t height = top + model.arenas.size() * band + 10;
    std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + std::to_string(width) +
                      "\" height=\"" + std::to_string(height) +
                      "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" "
                      "fill=\"" + hex(background) + "\"/>\n";
    const Totals sums = model.totals();
    add_text(svg, 10, 20, model.command + " (" + std::to_string(model.pid) + "): live " +
                              mebibytes(sums.live_bytes) + ", waste inside " +
                              mebibytes(sums.internal_waste()) + ", outside " +
                              mebibytes(sums.external_waste()));
    add_legend(svg, model, 44);
    for (std::size_t i = 0; i < model.arenas.size(); ++i) {
        const std::vector<Colour> cells = cells_of(model, model.arenas[i]);
        char base[32];
        std::snprintf(base, sizeof base, "0x%llx", static_cast<unsigned long long>(model.arenas[i].base));
        add_text(svg, 10, top + i * band + 12, base);
        for (std::size_t from = 0; from < cells.size();) {
            const std::size_t line_end = (from / cells_a_line + 1) * cells_a_line;
            std::size_t to = from + 1;
            while (to < line_end && cells[to] == cells[from]) ++to;
            if (cells[from] != background)
                svg += "<rect x=\"" + std::to_string(left + from % cells_a_line * scale) + "\" y=\"" +
                       std::to_string(top + i * band + from / cells_a_line * scale) + "\" width=\"" +
                       std::to_string((to - from) * scale) + "\" height=\"" + std::to_string(scale) +
                       "\" fill=\"" + hex(cells[from]) + "\"/>\n";
            from = to;
        }
    }
    return svg + "</svg>\n";
}

}  // namespace cairn::map
