// Root cells: see root_cells.hpp.
// SPDX-License-Identifier: MIT
#include "gc/root_cells.hpp"

#include <cstring>

namespace cairn::gc {

RootCell* RootCells::allocate() {
    base::Guard guard(lock_);
    RootCell* cell = take_locked();
    if (cell != nullptr) cell->store(nullptr, std::memory_order_relaxed);  // relaxed: nobody else has it
    return cell;
}

void RootCells::free(RootCell* cell) {
    base::Guard guard(lock_);
    push(shared_, cell);
}

bool RootCells::refill(CellCache& cache) {
    base::Guard guard(lock_);
    while (cache.count < cache_max / 2) {
        RootCell* cell = take_locked();
        if (cell == nullptr) break;
        push(cache, cell);
    }
    return cache.first != nullptr;
}

void RootCells::flush(CellCache& cache, unsigned kept) {
    base::Guard guard(lock_);
    while (cache.count > kept) {
        RootCell* cell = cache.first;
        cache.first = next_of(cell);
        --cache.count;
        push(shared_, cell);
    }
}

RootCell* RootCells::take_locked() {
    if (shared_.first != nullptr) {
        RootCell* cell = shared_.first;
        shared_.first = next_of(cell);
        --shared_.count;
        return cell;
    }
    if (next_in_block_ == cells_per_block && blocks_left_ > 0) {
        ++block_;
        --blocks_left_;
        next_in_block_ = 0;
    }
    if ((block_ == nullptr || next_in_block_ == cells_per_block) && !grow_locked()) return nullptr;
    return &block_->cells[next_in_block_++];
}

bool RootCells::grow_locked() {
    Block** slabs = slabs_.load(std::memory_order_relaxed);  // relaxed: under the lock
    if (slab_count_ == directory_entries_) {
        const std::size_t entries = slabs == nullptr ? first_directory_entries : 2 * directory_entries_;
        auto* larger = static_cast<Block**>(metadata_->allocate(entries * sizeof *slabs));
        if (larger == nullptr) return false;
        if (slabs != nullptr) std::memcpy(larger, slabs, slab_count_ * sizeof *slabs);
        slabs = larger;
        directory_entries_ = entries;
        slabs_.store(larger, std::memory_order_release);  // release: its entries, to visit_slab()
    }
    auto* slab = static_cast<Block*>(metadata_->allocate(slab_bytes, block_bytes));  // zero: nulls, epoch 0
    if (slab == nullptr) return false;
    slabs[slab_count_++] = slab;
    block_ = slab;
    next_in_block_ = 0;
    blocks_left_ = slab_bytes / block_bytes - 1;
    return true;
}

void RootCells::visit_slab(std::size_t index, bool is_changed_only, Visit visit, void* context) const {
    // acquire: pairs with grow_locked(); the caller has seen slab `index`
    Block* slab = slabs_.load(std::memory_order_acquire)[index];
    const std::uint32_t epoch = epoch_.load(std::memory_order_relaxed);  // relaxed: changes in a stop only
    for (std::size_t i = 0; i < slab_bytes / block_bytes; ++i) {
        Block& block = slab[i];
        // relaxed: what was noted before the stop is seen after it
        if (is_changed_only && block.epoch.load(std::memory_order_relaxed) != epoch) continue;
        const auto low = reinterpret_cast<std::uintptr_t>(block.cells);
        visit(context, low, low + sizeof block.cells);
    }
}

}  // namespace cairn::gc
