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
    if (different_ == count_) return;
    std::sort(objects_, objects_ + count_);
    count_ = different_ = static_cast<std::size_t>(std::unique(objects_, objects_ + count_) - objects_);
}

void DeferredObjects::drop_first(std::size_t count) {
    Guard guard(lock_);
    different_ -= std::min(different_, count);
    count_ -= count;
    std::memmove(objects_, objects_ + count, count_ * sizeof(std::uintptr_t));
}

}  // namespace cairn::gc
