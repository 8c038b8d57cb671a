// The only road up: six questions the heap asks whoever runs it. No-ops by default, so the heap alone is a
// malloc.
//
// The table is constant once set (api/runtime sets it before the first allocation; tests plug fakes). Called
// on slow paths only, with the locks named at each.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::heap {

class Span;

struct Hooks {
    // Sweeps `span`, which the caller owns (sweepgen is g-1); returns the number of slots freed and leaves
    // sweepgen at g. `keep` means the caller places the span. No lock is held.
    std::size_t (*sweep)(Span& span, bool keep) = [](Span&, bool) -> std::size_t { return 0; };
    // Pays sweep debt before `bytes` of new spans; then tries to free `pages` by sweeping. No lock is held.
    void (*reclaim)(std::size_t bytes, std::size_t pages) = [](std::size_t, std::size_t) {};
    // An allocation was chosen by the sampling countdown. No lock is held.
    void (*sampled)(void* object, std::size_t slot_bytes) = [](void*, std::size_t) {};
    // Free memory that the OS still backs grew past what the heap should keep. No lock is held.
    void (*freed)() = [] {};
    // free() was given an address that is none of ours: true when somebody else took it. No lock is held.
    bool (*foreign)(void* address) = [](void*) { return false; };
    // The OS refused memory for `bytes`; true asks to try once more. No lock is held.
    bool (*out_of_memory)(std::size_t bytes) = [](std::size_t) { return false; };
};

}  // namespace cairn::heap
