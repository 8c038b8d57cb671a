// Conservative watch: which parts of conservative spans were written since marking began.
//
// Their stores carry no barrier, so the kernel is asked: pages are armed before stop 1, and what was written
// is collected, armed again and scanned again, first beside the program, at last in stop 2. Pages of spans
// made meanwhile were never armed and count as written.
//
// Between cycles that keep their marks, only pages of old objects are armed: a page that is allocated from is
// written anyway, and costs less to scan than a fault.
//
// A look at all of it may be cut into slices: collect_some() goes on where the last one ended, around and
// around. When one call has come all the way round, nothing that was written before it is unknown. In a stop
// all markers take part (written_look.hpp).
//
// Floor: gc. Everything is [owner] who runs the cycle.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "gc/conservative_runs.hpp"
#include "gc/marker.hpp"
#include "gc/written_look.hpp"
#include "os/dirty_pages.hpp"
#include "pages/object_map.hpp"

namespace cairn::gc {

class ConservativeWatch {
public:
    // The most that is asked about between two questions to the caller of collect_some().
    // Where all of it is written: 512 pages, a quarter of a millisecond.
    static constexpr std::size_t slice_bytes = std::size_t{2} << 20;

    constexpr ConservativeWatch() = default;

    // There is a conservative span. Cost: 2 bytes to read a page of heap.
    [[nodiscard]] static bool is_needed(const pages::ObjectMap& objects);
    // Arms all there are. False: the kernel does not help, and reason() says why; then nothing is armed.
    [[nodiscard]] bool begin(const pages::ObjectMap& objects);
    // Calls visit(low, high) for what was written since it was armed, and watches on; after each slice
    // goes_on(): false ends the call. Returns: OS pages reported. `is_all`: it came all the way round.
    template <class Visit, class GoesOn>
    std::uint64_t collect_some(const pages::ObjectMap& objects, Visit visit, GoesOn goes_on, bool& is_all);
    // In a stop: the markers of the pool collect what was written as part of their work, until all is known.
    void open_look(const pages::ObjectMap& objects, WorkPool& pool, WrittenLook::Kind kind) {
        look_.open(objects, tracker_, pool, cursor_, kind);
    }
    // Who is at it still ends the piece at hand.
    WrittenLook::Seen close_look() {
        const std::uintptr_t next = look_.close();
        if (look_.kind() == WrittenLook::Kind::watches_on) cursor_ = next;
        return look_.take_seen();
    }
    [[nodiscard]] WrittenLook* look() { return &look_; }
    // Stores are free again.
    void end(const pages::ObjectMap& objects);

    // ---- from one cycle to the next; needs: the world stopped
    //
    // Pages of old objects, those nearly all of whose span's slots are marked, stay armed; what is reported
    // is what was written since, and what was not armed.

    // Has arenas made meanwhile watched, so that a look at old ones beside them is not refused. Any time.
    void follow(const pages::ObjectMap& objects);
    // Calls visit(low, high) for pages written since arm_old(), or not armed by it.
    template <class Visit>
    std::uint64_t visit_written(const pages::ObjectMap& objects, Visit visit);
    // The page of an address is armed, and was not written since.
    [[nodiscard]] bool is_unwritten(std::uintptr_t address);
    // Arms the pages of old objects that are not armed. Returns: how many.
    std::uint64_t arm_old(const MarkSpace& space);
    // Disarms those of others, of what begin() armed.
    void disarm_new(const MarkSpace& space);

    [[nodiscard]] const char* reason() const { return tracker_.unavailable_reason(); }
    [[nodiscard]] os::DirtyTracker& tracker() { return tracker_; }
    void after_fork_child() {
        tracker_.after_fork_child();
        look_.reset_lock_after_fork();
        followed_ = {};
    }

private:
    template <class Visit>
    static void for_all_runs(const pages::ObjectMap& objects, Visit visit);

    os::DirtyTracker tracker_;
    WrittenLook look_;
    std::uintptr_t cursor_ = 0;  // where the next slice begins
    pages::ObjectMap::Bounds followed_;
};

template <class Visit>
void ConservativeWatch::for_all_runs(const pages::ObjectMap& objects, Visit visit) {
    const pages::ObjectMap::Bounds bounds = objects.bounds();
    (void)for_each_conservative_run(objects, bounds.low, bounds.low + bounds.extent,
                                    [&](std::uintptr_t base, std::size_t bytes) {
                                        visit(base, bytes);
                                        return true;
                                    });
}

template <class Visit, class GoesOn>
std::uint64_t ConservativeWatch::collect_some(const pages::ObjectMap& objects, Visit visit, GoesOn goes_on,
                                              bool& is_all) {
    std::uint64_t bytes = 0;
    const auto collect_run = [&](std::uintptr_t base, std::size_t length) {
        // A run may hold spans made since begin(), and one that nobody watches makes the whole run written.
        (void)tracker_.watch(base, length);
        for (std::uintptr_t at = base; at < base + length;) {
            const std::size_t left = base + length - at;
            const std::size_t now = left < slice_bytes ? left : slice_bytes;
            tracker_.collect(at, now, true, [&](std::uintptr_t low, std::uintptr_t high) {
                bytes += high - low;
                visit(low, high);
            });
            at += now;
            cursor_ = at;
            if (!goes_on()) return false;
        }
        return true;
    };
    const pages::ObjectMap::Bounds bounds = objects.bounds();
    const std::uintptr_t end = bounds.low + bounds.extent;
    const std::uintptr_t start = cursor_ < bounds.low || cursor_ > end ? bounds.low : cursor_;
    is_all = for_each_conservative_run(objects, start, end, collect_run) &&
             for_each_conservative_run(objects, bounds.low, start, collect_run);
    return bytes / 4096;
}

template <class Visit>
std::uint64_t ConservativeWatch::visit_written(const pages::ObjectMap& objects, Visit visit) {
    std::uint64_t bytes = 0;
    for_all_runs(objects, [&](std::uintptr_t base, std::size_t length) {
        tracker_.collect(base, length, false, [&](std::uintptr_t low, std::uintptr_t high) {
            bytes += high - low;
            visit(low, high);
        });
    });
    return bytes / 4096;
}

}  // namespace cairn::gc
