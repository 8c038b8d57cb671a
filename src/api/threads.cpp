// Thread creation: threads of a program linked with libcairn are attached before their first instruction.
//
// A thread that only holds pointers given to it, and never calls Cairn, would otherwise be no root. So
// pthread_create() and thrd_create() are defined here and call libc's with a start routine of ours:
//
//   creator    argument into a root cell ─▶ libc's create ─┐
//   new thread    attach ─▶ argument onto the stack ─▶ give the cell back ─▶ the program's start routine
//
// The threads of the collector itself pass through untouched. Threads made by clone() attach by hand.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <threads.h>

#include <atomic>
#include <new>

#include "api/gc_runtime.hpp"
#include "api/inside.hpp"
#include "os/threads.hpp"

namespace cairn::api {
namespace {

// What the creator hands to the new thread.
template <class Result>
struct Handover {
    Result (*start)(void*);
    gc::RootCell* argument;
};

// A function of libc's that we stand before.
template <class Function>
class Next {
public:
    constexpr explicit Next(const char* name) : name_(name) {}
    Function* find() {
        // relaxed, twice: whoever looks finds the same
        void* found = found_.load(std::memory_order_relaxed);
        if (found == nullptr) {
            found = dlsym(RTLD_NEXT, name_);
            found_.store(found, std::memory_order_relaxed);  // relaxed: all find the same
        }
        return reinterpret_cast<Function*>(found);
    }

private:
    const char* name_;                   // [fixed]
    std::atomic<void*> found_{nullptr};  // [atomic]
};

using PthreadCreate = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
constinit Next<PthreadCreate> next_pthread("pthread_create");
constinit Next<int(thrd_t*, thrd_start_t, void*)> next_thrd("thrd_create");

gc::RootCells& cells() {
    return gc_runtime.collector.roots().cells();
}

// Records of handovers under way.
template <class Result>
class Handovers {
public:
    [[nodiscard]] static Handover<Result>* make(Result (*start)(void*), void* argument) {
        return inside<Handover<Result>*>(nullptr, [=]() -> Handover<Result>* {
            void* memory = pool().allocate();
            gc::RootCell* cell = memory == nullptr ? nullptr : cells().allocate();
            if (cell == nullptr) {
                if (memory != nullptr) pool().free(static_cast<Handover<Result>*>(memory));
                return nullptr;
            }
            cells().set(cell, argument);
            return new (memory) Handover<Result>{start, cell};
        });
    }
    static void free(Handover<Result>* handover) {
        inside<int>(0, [=] {
            cells().free(handover->argument);
            pool().free(handover);
            return 0;
        });
    }

private:
    static pages::TypedPool<Handover<Result>>& pool() {
        base::Guard guard(lock_);
        if (!is_ready_) pool_.initialize(runtime.heap.spans().metadata());
        is_ready_ = true;
        return pool_;
    }
    static inline constinit base::RankedLock<base::Rank::runtime> lock_;
    static inline constinit bool is_ready_ = false;  // [lock]
    static inline constinit pages::TypedPool<Handover<Result>> pool_;
};

template <class Result>
Result run(void* handed) {
    auto* handover = static_cast<Handover<Result>*>(handed);
    (void)current_mutator();
    // From here on the argument is on a stack that counts.
    void* const argument = gc::RootCells::get(handover->argument);
    Result (*const start)(void*) = handover->start;
    Handovers<Result>::free(handover);
    return start(argument);
}

}  // namespace
}  // namespace cairn::api

using namespace cairn::api;

extern "C" {

__attribute__((visibility("default"))) int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                                          void* (*start)(void*), void* argument) noexcept {
    auto* create = next_pthread.find();
    if (create == nullptr) return EAGAIN;
    if (cairn::os::is_own_start(start)) return create(thread, attributes, start, argument);
    auto* handover = Handovers<void*>::make(start, argument);
    if (handover == nullptr) return EAGAIN;
    const int error = create(thread, attributes, run<void*>, handover);
    if (error != 0) Handovers<void*>::free(handover);
    return error;
}

__attribute__((visibility("default"))) int thrd_create(thrd_t* thread, thrd_start_t start, void* argument) {
    auto* create = next_thrd.find();
    if (create == nullptr) return thrd_error;
    auto* handover = Handovers<int>::make(start, argument);
    if (handover == nullptr) return thrd_nomem;
    const int error = create(thread, run<int>, handover);
    if (error != thrd_success) Handovers<int>::free(handover);
    return error;
}

}  // extern "C"
