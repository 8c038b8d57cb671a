// Libgc: what the sources behind the Boehm collector's names share.
//
//   libgc_start.cpp      the variables, first use, the environment
//   libgc_settings.cpp   getters and setters
//   libgc_alloc.cpp      allocation, realloc, free, questions about objects
//   libgc_kinds.cpp      kinds, mark procedures, typed objects, what callbacks push
//   libgc_finalize.cpp   finalizers in their four orders, toggle references
//   libgc_disclaim.cpp   procedures that are asked before an object of their kind is reclaimed
//   libgc_links.cpp      links that become null
//   libgc_threads.cpp    registration, blocking, the lock, creation of threads
//   libgc_suspend.cpp    threads that the program suspends
//   libgc_collect.cpp    cycles, roots, statistics
//   libgc_gcj.cpp        objects that begin with a pointer to their type
//   libgc_events.cpp     what the program is told as a cycle goes on
//   libgc_leaks.cpp      unreachable objects that the program did not free, reported
//   libgc_output.cpp     what is printed, the end of wrong programs, all objects there are
//   libgc_other.cpp      debug variants, and what is nothing here
//
// A client calls on any thread, at any time, also before GC_init: self() attaches the thread and starts
// everything. Callbacks of the client are made in two places only: by the thread that runs a cycle, most of
// them with the world stopped, those that push and mark and tell of events; and by a thread of the client
// that comes by on a slow path, those that are notices or finalizers (run_pending).
//
// Floor: api. Locks: alloc_lock, under which links, finalizers, kinds and uncollectable objects change.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "api/allocating.hpp"
#include "api/gc_runtime.hpp"
#include "api/inside.hpp"
// All of the interface, and without redirects, which are for clients.
#define GC_THREADS 1
#define GC_NO_THREAD_REDIRECTS 1
#include "cairn/compat/gc/gc.h"
#include "cairn/compat/gc/gc_disclaim.h"
#include "cairn/compat/gc/gc_gcj.h"
#include "cairn/compat/gc/gc_inline.h"
#include "cairn/compat/gc/gc_mark.h"
#include "cairn/compat/gc/gc_typed.h"
#include "cairn/compat/gc/javaxfc.h"
#include "gc/client_marking.hpp"

extern "C" {
__attribute__((visibility("default"), format(printf, 1, 2))) void GC_printf(const char* format, ...);
__attribute__((visibility("default"), format(printf, 1, 2))) void GC_err_printf(const char* format, ...);
}

namespace cairn::api::libgc {

inline gc::Collector& collector() { return gc_runtime.collector; }

// ---- start

// The calling thread's mutator, attached and everything started; ends the program when memory is refused.
[[nodiscard]] gc::Mutator& start_self();
[[nodiscard]] inline gc::Mutator& self() { return mutator != nullptr ? *mutator : start_self(); }

// A byte more for each object, so that a pointer just behind its end is one into it; 0 without interior
// pointers. [fixed] at the start.
extern constinit std::size_t extra_bytes;

// ---- the lock of GC_call_with_alloc_lock

// While a thread holds it the world is not stopped, so no mark procedure runs and no link is cleared. The
// holder may take it again.
class AllocLock {
public:
    constexpr AllocLock() = default;

    void lock(gc::Mutator& by) {
        gc::fork_gate.enter(by.thread);
        // relaxed: equal only if this thread wrote it
        if (owner_.load(std::memory_order_relaxed) == &by) {
            ++depth_;
            return;
        }
        if (!lock_.try_lock()) wait(by.thread);
        owner_.store(&by, std::memory_order_relaxed);  // relaxed: only we find ourselves in it
    }
    void unlock(gc::Mutator& by) {
        if (depth_ != 0) {
            --depth_;
        } else {
            owner_.store(nullptr, std::memory_order_relaxed);  // relaxed: only we wrote ourselves in
            lock_.unlock();
        }
        // relaxed, both: whoever looks has stopped this thread
        by.is_leaving_section.store(true, std::memory_order_relaxed);
        gc::World::leave_runtime(by.thread);
        by.is_leaving_section.store(false, std::memory_order_relaxed);  // relaxed: as above
    }

private:
    // Who has the lock may be stopping the world, or this thread alone: it waits as one that rests, and has
    // the lock only when it runs.
    [[gnu::noinline]] void wait(gc::ThreadRecord& thread) {
        do {
            gc::World::enter_blocking(thread);
            lock_.lock();
            lock_.unlock();
            gc::World::leave_blocking(thread);
        } while (!lock_.try_lock());
    }

    base::RankedLock<base::Rank::fibers> lock_;
    std::atomic<gc::Mutator*> owner_{nullptr};  // [atomic]
    unsigned depth_ = 0;                        // [lock] beyond the first time
};
extern constinit AllocLock alloc_lock;

class Locked {
public:
    explicit Locked(gc::Mutator& by) : by_(by) { alloc_lock.lock(by); }
    ~Locked() { alloc_lock.unlock(by_); }
    Locked(const Locked&) = delete;
    Locked& operator=(const Locked&) = delete;

private:
    gc::Mutator& by_;
};

// Leaves a region that was declared blocking while it lives, if the thread is in one.
class Active {
public:
    explicit Active(gc::Mutator& thread) : thread_(thread), depth_(thread.thread.blocking_depth) {
        if (depth_ == 0) return;
        thread.thread.blocking_depth = 1;
        gc::World::leave_blocking(thread.thread);
        thread.is_allocating = false;
    }
    ~Active() {
        if (depth_ == 0) return;
        thread_.is_allocating = true;
        gc::World::enter_blocking(thread_.thread);
        thread_.thread.blocking_depth = depth_;
    }
    Active(const Active&) = delete;
    Active& operator=(const Active&) = delete;

private:
    gc::Mutator& thread_;
    const std::uint32_t depth_;
};

// ---- objects

struct Object {
    std::uintptr_t start = 0;  // 0: no object
    const heap::Shape* shape = nullptr;
    std::size_t bytes = 0;
    heap::ShapeId shape_id = 0;
};
// The object that an address points into. Any thread, without a lock: a slot in use stays what it is.
[[nodiscard]] Object object_of(const void* address);

inline constexpr int kind_atomic = 0;
inline constexpr int kind_normal = 1;
inline constexpr int kind_uncollectable = 2;
inline constexpr int kind_atomic_uncollectable = 3;
inline constexpr int first_user_kind = 4;
inline constexpr int most_kinds = 16;

// The shape of objects of `kind` (not an uncollectable one) and size class; a kind nobody made is normal.
[[nodiscard]] heap::ShapeId shape_of_kind(int kind, unsigned size_class);
[[nodiscard]] void* allocate_shaped(std::size_t bytes, heap::ShapeId shape, std::size_t alignment = 16);
[[nodiscard]] void* allocate_kind(std::size_t bytes, int kind);
// The kind that a shape tells; -1: one without a number of its own.
[[nodiscard]] int kind_of_shape(const heap::Shape& shape, heap::ShapeId id);
// Gives a reserved number to a mark procedure; false: it is not to be had. Needs: alloc_lock.
[[nodiscard]] bool set_procedure(int index, GC_mark_proc procedure);
// What GC_oom_fn makes of it.
[[nodiscard]] void* out_of_memory(std::size_t bytes);

// ---- notices to the client, made by its own threads

inline constexpr std::uint32_t pending_start = 1;       // a cycle has begun
inline constexpr std::uint32_t pending_end = 2;         // a cycle is over
inline constexpr std::uint32_t pending_finalizers = 4;  // and has queued finalizers
inline constexpr std::uint32_t pending_warning = 8;     // about finalizers that will never be called
inline constexpr std::uint32_t pending_disclaim = 16;   // objects wait for their disclaim procedure
inline constexpr std::uint32_t pending_leaks = 32;      // leaks wait to be reported
extern constinit std::atomic<std::uint32_t> pending;    // [atomic]
void run_pending_slow();
inline void run_pending() {
    // relaxed: a hint
    if (pending.load(std::memory_order_relaxed) != 0) [[unlikely]] run_pending_slow();
}
inline void note_pending(std::uint32_t what) {
    pending.fetch_or(what, std::memory_order_release);  // release: what it is about comes before
}
// Calls the start callback on the calling thread.
void call_start_callback();

// ---- callbacks in the middle of our work (libgc_events.cpp)

// While one is made on this thread.
class Calling {
public:
    Calling();
    ~Calling();
    Calling(const Calling&) = delete;
    Calling& operator=(const Calling&) = delete;
    [[nodiscard]] static bool is_now();

private:
    bool before_;
};
void on_cycle_event(gc::CycleEvent event);
void tell_of_threads(GC_EventType event);
void tell_heap_size();
// In the last stop: what the program frees counts anew.
void forget_given_back();
// Where libc's name of a thread is its own address at a fixed distance from the thread pointer.
[[nodiscard]] pthread_t pthread_of(std::uintptr_t thread_pointer);
[[nodiscard]] std::uintptr_t pointer_of(pthread_t thread);
// Tells of objects that have become ready for their finalizers; Needs: alloc_lock.
void tell_of_queued();

// ---- parts of a cycle, with the world stopped

void push_finalizers(gc::ClientSink& sink);
void finish_finalizers(gc::ClientSink& sink);
// True: some that are left lie in objects that are dead so far.
[[nodiscard]] bool clear_links(gc::ClientSink& sink, bool are_long);
void drop_dangling_links(gc::ClientSink& sink, bool are_long, bool may_dangle);
void scan_deferred(gc::ClientSink& sink, std::uintptr_t object, unsigned kind);
void push_client_roots(gc::ClientSink& sink);
// While marking, by any thread.
[[nodiscard]] gc::Description describe(std::uintptr_t object, std::size_t bytes, unsigned kind);
// Forgets finalizer and links of an object that is freed. Needs: alloc_lock.
void forget_finalizer(std::uintptr_t object);
// False: no object has one. Without the lock, as the next.
[[nodiscard]] bool has_finalizers();

// ---- disclaim procedures (libgc_disclaim.cpp)

// Objects of this kind are asked about. Any thread.
[[nodiscard]] bool is_disclaimed(int kind);
// In the last stop of a cycle: before anything is called unreachable, marks what objects of a kind that marks
// from all of them hold; when all that is reachable is known, notes those that are not.
void mark_from_disclaimed(gc::ClientSink& sink);
void find_doomed(gc::ClientSink& sink);
// Asks about those that wait: all, or as many as an allocation should be kept for.
void ask_doomed(bool all);
// The object waits to be asked about, and nobody has marked it since the cycle. Any thread.
[[nodiscard]] bool is_doomed(std::uintptr_t object);
// A client marks it, so it stays, or takes that back.
void set_spared(std::uintptr_t object, bool is_spared);
// Frees an object of such a kind without asking. Needs: alloc_lock.
void free_disclaimed(gc::Mutator& by, std::uintptr_t object);

// ---- leaks (libgc_leaks.cpp)

// Notes who allocated the object, where leaks are looked for; returns it.
void* with_caller(void* object, std::size_t bytes, const char* file, int line);
// The object is freed by the program.
void forget_caller(std::uintptr_t object);
// In the last stop, when all that is reachable is marked.
void find_leaks(gc::ClientSink& sink);
// Reports what was found, and frees it.
void report_leaks();

// ---- the rest

// [atomic] an object may be uncollectable, disclaimed, or have a finalizer or a caller; set before.
extern constinit std::atomic<bool> is_free_special;
void free_uncollectable(std::uintptr_t object);
[[nodiscard]] bool has_uncollectables();
[[nodiscard]] int uncollectable_kind(std::uintptr_t object);  // 0: it is not
void read_settings();
void prepare_roots();
void set_root_filter();
void follow_cleared_roots();  // before a cycle, by the collector's thread
void read_output_settings();
void note_finalization_cycle(std::uintptr_t object);
void warn(const char* format, GC_word argument);
// The program uses the interface wrongly: GC_set_abort_func's is told, then the end.
[[noreturn]] void stop_program(const char* message);
// GC_stop_world_external and its end. Needs: alloc_lock.
void note_external_stop(bool now);
[[nodiscard]] std::size_t link_count(bool are_long);
[[nodiscard]] std::size_t finalizer_count();
extern constinit std::uint64_t least_heap_bytes;  // before the next cycle
extern constinit std::uint64_t asked_heap_bytes;  // what GC_expand_hp was told; 0: nothing
extern constinit std::uint64_t most_heap_bytes;   // GC_set_max_heap_size; 0: none
// GC_set_stop_func's, asked before each cycle that the program has not asked for itself.
[[nodiscard]] bool is_declined_by_client();
extern constinit GC_start_callback_proc start_callback;

}  // namespace cairn::api::libgc
