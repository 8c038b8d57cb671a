// Files in memory that two processes share, and sleeping on words in them.
//
// No call touches errno or allocates; waiting may end early for no reason. Linux only so far.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cairn::os {

// Maps a file that exists, or with `create` a new one of `bytes` zero bytes; nullptr when that fails.
[[nodiscard]] void* map_file(const char* path, std::size_t bytes, bool create);
void unmap_file(void* start, std::size_t bytes);
// The first `capacity` bytes of a file; 0 when it cannot be read.
[[nodiscard]] std::size_t read_small_file(const char* path, char* out, std::size_t capacity);

// Sleeps while `word` equals `expected`, `ns` at most.
void shared_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t ns);
// Wakes all who sleep there.
void shared_wake(std::atomic<std::uint32_t>& word);

// Whether a thread of this process still runs.
[[nodiscard]] bool thread_exists(std::uint32_t thread);

// A page of zeros that a child of any kind of fork finds zero again; nullptr when the OS has no such thing.
[[nodiscard]] void* map_wiped_on_fork(std::size_t bytes);

}  // namespace cairn::os
