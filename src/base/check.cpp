// Messages without allocation, and the two ways to stop.
// SPDX-License-Identifier: MIT
#include "base/check.hpp"

#include "base/os_calls.hpp"

namespace cairn::base {

Message& Message::operator<<(std::string_view text) {
    for (char c : text) {
        if (length_ == sizeof text_) break;
        text_[length_++] = c;
    }
    return *this;
}

Message& Message::operator<<(std::uint64_t number) {
    char digits[20];
    std::size_t first = sizeof digits;
    do {
        digits[--first] = static_cast<char>('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return *this << std::string_view(digits + first, sizeof digits - first);
}

Message& Message::hex(std::uintptr_t number) {
    char digits[16];
    std::size_t first = sizeof digits;
    do {
        digits[--first] = "0123456789abcdef"[number % 16];
        number /= 16;
    } while (number != 0);
    return *this << "0x" << std::string_view(digits + first, sizeof digits - first);
}

Message& Message::decimal(std::uint64_t number, unsigned places) {
    std::uint64_t unit = 1;
    for (unsigned i = 0; i < places; ++i) unit *= 10;
    *this << number / unit << ".";
    for (std::uint64_t digit = unit / 10; digit > 0; digit /= 10) *this << number / digit % 10;
    return *this;
}

Message& Message::pad_to(std::size_t column) {
    std::size_t line_start = length_;
    while (line_start > 0 && text_[line_start - 1] != '\n') --line_start;
    while (length_ - line_start < column && length_ < sizeof text_) *this << " ";
    return *this;
}

void report(std::string_view text) {
    Message line;
    line << "cairn: " << text;
    if (line.view().size() == 1024) line.clear(), line << "cairn: (message too long)";
    line << "\n";
    os_write_error(line.view().data(), line.view().size());
}

void fatal(std::string_view text) {
    report(text);
    os_abort();
}

void check_failed(const char* expression, const char* file, int line) {
    Message text;
    text << "internal check failed: " << expression << " at " << file << ":"
         << static_cast<std::uint64_t>(line);
    fatal(text.view());
}

}  // namespace cairn::base
