// Harness of the micro benchmarks: repeats a case until its time can be believed, and allocates nothing.
//
// A case is a function that does about `ops` operations on the malloc it finds and says how many it did and
// how long they took. The harness
//   1. doubles `ops` until one repeat lasts the wanted time (that is the warm-up too),
//   2. repeats that a fixed number of times,
//   3. keeps the fastest repeat and the median.
// One thread: the fastest is the figure, for whatever else ran can only add to it. Many threads: the median
// is, for there the fastest is the luckiest meeting of the threads, not their usual one.
//
// All that the harness and the cases need lies in static arrays: the heap holds only the blocks of the case.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace bench {

struct Sample {
    std::uint64_t ops = 0;
    std::uint64_t ns = 0;
};

enum class Figure { fastest, median };

struct Case {
    const char* name;
    const char* meaning;  // one line for --list: what one operation is
    Sample (*run)(std::uint64_t ops);
    std::uint64_t smallest_ops;  // one repeat never does fewer; --smoke does exactly these
    Figure figure;
};

struct Effort {
    std::uint64_t repeat_ns = 15'000'000;
    unsigned repeats = 11;
    bool smoke = false;
};

struct Result {
    double fastest_ns = 0;
    double median_ns = 0;
};

inline std::uint64_t now_ns() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

// Makes the compiler believe that somebody else reads and writes `*p`.
inline void escape(void* p) {
    asm volatile("" : : "r"(p) : "memory");
}

[[noreturn, gnu::cold]] inline void give_up() {
    std::fputs("bench: out of memory\n", stderr);
    std::abort();
}

// Ends the program when `p` is null: no case measures an allocator that has given up.
inline void* must(void* p) {
    if (p == nullptr) [[unlikely]]
        give_up();
    return p;
}

// Allocates and writes the first byte, as every real caller does.
inline void* take(std::size_t bytes) {
    void* p = must(std::malloc(bytes));
    *static_cast<volatile char*>(p) = 1;
    return p;
}

// xorshift64*: a multiplication and three shifts, so that the dice cost less than what they choose.
class Random {
public:
    explicit constexpr Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
    constexpr std::uint32_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return static_cast<std::uint32_t>((state_ * 0x2545f4914f6cdd1du) >> 32);
    }
    // A number in [0, bound), by multiplication instead of division.
    constexpr std::uint32_t below(std::uint32_t bound) {
        return static_cast<std::uint32_t>((std::uint64_t{next()} * bound) >> 32);
    }

private:
    std::uint64_t state_;
};

inline double ns_per_op(const Sample& s) {
    return s.ops == 0 ? 0.0 : static_cast<double>(s.ns) / static_cast<double>(s.ops);
}

inline Result measure(const Case& c, const Effort& effort) {
    constexpr unsigned most_repeats = 101;
    static std::array<double, most_repeats> figures;
    std::uint64_t ops = c.smallest_ops;
    Sample s = c.run(ops);
    if (effort.smoke) return {ns_per_op(s), ns_per_op(s)};
    while (s.ns < effort.repeat_ns) {
        // Step straight to the goal when near it, by at most 8 when far: the first repeats are the coldest.
        std::uint64_t factor =
            s.ns == 0 ? 8 : std::clamp<std::uint64_t>(effort.repeat_ns * 5 / 4 / s.ns, 1, 8);
        if (factor == 1) {
            ops += ops / 4 + 1;
        } else {
            ops *= factor;
        }
        s = c.run(ops);
    }
    const unsigned n = std::clamp(effort.repeats, 1u, most_repeats);
    for (unsigned i = 0; i < n; ++i) figures[i] = ns_per_op(c.run(ops));
    std::sort(figures.begin(), figures.begin() + n);
    return {figures[0], figures[n / 2]};
}

}  // namespace bench
