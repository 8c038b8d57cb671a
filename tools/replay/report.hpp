// The results of a replay as people and programs read them: a table, and JSON.
// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "replay/plan.hpp"
#include "replay/runner.hpp"

namespace cairn::replay {

struct Comparison {
    std::string trace;  // the file
    const Plan* plan = nullptr;
    Limits limits;
    std::vector<Result> results;
    std::uint64_t player_ns = 0;  // what playing costs with no allocator at all
};

// The frame at which most bytes were alive; null when there is none.
[[nodiscard]] const Frame* fullest_frame(const Outcome& outcome);
[[nodiscard]] std::size_t fullest_frame_index(const Outcome& outcome);

// Peak footprint over peak live bytes; 0 when there is none.
[[nodiscard]] double fragmentation(const Comparison& comparison, const Result& result);
// Share of the bytes in blocks that nobody asked for, at the fullest frame.
[[nodiscard]] double internal_waste(const Result& result);
[[nodiscard]] double visited_per_operation(const Result& result);

[[nodiscard]] std::string table(const Comparison& comparison);
[[nodiscard]] nlohmann::ordered_json to_json(const Comparison& comparison);

}  // namespace cairn::replay
