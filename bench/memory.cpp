// Memory over time: what a program's RSS does after a spike, and while it churns around a limit.
//
//   memory spike MIB SECONDS    takes MIB of blocks, writes and frees them all, then only sleeps
//   memory churn LIMIT_MIB MS   keeps a queue of blocks around LIMIT_MIB, each level for MS
//
// Prints JSON. Blocks carry their own links, so that the program has no other heap than the one it looks at.
// SPDX-License-Identifier: MIT

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "harness.hpp"

namespace bench {
namespace {

constexpr double MiB = 1024.0 * 1024.0;

// Reads statm: wrong by at most 32 pages a processor, and far cheaper than the exact smaps.
double resident_mib() {
    char text[128];
    const int fd = open("/proc/self/statm", O_RDONLY);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    if (n <= 0) std::abort();
    text[n] = 0;
    const char* second = std::strchr(text, ' ');
    if (second == nullptr) std::abort();
    return std::strtod(second, nullptr) * static_cast<double>(sysconf(_SC_PAGESIZE)) / MiB;
}

// Blocks in the order of their making; the oldest goes first.
class Queue {
public:
    void push(std::size_t bytes) {
        auto* b = static_cast<Block*>(must(std::malloc(bytes)));
        std::memset(static_cast<void*>(b), 0x5a, bytes);
        *b = {nullptr, bytes};
        (newest_ == nullptr ? oldest_ : newest_->next) = b;
        newest_ = b;
        bytes_ += bytes;
    }
    void pop() {
        Block* b = oldest_;
        oldest_ = b->next;
        if (oldest_ == nullptr) newest_ = nullptr;
        bytes_ -= b->bytes;
        std::free(b);
    }
    bool empty() const { return oldest_ == nullptr; }
    double mib() const { return static_cast<double>(bytes_) / MiB; }

private:
    struct Block {
        Block* next;
        std::size_t bytes;
    };
    Block* oldest_ = nullptr;
    Block* newest_ = nullptr;
    std::size_t bytes_ = 0;
};

// Of 100 blocks 70 are small, 25 some KiB and 5 large; by bytes the large ones are most.
std::size_t usual_size(Random& dice) {
    const std::uint32_t kind = dice.below(100);
    if (kind < 70) return 16 + dice.below(512);
    if (kind < 95) return 512 + dice.below(8 * 1024);
    return 8 * 1024 + dice.below(256 * 1024);
}

void nap_ms(unsigned ms) {
    timespec t{ms / 1000, static_cast<long>(ms % 1000) * 1'000'000};
    nanosleep(&t, nullptr);
}

int spike(double mib, unsigned seconds) {
    static std::array<double, 241> rss;
    const double before = resident_mib();
    Queue queue;
    Random dice(1);
    while (queue.mib() < mib) queue.push(usual_size(dice));
    const double peak = resident_mib();
    while (!queue.empty()) queue.pop();
    const unsigned samples = std::min(seconds * 4, 240u);
    rss[0] = resident_mib();
    for (unsigned i = 1; i <= samples; ++i) {
        nap_ms(250);
        rss[i] = resident_mib();
    }
    std::printf("{\"before\": %.2f, \"peak\": %.2f, \"every_250_ms\": [%.2f", before, peak, rss[0]);
    for (unsigned i = 1; i <= samples; ++i) std::printf(", %.2f", rss[i]);
    std::printf("]}\n");
    return 0;
}

// One level of the churn: the live bytes as a part of the limit, and the sizes they have. These change from
// level to level, so what one size class has left must serve another.
struct Level {
    double part;
    std::size_t smallest, largest;
};

constexpr Level levels[] = {
    {0.40, 16, 512},          {0.85, 16, 512},       {1.25, 512, 4096}, {0.50, 512, 4096}, {0.85, 64, 128},
    {0.30, 1024, 128 * 1024}, {0.85, 16, 32 * 1024}, {1.20, 16, 256},   {0.85, 256, 1024}, {0.20, 16, 512},
};

struct Seen {
    double live = 0, rss = 0;
};

// Goes to the level, renews the live blocks for `ms`, and notes the highest RSS of that time's second half.
Seen stay(Queue& queue, const Level& level, double limit_mib, unsigned ms, Random& dice) {
    const double live = level.part * limit_mib;
    const auto span = static_cast<std::uint32_t>(level.largest - level.smallest + 1);
    while (queue.mib() > live) queue.pop();
    while (queue.mib() < live) queue.push(level.smallest + dice.below(span));
    Seen seen{live, 0};
    const std::uint64_t start = now_ns();
    const std::uint64_t end = start + std::uint64_t{ms} * 1'000'000;
    for (std::uint64_t now = start; now < end; now = now_ns()) {
        for (int i = 0; i < 1000; ++i) {
            while (queue.mib() >= live) queue.pop();
            queue.push(level.smallest + dice.below(span));
        }
        if (now - start > (end - start) / 2) seen.rss = std::max(seen.rss, resident_mib());
    }
    return seen;
}

int churn(double limit_mib, unsigned ms) {
    static std::array<Seen, std::size(levels)> seen;
    static Queue queue;
    Random dice(2);
    for (std::size_t i = 0; i < seen.size(); ++i) seen[i] = stay(queue, levels[i], limit_mib, ms, dice);
    const char* between = "[";
    for (const Seen& s : seen) {
        std::printf("%s{\"live\": %.1f, \"rss\": %.1f}", between, s.live, s.rss);
        between = ", ";
    }
    std::printf("]\n");
    return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
    const double mib = argc == 4 ? std::atof(argv[2]) : 0;
    const int time = argc == 4 ? std::atoi(argv[3]) : 0;
    if (mib > 0 && time > 0 && std::strcmp(argv[1], "spike") == 0) {
        return bench::spike(mib, static_cast<unsigned>(time));
    }
    if (mib > 0 && time > 0 && std::strcmp(argv[1], "churn") == 0) {
        return bench::churn(mib, static_cast<unsigned>(time));
    }
    std::fprintf(stderr, "usage: memory spike MIB SECONDS | memory churn LIMIT_MIB MS\n");
    return 2;
}
