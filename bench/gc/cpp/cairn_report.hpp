// What both policies on Cairn share: stops and assists from stats(), and threads, which attach themselves.
// SPDX-License-Identifier: MIT
#pragma once

#include <thread>
#include <vector>

#include "cairn/cairn.hpp"
#include "record.hpp"

namespace policy {

constexpr bool collects = true;

inline char* make_bytes(std::size_t size) {
    return static_cast<char*>(bench::must(cairn_alloc_noscan(size)));
}

template <class T>
void release(T*) {}

template <class T>
void release_array(T*) {}

inline void begin() {}

inline void collect() {
    cairn::collect();
}

inline void report(bench::Record& record) {
    const cairn::Stats stats = cairn::stats();
    record.count("cycles", stats.cycles);
    record.count("stops", stats.stops);
    record.count("stop_p50_ns", stats.stop_p50_ns);
    record.count("stop_p999_ns", stats.stop_p999_ns);
    record.count("stop_max_ns", stats.stop_max_ns);
    record.add("assist_ms", static_cast<double>(stats.assist_ns) * 1e-6);
    record.add("worker_ms", static_cast<double>(stats.worker_ns) * 1e-6);
    record.count("dirty_pages", stats.dirty_pages);
}

template <class Body>
void in_threads(unsigned count, const Body& body) {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
    const cairn::Blocking waiting;
    for (std::thread& thread : threads) thread.join();
}

}  // namespace policy
