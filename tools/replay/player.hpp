// The player: a process of its own that plays a plan on one allocator and measures.
//
// Events are played in up to 1024 runs. The clock stands between the runs, where memory and counts are read,
// and up to 64 times every object is looked at. Of each object the first word and a byte of each OS page are
// written, as a program would, and the word is compared when it is given back. What the player needs for
// itself lies in shared memory, so that neither the allocator nor its footprint is disturbed.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

namespace cairn::replay {

struct PlayerOrder {
    std::string policy;              // a textbook policy, "malloc", or "none": the player alone
    std::string library;             // what malloc must come from; empty: whatever there is
    int plan_file = -1;              // inherited
    int outcome_file = -1;           // inherited
    std::uint64_t region_bytes = 0;  // for textbook policies
    double most_seconds = 0;
};

// Plays and fills the outcome. Returns the exit code.
int play(const PlayerOrder& order);

}  // namespace cairn::replay
