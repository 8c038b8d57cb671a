// Start, threads, fork, exit.
// SPDX-License-Identifier: MIT
#include "api/runtime.hpp"

#include <pthread.h>

#include "observe/report.hpp"
#include "os/process.hpp"

// glibc's free under its other name; absent elsewhere.
extern "C" void __libc_free(void* address) __attribute__((weak));

namespace cairn::api {

constinit Runtime runtime;

namespace {

// Stand-ins without memory: before a thread's first slow path, and after its last destructor.
constinit heap::ThreadCache blank_cache;
constinit heap::ThreadCache retired_cache;

constinit pthread_key_t exit_key = 0;
constinit std::atomic<bool> has_exit_key{false};

// libc runs key destructors in up to four rounds while they re-arm; ours waits for the second, so that other
// libraries' destructors still find a cache. Not for the last: a thread whose first allocation is in a
// destructor of the first or second round would have too few left, and keep its cache for ever.
constexpr std::uintptr_t last_round = 2;

void on_thread_exit(void* round) {
    const auto number = reinterpret_cast<std::uintptr_t>(round);
    if (number < last_round && pthread_setspecific(exit_key, reinterpret_cast<void*>(number + 1)) == 0)
        return;
    runtime.retire_thread();
}

void before_fork() { runtime.heap.lock_all(); }
void after_fork_parent() { runtime.heap.unlock_all(); }
void after_fork_child() { runtime.heap.reset_after_fork(thread_cache); }

// A library loaded with RTLD_DEEPBIND calls libc's own malloc; what it hands out may be freed here.
bool free_by_libc(void* address) {
    if (__libc_free == nullptr || !os::is_block_of_break(reinterpret_cast<std::uintptr_t>(address)))
        return false;
    __libc_free(address);
    return true;
}

constexpr heap::Hooks make_hooks() {
    heap::Hooks hooks;
    hooks.foreign = free_by_libc;
    hooks.freed = [] { runtime.background.start_if_needed(); };
    return hooks;
}
constinit heap::Hooks hook_table = make_hooks();

}  // namespace

__thread heap::ThreadCache* thread_cache __attribute__((tls_model("initial-exec"))) = &blank_cache;

bool Runtime::start() {
    {
        base::Guard guard(start_lock_);
        // relaxed: under the lock
        if (state_.load(std::memory_order_relaxed) == State::ready) return true;
        options = read_options();
        heap::Heap::Settings settings;
        settings.spans = {options.layout, options.memory_limit, options.use_huge_pages};
        settings.misuse_is_fatal = options.misuse_is_fatal;
        settings.verify_often = options.verify_often;
        if (!heap.initialize(settings, hook_table)) {
            if (options.layout == pages::LayoutModel::linear) {
                base::Message line;
                line << heap.spans().addresses().failure_text() << " (CAIRN_LAYOUT=sparse goes anywhere)";
                base::fatal(line.view());
            }
            return false;
        }
        if (options.report != ReportFormat::none && options.report_file == nullptr) os::keep_stderr();
        background.initialize(heap, options.has_background, options.trace_scavenger);
        start_ns = os::monotonic_ns();
        // release: publishes the heap to ensure_started()
        state_.store(State::ready, std::memory_order_release);
    }
    // libc may allocate in here, from the heap that is ready now.
    if (pthread_key_create(&exit_key, on_thread_exit) == 0) {
        has_exit_key.store(true, std::memory_order_release);  // release: publishes the key to current_cache()
    }
    os::at_fork(before_fork, after_fork_parent, after_fork_child);
    return true;
}

heap::Hooks& Runtime::hooks() { return hook_table; }

heap::ThreadCache& Runtime::current_cache() {
    heap::ThreadCache* cache = thread_cache;
    if (cache != &blank_cache || !ensure_started()) return *cache;
    cache = heap.attach();
    if (cache == nullptr) return blank_cache;
    thread_cache = cache;  // before setspecific, which may allocate
    // acquire: pairs with start(); without a key the cache of this thread is simply kept for the next fork or
    // exit
    if (has_exit_key.load(std::memory_order_acquire)) {
        pthread_setspecific(exit_key, reinterpret_cast<void*>(std::uintptr_t{1}));
    }
    return *cache;
}

void Runtime::retire_thread() {
    heap::ThreadCache* cache = thread_cache;
    if (cache->heap == nullptr) return;
    thread_cache = &retired_cache;
    heap.detach(cache);
}

void Runtime::report_if_asked(const gc::CollectorStats* collector) {
    if (!is_started()) options = read_options();  // a program that never allocated may still have been asked
    if (options.report == ReportFormat::none) return;
    if (options.report_pid != 0 && options.report_pid != os::process_id()) return;
    if (!ensure_started()) return;
    const auto format =
        options.report == ReportFormat::json ? observe::ReportFormat::json : observe::ReportFormat::text;
    observe::write_report(heap, os::monotonic_ns() - start_ns, format, options.report_file,
                          collector);
}

}  // namespace cairn::api
