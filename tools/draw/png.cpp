// Writes PNG: chunks with their checksums, the pixels packed with the fixed codes of deflate.
//
// A match is looked for at two distances only: the pixel to the left and the pixel above. In a picture of
// rectangles that is where they are; it packs such a picture to a few percent.
//
// Source: RFC 1950 (zlib), RFC 1951 (deflate), the PNG specification
// SPDX-License-Identifier: MIT
#include "draw/png.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace cairn::draw {

namespace {

void append_big_endian(std::string& bytes, std::uint32_t number) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 255);
}

constexpr std::array<std::uint32_t, 256> crc_table = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) value = (value & 1) != 0 ? value >> 1 ^ 0xEDB88320u : value >> 1;
        table[i] = value;
    }
    return table;
}();

std::uint32_t crc_of(std::string_view bytes) {
    std::uint32_t value = ~std::uint32_t{0};
    for (const char byte : bytes)
        value = crc_table[(value ^ static_cast<std::uint8_t>(byte)) & 255] ^ value >> 8;
    return ~value;
}

std::uint32_t adler_of(std::string_view bytes) {
    std::uint32_t low = 1;
    std::uint32_t high = 0;
    for (const char byte : bytes) {
        low = (low + static_cast<std::uint8_t>(byte)) % 65521;
        high = (high + low) % 65521;
    }
    return high << 16 | low;
}

void append_chunk(std::string& file, std::string_view kind, std::string_view data) {
    append_big_endian(file, static_cast<std::uint32_t>(data.size()));
    const std::string body = std::string(kind) + std::string(data);
    file += body;
    append_big_endian(file, crc_of(body));
}

class Deflate {
public:
    // Packs `bytes`, rows of `stride`.
    std::string pack(std::string_view bytes, std::size_t stride) {
        put(1, 1);  // the last block
        put(1, 2);  // of fixed codes
        for (std::size_t at = 0; at < bytes.size();) {
            const std::size_t left = match(bytes, at, 1);
            const std::size_t above = match(bytes, at, stride);
            const std::size_t length = std::max(left, above);
            if (length < 4) {
                literal(static_cast<std::uint8_t>(bytes[at++]));
                continue;
            }
            copy(static_cast<unsigned>(length), static_cast<unsigned>(above > left ? stride : 1));
            at += length;
        }
        put_code(0, 7);  // the end
        if (bits_ > 0) put(0, 8 - bits_);
        return std::move(out_);
    }

private:
    static constexpr std::size_t longest = 258;

    static std::size_t match(std::string_view bytes, std::size_t at, std::size_t distance) {
        constexpr std::size_t farthest = 32768;
        if (distance > at || distance > farthest) return 0;
        const std::size_t most = std::min(longest, bytes.size() - at);
        std::size_t length = 0;
        while (length < most && bytes[at + length] == bytes[at + length - distance]) ++length;
        return length;
    }

    void literal(std::uint8_t byte) {
        if (byte < 144) put_code(0x30u + byte, 8);
        else put_code(0x190u + byte - 144, 9);
    }

    void copy(unsigned length, unsigned distance) {
        // Codes of lengths: 257 to 264 stand for 3 to 10, then four a doubling, 285 for 258 alone.
        unsigned code = 257 + length - 3;
        unsigned extra_bits = 0;
        unsigned extra = 0;
        if (length == longest) {
            code = 285;
        } else if (length > 10) {
            while ((length - 3) >> (extra_bits + 3) != 0) ++extra_bits;
            extra = (length - 3) & ((1u << extra_bits) - 1);
            code = 257 + 4 * extra_bits + ((length - 3) >> extra_bits);
        }
        if (code < 280) put_code(code - 256, 7);
        else put_code(0xC0u + code - 280, 8);
        put(extra, extra_bits);
        put_distance(distance);
    }

    // Two codes a doubling.
    void put_distance(unsigned distance) {
        const unsigned offset = distance - 1;
        unsigned extra_bits = 0;
        while (offset >> (extra_bits + 2) != 0) ++extra_bits;
        put_code(offset < 4 ? offset : 2 * extra_bits + (offset >> extra_bits), 5);
        put(offset & ((1u << extra_bits) - 1), extra_bits);
    }

    // Codes go highest bit first, numbers lowest first.
    void put_code(unsigned code, unsigned count) {
        for (unsigned i = count; i-- > 0;) put(code >> i & 1, 1);
    }
    void put(unsigned number, unsigned count) {
        for (unsigned i = 0; i < count; ++i) {
            byte_ |= (number >> i & 1) << bits_;
            if (++bits_ < 8) continue;
            out_ += static_cast<char>(byte_);
            byte_ = bits_ = 0;
        }
    }

    std::string out_;
    unsigned byte_ = 0;
    unsigned bits_ = 0;
};

}  // namespace

std::string png_file(const Image& image) {
    std::string rows;
    rows.reserve((std::size_t{image.width} + 1) * image.height);
    for (unsigned y = 0; y < image.height; ++y) {
        rows += '\0';  // the row is not filtered
        const auto* row = reinterpret_cast<const char*>(image.pixels.data()) + std::size_t{y} * image.width;
        rows.append(row, image.width);
    }
    std::string head;
    append_big_endian(head, image.width);
    append_big_endian(head, image.height);
    head += {8, 3, 0, 0, 0};  // eight bits, a palette, deflate, no filter, not interlaced
    std::string palette;
    for (const Color& color : image.palette)
        for (const std::uint8_t part : {color.red, color.green, color.blue})
            palette += static_cast<char>(part);
    std::string data = "\x78\x01";
    data += Deflate().pack(rows, std::size_t{image.width} + 1);
    append_big_endian(data, adler_of(rows));

    std::string file = "\x89PNG\r\n\x1a\n";
    append_chunk(file, "IHDR", head);
    append_chunk(file, "PLTE", palette);
    append_chunk(file, "IDAT", data);
    append_chunk(file, "IEND", "");
    return file;
}

}  // namespace cairn::draw
