// Marks that a thread is in an allocation: a signal handler that allocates while it interrupted one of its
// own thread would get the very slot that is being handed out. That is noticed and ends the program.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

#include "base/check.hpp"
#include "gc/mutator.hpp"

namespace cairn::api {

class Allocating {
public:
    explicit Allocating(gc::Mutator& mutator) : mutator_(mutator) {
        // relaxed: this thread's own
        const bool is_inside = mutator.thread.runtime_depth.load(std::memory_order_relaxed) != 0;
        if (mutator.is_allocating || is_inside) [[unlikely]]
            base::fatal(mutator.thread.blocking_depth != 0
                            ? "allocation by a thread that said it is blocked, or that waits for a cycle"
                            : "allocation in a signal handler that interrupted the allocator");
        mutator.is_allocating = true;
        std::atomic_signal_fence(std::memory_order_seq_cst);  // before anything is read
    }
    ~Allocating() {
        std::atomic_signal_fence(std::memory_order_seq_cst);  // after everything is written
        mutator_.is_allocating = false;
    }
    Allocating(const Allocating&) = delete;
    Allocating& operator=(const Allocating&) = delete;

private:
    gc::Mutator& mutator_;
};

}  // namespace cairn::api
