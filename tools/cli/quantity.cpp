// Reads and writes quantities; see quantity.hpp.
// SPDX-License-Identifier: MIT
#include "quantity.hpp"

#include <cairn/tables.h>
#include <fmt/core.h>

#include <array>
#include <cctype>

namespace cairn::cli {

namespace {

constexpr std::array<std::string_view, 5> letters{"", "K", "M", "G", "T"};

// The power of 1024 a unit stands for, -1 when it is no unit.
int unit_power(std::string_view unit) {
    if (unit.empty() || unit == "B" || unit == "b") return 0;
    for (std::size_t power = 1; power < letters.size(); ++power) {
        const char upper = letters[power][0];
        if (std::toupper(static_cast<unsigned char>(unit[0])) != upper) continue;
        const std::string_view behind = unit.substr(1);
        return behind.empty() || behind == "iB" || behind == "ib" ? static_cast<int>(power) : -1;
    }
    return -1;
}

std::uint64_t largest_size() {
    cairn_size_limits limits{};
    cairn_size_limits_get(&limits);
    return limits.max_request_bytes;
}

// How often `bytes` can be divided by 1024 without a remainder.
std::size_t exact_power(std::uint64_t& bytes) {
    std::size_t power = 0;
    while (bytes != 0 && bytes % 1024 == 0 && power + 1 < letters.size()) {
        bytes /= 1024;
        ++power;
    }
    return power;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// Digits at the front of `text`, as a number; they are cut off. Returns false when it does not fit.
bool take_digits(std::string_view& text, unsigned __int128& number, unsigned __int128& scale) {
    number = 0;
    scale = 1;
    for (; !text.empty() && is_digit(text[0]); text.remove_prefix(1)) {
        if (scale > 1'000'000'000'000'000'000U) return false;
        number = number * 10 + static_cast<unsigned>(text[0] - '0');
        scale *= 10;
    }
    return true;
}

}  // namespace

ParsedSize parse_size(std::string_view text) {
    const std::string quoted = fmt::format("'{}'", text);
    const ParsedSize no_size{0, fmt::format("{} is no size; valid: {}", quoted, size_syntax)};
    const ParsedSize too_large{
        0, fmt::format("{} is over the largest possible object; valid: 0 to {} bytes (8 EiB - 1)", quoted,
                       largest_size())};
    if (text.starts_with("-")) return {0, fmt::format("{} is negative; valid: 0 or more bytes", quoted)};
    if (text.empty() || !is_digit(text[0])) return no_size;

    unsigned __int128 whole = 0, whole_scale = 1, part = 0, part_scale = 1;
    if (!take_digits(text, whole, whole_scale)) return too_large;
    if (text.starts_with(".")) {
        text.remove_prefix(1);
        if (text.empty() || !is_digit(text[0]) || !take_digits(text, part, part_scale)) return no_size;
    }
    while (text.starts_with(" ")) text.remove_prefix(1);
    const int power = unit_power(text);
    if (power < 0) return no_size;

    const unsigned __int128 unit = std::uint64_t{1} << (10 * power);
    if (part * unit % part_scale != 0)
        return {0, fmt::format("{} is not a whole number of bytes; valid: {}", quoted, size_syntax)};
    const unsigned __int128 bytes = whole * unit + part * unit / part_scale;
    if (bytes > largest_size()) return too_large;
    return {static_cast<std::uint64_t>(bytes), {}};
}

std::string with_commas(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
    return text;
}

std::string exact_size(std::uint64_t bytes) {
    const std::size_t power = exact_power(bytes);
    return fmt::format("{} {}B", with_commas(bytes), letters[power]);
}

std::string exact_size_iec(std::uint64_t bytes) {
    const std::size_t power = exact_power(bytes);
    return power == 0 ? std::to_string(bytes) : fmt::format("{}{}iB", bytes, letters[power]);
}

std::string rounded_size(std::uint64_t bytes) {
    if (bytes < 1024) return fmt::format("{} B", bytes);
    auto value = static_cast<double>(bytes);
    std::size_t power = 0;
    for (; value >= 1024 && power + 1 < letters.size(); value /= 1024) ++power;
    return fmt::format("{:.2f} {}B", value, letters[power]);
}

std::string short_count(std::uint64_t number) {
    if (number < 1024) return std::to_string(number);
    const std::size_t power = exact_power(number);
    return with_commas(number) + std::string(letters[power]);
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
    const auto hundredths =
        static_cast<std::uint64_t>((static_cast<unsigned __int128>(part) * 10000 + whole / 2) / whole);
    return fmt::format("{}.{:02} %", hundredths / 100, hundredths % 100);
}

std::string plural(std::uint64_t number, std::string_view noun) {
    return fmt::format("{} {}{}", with_commas(number), noun, number == 1 ? "" : "s");
}

}  // namespace cairn::cli
