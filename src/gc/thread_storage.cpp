// Which modules have thread-local storage: the loader's list, read when it changed.
// SPDX-License-Identifier: MIT
#include "gc/thread_storage.hpp"

#include <cstring>

namespace cairn::gc {

void ThreadStorage::note(void* context, const os::ModuleStorage& module) {
    auto& self = *static_cast<ThreadStorage*>(context);
    if (self.count_ == self.capacity_) {
        const std::size_t capacity = self.capacity_ == 0 ? 64 : 2 * self.capacity_;
        void* larger = self.metadata_->allocate(capacity * sizeof module);
        if (larger == nullptr) {
            self.is_complete_ = false;
            return;
        }
        if (self.count_ != 0) std::memcpy(larger, self.modules_, self.count_ * sizeof module);
        self.modules_ = static_cast<os::ModuleStorage*>(larger);
        self.capacity_ = capacity;
    }
    self.modules_[self.count_++] = module;
}

bool ThreadStorage::refresh() {
    if (is_complete_ && os::module_version() == listing_.version) return true;
    count_ = 0;
    is_complete_ = true;
    listing_ = os::for_each_module_storage(note, this);
    return is_complete_;
}

}  // namespace cairn::gc
