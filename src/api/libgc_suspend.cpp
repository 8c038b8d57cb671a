// Threads that the program suspends: they rest as in a stop, are roots, and the world goes on without them.
//
// Not counted: the first GC_resume_thread lets a thread go on, however often it was suspended. One that is in
// a blocked region goes on in it, and waits at its end. No thread is suspended inside of our code, nor where
// it leaves GC_call_with_alloc_lock, so it holds no lock of ours.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <pthread.h>

#include "api/libgc.hpp"
#include "os/memory.hpp"
#include "os/threads.hpp"

namespace cairn::api::libgc {

// libc's name of a thread is an address at a fixed distance from its thread pointer.
std::uintptr_t pointer_of(pthread_t thread) {
    return static_cast<std::uintptr_t>(thread) - static_cast<std::uintptr_t>(pthread_self()) +
           os::thread_pointer();
}
pthread_t pthread_of(std::uintptr_t thread_pointer) {
    return static_cast<pthread_t>(thread_pointer - os::thread_pointer() +
                                  static_cast<std::uintptr_t>(pthread_self()));
}

namespace {

// nullptr: no thread that is registered. The record stays mapped, but may become another thread's.
gc::ThreadRecord* record_of(pthread_t thread) {
    gc::InRuntime in(self());
    gc::World& world = collector().world();
    gc::ThreadRecord* found = nullptr;
    world.lock_threads();
    world.for_each([&, wanted = pointer_of(thread)](gc::ThreadRecord& record) {
        if (record.thread_pointer == wanted && record.thread_state() != gc::ThreadState::gone)
            found = &record;
    });
    world.unlock_threads();
    return found;
}

// True: it is held, or not there any more. False: it was found where nobody may be held.
bool try_hold(gc::ThreadRecord& record, pthread_t thread) {
    gc::World& world = collector().world();
    if (!world.stop_one(record)) {
        warn("GC Warning: GC_suspend_thread: thread %lu cannot be stopped\n", record.tid);
        return true;
    }
    const bool is_there = record.link.is_listed && record.thread_pointer == pointer_of(thread);
    // relaxed: the thread stands still
    const bool is_leaving = gc::Mutator::of(record).is_leaving_section.load(std::memory_order_relaxed);
    const bool is_held = is_there && !is_leaving && world.hold(record);
    world.resume_one(record);
    return !is_there || is_held;
}

}  // namespace
}  // namespace cairn::api::libgc

using namespace cairn::api::libgc;

extern "C" {

void GC_suspend_thread(pthread_t thread) {
    cairn::gc::ThreadRecord* const record = record_of(thread);
    if (record == nullptr) return;
    constexpr std::uint64_t pause_ns = 50'000;  // it may wait for the list of threads, which we have now
    if (record == &self().thread) (void)collector().world().hold(*record);
    else
        while (!try_hold(*record, thread)) cairn::os::sleep_ns(pause_ns);
}

void GC_resume_thread(pthread_t thread) {
    if (cairn::gc::ThreadRecord* record = record_of(thread)) collector().world().release(*record);
}

int GC_is_thread_suspended(pthread_t thread) {
    const cairn::gc::ThreadRecord* record = record_of(thread);
    return record != nullptr && cairn::gc::World::is_held(*record) ? 1 : 0;
}

}  // extern "C"
