// Root cells: single pointers that are roots, for handles held outside the heap. Any number, made and dropped
// at any rate, scanned as one array.
//
//   slab 64 KiB = 16 blocks of 4 KiB:   | epoch | cell | cell | ... 511 cells |
//
// A cell belongs to who allocated it and holds null or a pointer. A free one holds the address of another
// cell, which no collector takes for an object. Slabs are never given back.
//
// The second stop of a cycle looks at changed cells only: set() notes the current epoch in the cell's block
// before it writes, and begin_epoch(), at the first stop, makes all blocks unchanged at once. A thread that
// is stopped between the note and the write has the value in a register, which that stop scans.
//
// Threads keep a few free cells in a CellCache of their own, so that most calls take no lock.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/bits.hpp"
#include "base/lock.hpp"
#include "pages/metadata.hpp"

namespace cairn::gc {

using RootCell = std::atomic<void*>;

// One thread's free cells.
struct CellCache {
    RootCell* first = nullptr;  // [owner]
    unsigned count = 0;         // [owner]
};

class RootCells {
public:
    static constexpr std::size_t block_bytes = 4096;
    static constexpr std::size_t slab_bytes = 16 * block_bytes;
    using Visit = void (*)(void* context, std::uintptr_t low, std::uintptr_t high);

    constexpr RootCells() = default;

    void initialize(pages::Metadata& metadata) { metadata_ = &metadata; }

    // A cell that holds null; nullptr when the OS refuses.
    [[nodiscard]] RootCell* allocate(CellCache& cache) {
        if (cache.first == nullptr && !refill(cache)) return nullptr;
        RootCell* cell = cache.first;
        cache.first = next_of(cell);
        --cache.count;
        cell->store(nullptr, std::memory_order_relaxed);  // relaxed: nobody else has it
        return cell;
    }
    // By any thread.
    void free(CellCache& cache, RootCell* cell) {
        push(cache, cell);
        if (cache.count > cache_max) flush(cache, cache_max / 2);
    }
    // Without a cache, one lock each.
    [[nodiscard]] RootCell* allocate();
    void free(RootCell* cell);
    // Gives all but `kept` of a cache back: at the end of its thread all.
    void flush(CellCache& cache, unsigned kept = 0);

    // Writes a root. Plain reading is get() or the cell itself.
    void set(RootCell* cell, void* value) {
        std::atomic<std::uint32_t>& noted = block_of(cell)->epoch;
        // relaxed: a stop, which orders everything, is what changes and what reads them
        const std::uint32_t epoch = epoch_.load(std::memory_order_relaxed);
        const bool is_noted = noted.load(std::memory_order_relaxed) == epoch;  // relaxed: as above
        if (!is_noted) noted.store(epoch, std::memory_order_relaxed);          // relaxed: as above
        // signal fence: a thread is stopped by a signal, so the compiler alone could spoil the order
        std::atomic_signal_fence(std::memory_order_seq_cst);
        cell->store(value,
                    std::memory_order_release);  // release: the object's contents, to who reads the cell
    }
    [[nodiscard]] static void* get(const RootCell* cell) {
        return cell->load(std::memory_order_acquire);  // acquire: pairs with set()
    }

    // All blocks count as unchanged. Needs: the world is stopped.
    void begin_epoch() {
        epoch_.fetch_add(1, std::memory_order_relaxed);  // relaxed: the stop orders it
    }

    [[nodiscard]] std::size_t slab_count() const {
        base::Guard guard(lock_);
        return slab_count_;
    }
    // Visits the cells of a slab, those of unchanged blocks only if asked. Cells may be written meanwhile.
    // Needs: index < slab_count() at some time before.
    void visit_slab(std::size_t index, bool is_changed_only, Visit visit, void* context) const;

    void lock() { lock_.lock(); }
    void unlock() { lock_.unlock(); }
    void reset_lock_after_fork() { lock_.reset_after_fork(); }

private:
    static constexpr unsigned cache_max = 64;  // half of it goes back or comes at a time
    static constexpr std::size_t cells_per_block = block_bytes / sizeof(RootCell) - 1;
    static constexpr std::size_t first_directory_entries = 64;

    struct Block {
        std::atomic<std::uint32_t> epoch;  // [atomic] of the last set()
        std::uint32_t unused;              // [fixed]
        RootCell cells[cells_per_block];   // [atomic]
    };
    static_assert(sizeof(Block) == block_bytes && sizeof(RootCell) == sizeof(void*));

    static Block* block_of(RootCell* cell) {
        return reinterpret_cast<Block*>(
            base::align_down(reinterpret_cast<std::uintptr_t>(cell), block_bytes));
    }
    static RootCell* next_of(const RootCell* cell) {
        return static_cast<RootCell*>(cell->load(std::memory_order_relaxed));  // relaxed: owner or lock
    }
    static void push(CellCache& cache, RootCell* cell) {
        cell->store(cache.first, std::memory_order_relaxed);  // relaxed: owner or lock
        cache.first = cell;
        ++cache.count;
    }

    [[nodiscard]] bool refill(CellCache& cache);
    [[nodiscard]] RootCell* take_locked();
    [[nodiscard]] bool grow_locked();

    mutable base::RankedLock<base::Rank::roots> lock_;
    pages::Metadata* metadata_ = nullptr;  // [fixed]
    std::atomic<std::uint32_t> epoch_{1};  // [atomic] changes with the world stopped
    CellCache shared_;                     // [lock]
    Block* block_ = nullptr;               // [lock] cells are cut from
    std::size_t next_in_block_ = 0;        // [lock]
    std::size_t blocks_left_ = 0;          // [lock] behind block_ in its slab
    std::atomic<Block**> slabs_{nullptr};  // [atomic] replaced under lock_; an old one stays valid
    std::size_t slab_count_ = 0;           // [lock]
    std::size_t directory_entries_ = 0;    // [lock]
};

}  // namespace cairn::gc
