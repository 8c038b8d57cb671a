// Weak handles: a cell that holds an object's address until the object is unreachable, then null.
//
//   program ──▶ cell { target, references } ──▶ object      the collector does not follow this arrow
//                 ▲
//                 └── record on the object's span             the sweeper finds the cell by it
//
// One cell an address: two handles to the same object, or to the same place in it, are the same cell, so
// handles compare as the addresses do while the object lives. The cell is outside the heap and counted:
// `references` is the program's handles plus one of the record while the object lives.
//
// From weak to strong (get) is where a handle could betray: the object may be garbage that is not swept yet.
//   1  load the target;
//   2  have its span swept: the sweep writes null if the object was not marked;
//   3  load again; what is still there is alive, or about to be marked:
//   4  while marking, grey it, because the caller's stack may have been scanned already.
// Step 3's answer holds until the caller's next safe point, since no cycle can end while a thread is inside
// the runtime. The sweeper writes null before it queues the object's finalizer: nobody gets an object through
// a handle whose finalizer may run. An object that its finalizer brings back gets a new cell.
//
// Needs: every call is made inside the runtime (the caller cannot be stopped in the middle); the collector
// sees to it that no thread keeps a span of the last cycle cached unswept for long, as get() waits for it.
// Locks: the span's specials lock decides between the last release and a new create.
// Floor: gc. Source: Go runtime mheap.go weak handles (BSD-3); differs in counting cells instead of
// collecting them.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "gc/greyer.hpp"
#include "heap/specials.hpp"
#include "pages/metadata.hpp"

namespace cairn::gc {

struct WeakCell {
    std::atomic<void*> target{nullptr};        // [atomic] first: a record points to it
    std::atomic<std::uint32_t> references{0};  // [atomic]
};

class WeakHandles {
public:
    constexpr WeakHandles() = default;

    void initialize(heap::SpanAlloc& spans, const pages::ObjectMap& objects, heap::Specials& specials,
                    const MarkPhase& phase);

    // The cell for `address`, which points to or into a collected object; counted once more.
    // Returns: nullptr when it does not, or when the OS refuses memory.
    [[nodiscard]] WeakCell* create(const void* address);
    // The address the cell was made for, nullptr once the object was unreachable.
    [[nodiscard]] void* get(const WeakCell* cell) const;
    // Counts the cell once more, for a copy of a handle.
    void retain(WeakCell* cell) const;
    // Counts it once less; the last one gives the cell back. Once too often is the user's mistake: fatal.
    void release(WeakCell* cell);

    // True when the object is known to be gone. Never waits; false says nothing.
    [[nodiscard]] static bool is_gone(const WeakCell* cell) {
        // acquire: pairs with detach(); what the sweeper did before is visible
        return cell->target.load(std::memory_order_acquire) == nullptr;
    }
    // For the sweeper: the record was taken off its list because the object is unreachable.
    void detach(heap::WeakHandleSpecial* record);

    // Cells that exist.
    [[nodiscard]] std::uint64_t count() const { return cells_.in_use(); }
    void reset_locks_after_fork() { cells_.reset_lock_after_fork(); }
    void lock_for_fork() { cells_.lock(); }
    void unlock_after_fork() { cells_.unlock(); }

private:
    [[nodiscard]] static WeakCell* cell_of(const heap::WeakHandleSpecial& record) {
        return reinterpret_cast<WeakCell*>(record.handle);
    }
    [[nodiscard]] WeakCell* find_and_count(heap::Span& span, std::uintptr_t address);
    [[nodiscard]] heap::WeakHandleSpecial* make_record(std::uintptr_t address);
    void drop_reference(WeakCell* cell);
    void release_last(WeakCell* cell);

    heap::SpanAlloc* spans_ = nullptr;            // [fixed]
    const pages::ObjectMap* objects_ = nullptr;   // [fixed]
    heap::Specials* specials_ = nullptr;          // [fixed]
    const MarkPhase* phase_ = nullptr;            // [fixed]
    pages::TypedPool<WeakCell> cells_;            // [lock] its own
};

}  // namespace cairn::gc
