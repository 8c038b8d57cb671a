// An allocation that is noticed where it must not be: a signal handler that allocates while it interrupted
// one of its own thread would get the very slot that is being handed out. That ends the program.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#pragma once

#include "base/check.hpp"
#include "gc/mutator.hpp"

namespace cairn::api {

class Allocating {
public:
    explicit Allocating(gc::Mutator& mutator) : now_(checked(mutator)) {}

private:
    static gc::Mutator& checked(gc::Mutator& mutator) {
        if (mutator.is_interrupted()) [[unlikely]]
            base::fatal(mutator.thread.blocking_depth != 0
                            ? "allocation by a thread that said it is blocked, or that waits for a cycle"
                            : "allocation in a signal handler that interrupted the allocator");
        return mutator;
    }

    gc::InAllocation now_;
};

}  // namespace cairn::api
