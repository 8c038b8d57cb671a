// The collector's owner: one in a process that uses collected objects, beside the heap of runtime.hpp.
//
// Started by the first thread that attaches, which is the first that allocates; never stopped. A thread is
// attached on its first call or by pthread_create (threads.cpp), and detached in the second round of its key
// destructors; a call after that attaches it once more.
//
// Floor: api. Locks: start_lock_ (Rank::runtime) around the start only.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

#include "api/runtime.hpp"
#include "gc/collector.hpp"

namespace cairn::api {

class GcRuntime {
public:
    constexpr GcRuntime() = default;

    // True when the collector is ready; starts it when needed. False: the OS refuses memory.
    [[nodiscard]] bool ensure_started() {
        // acquire: pairs with the release in start(): the collector is complete
        return is_ready_.load(std::memory_order_acquire) || start();
    }
    [[nodiscard]] bool is_started() const {
        return is_ready_.load(std::memory_order_acquire);  // acquire: pairs with start()
    }

    // Has a front end take part in marking. Needs: not started yet; `client` lives for ever.
    static void use_client(const gc::ClientMarking& client);

    // The calling thread's mutator, attached when it was not; nullptr when the OS refuses memory.
    [[nodiscard]] gc::Mutator* attach_thread();
    void detach_thread();

    gc::Collector collector;

private:
    [[nodiscard]] bool start();

    base::RankedLock<base::Rank::runtime> start_lock_;
    std::atomic<bool> is_ready_{false};  // [atomic]
};

// Makes the call and survives what the program's function does: an exception is reported (cpp.cpp).
void call_finalizer(const gc::FinalizerCall& call);

// Hidden, constant-initialised, never destroyed.
extern constinit GcRuntime gc_runtime;

// The thread's mutator, nullptr while it is not attached. Initial-exec: one load from the thread pointer.
extern __thread gc::Mutator* mutator __attribute__((tls_model("initial-exec")));

// The calling thread's, attached when needed; nullptr when that is impossible.
[[nodiscard]] inline gc::Mutator* current_mutator() {
    return mutator != nullptr ? mutator : gc_runtime.attach_thread();
}

}  // namespace cairn::api
