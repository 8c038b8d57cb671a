// PNG files of pictures with at most 256 colours.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "draw/picture.hpp"

namespace cairn::draw {

struct Image {
    unsigned width, height;
    std::vector<Color> palette;        // 1 to 256
    std::vector<std::uint8_t> pixels;  // indices into it, row by row
};

[[nodiscard]] std::string png_file(const Image& image);

}  // namespace cairn::draw
