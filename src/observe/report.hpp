// The report at exit: what happened in the heap, per size class and in all, as a table or as JSON.
//
// Written line by line from a buffer on the stack: it allocates nothing, and may run after every destructor.
// Counts are exact for calls made by threads that are not inside malloc at that moment; `peak` counts slots
// out of their spans (with the program or cached), `waste` estimates bytes lost in live slots from the mean
// request, plus span tails.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "gc/collector.hpp"
#include "heap/heap.hpp"

namespace cairn::observe {

enum class ReportFormat : std::uint8_t { text, json };

// `file` nullptr: standard error. Errors are reported on standard error.
// `collector`: where one is at work, what it did.
void write_report(heap::Heap& heap, std::uint64_t elapsed_ns, ReportFormat format, const char* file,
                  const gc::CollectorStats* collector = nullptr);

// Free slots in caches, depots and spans; live large objects. Units: bytes.
[[nodiscard]] std::uint64_t cached_bytes(heap::Heap& heap);
[[nodiscard]] std::uint64_t large_bytes(heap::Heap& heap);

}  // namespace cairn::observe
