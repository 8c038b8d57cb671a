// Failure, in three kinds: the user's mistake (fatal with a message), ours (CHECK, ASSERT, VERIFY), none
// else.
//
// CHECK is always on, ASSERT in debug builds, VERIFY in checked builds. Messages are built in a buffer on
// the stack: nothing here allocates, takes a lock or touches errno.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/config.hpp"

namespace cairn::base {

// Text assembled on the stack; what does not fit is cut.
class Message {
public:
    Message& operator<<(std::string_view text);
    Message& operator<<(std::uint64_t number);
    Message& hex(std::uintptr_t number);
    // `number` with a dot and `digits` places: decimal(3152, 2) is 31.52.
    Message& decimal(std::uint64_t number, unsigned digits);
    // Pads with blanks to `column` counted from the last line break.
    Message& pad_to(std::size_t column);
    [[nodiscard]] std::string_view view() const { return {text_, length_}; }
    void clear() { length_ = 0; }

private:
    char text_[1024];
    std::size_t length_ = 0;
};

// Writes `cairn: <text>` as one line to standard error.
void report(std::string_view text);

// The same, then abort.
[[noreturn]] void fatal(std::string_view text);

[[noreturn]] void check_failed(const char* expression, const char* file, int line);

}  // namespace cairn::base

#define CAIRN_CHECK(expression) \
    (__builtin_expect(!!(expression), 1) ? (void)0 \
                                         : ::cairn::base::check_failed(#expression, __FILE__, __LINE__))
#define CAIRN_ASSERT(expression) \
    (!::cairn::base::debug_build || (expression) \
         ? (void)0 \
         : ::cairn::base::check_failed(#expression, __FILE__, __LINE__))
#define CAIRN_VERIFY(expression) \
    (!::cairn::base::checked_build || (expression) \
         ? (void)0 \
         : ::cairn::base::check_failed(#expression, __FILE__, __LINE__))
