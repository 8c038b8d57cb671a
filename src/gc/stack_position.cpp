// Noting a position: the words above the stack pointer, read as they are.
// SPDX-License-Identifier: MIT
#include "gc/stack_position.hpp"

#include <cstring>

#include "base/bits.hpp"
#include "base/config.hpp"

namespace cairn::gc {

// Reads other functions' frames, which AddressSanitizer takes for an overflow, in memcpy() as well.
__attribute__((noinline, no_sanitize("address", "thread"))) void StackPosition::note(
    const os::MemoryRange& stack) {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    // On a stack we do not know, the page that we run on is all that is certainly there.
    constexpr std::size_t least_page_bytes = 4096;
    const std::uintptr_t end =
        stack.contains(here) ? stack.high : base::align_up(here + 1, least_page_bytes);
    const auto* words = reinterpret_cast<const std::uintptr_t*>(here);
    const std::size_t there = (end - here) / sizeof *words;
    sp = here;
    if (!base::sanitized_build && there >= copied_words) {
        std::memcpy(copied, words, sizeof copied);
        return;
    }
    for (std::size_t i = 0; i < copied_words; ++i) {
        copied[i] = i < there ? *static_cast<const volatile std::uintptr_t*>(words + i) : 0;
    }
}

}  // namespace cairn::gc
