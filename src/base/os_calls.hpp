// The four calls floor 0 cannot do without: declared here, defined once by floor os (linux.cpp or the fake).
//
// They keep `base` free of system headers; nothing else may be added without a reason as good as
// "a lock must sleep" and "a fatal error must be seen".
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cairn::base {

// Sleeps while `word` equals `expected`; may return early. Keeps errno.
void os_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected);

// Wakes one (or all) sleepers of `word`. Keeps errno.
void os_wake(std::atomic<std::uint32_t>& word, bool all);

// Writes to standard error, whole or not at all where the OS allows; errors are ignored. Keeps errno.
void os_write_error(const char* text, std::size_t bytes);

// Ends the process as abort() does, without running handlers of ours.
[[noreturn]] void os_abort();

}  // namespace cairn::base
