// Calls a function inside the runtime, on a thread that is attached.
//
// Inside, the thread is not stopped by a signal; it parks when it leaves. What the function returns may be a
// pointer to an object: it lies in a register or on the stack by then, which the stop scans.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#pragma once

#include "api/gc_runtime.hpp"

namespace cairn::api {

// `otherwise` when the thread cannot be attached for want of memory.
template <class Result, class Function>
Result inside(Result otherwise, Function function) {
    gc::Mutator* thread = current_mutator();
    if (thread == nullptr) return otherwise;
    gc::InRuntime in(*thread);
    return function();
}

}  // namespace cairn::api
