// Conservative watch: which parts of conservative spans were written since marking began.
//
// Their stores carry no barrier, so the kernel is asked: pages are armed before stop 1, and what was written
// is collected, armed again and scanned again, first beside the program, at last in stop 2. Pages of spans
// made meanwhile were never armed and count as written.
//
// Spans are found through the page entries of the object map. Runs with small gaps between them are one
// question to the kernel: a question costs as much as several pages.
//
// Floor: gc. Everything is [owner] who runs the cycle.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "heap/shape.hpp"
#include "os/dirty_pages.hpp"
#include "pages/object_map.hpp"

namespace cairn::gc {

class ConservativeWatch {
public:
    constexpr ConservativeWatch() = default;

    // There is a conservative span. Cost: 2 bytes to read a page of heap.
    [[nodiscard]] static bool is_needed(const pages::ObjectMap& objects);
    // Arms all there are. False: the kernel does not help, and reason() says why; then nothing is armed.
    [[nodiscard]] bool begin(const pages::ObjectMap& objects);
    // Calls visit(low, high) for what was written; `is_rearmed`: and watches on. Returns: OS pages reported.
    template <class Visit>
    std::uint64_t collect(const pages::ObjectMap& objects, bool is_rearmed, Visit visit);
    // Stores are free again.
    void end(const pages::ObjectMap& objects);

    [[nodiscard]] const char* reason() const { return tracker_.unavailable_reason(); }
    void after_fork_child() { tracker_.after_fork_child(); }

private:
    static constexpr std::size_t gap_pages = 8;

    [[nodiscard]] static bool is_conservative(std::uint32_t entry) {
        constexpr unsigned first = heap::shape_of_class(0, heap::ObjectKind::conservative);
        const unsigned shape = pages::object_entry_shape(entry);
        return entry != 0 && (shape - first < heap::size_class_count || heap::watched_shapes.holds(shape));
    }
    // Calls visit(base, bytes) for runs of conservative pages, in order.
    template <class Visit>
    static void for_each_run(const pages::ObjectMap& objects, Visit visit);

    os::DirtyTracker tracker_;
};

template <class Visit>
void ConservativeWatch::for_each_run(const pages::ObjectMap& objects, Visit visit) {
    constexpr std::uintptr_t arena = std::uintptr_t{1} << 26;
    const pages::ObjectMap::Bounds bounds = objects.bounds();
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    for (std::uintptr_t low = bounds.low; low < bounds.low + bounds.extent; low += arena) {
        if (!objects.is_prepared(low, arena)) continue;
        for (std::uintptr_t page = low; page < low + arena; page += base::page_bytes) {
            if (!is_conservative(objects.entry(page))) continue;
            if (from != 0 && page - to <= gap_pages * base::page_bytes) {
                to = page + base::page_bytes;
                continue;
            }
            if (from != 0) visit(from, to - from);
            from = page;
            to = page + base::page_bytes;
        }
    }
    if (from != 0) visit(from, to - from);
}

template <class Visit>
std::uint64_t ConservativeWatch::collect(const pages::ObjectMap& objects, bool is_rearmed, Visit visit) {
    std::uint64_t bytes = 0;
    for_each_run(objects, [&](std::uintptr_t base, std::size_t length) {
        // A run may hold spans made since begin(), and one that nobody watches makes the whole run written.
        (void)tracker_.watch(base, length);
        tracker_.collect(base, length, is_rearmed, [&](std::uintptr_t low, std::uintptr_t high) {
            bytes += high - low;
            visit(low, high);
        });
    });
    return bytes / 4096;
}

}  // namespace cairn::gc
