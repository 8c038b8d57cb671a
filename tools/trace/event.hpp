// A trace: what a program asked of malloc, call by call, in one order that holds for all its threads.
//
// An object is known by its number: the k-th successful allocation of the trace makes object k. realloc keeps
// the number. Objects from before the recording have none: their release carries 0.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::trace {

enum class Op : std::uint8_t {
    allocate,        // malloc, new, realloc(NULL, n)      id, size
    allocate_zero,   // calloc                             id, size
    allocate_align,  // aligned_alloc and its kin          id, size, align
    reallocate,      // realloc(p, n)                      id (as before), size (new)
    release,         // free, delete, realloc(p, 0)        id
    fail,            // a request that got no memory       size
    thread_end,      // the last of a thread
};
inline constexpr unsigned op_count = 7;

constexpr std::string_view name_of(Op op) {
    constexpr std::string_view names[op_count] = {"malloc", "calloc", "aligned", "realloc",
                                                  "free",   "failed", "thread end"};
    return names[static_cast<unsigned>(op)];
}

// True when the event makes a new object.
constexpr bool makes_object(Op op) { return op <= Op::allocate_align; }
constexpr bool has_size(Op op) { return op <= Op::reallocate || op == Op::fail; }
// True when the event names an object that was made before.
constexpr bool names_object(Op op) { return op == Op::reallocate || op == Op::release; }
constexpr bool has_site(Op op) { return op <= Op::reallocate; }

struct Event {
    Op op = Op::allocate;
    std::uint32_t thread = 0;   // dense from 0, in order of first event
    std::uint32_t site = 0;     // 0: unknown; else Reader::sites()[site - 1]
    std::uint64_t id = 0;       // see above; 0: an object from before the recording
    std::uint64_t size = 0;     // bytes asked
    std::uint64_t align = 0;    // bytes; 0: nothing asked
    std::uint64_t time_ns = 0;  // since the recording began; never falls

    bool operator==(const Event&) const = default;
};

// Bounds that hold for every event a reader hands out.
inline constexpr std::uint64_t size_limit = std::uint64_t{1} << 47;
inline constexpr std::uint32_t thread_limit = 1u << 20;
inline constexpr unsigned align_shift_limit = 47;

// A place in the program that allocates.
struct Site {
    std::string module;        // file the code was loaded from; empty: unknown
    std::uint64_t offset = 0;  // in that file's address space, as addr2line takes it; else the address

    bool operator==(const Site&) const = default;
};

// What is known before the first event.
struct Header {
    std::vector<std::string> command;
    std::uint32_t pid = 0;
    std::string started;  // 2024-05-01T12:00:00Z
    bool has_sites = false;
};

// What is known after the last.
struct Summary {
    std::uint64_t events = 0;
    std::uint64_t allocations = 0;
    std::uint64_t frees = 0;
    std::uint32_t threads = 0;
    std::uint64_t duration_ns = 0;
    int status = -1;   // how the program ended, as wait() gives it; -1: not known
    std::string note;  // why the recording ended early, if it did
};

}  // namespace cairn::trace
