// Which pages were written since a moment, noticed by the kernel: the write barrier of code that has none.
//
//   watch ──▶ arm ──▶ the program writes ──▶ collect: runs of pages, armed again ──▶ ... ──▶ disarm
//
// An armed page costs its first writer about a microsecond, later ones nothing. A write is noticed whoever
// makes it, the kernel inside read(2) included. Two exceptions: io_uring's registered buffers, and another
// mapping of the same memory.
//
// What is reported may be too much, never too little:
// - pages that came into being after arm() count as written, a first read included;
// - pages never touched are not reported (nothing can be in them);
// - where the kernel has forgotten a range (a program closed all descriptors it found, the range was mapped
//   anew, this is a forked child), it is watched again and all its pages count as written.
//
// Needs: one thread at a time in start() and after_fork_child(). All else may be called by several at once on
// ranges that do not overlap. Ranges are whole OS pages. No call allocates or touches errno.
// One file an OS; fake_dirty_pages.cpp compares contents.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/lock.hpp"

namespace cairn::os {

class DirtyTracker {
public:
    using Visit = void (*)(void* context, std::uintptr_t low, std::uintptr_t high);

    constexpr DirtyTracker() = default;
    DirtyTracker(const DirtyTracker&) = delete;
    DirtyTracker& operator=(const DirtyTracker&) = delete;

    // Opens what is needed and tries it once on pages of its own. False: not to be had here, and
    // unavailable_reason() says why. Once started, it mends what the program closed, in a few microseconds:
    // called before each round of arming it keeps a lost descriptor from costing a lost range.
    [[nodiscard]] bool start();
    [[nodiscard]] bool is_started() const {
        return is_started_.load(
            std::memory_order_relaxed);  // relaxed: start() precedes in the caller's order
    }
    // Nothing but text for people; empty after a successful start().
    [[nodiscard]] const char* unavailable_reason() const { return reason_; }

    // Makes a range trackable; nothing slows down yet. Idempotent. Needs: it is mapped, in any protection.
    // False: refused (somebody else watches it).
    [[nodiscard]] bool watch(std::uintptr_t start, std::size_t bytes);
    // Cost: as disarm(). Unmapping does the same by itself.
    void unwatch(std::uintptr_t start, std::size_t bytes);

    // From now on writes into the range are noticed. Pages that still are armed stay so, cheaply.
    // False: the range cannot be tracked; the next collect() says "all of it".
    [[nodiscard]] bool arm(std::uintptr_t start, std::size_t bytes);
    // Calls visit(context, low, high) for the runs of pages written since they were armed. With `is_rearmed`
    // each page is armed again in the same step in which it is read, before it is visited.
    // False: what was written cannot be known; the last call of visit had the whole range.
    bool collect(std::uintptr_t start, std::size_t bytes, bool is_rearmed, Visit visit, void* context);
    // The same with anything callable as visit(low, high).
    template <class Callable>
    bool collect(std::uintptr_t start, std::size_t bytes, bool is_rearmed, Callable visit) {
        return collect(
            start, bytes, is_rearmed,
            [](void* context, std::uintptr_t low, std::uintptr_t high) {
                (*static_cast<Callable*>(context))(low, high);
            },
            &visit);
    }
    // Calls visit for the runs of pages that exist at all, armed or not: what a first look has to read of a
    // large range that is mostly untouched. A page that comes into being later counts as written.
    // False: cannot be known; visit had the whole range.
    bool visit_present(std::uintptr_t start, std::size_t bytes, Visit visit, void* context);
    // Writes are free again; until the next arm() every page counts as written.
    void disarm(std::uintptr_t start, std::size_t bytes);

    // In the child of a fork nothing is watched. Gives the parent's descriptors up; start() begins anew.
    // A child that nobody told finds out by itself at its next call.
    void after_fork_child();

private:
    // A descriptor far from the numbers programs count on, and a second one in case the first gets closed.
    struct KeptFile {
        std::atomic<int> first{-1};   // [atomic] the one in use; changed under lock_
        std::atomic<int> second{-1};  // [atomic] as above
        std::uint64_t identity = 0;   // [lock] tells it from what a program opened under the number later
    };
    enum class Look : std::uint8_t { written, written_and_arm, present };

    [[nodiscard]] bool refuse(const char* reason);
    [[nodiscard]] bool open_files_locked();
    void close_files_locked();
    [[nodiscard]] bool start_locked();
    [[nodiscard]] bool try_out();
    [[nodiscard]] bool is_of_this_process() const;
    [[nodiscard]] bool scan(std::uintptr_t low, std::uintptr_t high, Look look, Visit visit, void* context);
    [[nodiscard]] bool renew(std::uintptr_t start, std::size_t bytes);

    base::RankedLock<base::Rank::leaf> lock_;
    KeptFile faults_;                                          // the userfaultfd
    KeptFile pagemap_;                                         // /proc/self/pagemap
    std::atomic<bool> is_started_{false};                      // [atomic]
    std::atomic<std::atomic<std::uint32_t>*> alive_{nullptr};  // [atomic] a word that a fork sets to 0
    const char* reason_ = "not started";                       // [lock]
};

}  // namespace cairn::os
