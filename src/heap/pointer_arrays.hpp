// Arrays of pointers in powers of two, 16 to 2048 entries: what magazines are made of, outside the objects.
//
// Never returned to the OS, recycled by size. Locks: each pool's own.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/check.hpp"
#include "pages/metadata.hpp"

namespace cairn::heap {

class PointerArrays {
public:
    static constexpr unsigned min_entries = 16;
    static constexpr unsigned max_entries = 2048;

    constexpr PointerArrays() = default;

    void initialize(pages::Metadata& metadata) {
        for (pages::FixedPool& pool : pools_) pool.initialize(metadata);
    }

    // Needs: `entries` a power of two in [min_entries, max_entries]. nullptr when the OS refuses.
    [[nodiscard]] void** allocate(unsigned entries) {
        return static_cast<void**>(pool_of(entries).allocate());
    }
    void free(void** array, unsigned entries) { pool_of(entries).free(array); }

    void lock_all() {
        for (pages::FixedPool& pool : pools_) pool.lock();
    }
    void unlock_all() {
        for (pages::FixedPool& pool : pools_) pool.unlock();
    }
    void reset_locks_after_fork() {
        for (pages::FixedPool& pool : pools_) pool.reset_lock_after_fork();
    }

private:
    pages::FixedPool& pool_of(unsigned entries) {
        CAIRN_ASSERT(std::has_single_bit(entries) && entries >= min_entries && entries <= max_entries);
        return pools_[std::countr_zero(entries) - std::countr_zero(min_entries)];
    }

    static constexpr std::size_t bytes_of(unsigned index) {
        return std::size_t{min_entries} * sizeof(void*) << index;
    }
    pages::FixedPool pools_[8] = {pages::FixedPool(bytes_of(0)), pages::FixedPool(bytes_of(1)),
                                  pages::FixedPool(bytes_of(2)), pages::FixedPool(bytes_of(3)),
                                  pages::FixedPool(bytes_of(4)), pages::FixedPool(bytes_of(5)),
                                  pages::FixedPool(bytes_of(6)), pages::FixedPool(bytes_of(7))};
};

}  // namespace cairn::heap
