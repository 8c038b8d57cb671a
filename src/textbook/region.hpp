// A region: a range of addresses of which the front is memory, as much as was needed so far.
//
//   base              ready end                                    limit
//    │ readable, writable │ reserved: costs addresses, no memory     │
//
// It grows by chunks, an eighth of what it is (64 KiB to 64 MiB), so that a growth costs little per byte and
// what is ready beyond the need stays small. A region over memory that is there already starts fully ready.
//
// Locks: none; the allocator on top owns it.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bits.hpp"
#include "os/memory.hpp"

namespace cairn::textbook {

class Region {
public:
    static constexpr std::size_t smallest_chunk_bytes = 64 * 1024;        // few system calls for small heaps
    static constexpr std::size_t largest_chunk_bytes = 64 * 1024 * 1024;  // and little over for large ones

    Region() = default;
    // Memory of the caller's, which outlives the region.
    Region(void* start, std::size_t bytes)
        : base_(reinterpret_cast<std::uintptr_t>(start)), limit_(base_ + bytes), ready_end_(limit_) {}
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;
    ~Region() { close(); }

    // Reserves addresses. False when the OS refuses; then the region stays empty.
    [[nodiscard]] bool open(std::size_t bytes) {
        close();
        const std::size_t whole = base::align_up(bytes, chunk_unit());
        if (whole < bytes || whole == 0) return false;
        void* start = os::reserve(nullptr, whole);
        if (start == nullptr) return false;
        base_ = ready_end_ = reinterpret_cast<std::uintptr_t>(start);
        limit_ = base_ + whole;
        is_reserved_ = true;
        return true;
    }

    void close() {
        if (is_reserved_) {
            drop_above(base_);
            os::release(reinterpret_cast<void*>(base_), limit_ - base_);
        }
        base_ = limit_ = ready_end_ = 0;
        is_reserved_ = false;
    }

    [[nodiscard]] std::uintptr_t base() const { return base_; }
    [[nodiscard]] std::uintptr_t limit() const { return limit_; }
    [[nodiscard]] std::uintptr_t ready_end() const { return ready_end_; }

    // Makes everything below `end` memory. False beyond the limit or when the OS refuses: all is as before.
    [[nodiscard]] bool reach(std::uintptr_t end) {
        if (end <= ready_end_) return true;
        if (end > limit_) return false;
        const std::uintptr_t wanted = base::align_up(end, chunk_unit());
        const std::uintptr_t generous = ready_end_ + chunk_bytes();
        if (grow_to(generous > limit_ || generous < wanted ? wanted : generous)) return true;
        return grow_to(wanted);
    }

    // Gives whole pages at and above `end` back to the OS; they can be reached again.
    void drop_above(std::uintptr_t end) {
        const std::uintptr_t kept = base::align_up(end, os::page_bytes());
        if (!is_reserved_ || kept >= ready_end_) return;
        os::fault(reinterpret_cast<void*>(kept), ready_end_ - kept);
        stat_.subtract(ready_end_ - kept);
        ready_end_ = kept;
    }

private:
    // Rounding by more than any OS page would waste memory where the region is small.
    static std::size_t chunk_unit() { return os::page_bytes(); }

    [[nodiscard]] std::size_t chunk_bytes() const {
        const std::size_t eighth = base::align_down((ready_end_ - base_) / 8, smallest_chunk_bytes);
        if (eighth < smallest_chunk_bytes) return smallest_chunk_bytes;
        return eighth < largest_chunk_bytes ? eighth : largest_chunk_bytes;
    }

    [[nodiscard]] bool grow_to(std::uintptr_t end) {
        void* start = reinterpret_cast<void*>(ready_end_);
        const std::size_t bytes = end - ready_end_;
        if (!os::map(start, bytes, stat_)) return false;
        os::used(start, bytes, bytes);
        ready_end_ = end;
        return true;
    }

    std::uintptr_t base_ = 0;       // [owner]
    std::uintptr_t limit_ = 0;      // [owner]
    std::uintptr_t ready_end_ = 0;  // [owner]
    bool is_reserved_ = false;      // [owner] by open(), so close() gives it back
    os::Stat stat_;                 // [owner] what map() counts; nobody reads it
};

}  // namespace cairn::textbook
