// Runs a plan on each policy in turn, each in a process of its own, and watches over it.
//
// A fast policy is played up to three times and the fastest counts. One that crashes, runs out of memory or
// out of time ends alone: what it did until then is its result, and the others go on.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "replay/outcome.hpp"
#include "replay/plan.hpp"
#include "replay/shared_memory.hpp"

namespace cairn::replay {

enum class Kind : std::uint8_t { textbook, cairn, system, library, player_alone };

struct Policy {
    std::string name;  // as asked for
    Kind kind = Kind::textbook;
    std::string library;                // preloaded; empty: none
    std::vector<std::string> settings;  // NAME=value in its environment
};

struct Limits {
    std::uint64_t region_bytes = 0;  // of textbook policies
    double most_seconds = 0;         // of one run of one policy
    unsigned most_runs = 3;
};

struct Result {
    Policy policy;
    SharedMemory memory;  // the outcome of its fastest run
    unsigned runs = 0;
    int signal = 0;       // that ended it
    std::string trouble;  // why it could not be started

    [[nodiscard]] const Outcome& outcome() const { return *static_cast<const Outcome*>(memory.data()); }
    [[nodiscard]] bool is_complete() const { return signal == 0 && outcome().end == End::complete; }
    // "complete", or what ended it, for people.
    [[nodiscard]] std::string ending(const Plan& plan) const;
};

// Events played so far, and in which run.
using Watch = std::function<void(const Policy& policy, std::uint64_t played)>;

[[nodiscard]] Result run_policy(const Plan& plan, const Policy& policy, const Limits& limits,
                                const Watch& watch);

}  // namespace cairn::replay
