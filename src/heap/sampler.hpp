// Sampling countdown: which allocations a heap profile looks at, so that every byte has the same chance.
//
// Samples are points on the axis of allocated bytes, as drops of steady rain: the distance from one to the
// next is exponentially distributed, so where the last one fell says nothing about the next, and no pattern
// of the program can hide between them. A cache counts the bytes of its slots down and hands over the
// allocation that reaches zero.
//
// Floor: heap; nothing but arithmetic. Source: Go malloc.go nextSample (BSD-3)
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace cairn::heap {

inline constexpr std::uint64_t default_sample_mean_bytes = 512 * 1024;
inline constexpr std::uint64_t max_sample_mean_bytes = 0x7000000;  // the longest distance then fits 31 bits

// Base-2 logarithm of `n` > 0, off by less than 1e-8. Own: libm may not be called below a malloc.
// n = m * 2^e with m near 1; log2 m = 2/ln 2 * (t + t^3/3 + t^5/5 + ...), t = (m - 1)/(m + 1).
constexpr double log2_of(std::uint64_t n) {
    constexpr double two_over_ln2 = 2.885390081777926815;
    const int top = 63 - std::countl_zero(n);
    double exponent = top;
    double m = static_cast<double>(n) / static_cast<double>(std::uint64_t{1} << top);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent += 1;
    }
    const double t = (m - 1) / (m + 1);
    const double t2 = t * t;
    const double series = 1 + t2 * (1.0 / 3 + t2 * (1.0 / 5 + t2 * (1.0 / 7 + t2 * (1.0 / 9))));
    return exponent + two_over_ln2 * t * series;
}

// Distance to the next sample for the uniform number q in 1..2^26.
constexpr std::uint64_t sample_distance(std::uint64_t q, std::uint64_t mean_bytes) {
    constexpr double minus_ln2 = -0.6931471805599453;
    const double distance = (log2_of(q) - 26) * (minus_ln2 * static_cast<double>(mean_bytes));
    return static_cast<std::uint64_t>(distance) + 1;
}

// One cache's source of distances. Everything is [owner].
class Sampler {
public:
    constexpr Sampler() = default;

    void seed(std::uint64_t seed) { state_ = seed != 0 ? seed : fallback_seed; }

    // Mean distance in bytes: 0 samples nothing, 1 everything.
    void set_mean(std::uint64_t bytes) { mean_ = bytes; }
    [[nodiscard]] std::uint64_t mean() const { return mean_; }

    // What a countdown starts from; the allocation that takes it below zero is the sample.
    [[nodiscard]] std::int64_t next() {
        if (mean_ == 0) return INT64_MAX;
        if (mean_ == 1) return 0;
        const std::uint64_t mean = mean_ < max_sample_mean_bytes ? mean_ : max_sample_mean_bytes;
        return static_cast<std::int64_t>(sample_distance((random() >> 38) + 1, mean));
    }

private:
    // xorshift64*: eight bytes of state, three shifts, a multiplication; its high bits are good. Marsaglia
    // 2003, Vigna 2016.
    std::uint64_t random() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1dULL;
    }

    static constexpr std::uint64_t fallback_seed = 0x9e3779b97f4a7c15ULL;

    std::uint64_t state_ = fallback_seed;
    std::uint64_t mean_ = default_sample_mean_bytes;
};

}  // namespace cairn::heap
