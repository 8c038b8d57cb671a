// Start of the collector, its threads' beginnings and ends, fork.
// SPDX-License-Identifier: MIT
#include "api/gc_runtime.hpp"

#include <pthread.h>

#include "os/process.hpp"
#include "os/threads.hpp"

extern "C" {
// Read by the inline barrier of cairn.h.
__attribute__((visibility("default"))) volatile unsigned char cairn_barrier_active = 0;
}

namespace cairn::api {

constinit GcRuntime gc_runtime;
__thread gc::Mutator* mutator __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

// [owner] The thread is being attached or detached: a signal handler of its own may not use the heap then.
constinit __thread bool is_changing __attribute__((tls_model("initial-exec"))) = false;

class Changing {
public:
    Changing() {
        if (is_changing) base::fatal("allocation in a signal handler that interrupted the allocator");
        is_changing = true;
        std::atomic_signal_fence(std::memory_order_seq_cst);  // before anything is changed
    }
    ~Changing() {
        std::atomic_signal_fence(std::memory_order_seq_cst);  // after everything was
        is_changing = false;
    }
    Changing(const Changing&) = delete;
    Changing& operator=(const Changing&) = delete;
};

constinit pthread_key_t exit_key = 0;
constinit std::atomic<bool> has_exit_key{false};

// As runtime.cpp: other libraries' destructors may still use the heap in the first round.
constexpr std::uintptr_t last_round = 2;

void on_thread_exit(void* round) {
    const auto number = reinterpret_cast<std::uintptr_t>(round);
    if (number < last_round && pthread_setspecific(exit_key, reinterpret_cast<void*>(number + 1)) == 0)
        return;
    gc_runtime.detach_thread();
}

constexpr gc::RunnerEnvironment make_runner() {
    gc::RunnerEnvironment runner;
    runner.spawn = [](void (*entry)(void*), void* argument) {
        return os::spawn_thread(entry, argument, "cairn-finalize");
    };
    runner.attach = [] { (void)gc_runtime.attach_thread(); };
    runner.detach = [] { gc_runtime.detach_thread(); };
    runner.enter_runtime = [] {
        if (mutator != nullptr) gc::fork_gate.enter(mutator->thread);
    };
    runner.leave_runtime = [] {
        if (mutator != nullptr) gc::World::leave_runtime(mutator->thread);
    };
    runner.begin_blocking = [] {
        if (mutator != nullptr) gc::World::enter_blocking(mutator->thread);
    };
    runner.end_blocking = [] {
        if (mutator != nullptr) gc::World::leave_blocking(mutator->thread);
    };
    runner.call = call_finalizer;
    return runner;
}

constexpr gc::MarkPhase make_phase() {
    gc::MarkPhase phase;
    phase.is_marking = [] { return gc_runtime.collector.is_marking(); };
    phase.greyer = [] { return gc_runtime.collector.greyer(); };
    return phase;
}

// [fixed] once started
constinit gc::CollectorEnvironment environment{&cairn_barrier_active, make_phase(), make_runner()};

void before_fork() {
    if (gc_runtime.is_started()) gc_runtime.collector.before_fork(mutator);
}
void after_fork_parent() {
    if (gc_runtime.is_started()) gc_runtime.collector.after_fork_parent();
}
void after_fork_child() {
    if (gc_runtime.is_started()) gc_runtime.collector.after_fork_child(mutator);
}

}  // namespace

void GcRuntime::use_client(const gc::ClientMarking& client) {
    environment.client = &client;
}

bool GcRuntime::start() {
    if (!runtime.ensure_started()) return false;
    {
        base::Guard guard(start_lock_);
        // relaxed: under the lock
        if (is_ready_.load(std::memory_order_relaxed)) return true;
        heap::Hooks& hooks = runtime.hooks();
        hooks.sweep = [](heap::Span& span, bool is_kept) {
            return gc_runtime.collector.sweep_span(span, is_kept);
        };
        hooks.reclaim = [](std::size_t bytes, std::size_t pages) {
            gc_runtime.collector.reclaim(bytes, pages);
        };
        const Options& options = runtime.options;
        gc::CollectorSettings settings;
        settings.gc_percent = options.gc_percent;
        settings.memory_limit = options.memory_limit;
        settings.mode = options.gc_mode;
        settings.young = options.gc_young;
        settings.one_stop_ms = options.gc_stop_ms;
        settings.traces = options.trace_gc;
        settings.verifies = options.verify_often;
        settings.poisons = options.poisons;
        if (!collector.start(runtime.heap, settings, environment)) return false;
        is_ready_.store(true, std::memory_order_release);  // release: publishes the collector
    }
    if (pthread_key_create(&exit_key, on_thread_exit) == 0)
        has_exit_key.store(true, std::memory_order_release);  // release: publishes the key
    os::at_fork(before_fork, after_fork_parent, after_fork_child);
    return true;
}

gc::Mutator* GcRuntime::attach_thread() {
    if (mutator != nullptr) return mutator;
    Changing now;
    if (!ensure_started()) return nullptr;
    mutator = collector.attach();
    // acquire: pairs with start(); without a key the thread is found gone by the next stop after its end
    if (mutator != nullptr && has_exit_key.load(std::memory_order_acquire))
        pthread_setspecific(exit_key, reinterpret_cast<void*>(std::uintptr_t{1}));
    return mutator;
}

void GcRuntime::detach_thread() {
    gc::Mutator* leaving = mutator;
    if (leaving == nullptr) return;
    Changing now;
    mutator = nullptr;
    collector.detach(*leaving);
}

}  // namespace cairn::api
