// Policy of the set: libgc (Boehm, Demers, Weiser), with what a careful client of it would write.
//
// Objects without pointers are `atomic`; threads are made through the library; its events tell the stops.
// SPDX-License-Identifier: MIT
#pragma once

#include <gc.h>
#include <pthread.h>

#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "record.hpp"

namespace policy {

constexpr bool collects = true;

template <class T>
using Field = T*;

// How many fields a type named: without any it holds no pointers.
template <class Owner, class... Members>
constexpr std::size_t pointers(Members...) {
    return sizeof...(Members);
}

template <class T, class... Arguments>
T* make(Arguments&&... arguments) {
    void* place = T::cairn_pointers == 0 ? GC_MALLOC_ATOMIC(sizeof(T)) : GC_MALLOC(sizeof(T));
    return new (bench::must(place)) T(std::forward<Arguments>(arguments)...);
}

template <class T>
T* make_array(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    if constexpr (std::is_arithmetic_v<T>)
        return static_cast<T*>(std::memset(bench::must(GC_MALLOC_ATOMIC(bytes)), 0, bytes));
    else
        return static_cast<T*>(bench::must(GC_MALLOC(bytes)));
}

inline char* make_bytes(std::size_t size) {
    return static_cast<char*>(bench::must(GC_MALLOC_ATOMIC(size)));
}

template <class T>
void release(T*) {}

template <class T>
void release_array(T*) {}

inline bench::Latencies stops;
inline std::uint64_t stop_began = 0;

inline void on_event(GC_EventType event) {
    if (event == GC_EVENT_PRE_STOP_WORLD) stop_began = bench::now_ns();
    if (event == GC_EVENT_POST_START_WORLD) stops.add(bench::now_ns() - stop_began);
}

inline void begin() {
    GC_INIT();
    GC_set_warn_proc(GC_ignore_warn_proc);
    GC_set_on_collection_event(on_event);
}

inline void collect() {
    GC_gcollect();
}

inline void report(bench::Record& record) {
    stops.report_stops(record);
    record.count("cycles", GC_get_gc_no());
}

template <class Body>
void in_threads(unsigned count, const Body& body) {
    struct Start {
        const Body* body;
        unsigned index;
    };
    std::vector<Start> starts(count);
    std::vector<pthread_t> threads(count);
    for (unsigned i = 0; i < count; ++i) {
        starts[i] = {&body, i};
        const auto run = [](void* start) -> void* {
            (*static_cast<Start*>(start)->body)(static_cast<Start*>(start)->index);
            return nullptr;
        };
        if (GC_pthread_create(&threads[i], nullptr, run, &starts[i]) != 0) std::abort();
    }
    for (pthread_t thread : threads) GC_pthread_join(thread, nullptr);
}

}  // namespace policy
