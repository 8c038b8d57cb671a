// Metadata and its pools: see metadata.hpp.
// SPDX-License-Identifier: MIT
#include "pages/metadata.hpp"

#include "base/bits.hpp"
#include "base/check.hpp"

namespace cairn::pages {

void* Metadata::allocate(std::size_t bytes, std::size_t alignment) {
    CAIRN_CHECK(base::is_power_of_two(alignment) && alignment <= os::page_bytes());
    if (bytes > SIZE_MAX / 2) return nullptr;
    if (bytes >= direct_bytes) return os::alloc(base::align_up(bytes, os::page_bytes()), mapped_);

    base::Guard guard(lock_);
    std::uintptr_t start = base::align_up(next_, alignment);
    if (next_ == 0 || start > end_ || end_ - start < bytes) {
        if (!refill(bytes)) return nullptr;
        start = next_;
    }
    next_ = start + bytes;
    return reinterpret_cast<void*>(start);
}

// Starts a new chunk; the rest of the old one is lost. Where a chunk is refused, just `bytes` are tried.
bool Metadata::refill(std::size_t bytes) {
    const std::size_t least = base::align_up(bytes == 0 ? 1 : bytes, os::page_bytes());
    std::size_t got = least > chunk_bytes ? least : chunk_bytes;
    void* chunk = os::alloc(got, mapped_);
    if (chunk == nullptr && least < got) {
        got = least;
        chunk = os::alloc(got, mapped_);
    }
    if (chunk == nullptr) return false;
    next_ = reinterpret_cast<std::uintptr_t>(chunk);
    end_ = next_ + got;
    return true;
}

void* FixedPool::allocate() {
    base::Guard guard(lock_);
    if (recycled_ != nullptr) {
        FreeRecord* record = recycled_;
        recycled_ = record->next;
        in_use_.add(1);
        return record;
    }
    if (end_ - next_ < record_bytes_) {
        CAIRN_CHECK(metadata_ != nullptr && record_bytes_ <= block_bytes);
        const std::size_t whole = block_bytes / record_bytes_ * record_bytes_;
        void* block = metadata_->allocate(whole, alignment_);
        if (block == nullptr) return nullptr;
        next_ = reinterpret_cast<std::uintptr_t>(block);
        end_ = next_ + whole;
    }
    void* record = reinterpret_cast<void*>(next_);
    next_ += record_bytes_;
    in_use_.add(1);
    return record;
}

void FixedPool::free(void* record) {
    base::Guard guard(lock_);
    auto* freed = static_cast<FreeRecord*>(record);
    freed->next = recycled_;
    recycled_ = freed;
    in_use_.subtract(1);
}

}  // namespace cairn::pages
