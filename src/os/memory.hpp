// Memory from the OS: four states, seven moves and two hints, with exact accounting. The only road to it.
//
//   none ──reserve──▶ reserved ──map──▶ prepared ──used──▶ ready ──unused──▶ prepared
//   none ──alloc────────────────────────────────────────▶ ready ──fault───▶ reserved
//   any  ──free──▶ none            reserved ──release──▶ none (trimming; touches no counter)
//
// none      not ours, the default of the address space
// reserved  ours, any access faults, no backing
// prepared  ours, contents undefined, no backing promised; becomes ready by a cheap call
// ready     readable and writable
//
// mapped_ready() counts ready bytes: it is what a memory limit is compared with. A `Stat` is a counter of
// bytes for one purpose, given by the caller. All ranges are whole OS pages. No call touches errno, takes a
// lock or allocates; each is safe in a signal handler. One file an OS; fake.cpp, for tests, aborts on an
// illegal move.
//
// Source: Go runtime mem.go (BSD-3)
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/telemetry.hpp"

namespace cairn::os {

using Stat = base::Counter;

// Bytes of the OS page; a power of two in [4 KiB, 512 KiB].
[[nodiscard]] std::size_t page_bytes();
// Bytes of a transparent huge page, 0 when there are none (or larger than a 4 MiB chunk).
[[nodiscard]] std::size_t huge_page_bytes();
// Address space the process may use at most (RLIMIT_AS on Unix); all ones when there is no bound.
[[nodiscard]] std::uint64_t address_space_limit();
// Bytes in state ready, over the whole process.
[[nodiscard]] std::uint64_t mapped_ready();

// none → ready: zeroed memory where the OS likes. Returns nullptr when refused.
[[nodiscard]] void* alloc(std::size_t bytes, Stat& stat);
// ready → none. Accounts `bytes` as ready; for reserved ranges use release().
void free(void* start, std::size_t bytes, Stat& stat);
// none → reserved: `hint` or elsewhere (the caller compares). nullptr when refused. No memory is charged.
[[nodiscard]] void* reserve(void* hint, std::size_t bytes);
// The same anywhere, aligned to the power of two `alignment`.
[[nodiscard]] void* reserve_aligned(std::size_t bytes, std::size_t alignment);
// Whether the OS would grant so much memory at all, by its own rule for promises (Linux: overcommit). Nothing
// is kept.
[[nodiscard]] bool would_grant(std::size_t bytes);
// reserved → none, without accounting: trims or gives up a reservation.
void release(void* start, std::size_t bytes);
// reserved → prepared; `stat` grows. False when the OS refuses (ENOMEM): the range stays reserved.
[[nodiscard]] bool map(void* start, std::size_t bytes, Stat& stat);
// reserved → ready, for a table of which little is ever touched: zeroes everywhere, memory where written.
// `stat` grows, mapped_ready() does not: the owner tells what it touches. False when the OS refuses.
[[nodiscard]] bool map_sparse(void* start, std::size_t bytes, Stat& stat);
// prepared or ready → ready. `prepared_bytes` is exactly how much of it was prepared.
void used(void* start, std::size_t bytes, std::size_t prepared_bytes);
// ready → prepared: contents are lost, memory goes back to the OS.
void unused(void* start, std::size_t bytes);
// ready → reserved: any access faults from now on.
void fault(void* start, std::size_t bytes);
// Whether pages that went through unused() read as zero when they are ready again.
#if defined(__linux__)
inline constexpr bool unused_reads_zero = true;
#else
inline constexpr bool unused_reads_zero = false;
#endif
// A hint: all of the ready range is about to be written.
void back(void* start, std::size_t bytes);
// Hints: back the range with huge pages when touched, or do not.
void want_huge_pages(void* start, std::size_t bytes);
void refuse_huge_pages(void* start, std::size_t bytes);

}  // namespace cairn::os
