// Learnt speed: the time one of something took lately, by cycles that count for as much as they did.
//
// What a cycle does besides makes each object of a small one dear. The question is how long a large one would
// take, so sums are divided, not rates averaged; the past fades by a quarter with each cycle.
//
// Pure. Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace cairn::gc {

class LearntSpeed {
public:
    constexpr LearntSpeed() = default;

    void note(std::uint64_t ns, std::uint64_t amount) {
        ns_ = fading * ns_ + static_cast<double>(ns);
        amount_ = fading * amount_ + static_cast<double>(amount);
    }
    [[nodiscard]] double each_ns(double unknown) const { return amount_ == 0 ? unknown : ns_ / amount_; }
    // What was learnt is true no more by so much each time it has kept a cycle from being quick, and thus
    // from teaching anything.
    void doubt() { ns_ *= 0.95; }

private:
    static constexpr double fading = 0.75;

    double ns_ = 0;
    double amount_ = 0;
};

}  // namespace cairn::gc
