// The order of locks, checked: debug builds only.
// SPDX-License-Identifier: MIT
#include "base/lock.hpp"

namespace cairn::base {

namespace {

constexpr unsigned rank_count = static_cast<unsigned>(Rank::leaf) + 1;

// [owner] Locks the thread holds, by rank. Blank memory is a valid start, as on the background thread.
__thread std::uint16_t held[rank_count] __attribute__((tls_model("initial-exec")));

__thread bool is_fork __attribute__((tls_model("initial-exec")));  // [owner]

}  // namespace

void note_fork(bool is_forking) { is_fork = is_forking; }

void note_taken(Rank rank) {
    const auto taken = static_cast<unsigned>(rank);
    for (unsigned higher = taken + 1; higher < rank_count && !is_fork; ++higher) {
        if (held[higher] == 0) continue;
        Message text;
        text << "lock of rank " << taken << " taken while one of rank " << higher << " is held";
        fatal(text.view());
    }
    ++held[taken];
}

void note_released(Rank rank) {
    std::uint16_t& count = held[static_cast<unsigned>(rank)];
    if (count > 0) --count;  // a child of fork() also resets locks it never took
}

bool holds_locks() {
    for (const std::uint16_t count : held)
        if (count != 0) return true;
    return false;
}

}  // namespace cairn::base
