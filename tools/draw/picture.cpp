// A picture as SVG, and as pixels for png.hpp.
// SPDX-License-Identifier: MIT
#include "draw/picture.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "draw/font.hpp"
#include "draw/png.hpp"

namespace cairn::draw {

namespace {

std::string name_of(Color color) {
    return fmt::format("#{:02x}{:02x}{:02x}", color.red, color.green, color.blue);
}

std::string escaped(std::string_view words) {
    std::string text;
    for (const char letter : words) {
        if (letter == '<') text += "&lt;";
        else if (letter == '>') text += "&gt;";
        else if (letter == '&') text += "&amp;";
        else if (letter == '"') text += "&quot;";
        else if (static_cast<unsigned char>(letter) >= 32) text += letter;
    }
    return text;
}

// Pixels being painted; whatever lies outside is left out.
class Canvas {
public:
    Canvas(unsigned width, unsigned height, Color paper) : image_{width, height, {}, {}} {
        image_.palette.push_back(paper);
        image_.pixels.assign(std::size_t{width} * height, 0);
    }

    void fill(long left, long top, long right, long bottom, Color color) {
        const std::uint8_t index = index_of(color);
        left = std::max(left, 0L);
        right = std::min<long>(right, image_.width);
        top = std::max(top, 0L);
        bottom = std::min<long>(bottom, image_.height);
        for (long y = top; y < bottom; ++y)
            for (long x = left; x < right; ++x)
                image_.pixels[static_cast<std::size_t>(y) * image_.width + static_cast<std::size_t>(x)] =
                    index;
    }

    void stroke(Point from, Point to, double width, Color color) {
        const double length = std::max(std::abs(to.x - from.x), std::abs(to.y - from.y));
        const long steps = std::clamp(std::lround(std::ceil(length)), 1L, 100'000L);
        const long thick = std::max(1L, std::lround(width));
        for (long i = 0; i <= steps; ++i) {
            const double share = static_cast<double>(i) / static_cast<double>(steps);
            const long x = std::lround(from.x + (to.x - from.x) * share - width / 2);
            const long y = std::lround(from.y + (to.y - from.y) * share - width / 2);
            fill(x, y, x + thick, y + thick, color);
        }
    }

    void letters(double x, double y, std::string_view words, double size, Anchor anchor, Color color) {
        const long dot = std::max(1L, std::lround(size / 11));
        const long width = static_cast<long>(words.size()) * Font::advance * dot;
        long left = std::lround(x);
        if (anchor == Anchor::middle) left -= width / 2;
        if (anchor == Anchor::end) left -= width;
        const long top = std::lround(y) - 7 * dot;
        for (const char letter : words) {
            for (unsigned column = 0; column < Font::columns; ++column)
                for (unsigned row = 0; row < Font::rows; ++row)
                    if (Font::dot(letter, column, row))
                        fill(left + column * dot, top + row * dot, left + (column + 1) * dot,
                             top + (row + 1) * dot, color);
            left += Font::advance * dot;
        }
    }

    [[nodiscard]] const Image& image() const { return image_; }

private:
    // The nearest there is, once there are 256.
    std::uint8_t index_of(Color color) {
        const auto found = std::find(image_.palette.begin(), image_.palette.end(), color);
        if (found != image_.palette.end()) return static_cast<std::uint8_t>(found - image_.palette.begin());
        if (image_.palette.size() < 256) {
            image_.palette.push_back(color);
            return static_cast<std::uint8_t>(image_.palette.size() - 1);
        }
        const auto distance = [&](Color other) {
            return std::abs(other.red - color.red) + std::abs(other.green - color.green) +
                   std::abs(other.blue - color.blue);
        };
        const auto near = std::min_element(image_.palette.begin(), image_.palette.end(),
                                           [&](Color a, Color b) { return distance(a) < distance(b); });
        return static_cast<std::uint8_t>(near - image_.palette.begin());
    }

    Image image_;
};

}  // namespace

Color mixed(Color from, Color to, double share) {
    const auto one = [share](std::uint8_t a, std::uint8_t b) {
        return static_cast<std::uint8_t>(std::lround(a + (b - a) * std::clamp(share, 0.0, 1.0)));
    };
    return {one(from.red, to.red), one(from.green, to.green), one(from.blue, to.blue)};
}

void Picture::rectangle(double x, double y, double width, double height, Color color) {
    shapes_.push_back({Kind::rectangle, color, Anchor::start, x, y, width, height, {}, {}});
}

void Picture::line(std::vector<Point> points, Color color, double width) {
    shapes_.push_back({Kind::line, color, Anchor::start, 0, 0, width, 0, std::move(points), {}});
}

void Picture::text(double x, double y, std::string_view words, Color color, double size, Anchor anchor) {
    shapes_.push_back({Kind::text, color, anchor, x, y, 0, size, {}, std::string(words)});
}

std::string Picture::svg() const {
    std::string text = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
        "font-family=\"ui-monospace,monospace\" shape-rendering=\"crispEdges\">\n"
        "<rect width=\"{0}\" height=\"{1}\" fill=\"{2}\"/>\n",
        width_, height_, name_of(paper_));
    for (const Shape& shape : shapes_) {
        if (shape.kind == Kind::rectangle) {
            text += fmt::format(
                "<rect x=\"{:.5g}\" y=\"{:.5g}\" width=\"{:.5g}\" height=\"{:.5g}\" fill=\"{}\"/>\n", shape.x,
                shape.y, shape.width, shape.height, name_of(shape.color));
        } else if (shape.kind == Kind::line) {
            text += fmt::format(
                "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"{:.3g}\" "
                "shape-rendering=\"auto\" points=\"",
                name_of(shape.color), shape.width);
            for (const Point& point : shape.points) text += fmt::format("{:.5g},{:.5g} ", point.x, point.y);
            text += "\"/>\n";
        } else {
            constexpr const char* anchors[] = {"start", "middle", "end"};
            text += fmt::format(
                "<text x=\"{:.5g}\" y=\"{:.5g}\" font-size=\"{:.3g}\" text-anchor=\"{}\" "
                "fill=\"{}\">{}</text>\n",
                shape.x, shape.y, shape.height, anchors[static_cast<unsigned>(shape.anchor)],
                name_of(shape.color), escaped(shape.words));
        }
    }
    return text + "</svg>\n";
}

std::string Picture::png() const {
    Canvas canvas(width_, height_, paper_);
    for (const Shape& shape : shapes_) {
        if (shape.kind == Kind::rectangle) {
            const long left = std::lround(shape.x);
            const long top = std::lround(shape.y);
            canvas.fill(left, top, std::max(left + 1, std::lround(shape.x + shape.width)),
                        std::max(top + 1, std::lround(shape.y + shape.height)), shape.color);
        } else if (shape.kind == Kind::line) {
            for (std::size_t i = 0; i + 1 < shape.points.size(); ++i)
                canvas.stroke(shape.points[i], shape.points[i + 1], shape.width, shape.color);
        } else {
            canvas.letters(shape.x, shape.y, shape.words, shape.height, shape.anchor, shape.color);
        }
    }
    return png_file(canvas.image());
}

}  // namespace cairn::draw
