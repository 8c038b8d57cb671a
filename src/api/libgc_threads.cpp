// Threads by libgc's names: registration, blocked regions, the lock, creation and end.
//
// A thread is known from its first call, or from its first instruction when GC_pthread_create made it; what
// it was given and what it returns are root cells until somebody has them. Its whole stack is a root from
// where it stands, whatever base the client names.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include <new>

#include "api/address_table.hpp"
#include "api/libgc.hpp"
#include "os/process.hpp"

namespace cairn::api::libgc {

namespace {

// [owner] The thread was registered by itself or by its creator.
constinit __thread bool is_registered __attribute__((tls_model("initial-exec"))) = false;

gc::RootCells& cells() { return collector().roots().cells(); }

// ---- results of threads that nobody has joined yet

struct Result {
    gc::RootCell* cell;  // [lock]
};
constinit AddressTable<Result> results;  // [lock] alloc_lock; by the thread's pthread_t

void keep_result(void* result) {
    const auto thread = static_cast<std::uintptr_t>(pthread_self());
    pthread_attr_t attributes;
    int state = PTHREAD_CREATE_JOINABLE;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        (void)pthread_attr_getdetachstate(&attributes, &state);
        pthread_attr_destroy(&attributes);
    }
    if (result == nullptr || state == PTHREAD_CREATE_DETACHED) return;
    Locked lock(self());
    Result* known = results.find(thread);
    if (known == nullptr && (known = results.add(thread)) == nullptr) return;
    known->cell = cells().allocate();
    if (known->cell != nullptr) cells().set(known->cell, result);
}

void drop_result(pthread_t thread) {
    Locked lock(self());
    Result* known = results.find(static_cast<std::uintptr_t>(thread));
    if (known == nullptr) return;
    if (known->cell != nullptr) cells().free(known->cell);
    results.remove(static_cast<std::uintptr_t>(thread));
}

// ---- creation

struct Handover {
    void* (*start)(void*);
    gc::RootCell* argument;
};
constinit pages::TypedPool<Handover> handovers;  // [lock] alloc_lock
constinit bool is_pool_ready = false;            // [lock] alloc_lock

Handover* make_handover(void* (*start)(void*), void* argument) {
    Locked lock(self());
    if (!is_pool_ready) handovers.initialize(runtime.heap.spans().metadata());
    is_pool_ready = true;
    void* memory = handovers.allocate();
    gc::RootCell* cell = memory == nullptr ? nullptr : cells().allocate();
    if (cell == nullptr) {
        if (memory != nullptr) handovers.free(static_cast<Handover*>(memory));
        return nullptr;
    }
    cells().set(cell, argument);
    return new (memory) Handover{start, cell};
}

void free_handover(Handover* handover) {
    Locked lock(self());
    cells().free(handover->argument);
    handovers.free(handover);
}

void* run(void* handed) {
    auto* handover = static_cast<Handover*>(handed);
    (void)self();
    is_registered = true;
    void* const argument = gc::RootCells::get(handover->argument);
    void* (*const start)(void*) = handover->start;
    free_handover(handover);
    void* const result = start(argument);
    keep_result(result);
    return result;
}

// ---- blocked regions

// A thread that may not be disturbed, and does not allocate, until it comes back.
struct Blocked {
    explicit Blocked(gc::Mutator& mutator) : thread(mutator) {
        thread.is_allocating = true;
        gc::World::enter_blocking(thread.thread);
    }
    ~Blocked() {
        gc::World::leave_blocking(thread.thread);
        if (thread.thread.blocking_depth == 0) thread.is_allocating = false;
    }
    Blocked(const Blocked&) = delete;
    Blocked& operator=(const Blocked&) = delete;
    gc::Mutator& thread;
};

constinit int suspend_signal = 0;   // [owner] what the client asked for; ours is the collector's
constinit int restart_signal = SIGXCPU;

}  // namespace
}  // namespace cairn::api::libgc

using namespace cairn::api;
using namespace cairn::api::libgc;

extern "C" {

// ---- registration

void GC_allow_register_threads() { (void)self(); }

int GC_register_my_thread(const GC_stack_base*) {
    (void)self();
    if (is_registered) return GC_DUPLICATE;
    is_registered = true;
    return GC_SUCCESS;
}
int GC_unregister_my_thread() {
    is_registered = false;
    gc_runtime.detach_thread();
    return GC_SUCCESS;
}
int GC_thread_is_registered() { return mutator != nullptr ? 1 : 0; }
void GC_register_altstack(void*, GC_word, void*, GC_word) {}

int GC_get_stack_base(GC_stack_base* base) {
    base->mem_base = reinterpret_cast<void*>(self().thread.stack.high);
    return GC_SUCCESS;
}
void* GC_get_my_stackbottom(GC_stack_base* base) {
    (void)GC_get_stack_base(base);
    return &self();
}
void GC_set_stackbottom(void*, const GC_stack_base* base) {
    GC_stackbottom = static_cast<char*>(base->mem_base);
}
__attribute__((noinline)) void* GC_call_with_stack_base(GC_stack_base_func call, void* data) {
    GC_stack_base base{__builtin_frame_address(0)};
    void* const result = call(&base, data);
    __asm__ volatile("" : : "r"(&base) : "memory");  // the frame stays: no jump into the call
    return result;
}

// ---- blocking, and the lock

__attribute__((noinline)) void* GC_do_blocking(GC_fn_type call, void* data) {
    Blocked now(self());
    return call(data);
}

__attribute__((noinline)) void* GC_call_with_gc_active(GC_fn_type call, void* data) {
    Active now(self());
    return call(data);
}

void* GC_call_with_alloc_lock(GC_fn_type call, void* data) {
    Locked lock(self());
    return call(data);
}
void GC_alloc_lock() { alloc_lock.lock(self()); }
void GC_alloc_unlock() { alloc_lock.unlock(self()); }

void GC_stop_world_external() {
    cairn::gc::Mutator& thread = self();
    alloc_lock.lock(thread);
    if (!collector().world().stop_all(&thread.thread)) stop_program("GC_stop_world_external failed");
    note_external_stop(true);
    tell_of_threads(GC_EVENT_THREAD_SUSPENDED);
}
void GC_start_world_external() {
    tell_of_threads(GC_EVENT_THREAD_UNSUSPENDED);
    note_external_stop(false);
    collector().world().resume_all();
    alloc_lock.unlock(self());
}

// ---- creation and end

int GC_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                      void* argument) {
    Handover* handover = make_handover(start, argument);
    if (handover == nullptr) return EAGAIN;
    const int error = pthread_create(thread, attributes, run, handover);
    if (error != 0) free_handover(handover);
    return error;
}

int GC_pthread_join(pthread_t thread, void** result) {
    void* returned = nullptr;
    int error = 0;
    {
        Blocked now(self());
        error = pthread_join(thread, &returned);
    }
    if (error != 0) return error;
    if (result != nullptr) *result = returned;
    drop_result(thread);
    return 0;
}

int GC_pthread_detach(pthread_t thread) {
    const int error = pthread_detach(thread);
    if (error == 0) drop_result(thread);
    return error;
}
int GC_pthread_cancel(pthread_t thread) { return pthread_cancel(thread); }
void GC_pthread_exit(void* result) {
    keep_result(result);
    pthread_exit(result);
}

// The stop signal stays unblocked, whatever the client asks.
int GC_pthread_sigmask(int how, const sigset_t* set, sigset_t* old) {
    if (set == nullptr || how == SIG_UNBLOCK) return pthread_sigmask(how, set, old);
    sigset_t fewer = *set;
    sigdelset(&fewer, GC_get_suspend_signal());
    return pthread_sigmask(how, &fewer, old);
}

void* GC_dlopen(const char* path, int flags) { return dlopen(path, flags); }

// ---- signals, fork

void GC_set_suspend_signal(int signal) { suspend_signal = signal; }
int GC_get_suspend_signal() {
    (void)self();
    return collector().world().signal();
}
void GC_set_thr_restart_signal(int signal) { restart_signal = signal; }
int GC_get_thr_restart_signal() { return restart_signal; }
void GC_set_handle_fork(int) {}
void GC_atfork_prepare() {}
void GC_atfork_parent() {}
void GC_atfork_child() {}

}  // extern "C"
