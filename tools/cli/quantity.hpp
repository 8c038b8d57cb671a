// Quantities as people write and read them: sizes with units, counts with commas, shares in percent.
//
// Units are powers of two everywhere. Sizes that are read take B, KiB, MiB, GiB, TiB or the letter alone;
// "KB" is refused, because half of its readers take it for 1000.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::cli {

inline constexpr std::string_view size_syntax =
    "a whole number of bytes such as 48, 1KiB, 1.5MiB, 2GiB (units B, KiB, MiB, GiB, TiB)";

struct ParsedSize {
    std::uint64_t bytes = 0;
    std::string error;  // empty: it is a size
};

// Reads a size from 0 to the largest an object can have.
ParsedSize parse_size(std::string_view text);

// 4194304 -> "4,194,304"
std::string with_commas(std::uint64_t number);

// The largest unit that leaves a whole number: 33554432 -> "32 MB". For tables whose unit names are short.
std::string exact_size(std::uint64_t bytes);

// The same for environment variables: "256MiB".
std::string exact_size_iec(std::uint64_t bytes);

// At most three digits before the point and two behind it: 2166784 -> "2.07 MB".
std::string rounded_size(std::uint64_t bytes);

// Powers of two by their short name: 4194304 -> "4M", 1024 -> "1K"; others with commas.
std::string short_count(std::uint64_t number);

// 2582 of 8192 -> "31.52 %"
std::string percent(std::uint64_t part, std::uint64_t whole);

// "1 page", "2 pages"
std::string plural(std::uint64_t number, std::string_view noun);

}  // namespace cairn::cli
