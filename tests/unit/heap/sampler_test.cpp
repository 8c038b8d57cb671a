// Sampler: the logarithm, the distance formula and the chances it gives.
// SPDX-License-Identifier: MIT
#include "heap/sampler.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace cairn::heap {
namespace {

static_assert(log2_of(1) == 0);
static_assert(log2_of(1u << 26) == 26);
static_assert(sample_distance(1u << 26, default_sample_mean_bytes) == 1, "the shortest distance");

TEST(Sampler, LogarithmIsExactEnough) {
    for (std::uint64_t n = 1; n < (1u << 26); n += 1 + n / 97)
        ASSERT_NEAR(log2_of(n), std::log2(static_cast<double>(n)), 1e-8) << n;
    EXPECT_NEAR(log2_of(UINT64_MAX), 64, 1e-8);
}

TEST(Sampler, DistanceFollowsTheFormula) {
    for (const std::uint64_t q : {1ull, 2ull, 3ull, 1000ull, 1ull << 20, 50'000'000ull, 1ull << 26}) {
        const double want = (std::log2(static_cast<double>(q)) - 26) * (-0.6931471805599453 * 524288) + 1;
        EXPECT_NEAR(static_cast<double>(sample_distance(q, 524288)), want, 1.01) << q;
    }
    const auto longest = static_cast<double>(sample_distance(1, 524288));
    EXPECT_NEAR(longest / 524288, 18.02, 0.01);
    EXPECT_LT(sample_distance(1, max_sample_mean_bytes), std::uint64_t{1} << 31);
}

TEST(Sampler, MeanIsTheMean) {
    Sampler sampler;
    sampler.seed(7);
    double sum = 0;
    double squares = 0;
    constexpr int count = 200'000;
    for (int i = 0; i < count; ++i) {
        const auto distance = static_cast<double>(sampler.next());
        ASSERT_GE(distance, 1);
        sum += distance;
        squares += distance * distance;
    }
    const double mean = sum / count;
    EXPECT_NEAR(mean, 524288, 524288 * 0.01);
    EXPECT_NEAR(std::sqrt(squares / count - mean * mean), 524288, 524288 * 0.02)
        << "exponential: deviation = mean";
}

// P(sample) of an object by its size.
TEST(Sampler, ChanceOfAnObject) {
    struct Case {
        std::int64_t bytes;
        double chance;
    };
    for (const Case& c : {Case{8192, 0.0155}, Case{524288, 0.632}, Case{4 << 20, 0.99966}}) {
        Sampler sampler;
        sampler.seed(static_cast<std::uint64_t>(c.bytes));
        std::int64_t until = sampler.next();
        int samples = 0;
        constexpr int count = 200'000;
        for (int i = 0; i < count; ++i) {
            until -= c.bytes;
            if (until >= 0) continue;
            ++samples;
            until = sampler.next();
        }
        EXPECT_NEAR(static_cast<double>(samples) / count, c.chance, 0.005) << c.bytes;
    }
}

TEST(Sampler, RateZeroIsNeverAndOneIsAlways) {
    Sampler sampler;
    sampler.set_mean(0);
    EXPECT_EQ(sampler.next(), INT64_MAX);
    sampler.set_mean(1);
    EXPECT_EQ(sampler.next(), 0);
    sampler.set_mean(std::uint64_t{1} << 40);
    for (int i = 0; i < 1000; ++i) EXPECT_LT(sampler.next(), std::int64_t{1} << 31);
}

TEST(Sampler, SeedsDiffer) {
    Sampler a;
    Sampler b;
    a.seed(1);
    b.seed(2);
    EXPECT_NE(a.next(), b.next());
    a.seed(0);
    EXPECT_GE(a.next(), 1);
}

}  // namespace
}  // namespace cairn::heap
