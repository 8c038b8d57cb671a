// A growing array under a lock.
// SPDX-License-Identifier: MIT
#include "gc/deferred_objects.hpp"

#include <algorithm>
#include <cstring>

#include "base/check.hpp"

namespace cairn::gc {

using base::Guard;

bool DeferredObjects::grow_locked() {
    const std::size_t capacity = capacity_ == 0 ? 1024 : 2 * capacity_;
    auto* objects = static_cast<std::uintptr_t*>(metadata_->allocate(capacity * sizeof(std::uintptr_t)));
    if (objects == nullptr) return false;
    if (count_ != 0) std::memcpy(objects, objects_, count_ * sizeof(std::uintptr_t));
    objects_ = objects;
    capacity_ = capacity;
    return true;
}

void DeferredObjects::add(std::uintptr_t object) {
    Guard guard(lock_);
    if (count_ == capacity_ && !grow_locked())
        base::fatal("out of memory for objects that have a mark procedure");
    objects_[count_++] = object;
}

std::size_t DeferredObjects::count() const {
    Guard guard(lock_);
    return count_;
}

std::uintptr_t DeferredObjects::at(std::size_t index) const {
    Guard guard(lock_);
    return objects_[index];
}

void DeferredObjects::drop_repeated() {
    Guard guard(lock_);
    std::uintptr_t* const known_end = objects_ + sorted_;
    // Few are new: they are kept apart.
    const bool is_small = count_ - sorted_ < sorted_ / 2;
    std::uintptr_t* const from = is_small ? known_end : objects_;
    std::sort(from, objects_ + count_);
    std::uintptr_t* end = std::unique(from, objects_ + count_);
    if (is_small)
        end = std::remove_if(from, end, [&](std::uintptr_t object) {
            return std::binary_search(objects_, known_end, object);
        });
    count_ = static_cast<std::size_t>(end - objects_);
    if (!is_small) sorted_ = count_;
}

void DeferredObjects::drop_first(std::size_t count) {
    Guard guard(lock_);
    sorted_ -= std::min(sorted_, count);
    count_ -= count;
    std::memmove(objects_, objects_ + count, count_ * sizeof(std::uintptr_t));
}

}  // namespace cairn::gc
