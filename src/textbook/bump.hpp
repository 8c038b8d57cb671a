// The linear allocator: a pointer that only goes up.
//
//   base          next                ready end             limit
//    │ handed out │ free, is memory     │ free, not yet memory │
//                 └ an allocation rounds `next` up to its alignment and moves it past the object
//
// Nothing is cheaper: an addition and a comparison. The price is that one object alone cannot be given back:
// free() only counts. What can be given back is everything (reset) or everything since a moment (rollback to
// a checkpoint), which is all that a request, a frame or a compiler pass needs. A collector that wants this
// allocator for general use must move the survivors together: mark-compact, copying, generational.
//
// Invariants: base <= next <= ready end <= limit; objects do not overlap; a checkpoint is an old `next`.
// SPDX-License-Identifier: MIT
#pragma once

#include "base/bits.hpp"
#include "base/check.hpp"
#include "textbook/allocator.hpp"
#include "textbook/region.hpp"

namespace cairn::textbook {

class Bump {
public:
    // Needs: an open region, used by nobody else, that outlives this.
    explicit Bump(Region& region) : region_(region), next_(region.base()), ready_end_(region.ready_end()) {}

    // Needs: `align` a power of two. Zero bytes take one, so that every object has its own address.
    [[nodiscard]] void* allocate(std::size_t bytes, std::size_t align = default_align) {
        // A test, mostly foretold, and not a rounding: each allocation waits for the pointer of the one
        // before.
        std::uintptr_t start = next_;
        if (!base::is_aligned(start, align)) start = (start | (align - 1)) + 1;
        const std::size_t taken = bytes + (bytes == 0);
        if (start > ready_end_ || taken > ready_end_ - start) [[unlikely]]
            return allocate_slow(taken, align);
        next_ = start + taken;
        ++allocations_;
        return reinterpret_cast<void*>(start);
    }

    // Counts. The memory comes back with reset() or rollback().
    void free(void* address) { frees_ += address != nullptr; }

    // It remembers no sizes, so it cannot tell whether the object is the last, the only one with room behind.
    [[nodiscard]] bool resize(void*, std::size_t) { return false; }

    class Checkpoint {
        friend class Bump;
        std::uintptr_t next = 0;
    };

    // A moment to go back to. Checkpoints nest: going back to one makes all later ones void.
    [[nodiscard]] Checkpoint checkpoint() const {
        Checkpoint now;
        now.next = next_;
        return now;
    }
    // Gives back everything allocated since. The memory stays at hand for the next allocations.
    void rollback(Checkpoint then) {
        CAIRN_CHECK(then.next >= region_.base() && then.next <= next_);
        note_extent();
        next_ = then.next;
    }

    enum class Memory { keep, give_back };
    // Gives back everything; `give_back` returns the memory to the OS too.
    void reset(Memory memory = Memory::keep) {
        note_extent();
        next_ = region_.base();
        if (memory == Memory::give_back) region_.drop_above(next_);
        ready_end_ = region_.ready_end();
    }

    [[nodiscard]] Statistics statistics() const {
        Statistics now;
        now.allocations = allocations_;
        now.frees = frees_;
        now.failures = failures_;
        now.growths = growths_;
        now.used_bytes = next_ - region_.base();
        const std::uint64_t highest = now.used_bytes > extent_bytes_ ? now.used_bytes : extent_bytes_;
        now.peak_used_bytes = now.extent_bytes = highest;
        return now;
    }
    [[nodiscard]] Operation last_operation() const { return {}; }

    [[nodiscard]] Fault check() const {
        if (next_ < region_.base() || next_ > ready_end_) return {"the pointer is outside its region", next_};
        if (ready_end_ != region_.ready_end()) return {"the end is not the region's", ready_end_};
        return {};
    }

private:
    [[nodiscard, gnu::noinline]] void* allocate_slow(std::size_t taken, std::size_t align) {
        const std::uintptr_t start = base::align_up(next_, align);
        if (align <= max_request_bytes && move_to(start, taken)) {
            ++allocations_;
            return reinterpret_cast<void*>(start);
        }
        ++failures_;
        return nullptr;
    }

    // Puts `next_` behind an object at `start`, with fresh memory if it must.
    [[nodiscard]] bool move_to(std::uintptr_t start, std::size_t taken) {
        if (taken > max_request_bytes || start < region_.base()) return false;
        if (start + taken > ready_end_) {
            if (!region_.reach(start + taken)) return false;
            ready_end_ = region_.ready_end();
            ++growths_;
        }
        next_ = start + taken;
        return true;
    }

    void note_extent() {
        if (next_ - region_.base() > extent_bytes_) extent_bytes_ = next_ - region_.base();
    }

    Region& region_;                  // [fixed]
    std::uintptr_t next_;             // [owner] first free byte
    std::uintptr_t ready_end_;        // [owner] the region's, at hand
    std::uint64_t allocations_ = 0;   // [owner]
    std::uint64_t frees_ = 0;         // [owner]
    std::uint64_t failures_ = 0;      // [owner]
    std::uint64_t growths_ = 0;       // [owner]
    std::uint64_t extent_bytes_ = 0;  // [owner] highest use before the last rollback or reset
};

static_assert(Allocator<Bump>);

}  // namespace cairn::textbook
