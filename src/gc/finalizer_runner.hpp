// Finalizer runner: makes the queued calls, on a thread of its own or on the program's, one after another.
//
//   thread mode   the finalizer thread takes calls as they come and sleeps in between
//   drain mode    nothing is called until the program says run_pending()
//
// The thread is wanted once the first finalizer or cleanup is attached, and started by whoever then comes by
// outside of the runtime (start_if_wanted): creating a thread takes locks of the C library, which a stopped
// thread may hold. When that fails it is tried again by the next who comes by; calls wait meanwhile.
//
// A call in the making lives on its thread's stack only, which is scanned like any other: the thread is
// attached as a mutator and runs as user code during the call. So a finalizer may allocate, attach finalizers
// anew, collect, and run pending calls itself. Exceptions end in `call` of the environment, which reports
// them.
//
// After fork() the child has no such thread until somebody starts one; calls that ran in the parent's threads
// at that moment are the parent's.
//
// Floor: gc. Locks: the queue's.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "gc/finalizer_queue.hpp"
#include "gc/greyer.hpp"

namespace cairn::gc {

// What the runner needs from above and beside; the defaults serve a program of one thread without a
// collector.
struct RunnerEnvironment {
    // Starts a thread; false when the OS refuses.
    bool (*spawn)(void (*entry)(void*), void* argument) = [](void (*)(void*), void*) { return false; };
    // The calling thread becomes a mutator, and ceases to be one.
    void (*attach)() = [] {};
    void (*detach)() = [] {};
    // Between these the caller is inside the runtime: it cannot be stopped.
    void (*enter_runtime)() = [] {};
    void (*leave_runtime)() = [] {};
    // Between these the caller sleeps, and can be scanned as it is.
    void (*begin_blocking)() = [] {};
    void (*end_blocking)() = [] {};
    // Makes the call in a way that survives whatever the program's function does.
    void (*call)(const FinalizerCall& call) = [](const FinalizerCall& call) {
        if (call.finalizer != nullptr) call.finalizer(call.object, call.argument);
        else call.cleanup(call.argument);
    };
};

enum class FinalizerMode : std::uint8_t { thread, drain };

class FinalizerRunner {
public:
    constexpr FinalizerRunner() = default;

    void initialize(FinalizerQueue& queue, const MarkPhase& phase, const RunnerEnvironment& environment);

    void set_mode(FinalizerMode mode);
    // relaxed: a setting alone
    [[nodiscard]] FinalizerMode mode() const { return mode_.load(std::memory_order_relaxed); }

    // Makes up to `max` queued calls on the calling thread; says how many. Needs: a mutator outside the
    // runtime.
    std::size_t run_pending(std::size_t max = SIZE_MAX);

    // Something was attached that will need the thread.
    void want_thread() { is_wanted_.store(true, std::memory_order_relaxed); }  // relaxed: a hint
    // Starts the thread if it is wanted, the mode asks for it and there is none. Needs: outside the runtime.
    // Cost: two loads when there is nothing to do.
    void start_if_wanted() {
        // relaxed, all: hints; start() decides
        if (is_wanted_.load(std::memory_order_relaxed) && mode() == FinalizerMode::thread &&
            thread_.load(std::memory_order_relaxed) == none)  // relaxed: as above
            start();
    }
    // There may be something to do.
    void wake();

    // True when nothing is queued and no call is being made. Needs: inside the runtime.
    [[nodiscard]] bool is_idle() { return queue_->is_idle(); }
    // Asks the thread to end after the call it makes, and waits for that. Needs: outside the runtime.
    void stop_thread();
    void reset_in_child();

private:
    // States of thread_.
    static constexpr std::uint32_t none = 0;
    static constexpr std::uint32_t running = 1;
    static constexpr std::uint32_t ending = 2;

    void start();
    static void thread_entry(void* runner);
    void run_thread();
    [[nodiscard]] bool take(FinalizerCall& call);
    void sleep();

    FinalizerQueue* queue_ = nullptr;                 // [fixed]
    const MarkPhase* phase_ = nullptr;                // [fixed]
    const RunnerEnvironment* environment_ = nullptr;  // [fixed]
    std::atomic<FinalizerMode> mode_{FinalizerMode::thread};  // [atomic]
    std::atomic<bool> is_wanted_{false};                      // [atomic]
    std::atomic<std::uint32_t> thread_{none};                 // [atomic] who stops it waits here
    std::atomic<std::uint32_t> is_asleep_{0};                 // [atomic] 1: the thread sleeps, or is about to
};

}  // namespace cairn::gc
