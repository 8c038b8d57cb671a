// Policy of the set: malloc and free by hand, on whatever malloc the process runs.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdlib>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "record.hpp"

namespace policy {

constexpr bool collects = false;

template <class T>
using Field = T*;

template <class Owner, class... Members>
constexpr int pointers(Members...) {
    return 0;
}

template <class T, class... Arguments>
T* make(Arguments&&... arguments) {
    return new (bench::must(std::malloc(sizeof(T)))) T(std::forward<Arguments>(arguments)...);
}

template <class T>
T* make_array(std::size_t count) {
    return static_cast<T*>(bench::must(std::calloc(count, sizeof(T))));
}

inline char* make_bytes(std::size_t size) {
    return static_cast<char*>(bench::must(std::malloc(size)));
}

template <class T>
void release(T* object) {
    std::free(object);
}

template <class T>
void release_array(T* array) {
    std::free(array);
}

inline void begin() {}
inline void collect() {}
inline void report(bench::Record&) {}

template <class Body>
void in_threads(unsigned count, const Body& body) {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < count; ++i) threads.emplace_back(body, i);
    for (std::thread& thread : threads) thread.join();
}

}  // namespace policy
