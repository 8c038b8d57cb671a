// Micro benchmarks: nanoseconds per operation of the malloc this program runs on, whichever that is.
//
// It links with no allocator: the caller chooses by LD_PRELOAD. Prints one JSON object {"case": ns}, or with
// --detail {"case": {"fastest": ns, "median": ns}}. Needs -fno-builtin, or the compiler removes the pairs.
// SPDX-License-Identifier: MIT

#include <cstdio>
#include <cstring>

#include "harness.hpp"
#include "many_threads.hpp"
#include "one_thread.hpp"

namespace bench {
namespace {

constexpr std::size_t KiB = 1024;
constexpr std::size_t MiB = 1024 * KiB;

constexpr Figure fastest = Figure::fastest;
constexpr Figure median = Figure::median;

constexpr Case cases[] = {
    {"pair_16", "malloc + free of 16 B", pair<16>, 1000, fastest},
    {"pair_64", "malloc + free of 64 B", pair<64>, 1000, fastest},
    {"pair_256", "malloc + free of 256 B", pair<256>, 1000, fastest},
    {"pair_1k", "malloc + free of 1 KiB", pair<KiB>, 1000, fastest},
    {"pair_32k", "malloc + free of 32 KiB", pair<32 * KiB>, 1000, fastest},
    {"pair_1m", "malloc + free of 1 MiB", pair<MiB>, 100, fastest},
    {"batch_64_lifo", "a block of 1000 x 64 B, last one freed first", batch<64, Order::lifo>, 1000, fastest},
    {"batch_64_fifo", "a block of 1000 x 64 B, first one freed first", batch<64, Order::fifo>, 1000, fastest},
    {"batch_64_random", "a block of 1000 x 64 B, any order", batch<64, Order::random>, 1000, fastest},
    {"batch_1k_random", "a block of 1000 x 1 KiB, any order", batch<KiB, Order::random>, 1000, fastest},
    {"calloc_64", "calloc + free of 64 B", calloc_pair<64>, 1000, fastest},
    {"calloc_1m", "calloc + free of 1 MiB, first byte written", calloc_pair<MiB>, 100, fastest},
    {"realloc_grow_1m", "a step of 512 B from 64 B to 1 MiB", realloc_growth, 1000, fastest},
    {"hand_over_64", "64 B from a thread that allocates to one that frees", hand_over<64>, 1000, median},
    {"mixed_2_threads", "a random block of 16..1024 B replaced, 2 threads", mixed<2>, 4000, median},
    {"mixed_4_threads", "the same with 4 threads", mixed<4>, 4000, median},
    {"mixed_16_threads", "the same with 16 threads", mixed<16>, 8000, median},
    {"thread_churn", "a thread that takes 100 blocks and ends", thread_churn, 50, median},
};

struct Options {
    const char* only = nullptr;
    bool list = false;
    bool detail = false;
    Effort effort;
};

int usage(const char* wrong) {
    std::fprintf(stderr,
                 "micro: unknown argument '%s'\n"
                 "usage: micro [--case NAME] [--list] [--smoke] [--detail] [--repeats N] [--repeat-ms N]\n",
                 wrong);
    return 2;
}

// Returns 0, or the exit code of a bad command line.
int parse(int argc, char** argv, Options& o) {
    for (int i = 1; i < argc; ++i) {
        const char* a = argv[i];
        const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
        if (std::strcmp(a, "--list") == 0) {
            o.list = true;
        } else if (std::strcmp(a, "--smoke") == 0) {
            o.effort.smoke = true;
        } else if (std::strcmp(a, "--detail") == 0) {
            o.detail = true;
        } else if (std::strcmp(a, "--case") == 0 && value != nullptr) {
            o.only = value, ++i;
        } else if (std::strcmp(a, "--repeats") == 0 && value != nullptr && std::atoi(value) > 0) {
            o.effort.repeats = static_cast<unsigned>(std::atoi(value)), ++i;
        } else if (std::strcmp(a, "--repeat-ms") == 0 && value != nullptr && std::atoi(value) > 0) {
            o.effort.repeat_ns = static_cast<std::uint64_t>(std::atoi(value)) * 1'000'000u, ++i;
        } else {
            return usage(a);
        }
    }
    return 0;
}

int run(const Options& o) {
    static Result results[std::size(cases)];
    static bool measured[std::size(cases)];
    bool any = false;
    for (std::size_t i = 0; i < std::size(cases); ++i) {
        if (o.only != nullptr && std::strcmp(o.only, cases[i].name) != 0) continue;
        results[i] = measure(cases[i], o.effort);
        measured[i] = any = true;
    }
    if (!any) {
        std::fprintf(stderr, "micro: no case '%s'; --list names them\n", o.only);
        return 2;
    }
    const char* between = "{";
    for (std::size_t i = 0; i < std::size(cases); ++i) {  // printed last: stdio allocates
        if (!measured[i]) continue;
        const Result& r = results[i];
        if (o.detail) {
            std::printf("%s\"%s\": {\"fastest\": %.3f, \"median\": %.3f}", between, cases[i].name,  //
                        r.fastest_ns, r.median_ns);
        } else {
            const double ns = cases[i].figure == Figure::fastest ? r.fastest_ns : r.median_ns;
            std::printf("%s\"%s\": %.3f", between, cases[i].name, ns);
        }
        between = ",\n ";
    }
    std::printf("}\n");
    return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
    bench::Options o;
    if (const int code = bench::parse(argc, argv, o); code != 0) return code;
    if (o.list) {
        for (const bench::Case& c : bench::cases) std::printf("%-18s %s\n", c.name, c.meaning);
        return 0;
    }
    return bench::run(o);
}
