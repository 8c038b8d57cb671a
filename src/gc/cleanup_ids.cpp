// Tickets: taking, finding, reusing.
// SPDX-License-Identifier: MIT
#include "gc/cleanup_ids.hpp"

#include <cstddef>

#include "base/check.hpp"

namespace cairn::gc {

bool CleanupIds::grow_locked() {
    const unsigned block = block_of(made_);
    if (blocks_[block] != nullptr) return true;
    const std::size_t bytes = (sizeof(Ticket) << first_block_shift) << block;
    blocks_[block] = static_cast<Ticket*>(metadata_->allocate(bytes));
    return blocks_[block] != nullptr;
}

std::uint64_t CleanupIds::take(std::uintptr_t address) {
    CAIRN_ASSERT(address != 0);
    base::Guard guard(lock_);
    std::uint32_t ticket = free_ - 1;
    if (free_ != 0) {
        free_ = at(ticket).next;
    } else {
        if (made_ == ticket_limit || !grow_locked()) return 0;
        ticket = made_++;
    }
    Ticket& taken = at(ticket);
    taken.address = address;
    ++taken.generation;
    return std::uint64_t{taken.generation} << 32 | (ticket + 1);
}

CleanupIds::Ticket* CleanupIds::find_locked(std::uint64_t id) const {
    const auto ticket = static_cast<std::uint32_t>(id) - 1;
    if (ticket >= made_) return nullptr;
    Ticket& found = at(ticket);
    return found.address != 0 && found.generation == id >> 32 ? &found : nullptr;
}

std::uintptr_t CleanupIds::find(std::uint64_t id) {
    base::Guard guard(lock_);
    const Ticket* ticket = find_locked(id);
    return ticket == nullptr ? 0 : ticket->address;
}

void CleanupIds::drop(std::uint64_t id) {
    base::Guard guard(lock_);
    Ticket* ticket = find_locked(id);
    CAIRN_CHECK(ticket != nullptr);
    ticket->address = 0;
    ticket->next = free_;
    free_ = static_cast<std::uint32_t>(id);
}

}  // namespace cairn::gc
