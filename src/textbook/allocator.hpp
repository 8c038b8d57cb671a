// What a textbook allocator is: one concept, and the counts by which its models are compared.
//
//   allocate(bytes, align)   an address, or nullptr: out of memory is an answer, not an event
//   free(address)            gives it back; a model may be unable to use it again (the bump pointer is)
//   resize(address, bytes)   grows or shrinks where it lies; false when there is no room
//   check()                  walks all it has, and says what is wrong
//
// No model is for several threads: each belongs to one, or stands behind its owner's lock.
// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace cairn::textbook {

// Every block starts at a multiple of this unless more is asked: what C promises for any type.
inline constexpr std::size_t default_align = 16;

// Requests and alignments above this are refused before any arithmetic could overflow. Half of 47 bits.
inline constexpr std::size_t max_request_bytes = std::size_t{1} << 46;

// What one operation did.
struct Operation {
    std::uint64_t visited = 0;  // free blocks looked at
    std::uint32_t splits = 0;
    std::uint32_t merges = 0;
};

// What all of them did so far.
struct Statistics {
    std::uint64_t allocations = 0;  // that succeeded
    std::uint64_t frees = 0;
    std::uint64_t failures = 0;  // out of memory
    std::uint64_t visited = 0;
    std::uint64_t most_visited = 0;  // in one operation
    std::uint64_t splits = 0;
    std::uint64_t merges = 0;
    std::uint64_t growths = 0;     // times nothing fitted and fresh memory was taken
    std::uint64_t used_bytes = 0;  // in blocks handed out, with all that surrounds them
    std::uint64_t peak_used_bytes = 0;
    std::uint64_t extent_bytes = 0;  // from the first byte to the highest ever handed out

    void add(const Operation& operation) {
        visited += operation.visited;
        if (operation.visited > most_visited) most_visited = operation.visited;
        splits += operation.splits;
        merges += operation.merges;
    }
    void set_used(std::uint64_t bytes) {
        used_bytes = bytes;
        if (bytes > peak_used_bytes) peak_used_bytes = bytes;
    }
};

// The first thing that check() found wrong; `what` is null when all is well.
struct Fault {
    const char* what = nullptr;
    std::uintptr_t where = 0;
    explicit operator bool() const { return what != nullptr; }
};

template <class A>
concept Allocator = requires(A heap, const A& seen, void* address, std::size_t bytes, std::size_t align) {
    { heap.allocate(bytes, align) } -> std::same_as<void*>;
    heap.free(address);
    { heap.resize(address, bytes) } -> std::same_as<bool>;
    { seen.statistics() } -> std::same_as<Statistics>;
    { seen.last_operation() } -> std::same_as<Operation>;
    { seen.check() } -> std::same_as<Fault>;
};

}  // namespace cairn::textbook
