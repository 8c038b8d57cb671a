// What this machine can do at most: objects of 64 bytes visited in a random order that is known beforehand.
//
// `read`: each object's line is read, prefetched well ahead. `mark`: besides, a bit for it is tested and set
// in a bitmap of one bit per 16 bytes. No collector is faster, for it learns the order only as it goes.
//
//   walk objects=N threads=T     prints millions of objects a second, of all threads together
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "record.hpp"

namespace {

constexpr std::size_t object_bytes = 64, ahead = 48;

struct Heap {
    char* objects;
    std::uint64_t* bits;
    const std::uint32_t* order;
};

std::uint64_t visit(const Heap& heap, std::size_t first, std::size_t last, bool mark) {
    std::uint64_t sum = 0;
    for (std::size_t i = first; i < last; ++i) {
        const std::size_t soon = heap.order[std::min(i + ahead, last - 1)];
        __builtin_prefetch(heap.objects + soon * object_bytes);
        if (mark) __builtin_prefetch(&heap.bits[soon / 16]);
        const std::size_t now = heap.order[i];
        if (mark) {
            const std::uint64_t bit = std::uint64_t{1} << (now % 16 * 4);
            if ((heap.bits[now / 16] & bit) != 0) continue;
            heap.bits[now / 16] |= bit;
        }
        std::uint64_t key;
        std::memcpy(&key, heap.objects + now * object_bytes, sizeof key);
        sum += key;
    }
    return sum;
}

// Threads share the order evenly, and have a bitmap each: in one together they would need atomic operations.
double million_per_s(const std::vector<Heap>& heaps, std::size_t count, bool mark) {
    std::vector<std::thread> threads;
    const std::uint64_t start = bench::now_ns();
    for (std::size_t t = 0; t < heaps.size(); ++t) {
        threads.emplace_back([&, t] {
            const std::size_t share = count / heaps.size();
            std::uint64_t sum = visit(heaps[t], share * t, share * (t + 1), mark);
            bench::escape(&sum);
        });
    }
    for (std::thread& thread : threads) thread.join();
    return static_cast<double>(count) * 1e3 / static_cast<double>(bench::now_ns() - start);
}

}  // namespace

int main(int count, char** words) {
    const bench::Arguments sizes(count - 1, words + 1);
    const std::size_t objects = sizes["objects"], threads = sizes["threads"];
    std::vector<std::uint64_t> heap(objects * object_bytes / 8, 1);
    std::vector<std::uint32_t> order(objects);
    bench::Random random(objects);
    for (std::size_t i = 0; i < objects; ++i) order[i] = static_cast<std::uint32_t>(i);
    for (auto i = static_cast<std::uint32_t>(objects - 1); i > 0; --i)
        std::swap(order[i], order[random.below(i + 1)]);
    std::vector<std::vector<std::uint64_t>> bits(threads);
    std::vector<Heap> heaps;
    for (auto& own : bits) {
        own.resize(objects / 16 + 1);
        heaps.push_back({reinterpret_cast<char*>(heap.data()), own.data(), order.data()});
    }
    double read = 0, mark = 0;
    for (int round = 0; round < 5; ++round) {
        read = std::max(read, million_per_s(heaps, objects, false));
        for (auto& own : bits) std::fill(own.begin(), own.end(), 0);
        mark = std::max(mark, million_per_s(heaps, objects, true));
    }
    bench::Record record("machine", "walk");
    record.checksum(objects);
    record.add("read_million_per_s", read);
    record.add("mark_million_per_s", mark);
    record.add("read_gb_per_s", read * object_bytes * 1e-3);
    return 0;
}
