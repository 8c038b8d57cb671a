// What every program of the set needs: sizes from its command line, a line of JSON as its answer, latencies.
//
//   PROGRAM impl benchmark key=value ...        sizes have no defaults: the runner names all of them
//   {"impl": "libgc", "bench": "trees", "seconds": 1.61, "checksum": 68332215, ...}
//
// Nothing here allocates on the heap under test.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "harness.hpp"

namespace bench {

class Arguments {
public:
    Arguments(int count, char** words) : count_(count), words_(words) {}

    std::uint64_t operator[](const char* key) const {
        const std::size_t length = std::strlen(key);
        for (int i = 0; i < count_; ++i) {
            if (std::strncmp(words_[i], key, length) == 0 && words_[i][length] == '=')
                return std::strtoull(words_[i] + length + 1, nullptr, 10);
        }
        std::fprintf(stderr, "missing %s=\n", key);
        std::exit(2);
    }

private:
    int count_;
    char** words_;
};

// One line of JSON, printed as it is filled.
class Record {
public:
    Record(const char* impl, const char* benchmark) {
        std::printf("{\"impl\": \"%s\", \"bench\": \"%s\"", impl, benchmark);
    }
    Record(const Record&) = delete;
    Record& operator=(const Record&) = delete;
    ~Record() { std::printf("}\n"); }

    void add(const char* key, double value) { std::printf(", \"%s\": %.9g", key, value); }
    void count(const char* key, std::uint64_t value) { std::printf(", \"%s\": %" PRIu64, key, value); }
    void seconds(std::uint64_t ns) { add("seconds", static_cast<double>(ns) * 1e-9); }
    void checksum(std::uint64_t value) { count("checksum", value); }
};

// Latencies in buckets: exact below 64 ns, above it 32 buckets an octave, so within 3 %. The worst is exact.
class Latencies {
public:
    void add(std::uint64_t ns) {
        ++buckets_[bucket_of(ns)];
        ++samples_;
        if (ns > worst_) worst_ = ns;
    }

    // The latency that `share` of the samples do not exceed.
    double quantile(double share) const {
        const double rank = share * static_cast<double>(samples_);
        std::uint64_t seen = 0;
        for (unsigned i = 0; i < buckets_.size(); ++i) {
            seen += buckets_[i];
            if (static_cast<double>(seen) >= rank && seen > 0) return static_cast<double>(top_of(i));
        }
        return static_cast<double>(worst_);
    }

    void report(Record& record) const {
        record.add("p50_ns", quantile(0.5));
        record.add("p99_ns", quantile(0.99));
        record.add("p999_ns", quantile(0.999));
        record.count("max_ns", worst_);
    }

    // The same for the stops of the world.
    void report_stops(Record& record) const {
        record.count("stops", samples_);
        if (samples_ == 0) return;
        record.add("stop_p50_ns", quantile(0.5));
        record.add("stop_p999_ns", quantile(0.999));
        record.count("stop_max_ns", worst_);
    }

private:
    static unsigned bucket_of(std::uint64_t ns) {
        const int shift = ns < 64 ? 0 : 58 - std::countl_zero(ns);
        return static_cast<unsigned>(shift * 32) + static_cast<unsigned>(ns >> shift);
    }
    static std::uint64_t top_of(unsigned bucket) {
        if (bucket < 64) return bucket;
        const unsigned shift = bucket / 32 - 1;
        return ((std::uint64_t{bucket - shift * 32} + 1) << shift) - 1;
    }

    std::array<std::uint32_t, 61 * 32> buckets_{};
    std::uint64_t samples_ = 0, worst_ = 0;
};

}  // namespace bench
