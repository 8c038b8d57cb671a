// Counters that lower floors write and the observe floor reads.
//
// Single words, bumped on slow paths only: the fast paths count in their own thread's cache.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

namespace cairn::base {

// A statistic: never used to decide anything about memory safety.
class Counter {
public:
    // relaxed: a statistic
    void add(std::uint64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
    // relaxed: a statistic
    void subtract(std::uint64_t n) { value_.fetch_sub(n, std::memory_order_relaxed); }
    void raise_to(std::uint64_t n) {
        std::uint64_t seen = value_.load(std::memory_order_relaxed);  // relaxed: a statistic
        // relaxed: a statistic; the loop keeps the maximum
        while (seen < n && !value_.compare_exchange_weak(seen, n, std::memory_order_relaxed)) {}
    }
    // relaxed: a statistic
    [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};  // [atomic]
};

}  // namespace cairn::base
