// Deferred objects: those a cycle marked whose fields only the front end can tell (ScanRule::deferred).
//
// Markers note each when they mark it, and again when they find its page written: one that was allocated
// while marking was never looked at before. In stop 2 the front end scans all of them, however often that
// stop is tried, since what they lead to may lie where no write is noticed. What a cycle noted is kept
// through the next one's stop 1, where it is scanned ahead of time: a guess that spares stop 2 most of it.
//
// Floor: gc. Locks: lock_ over a store. Memory is kept for the next cycle.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/lock.hpp"
#include "pages/metadata.hpp"

namespace cairn::gc {

class DeferredObjects {
public:
    constexpr DeferredObjects() = default;

    void initialize(pages::Metadata& metadata) { metadata_ = &metadata; }

    // By any marker. Out of memory is the end of the program: an object forgotten here loses what it holds.
    void add(std::uintptr_t object);
    [[nodiscard]] std::size_t count() const;
    [[nodiscard]] std::uintptr_t at(std::size_t index) const;
    // Keeps one of each, in any order.
    void drop_repeated();
    // Forgets the first `count`, which others may have been added to meanwhile.
    void drop_first(std::size_t count);

    void reset_lock_after_fork() { lock_.reset_after_fork(); }

private:
    [[nodiscard]] bool grow_locked();

    mutable base::RankedLock<base::Rank::heap> lock_;
    pages::Metadata* metadata_ = nullptr;  // [fixed]
    std::uintptr_t* objects_ = nullptr;    // [lock] an outgrown array is kept by nobody
    std::size_t count_ = 0;                // [lock]
    std::size_t sorted_ = 0;               // [lock] of the first, so many are in order, one of each
    std::size_t capacity_ = 0;             // [lock]
};

}  // namespace cairn::gc
