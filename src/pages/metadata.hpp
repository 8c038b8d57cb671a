// Memory for our own records: handed out by a bump pointer, never given back, always zero at first.
//
//   Metadata    256 KiB chunks from the OS, cut from the front; 64 KiB and more come straight from the OS.
//   FixedPool   records of one size in blocks of 16 KiB from Metadata; freed ones form a last-in-first-out
//               list through their own first word: a recycled record keeps every byte but its first eight.
//
// Nothing moves and nothing is unmapped: a stale pointer to a record always points to such a record, which
// is what lock-free readers of spans rely on.
//
// Locks: each object its own. A pool's lock (Rank::metadata) is held while it refills from Metadata, whose
// lock is therefore a leaf. Source: Go mfixalloc.go, malloc.go (BSD-3)
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/heap_fields.hpp"
#include "base/lock.hpp"
#include "os/memory.hpp"

namespace cairn::pages {

class Metadata {
public:
    static constexpr std::size_t chunk_bytes = 256 * 1024;  // few calls, little left over. Source: Go
    static constexpr std::size_t direct_bytes = 64 * 1024;  // larger asks would waste the rest of a chunk

    constexpr Metadata() = default;

    // Takes zeroed memory for ever. `alignment` is a power of two of at most one OS page.
    // Returns: nullptr when the OS refuses or the size overflows; nothing has changed then.
    [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment = 8);

    // Bytes got from the OS so far.
    [[nodiscard]] std::uint64_t mapped_bytes() const { return mapped_.value(); }

    void lock() { lock_.lock(); }
    void unlock() { lock_.unlock(); }
    void reset_lock_after_fork() { lock_.reset_after_fork(); }

private:
    friend struct base::HeapFields;
    [[nodiscard]] bool refill(std::size_t bytes);

    base::RankedLock<base::Rank::leaf> lock_;
    std::uintptr_t next_ = 0;  // [lock]
    std::uintptr_t end_ = 0;   // [lock]
    os::Stat mapped_;          // [atomic]
};

class FixedPool {
public:
    static constexpr std::size_t block_bytes = 16 * 1024;

    // Needs: alignment a power of two; the rounded record no larger than a block.
    constexpr explicit FixedPool(std::size_t record_bytes, std::size_t alignment = 8)
        : record_bytes_(round_up(record_bytes, alignment)), alignment_(alignment < 8 ? 8 : alignment) {}

    void initialize(Metadata& metadata) { metadata_ = &metadata; }

    // Takes a record: zero when fresh, as its last owner left it but for the first word when recycled.
    // Returns: nullptr when the OS refuses.
    [[nodiscard]] void* allocate();
    // Needs: `record` came from allocate() of this pool and is given once.
    void free(void* record);

    [[nodiscard]] std::uint64_t in_use() const { return in_use_.value(); }
    [[nodiscard]] std::size_t record_bytes() const { return record_bytes_; }

    void lock() { lock_.lock(); }
    void unlock() { lock_.unlock(); }
    void reset_lock_after_fork() { lock_.reset_after_fork(); }

private:
    struct FreeRecord {
        FreeRecord* next;
    };

    static constexpr std::size_t round_up(std::size_t bytes, std::size_t alignment) {
        const std::size_t unit = alignment < 8 ? 8 : alignment;
        return ((bytes < 8 ? 8 : bytes) + unit - 1) & ~(unit - 1);
    }

    base::RankedLock<base::Rank::metadata> lock_;
    Metadata* metadata_ = nullptr;   // [fixed]
    std::size_t record_bytes_;       // [fixed]
    std::size_t alignment_;          // [fixed]
    FreeRecord* recycled_ = nullptr; // [lock]
    std::uintptr_t next_ = 0;        // [lock] of the current block
    std::uintptr_t end_ = 0;         // [lock]
    base::Counter in_use_;           // [atomic]
};

// The same for records of one type. Storage only: nothing is constructed or destroyed, because a recycled
// record's old contents may be what keeps a lock-free reader right.
template <class T>
class TypedPool {
public:
    constexpr TypedPool() = default;
    void initialize(Metadata& metadata) { pool_.initialize(metadata); }
    [[nodiscard]] T* allocate() { return static_cast<T*>(pool_.allocate()); }
    void free(T* record) { pool_.free(record); }
    [[nodiscard]] std::uint64_t in_use() const { return pool_.in_use(); }
    void lock() { pool_.lock(); }
    void unlock() { pool_.unlock(); }
    void reset_lock_after_fork() { pool_.reset_lock_after_fork(); }

private:
    FixedPool pool_{sizeof(T), alignof(T)};
};

}  // namespace cairn::pages
