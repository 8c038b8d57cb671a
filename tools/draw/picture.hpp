// A picture of rectangles, lines and words, written as SVG or as PNG.
//
// Shapes are kept in the order they were drawn. As pixels every colour is one of at most 256, words are set
// in the letters of font.hpp, and the file is packed by our own small deflate: no library is needed.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::draw {

struct Color {
    std::uint8_t red, green, blue;
    bool operator==(const Color&) const = default;
};

// `share` 0 is `from`, 1 is `to`.
[[nodiscard]] Color mixed(Color from, Color to, double share);

enum class Anchor : std::uint8_t { start, middle, end };

struct Point {
    double x, y;
};

class Picture {
public:
    Picture(unsigned width, unsigned height, Color paper) : width_(width), height_(height), paper_(paper) {}

    void rectangle(double x, double y, double width, double height, Color color);
    void line(std::vector<Point> points, Color color, double width = 1);
    // `y` is the line the letters stand on; `size` their height in pixels, with what hangs below.
    void text(double x, double y, std::string_view words, Color color, double size = 12,
              Anchor anchor = Anchor::start);

    [[nodiscard]] unsigned width() const { return width_; }
    [[nodiscard]] unsigned height() const { return height_; }
    [[nodiscard]] std::string svg() const;
    [[nodiscard]] std::string png() const;

private:
    enum class Kind : std::uint8_t { rectangle, line, text };
    struct Shape {
        Kind kind;
        Color color;
        Anchor anchor;
        double x, y, width, height;  // of a line: only width; of text: height is its size
        std::vector<Point> points;
        std::string words;
    };

    unsigned width_;
    unsigned height_;
    Color paper_;
    std::vector<Shape> shapes_;
};

}  // namespace cairn::draw
