// Build-time constants: value, unit, reason.
//
// Only what several floors share stands here; a constant of one unit lives in that unit.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::base {

// The allocator's page, never the OS page: small enough that a one-page span of 48-byte slots wastes
// little, large enough that the page map is 1/1024 of the heap. Source: Go malloc.go (8 KiB since 1.0).
inline constexpr unsigned page_shift = 13;
inline constexpr std::size_t page_bytes = std::size_t{1} << page_shift;

// A chunk is what one leaf of the page allocator describes: 512 pages = 4 MiB, one or two huge pages.
inline constexpr std::size_t chunk_pages = 512;
inline constexpr std::size_t chunk_bytes = chunk_pages * page_bytes;

// Destructive interference size of every machine we run on; fixed so that the ABI does not follow flags.
inline constexpr std::size_t cache_line_bytes = 64;

#if defined(CAIRN_DEBUG) && CAIRN_DEBUG
inline constexpr bool debug_build = true;
#else
inline constexpr bool debug_build = false;
#endif

#if defined(CAIRN_CHECKED) && CAIRN_CHECKED
inline constexpr bool checked_build = true;
#else
inline constexpr bool checked_build = false;
#endif

// Sanitizers own part of the address space, so fixed arena hints are not used under them.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized_build = true;
#else
inline constexpr bool sanitized_build = false;
#endif

// ThreadSanitizer keeps a signal back until the thread calls into libc, and calls the handler there.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool delays_signals = true;
#else
inline constexpr bool delays_signals = false;
#endif

static_assert(sizeof(void*) == 8, "Cairn's heap is written for 64-bit address spaces");

}  // namespace cairn::base
