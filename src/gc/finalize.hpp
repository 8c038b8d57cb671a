// Finalizers and cleanups: what happens to an object's records when the object becomes unreachable.
//
//   finalizer   one an object, gets the object: so the object is brought back once, with all it holds, and is
//               freed by a later cycle if it is unreachable again and has no new finalizer
//   cleanup     any number, at any address in the object; gets an argument of its own, the object is gone
//
// While marking, all finalizers and cleanups are roots in this way (mark_shard):
//   what a finalizable object holds is greyed, the object itself is not; so the call will find everything the
//   object points to, and the object is still seen to be unreachable;
//   the arguments are greyed. An argument that reaches the object keeps it for ever, and so does a cycle of
//   objects one of which has a finalizer. A chain of k unreachable finalizable objects needs k cycles.
//
// Sweeping a span (sweep), for each object that was not marked:
//   1  with a finalizer: it is marked now; weak handles become null; finalizers are unlinked and queued; what
//      else is attached stays;
//   2  without: everything is unlinked: weak handles become null, cleanups are queued, samples are counted.
// All handles of the span are null before the first call is queued.
//
// A conservative object's writes are noticed by page: mark_dirty() must be called for every dirty run, as an
// unmarked finalizable object is a root's holder that a rescan of marked objects does not see.
//
// Calls are queued (finalizer_queue.hpp) and made by the finalizer thread or by the program
// (finalizer_runner.hpp).
//
// Needs: all calls are made inside the runtime. Locks: a span's specials lock, then those of pools.
// Floor: gc. Source: Go runtime mfinal.go, mcleanup.go, mheap.go (BSD-3)
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "gc/cleanup_ids.hpp"
#include "gc/ephemeron.hpp"
#include "gc/finalizer_queue.hpp"
#include "gc/finalizer_runner.hpp"
#include "gc/greyer.hpp"
#include "gc/special_shards.hpp"
#include "gc/weak.hpp"
#include "heap/specials.hpp"

namespace cairn::gc {

// Why a record could not be attached.
enum class Attached : std::uint8_t {
    ok,
    no_object,      // the address is not the collector's
    not_the_start,  // a finalizer needs the first byte of its object
    already,        // the object has a finalizer
    out_of_memory,
};

class Finalizer {
public:
    constexpr Finalizer() = default;

    // `phase`, `environment` outlive this. `sample_freed` is told the bucket of each sampled object that
    // dies.
    void initialize(heap::SpanAlloc& spans, const pages::ObjectMap& objects, const MarkPhase& phase,
                    const RunnerEnvironment& environment,
                    void (*sample_freed)(void* bucket, std::size_t slot_bytes) = [](void*, std::size_t) {});

    // Has `function(object, argument)` called once when the object is unreachable. `object` is its start (for
    // objects of below 16 bytes without pointers any byte will do). `descriptor` goes along for the front
    // end.
    [[nodiscard]] Attached set_finalizer(void* object, void (*function)(void* object, void* argument),
                                         void* argument, const void* descriptor = nullptr);
    // False when there was none.
    bool remove_finalizer(void* object);
    // Has `function(argument)` called after the object that `address` points into is gone.
    // Returns: a number for cancel_cleanup(), 0 when `address` is not the collector's or for want of memory.
    [[nodiscard]] std::uint64_t add_cleanup(const void* address, void (*function)(void* argument),
                                            void* argument);
    // True when the cleanup will not be called; false when it is due already, or no such thing.
    bool cancel_cleanup(std::uint64_t id);

    WeakHandles& weak() { return weak_; }
    Ephemerons& ephemerons() { return ephemerons_; }
    FinalizerRunner& runner() { return runner_; }
    FinalizerQueue& queue() { return queue_; }
    heap::Specials& specials() { return specials_; }

    // Start of a mark phase. Needs: the world stopped.
    void begin_mark();
    // Root jobs, for any number of markers: does one, false when none is left.
    [[nodiscard]] bool run_root_job(const Greyer& greyer);
    // Greys what finalizable objects in [low, high) hold; for dirty pages of conservative spans.
    void mark_dirty(std::uintptr_t low, std::uintptr_t high, const Greyer& greyer);
    // All roots at once, leaving the jobs alone: for the reference marker. Needs: the world stopped.
    void mark_all(const Greyer& greyer);

    // For the sweeper of `span`, before the mark bits become the allocated ones. May set marks.
    void sweep(heap::Span& span);
    // The program is about to free the object: handles become null, cleanups are queued, a finalizer is
    // dropped.
    void forget_object(void* object);

    // Queues every finalizer and cleanup there is, for an end of the process that wants them.
    void queue_all();

    void lock_for_fork();
    void unlock_after_fork();
    void reset_in_child();

private:
    enum class Fate : std::uint8_t { alive, brought_back, dead };

    void mark_span(heap::Span& span, const Greyer& greyer);
    [[nodiscard]] Fate fate_of(heap::Span& span, const heap::Special& first, std::size_t slot) const;
    [[nodiscard]] static bool is_due(heap::Special& record, Fate fate);
    void dispose(heap::Span& span, heap::Special* due);
    void queue_records(heap::Span& span, heap::Special* due);
    [[nodiscard]] bool is_start(const CollectedObject& object, const void* address) const;

    heap::SpanAlloc* spans_ = nullptr;           // [fixed]
    const pages::ObjectMap* objects_ = nullptr;  // [fixed]
    const MarkPhase* phase_ = nullptr;           // [fixed]
    void (*sample_freed_)(void*, std::size_t) = nullptr;  // [fixed]
    heap::Specials specials_;
    WeakHandles weak_;
    Ephemerons ephemerons_;
    CleanupIds ids_;
    FinalizerQueue queue_;
    FinalizerRunner runner_;
    SpecialShards shards_;
    std::atomic<bool> is_queue_marked_{true};    // [atomic] the queue's root job is taken
};

}  // namespace cairn::gc
