// Pictures: SVG that is well-formed, PNG whose pixels come back when it is unpacked.
// SPDX-License-Identifier: MIT
#include "draw/picture.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

#include "draw/font.hpp"
#include "draw/png.hpp"

namespace cairn::draw {
namespace {

// Inflate of one block of fixed codes, bit by bit: what a reader of our files does.
class Inflate {
public:
    explicit Inflate(std::string_view packed) : packed_(packed) {}

    std::string run() {
        EXPECT_EQ(bits(1), 1u) << "one block";
        EXPECT_EQ(bits(2), 1u) << "of fixed codes";
        for (unsigned symbol = next_symbol(); symbol != 256; symbol = next_symbol()) {
            if (symbol < 256) out_ += static_cast<char>(symbol);
            else copy(symbol);
            if (at_ > packed_.size() * 8) return "ran over the end";
        }
        return out_;
    }

private:
    unsigned bits(unsigned count) {
        unsigned number = 0;
        for (unsigned i = 0; i < count; ++i, ++at_)
            if (at_ / 8 < packed_.size())
                number |= (static_cast<std::uint8_t>(packed_[at_ / 8]) >> at_ % 8 & 1u) << i;
        return number;
    }
    unsigned code(unsigned so_far, unsigned count) {
        for (unsigned i = 0; i < count; ++i) so_far = so_far << 1 | bits(1);
        return so_far;
    }
    unsigned next_symbol() {
        unsigned found = code(0, 7);
        if (found < 0b0011000) return 256 + found;
        found = code(found, 1);
        if (found >= 0x30 && found < 0xC0) return found - 0x30;
        if (found >= 0xC0 && found < 0xC8) return 280 + found - 0xC0;
        return 144 + code(found, 1) - 0x190;
    }
    void copy(unsigned symbol) {
        static constexpr std::array<unsigned, 29> base{3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                                       15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                                       67, 83, 99, 115, 131, 163, 195, 227, 258};
        const unsigned i = symbol - 257;
        const unsigned extra = i < 8 || i == 28 ? 0 : i / 4 - 1;
        const unsigned length = base.at(i) + bits(extra);
        const unsigned far = code(0, 5);
        const unsigned far_extra = far < 4 ? 0 : far / 2 - 1;
        const unsigned distance = (far < 4 ? far : (2u + far % 2) << far_extra) + 1 + bits(far_extra);
        ASSERT_LE(distance, out_.size());
        for (unsigned k = 0; k < length; ++k) out_ += out_[out_.size() - distance];
    }

    std::string_view packed_;
    std::string out_;
    std::size_t at_ = 0;  // bit
};

// The pixels of a file of ours.
std::string pixels_of(const std::string& file, unsigned width) {
    const std::size_t data = file.find("IDAT") + 4;
    const std::size_t end = file.find("IEND") - 8;
    const std::string rows = Inflate(std::string_view(file).substr(data + 2, end - data - 2)).run();
    std::string pixels;
    for (std::size_t at = 0; at < rows.size(); at += width + 1) pixels += rows.substr(at + 1, width);
    return pixels;
}

TEST(Png, PixelsComeBack) {
    std::mt19937 random(5);
    for (const unsigned width : {1u, 7u, 300u, 40'000u}) {
        for (const unsigned noise : {0u, 2u, 100u}) {
            SCOPED_TRACE(testing::Message() << width << " wide, noise " << noise);
            Image image{width, width > 1000 ? 3u : 50u, std::vector<Color>(256), {}};
            std::uint8_t color = 0;
            for (unsigned i = 0; i < image.width * image.height; ++i) {
                if (random() % 100 < noise) color = static_cast<std::uint8_t>(random());
                image.pixels.push_back(color);
            }
            const std::string file = png_file(image);
            ASSERT_EQ(pixels_of(file, width), std::string(image.pixels.begin(), image.pixels.end()));
            if (noise == 0 && width > 1) EXPECT_LT(file.size(), 3000u);
        }
    }
}

TEST(Picture, RectanglesLiesWhereTheyWereDrawn) {
    Picture picture(10, 4, {255, 255, 255});
    picture.rectangle(2, 1, 3, 2, {1, 2, 3});
    picture.rectangle(-5, -5, 6, 6, {4, 5, 6});
    picture.rectangle(9, 3, 100, 100, {7, 8, 9});
    const std::string pixels = pixels_of(picture.png(), 10);
    std::string shown;
    for (const char index : pixels) shown += static_cast<char>('0' + index);
    EXPECT_EQ(shown,
              "2000000000"
              "0011100000"
              "0011100000"
              "0000000003");
}

TEST(Picture, SvgEscapesWords) {
    Picture picture(100, 50, {0, 0, 0});
    picture.text(1, 2, "<a href=\"x\">&\n\x01", {255, 255, 255});
    const std::string svg = picture.svg();
    EXPECT_NE(svg.find("&lt;a href=&quot;x&quot;&gt;&amp;</text>"), std::string::npos) << svg;
    EXPECT_EQ(svg.find('\x01'), std::string::npos);
    EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

TEST(Font, LettersDiffer) {
    const auto shape = [](char letter) {
        std::uint64_t dots = 0;
        for (unsigned column = 0; column < Font::columns; ++column)
            for (unsigned row = 0; row < Font::rows; ++row)
                dots = dots << 1 | static_cast<std::uint64_t>(Font::dot(letter, column, row));
        return dots;
    };
    for (char a = ' '; a < '~'; ++a)
        for (char b = static_cast<char>(a + 1); b <= '~'; ++b)
            EXPECT_NE(shape(a), shape(b)) << a << " and " << b;
    EXPECT_EQ(shape('\xC3'), shape('?'));
    EXPECT_EQ(shape(' '), 0u);
}

}  // namespace
}  // namespace cairn::draw
