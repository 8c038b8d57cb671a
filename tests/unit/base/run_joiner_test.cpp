// Runs that touch become one; others stay apart.
// SPDX-License-Identifier: MIT
#include "base/run_joiner.hpp"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace cairn::base {
namespace {

using Runs = std::vector<std::pair<std::uintptr_t, std::uintptr_t>>;

Runs joined(const Runs& runs) {
    Runs out;
    RunJoiner joiner([&](std::uintptr_t low, std::uintptr_t high) { out.emplace_back(low, high); });
    for (const auto& [low, high] : runs) joiner.add(low, high);
    joiner.flush();
    joiner.flush();
    return out;
}

TEST(RunJoiner, JoinsWhatTouches) {
    EXPECT_EQ(joined({}), Runs{});
    EXPECT_EQ(joined({{16, 32}}), (Runs{{16, 32}}));
    EXPECT_EQ(joined({{16, 32}, {32, 48}, {48, 64}}), (Runs{{16, 64}}));
    EXPECT_EQ(joined({{16, 32}, {40, 48}, {48, 64}, {65, 66}}), (Runs{{16, 32}, {40, 64}, {65, 66}}));
}

}  // namespace
}  // namespace cairn::base
