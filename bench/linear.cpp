// The bump pointer beside the machine's own limit for writing the memory it hands out.
//
// A case writes objects of one size over a buffer, once with the address from cairn::Linear, once with the
// addresses counted up by hand: the limit. Hot stays in the second-level cache, streaming does not. The
// memory is touched before, so that no page fault is measured. Prints ns an object, and the ratio.
//
// At 16 bytes an object most of what is measured is the pointer, carried from one allocation to the next
// through memory; the loop of the limit keeps it in a register.
//
//   linear [--smoke] [--check]        --check: exit 1 when a ratio from 64 bytes up is over 1.2
// SPDX-License-Identifier: MIT
#include <cairn/linear.hpp>

#include <cstring>

#include "harness.hpp"

namespace bench {
namespace {

constexpr std::size_t KiB = 1024;
constexpr double most_ratio = 1.2;

struct Buffer {
    char* start;
    std::size_t bytes;
};

// Writes the object in place, as a constructor would; builtin, because a call would cost more than the store.
template <std::size_t bytes>
void write(char* object, char value) {
    __builtin_memset(object, value, bytes);
    escape(object);
}

template <std::size_t bytes>
[[gnu::noinline]] std::uint64_t limit_round(const Buffer& buffer, std::uint64_t rounds) {
    const std::uint64_t start = now_ns();
    for (std::uint64_t round = 0; round < rounds; ++round)
        for (std::size_t at = 0; at + bytes <= buffer.bytes; at += bytes)
            write<bytes>(buffer.start + at, static_cast<char>(round));
    return now_ns() - start;
}

template <std::size_t bytes>
[[gnu::noinline]] std::uint64_t linear_round(const Buffer& buffer, std::uint64_t rounds) {
    cairn::Linear memory(buffer.start, buffer.bytes, std::pmr::null_memory_resource());
    const std::uint64_t start = now_ns();
    for (std::uint64_t round = 0; round < rounds; ++round) {
        for (std::size_t count = buffer.bytes / bytes; count > 0; --count)
            write<bytes>(static_cast<char*>(memory.allocate(bytes, 16)), static_cast<char>(round));
        memory.reset();
    }
    return now_ns() - start;
}

// Both in turn, the fastest of each: what else runs can only add.
template <std::size_t bytes>
bool measure_size(const char* where, const Buffer& buffer, std::uint64_t rounds, unsigned repeats) {
    std::uint64_t limit = ~std::uint64_t{0};
    std::uint64_t linear = ~std::uint64_t{0};
    for (unsigned i = 0; i < repeats; ++i) {
        limit = std::min(limit, limit_round<bytes>(buffer, rounds));
        linear = std::min(linear, linear_round<bytes>(buffer, rounds));
    }
    const double objects = static_cast<double>(buffer.bytes / bytes * rounds);
    const double ratio = static_cast<double>(linear) / static_cast<double>(limit);
    std::printf("%-10s %5zu %10.2f %10.2f %7.2f\n", where, bytes, static_cast<double>(limit) / objects,
                static_cast<double>(linear) / objects, ratio);
    return ratio <= most_ratio;
}

bool measure_buffer(const char* where, std::size_t bytes, std::uint64_t rounds, unsigned repeats) {
    const Buffer buffer{static_cast<char*>(must(std::aligned_alloc(64, bytes))), bytes};
    std::memset(buffer.start, 1, bytes);
    (void)measure_size<16>(where, buffer, rounds, repeats);
    bool is_good = measure_size<64>(where, buffer, rounds, repeats);
    is_good &= measure_size<256>(where, buffer, rounds, repeats);
    std::free(buffer.start);
    return is_good;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
    bool is_smoke = false;
    bool is_check = false;
    for (int i = 1; i < argc; ++i) {
        is_smoke |= std::strcmp(argv[i], "--smoke") == 0;
        is_check |= std::strcmp(argv[i], "--check") == 0;
    }
    const unsigned repeats = is_smoke ? 1 : 15;
    std::printf("%-10s %5s %10s %10s %7s\n", "memory", "bytes", "limit ns", "linear ns", "ratio");
    bool is_good = bench::measure_buffer("hot", 512 * bench::KiB, is_smoke ? 1 : 64, repeats);
    is_good &= bench::measure_buffer("streaming", (is_smoke ? 4 : 512) * 1024 * bench::KiB, 1, repeats);
    return is_check && !is_good ? 1 : 0;
}
