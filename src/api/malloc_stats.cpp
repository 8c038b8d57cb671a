// malloc's own statistics calls, answered from the heap: mallinfo, malloc_info, malloc_stats, malloc_trim,
// mallopt.
// SPDX-License-Identifier: MIT
#include <malloc.h>
#include <stdio.h>

#include <cstdint>

#include "api/runtime.hpp"
#include "observe/report.hpp"
#include "os/process.hpp"

using cairn::api::runtime;

#define CAIRN_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

struct Sums {
    std::uint64_t mapped, in_use, free, returned, large;
};

Sums sums() {
    if (!runtime.is_started()) return {};
    const cairn::heap::SpanAlloc::Usage usage = runtime.heap.spans().usage();
    const std::uint64_t small_free = cairn::observe::cached_bytes(runtime.heap);
    const std::uint64_t used = usage.in_use_bytes > small_free ? usage.in_use_bytes - small_free : 0;
    return {usage.in_use_bytes + usage.free_bytes, used, usage.free_bytes + small_free, usage.returned_bytes,
            cairn::observe::large_bytes(runtime.heap)};
}

}  // namespace

CAIRN_EXPORT struct mallinfo2 mallinfo2() noexcept {
    const Sums now = sums();
    struct mallinfo2 info = {};
    info.arena = now.mapped - now.large;
    info.hblkhd = now.large;
    info.hblks = now.large != 0;
    info.uordblks = now.in_use > now.large ? now.in_use - now.large : 0;
    info.fordblks = now.free;
    info.keepcost = now.free;
    info.ordblks = 1;
    return info;
}

CAIRN_EXPORT struct mallinfo mallinfo() noexcept {
    const struct mallinfo2 wide = mallinfo2();
    struct mallinfo info = {};
    info.arena = static_cast<int>(wide.arena);
    info.hblkhd = static_cast<int>(wide.hblkhd);
    info.hblks = static_cast<int>(wide.hblks);
    info.uordblks = static_cast<int>(wide.uordblks);
    info.fordblks = static_cast<int>(wide.fordblks);
    info.keepcost = static_cast<int>(wide.keepcost);
    info.ordblks = 1;
    return info;
}

// Sends everything idle home and returns free pages beyond `keep_bytes` to the OS. 1 when something was
// returned.
CAIRN_EXPORT int malloc_trim(std::size_t keep_bytes) noexcept {
    if (!runtime.is_started()) return 0;
    cairn::heap::ThreadCache& cache = runtime.current_cache();
    if (cache.heap != nullptr) runtime.heap.flush(cache);
    runtime.heap.drain(true);
    const std::uint64_t free = runtime.heap.spans().backed_free_bytes();
    return free > keep_bytes && runtime.heap.spans().scavenge(free - keep_bytes, true) > 0;
}

CAIRN_EXPORT int malloc_info(int options, FILE* file) noexcept {
    if (options != 0) return EINVAL;
    const Sums now = sums();
    fprintf(
        file,
        "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n</sizes>\n<total type=\"fast\" count=\"0\" "
        "size=\"0\"/>\n"
        "<total type=\"rest\" count=\"1\" size=\"%zu\"/>\n<system type=\"current\" size=\"%zu\"/>\n"
        "<system type=\"max\" size=\"%zu\"/>\n<aspace type=\"total\" size=\"%zu\"/>\n</heap>\n"
        "<total type=\"rest\" count=\"1\" size=\"%zu\"/>\n<total type=\"mmap\" count=\"%d\" size=\"%zu\"/>\n"
        "<system type=\"current\" size=\"%zu\"/>\n</malloc>\n",
        now.free, now.mapped, now.mapped, now.mapped + now.returned, now.free, now.large != 0, now.large,
        now.mapped);
    return 0;
}

CAIRN_EXPORT void malloc_stats() noexcept {
    if (runtime.is_started()) {
        cairn::observe::write_report(runtime.heap, cairn::os::monotonic_ns() - runtime.start_ns,
                                     cairn::observe::ReportFormat::text, nullptr);
    }
}

// glibc's tuning has no meaning here; accepted as glibc accepts unknown parameters.
CAIRN_EXPORT int mallopt(int, int) noexcept { return 1; }
