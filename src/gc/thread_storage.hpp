// Thread storage: variables of threads that live in libraries loaded while the program ran.
//
// Such a library's thread-local storage is in blocks that libc makes when a thread first touches them, which
// lie in libc's own memory. A thread's blocks are found through its vector of them, by the module's number.
// Storage of what was loaded at the start lies beside libc's record of the thread (ThreadRecord::block).
//
// Locks: none. refresh() is for one thread with nobody stopped; visit() for one, with the world stopped.
// Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bits.hpp"
#include "gc/thread_record.hpp"
#include "os/modules.hpp"
#include "os/safe_read.hpp"
#include "pages/metadata.hpp"

namespace cairn::gc {

class ThreadStorage {
public:
    constexpr ThreadStorage() = default;

    void initialize(pages::Metadata& metadata) { metadata_ = &metadata; }
    // Notes which modules have storage. False: the OS refuses memory, and not all of them are known.
    [[nodiscard]] bool refresh();
    // In a stop: whether refresh() saw the modules there are.
    [[nodiscard]] bool is_current() const { return os::print_of_module_list() == listing_.print; }
    // Visits (low, high), whole words, of the thread's blocks. Needs: it stands still.
    template <class Visit>
    void visit(const ThreadRecord& thread, Visit visit) const;

private:
    static void note(void* self, const os::ModuleStorage& module);
    // A block of an unloaded library may be smaller than that of one that got its number since.
    static constexpr std::uintptr_t page_bytes = 4096;

    os::ModuleStorage* modules_ = nullptr;  // [owner]
    std::size_t count_ = 0;                 // [owner]
    std::size_t capacity_ = 0;              // [owner]
    bool is_complete_ = false;              // [owner]
    os::ModuleListing listing_;             // [owner]
    pages::Metadata* metadata_ = nullptr;   // [fixed]
};

template <class Visit>
void ThreadStorage::visit(const ThreadRecord& thread, Visit visit) const {
    if (thread.thread_state() == ThreadState::gone) return;
    for (std::size_t i = 0; i < count_; ++i) {
        const std::uintptr_t block = os::block_of_module(thread.thread_pointer, modules_[i].id);
        if (block == 0 || thread.block.contains(block) || thread.stack.contains(block)) continue;
        const std::uintptr_t high = base::align_down(block + modules_[i].bytes, sizeof(void*));
        for (std::uintptr_t at = base::align_up(block, sizeof(void*)); at < high;) {
            const std::uintptr_t page_end = base::align_down(at, page_bytes) + page_bytes;
            const std::uintptr_t end = page_end < high ? page_end : high;
            if (!os::is_readable(at)) break;
            visit(at, end);
            at = end;
        }
    }
}

}  // namespace cairn::gc
