// Stop times: how long the world stood still, as a histogram fine enough for percentiles.
//
// Buckets grow by powers of two with eight steps in each, so a percentile is right within 12.5 %.
//
// Floor: gc. Pure; the caller serialises.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace cairn::gc {

struct StopTimes {
    static constexpr unsigned steps = 8;
    static constexpr unsigned buckets = 40 * steps;

    std::uint64_t count = 0;
    std::uint64_t last_ns = 0;
    std::uint64_t max_ns = 0;
    std::uint64_t total_ns = 0;
    std::array<std::uint32_t, buckets> histogram{};

    static constexpr unsigned bucket_of(std::uint64_t ns) {
        if (ns < steps) return static_cast<unsigned>(ns);
        const unsigned power = static_cast<unsigned>(std::bit_width(ns)) - 4;  // ns >> power is in 8..15
        const unsigned bucket = (power + 1) * steps + static_cast<unsigned>(ns >> power) % steps;
        return bucket < buckets ? bucket : buckets - 1;
    }
    // The largest time of a bucket.
    static constexpr std::uint64_t top_of(unsigned bucket) {
        if (bucket < steps) return bucket;
        const unsigned power = bucket / steps - 1;
        return ((std::uint64_t{steps} + bucket % steps + 1) << power) - 1;
    }

    void add(std::uint64_t ns) {
        ++count;
        last_ns = ns;
        total_ns += ns;
        if (ns > max_ns) max_ns = ns;
        ++histogram[bucket_of(ns)];
    }
    // The time that `share` (0..1) of all stops did not exceed, rounded up; 0 when there was none.
    [[nodiscard]] std::uint64_t percentile(double share) const {
        auto left = static_cast<std::uint64_t>(share * static_cast<double>(count));
        for (unsigned bucket = 0; bucket < buckets; ++bucket) {
            if (histogram[bucket] > left) return top_of(bucket) < max_ns ? top_of(bucket) : max_ns;
            left -= histogram[bucket];
        }
        return max_ns;
    }
};
static_assert(StopTimes::top_of(StopTimes::bucket_of(1000)) >= 1000);
static_assert(StopTimes::top_of(StopTimes::bucket_of(1000)) <= 1125);
static_assert(StopTimes::bucket_of(8) == 8 && StopTimes::bucket_of(15) == 15 &&
              StopTimes::bucket_of(16) == 16);

}  // namespace cairn::gc
