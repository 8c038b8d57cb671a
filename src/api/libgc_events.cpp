// What the program is told as a cycle goes on: events of the cycle and of each stopped thread, and the heap's
// size when it is another.
//
//   one stop     START  stop  MARK_START MARK_END  go on  RECLAIM_START RECLAIM_END END
//   concurrent   START  stop  MARK_START  go on  { stop  go on }  stop  MARK_END  go on  RECLAIM_START ...
//
// where stop is PRE_STOP_WORLD, THREAD_SUSPENDED for each thread, POST_STOP_WORLD, and go on is
// PRE_START_WORLD, THREAD_UNSUSPENDED for each, POST_START_WORLD. The first line is the original's.
//
// Callbacks of a cycle are made by whichever thread runs it, at once, with no lock of ours held: the
// program's or the collector's own. They may ask for sizes and numbers, and use nothing else of ours: in a
// stop all others stand still. As in the original, which holds its lock.
//
// Floor: api. Locks: alloc_lock around the notice of a new size.
// SPDX-License-Identifier: MIT
#include <pthread.h>

#include "api/libgc.hpp"
#include "os/threads.hpp"

namespace cairn::api::libgc {

namespace {

using gc::CycleEvent;

constinit std::atomic<GC_on_collection_event_proc> on_collection_event{nullptr};  // [atomic]
constinit std::atomic<GC_on_thread_event_proc> on_thread_event{nullptr};          // [atomic]
constinit bool is_open = false;                      // [owner] who runs the cycle: its end is not told yet
constinit std::atomic<std::uint64_t> told_bytes{0};  // [atomic] the size of the heap as last told

// [owner] Set while the thread makes a callback, which may not attach it, nor wait for locks.
constinit __thread bool is_calling __attribute__((tls_model("initial-exec"))) = false;

void tell(GC_EventType event) {
    // acquire: what the program set up for it
    const auto call = on_collection_event.load(std::memory_order_acquire);
    if (call == nullptr) return;
    Calling now;
    call(event);
}

}  // namespace

Calling::Calling() : before_(is_calling) { is_calling = true; }
Calling::~Calling() { is_calling = before_; }
bool Calling::is_now() { return is_calling; }

// One that was stopped, not one that rested anyway. Needs: the world stopped.
void tell_of_threads(GC_EventType event) {
    // acquire: as above
    const auto call = on_thread_event.load(std::memory_order_acquire);
    if (call == nullptr) return;
    Calling now;
    const gc::ThreadRecord* const own = gc::World::current();
    collector().world().for_each([&](const gc::ThreadRecord& thread) {
        if (&thread == own || thread.thread_state() != gc::ThreadState::stopped) return;
        if (gc::World::is_held(thread)) return;
        call(event, reinterpret_cast<void*>(pthread_of(thread.thread_pointer)));
    });
}

void on_cycle_event(CycleEvent event) {
    switch (event) {
    case CycleEvent::begins:
        if (!is_open) tell(GC_EVENT_START);
        is_open = true;
        return;
    case CycleEvent::stops: return tell(GC_EVENT_PRE_STOP_WORLD);
    case CycleEvent::has_stopped:
        tell_of_threads(GC_EVENT_THREAD_SUSPENDED);
        return tell(GC_EVENT_POST_STOP_WORLD);
    case CycleEvent::stop_failed:
        tell(GC_EVENT_POST_STOP_WORLD);
        tell(GC_EVENT_PRE_START_WORLD);
        return tell(GC_EVENT_POST_START_WORLD);
    case CycleEvent::marks: return tell(GC_EVENT_MARK_START);
    case CycleEvent::has_marked:
        forget_given_back();
        return tell(GC_EVENT_MARK_END);
    case CycleEvent::resumes:
        tell(GC_EVENT_PRE_START_WORLD);
        return tell_of_threads(GC_EVENT_THREAD_UNSUSPENDED);
    case CycleEvent::has_resumed: return tell(GC_EVENT_POST_START_WORLD);
    case CycleEvent::sweeps: return tell(GC_EVENT_RECLAIM_START);
    case CycleEvent::ends:
        if (!is_open) return;  // none has run
        is_open = false;
        tell(GC_EVENT_RECLAIM_END);
        return tell(GC_EVENT_END);
    }
}

// The heap changes by the page: told is what differs by as much as the original takes at least.
void tell_heap_size() {
    constexpr std::uint64_t step_bytes = std::uint64_t{64} << 10;
    const GC_on_heap_resize_proc call = GC_on_heap_resize;
    if (call == nullptr || Calling::is_now()) return;
    const std::uint64_t bytes = GC_get_heap_size();
    // relaxed: looked at again under the lock
    const std::uint64_t before = told_bytes.load(std::memory_order_relaxed);
    if (bytes < before + step_bytes && before < bytes + step_bytes) return;
    Locked lock(self());
    // relaxed, both: under the lock
    if (told_bytes.load(std::memory_order_relaxed) != before) return;
    told_bytes.store(bytes, std::memory_order_relaxed);  // relaxed: as above
    Calling now;
    call(bytes);
}

}  // namespace cairn::api::libgc

using namespace cairn::api::libgc;

extern "C" {

// release, both: what the program set up for it
void GC_set_on_collection_event(GC_on_collection_event_proc call) {
    on_collection_event.store(call, std::memory_order_release);  // release: as above
}
void GC_set_on_thread_event(GC_on_thread_event_proc call) {
    on_thread_event.store(call, std::memory_order_release);  // release: as above
}
GC_on_collection_event_proc GC_get_on_collection_event() {
    return on_collection_event.load(std::memory_order_relaxed);  // relaxed: an address alone
}
GC_on_thread_event_proc GC_get_on_thread_event() {
    return on_thread_event.load(std::memory_order_relaxed);  // relaxed: an address alone
}
void GC_set_on_heap_resize(GC_on_heap_resize_proc call) { GC_on_heap_resize = call; }
GC_on_heap_resize_proc GC_get_on_heap_resize() { return GC_on_heap_resize; }

}  // extern "C"
