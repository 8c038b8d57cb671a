// The finalizer thread, and draining without it.
// SPDX-License-Identifier: MIT
#include "gc/finalizer_runner.hpp"

#include "base/os_calls.hpp"

namespace cairn::gc {

void FinalizerRunner::initialize(FinalizerQueue& queue, const MarkPhase& phase,
                                 const RunnerEnvironment& environment) {
    queue_ = &queue;
    phase_ = &phase;
    environment_ = &environment;
}

void FinalizerRunner::set_mode(FinalizerMode mode) {
    mode_.store(mode, std::memory_order_relaxed);  // relaxed: wake() makes the thread look again
    wake();
}

// The taken call is greyed while marking: it leaves the queue for a stack that may have been scanned already.
bool FinalizerRunner::take(FinalizerCall& call) {
    environment_->enter_runtime();
    const bool is_taken = queue_->take(call);
    if (is_taken && phase_->is_marking()) FinalizerQueue::grey_call(call, phase_->greyer());
    environment_->leave_runtime();
    return is_taken;
}

std::size_t FinalizerRunner::run_pending(std::size_t max) {
    std::size_t done = 0;
    for (FinalizerCall call; done < max && take(call); ++done) {
        environment_->call(call);
        call = {};  // or the stack would keep the object until the next call
        environment_->enter_runtime();
        queue_->finished();
        environment_->leave_runtime();
    }
    return done;
}

void FinalizerRunner::start() {
    std::uint32_t expected = none;
    // relaxed, both: only who starts is decided; creating a thread orders the rest
    if (!thread_.compare_exchange_strong(expected, running, std::memory_order_relaxed,
                                         std::memory_order_relaxed))  // relaxed: as above
        return;
    if (environment_->spawn(thread_entry, this)) return;
    thread_.store(none, std::memory_order_relaxed);  // relaxed: the next one tries again
}

void FinalizerRunner::thread_entry(void* runner) { static_cast<FinalizerRunner*>(runner)->run_thread(); }

void FinalizerRunner::run_thread() {
    environment_->attach();
    // relaxed: stop_thread() wakes us after it
    while (thread_.load(std::memory_order_relaxed) == running) {
        // One at a time, so that a change of mode or the end is seen soon.
        if (mode() == FinalizerMode::thread && run_pending(1) != 0) continue;
        sleep();
    }
    environment_->detach();
    thread_.store(none, std::memory_order_release);  // release: pairs with stop_thread()
    base::os_wake(thread_, true);
}

// First says that it sleeps, then looks at the queue under its lock. Who appends does so under the lock and
// then looks for sleepers; so one of the two sees the other. A change of state or mode is ordered likewise,
// by exchanges of `is_asleep_`.
void FinalizerRunner::sleep() {
    (void)is_asleep_.exchange(1, std::memory_order_acq_rel);  // acq_rel: pairs with wake()
    environment_->enter_runtime();
    const bool has_work = mode() == FinalizerMode::thread && queue_->has_calls();
    environment_->leave_runtime();
    // relaxed: ordered by the exchange
    if (!has_work && thread_.load(std::memory_order_relaxed) == running) {
        environment_->begin_blocking();
        base::os_wait(is_asleep_, 1);
        environment_->end_blocking();
    }
    is_asleep_.store(0, std::memory_order_relaxed);  // relaxed: only spares a call of the OS
}

void FinalizerRunner::wake() {
    // acq_rel: pairs with sleep()
    if (is_asleep_.exchange(0, std::memory_order_acq_rel) == 1) base::os_wake(is_asleep_, false);
}

void FinalizerRunner::stop_thread() {
    std::uint32_t expected = running;
    // acq_rel: what the caller did before is seen by the thread; relaxed: there is none
    if (!thread_.compare_exchange_strong(expected, ending, std::memory_order_acq_rel,
                                         std::memory_order_relaxed))  // relaxed: as above
        return;
    wake();
    environment_->begin_blocking();
    // acquire: pairs with run_thread()
    while (thread_.load(std::memory_order_acquire) == ending) base::os_wait(thread_, ending);
    environment_->end_blocking();
}

void FinalizerRunner::reset_in_child() {
    // relaxed, all: the child has one thread
    thread_.store(none, std::memory_order_relaxed);
    is_asleep_.store(0, std::memory_order_relaxed);  // relaxed: as above
}

}  // namespace cairn::gc
