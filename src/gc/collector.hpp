// Collector: the whole of it, from an allocation that starts a cycle to the last span swept.
//
// A cycle, moved on by the collector's thread (cycle.cpp):
//   1  sweep what is left of the last cycle; have the kernel watch conservative spans, if there are any
//   2  STOP 1: mark what is left of cached runs; allocate black, barrier on; scan stacks and registers
//   3  beside the program: roots, then drain; assists in proportion to what is allocated; dirty pages ahead
//   4  STOP 2: barrier buffers, stacks, registers, handles, ranges, dirty pages once more; drain what that
//      gave. Too much for a stop: resume, and go on at 3
//   5  still stopped: white, barrier off, generation + 2, sweep the spans in caches
//   6  beside the program: sweep
//
// Why a thread's stack is scanned in both stops. The barrier is two instructions of the program, a test of
// the flag and then a store, and a signal stops a thread between them as well. Such a store is pending at
// stop 1. Its new value is in a register or on the stack then, and is marked. Its old value is lost to the
// barrier: whoever loaded it before the store has it on a stack, where stop 2 finds it, or stored it
// somewhere, which shaded it. The model in tests/litmus explores every order of these steps.
//
// Who runs it: the collector's thread. A cycle that is to be one short stop is run by the thread of the
// program that has allocated too much, and handed over for its sweep, or half-way when it takes longer than
// thought; the turn to run a cycle goes along with it (turn.hpp). Forks and checks wait for the turn.
//
// Young cycles (young.cpp) begin with the marks of the one before.
//
// Modes: concurrent, as above. stw: steps 2 to 5 in one stop, all CPUs marking; also what a concurrent cycle
// falls back to when there are conservative spans and the kernel does not tell what is written.
//
// Floor: gc. Locks: lock_ for settings and the pacer; the world's list lock during stops.
// Source: Go mgc.go (BSD-3); differs in stacks, in the two scans and in runs instead of flushed caches.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/lock.hpp"
#include "base/telemetry.hpp"
#include "gc/age_policy.hpp"
#include "gc/client_marking.hpp"
#include "gc/conservative_watch.hpp"
#include "gc/cpu_limiter.hpp"
#include "gc/crew.hpp"
#include "gc/finalize.hpp"
#include "gc/learnt_speed.hpp"
#include "gc/marker.hpp"
#include "gc/mode.hpp"
#include "gc/mutator.hpp"
#include "gc/pacer.hpp"
#include "gc/root_jobs.hpp"
#include "gc/roots.hpp"
#include "gc/stop_times.hpp"
#include "gc/sweeper.hpp"
#include "gc/thread_storage.hpp"
#include "gc/turn.hpp"
#include "gc/work_pool.hpp"
#include "gc/world.hpp"
#include "heap/heap.hpp"

namespace cairn::gc {

class HolderPath;

struct CollectorSettings {
    std::int32_t gc_percent = 100;
    std::uint64_t memory_limit = UINT64_MAX;
    Mode mode = Mode::concurrent;
    bool traces = false;    // a line a cycle
    bool verifies = false;  // mark again with the world stopped, walk the heap
    bool poisons = false;   // fill freed objects
    Young young = Young::by_yield;
    std::uint32_t one_stop_ms = default_one_stop_ms;
    std::uint64_t least_goal_bytes = 0;  // no cycle begins for a smaller heap

    [[nodiscard]] PacerSettings pace() const { return {gc_percent, memory_limit, least_goal_bytes}; }
};

// What one cycle did; for the trace, and summed for the statistics.
struct CycleReport {
    std::uint64_t number = 0;
    bool is_forced = false;
    bool is_stw = false;
    bool is_young = false;                  // it began with the marks of the one before
    bool keeps_marks = false;               // the next may do so
    bool ages = true;                       // what lived through it is old for those
    std::uint64_t armed_pages = 0;          // for it, and to be written for the price of a fault
    unsigned rounds = 0;                    // stops 2 that were given up
    std::uint64_t start_ns = 0;
    std::uint64_t stop1_ns = 0, mark_ns = 0, stop2_ns = 0;  // stop2: the last
    const char* why_stw = "";               // why it was not concurrent
    std::uint64_t worker_cpu_ns = 0, assist_ns = 0;
    std::uint64_t live_at_start = 0, live_at_end = 0, marked = 0, goal = 0;
    std::uint64_t stack_bytes = 0, root_bytes = 0, dirty_pages = 0;
    std::uint64_t marked_objects = 0, scanned_bytes = 0;
    std::uint64_t objects_made = 0;         // ever, when the cycle began, but for those freed by hand
    std::uint64_t objects_at_start = 0;     // since the cycle before, and what that had marked
    unsigned threads = 0;
    unsigned overflows = 0;                 // times that all was scanned again for want of memory
};

struct CollectorStats {
    std::uint64_t cycles = 0, forced_cycles = 0;
    StopTimes stops;
    std::uint64_t marked_bytes = 0, goal_bytes = 0, trigger_bytes = 0, live_bytes = 0;
    std::uint64_t assist_ns = 0, worker_ns = 0, dirty_pages = 0, barrier_flushes = 0;
    std::uint64_t marked_objects = 0, scanned_bytes = 0, mark_ns = 0;  // of the last cycle
    std::uint64_t allocated_bytes = 0, allocated_objects = 0, freed_bytes = 0, freed_objects = 0;
    std::int32_t gc_percent = 0;
    std::uint64_t memory_limit = 0;
    Mode mode = Mode::off;
    std::uint64_t threads = 0;
};

// What the collector is given from above.
struct CollectorEnvironment {
    // Written while the world is stopped; the program's inline barrier reads it.
    volatile unsigned char* barrier_flag = nullptr;
    MarkPhase phase;          // asks the collector; for finalizers and weak handles
    RunnerEnvironment runner;
    const ClientMarking* client = nullptr;  // of a front end that marks in its own ways
};

class Collector {
public:
    constexpr Collector() = default;

    // False when the OS refuses the tables. `environment` outlives this.
    [[nodiscard]] bool start(heap::Heap& heap, const CollectorSettings& settings,
                             const CollectorEnvironment& environment);

    // The calling thread joins: nullptr when the OS refuses. It leaves before it ends.
    [[nodiscard]] Mutator* attach();
    void detach(Mutator& mutator);

    // ---- allocation and stores; these enter the runtime themselves

    // The slow half of a small allocation. nullptr: out of memory, after a collection was tried.
    [[nodiscard]] void* allocate_small(Mutator& mutator, unsigned shape);
    // `shape` is of class 0. Zeroed if its kind is scanned, or if asked.
    [[nodiscard]] void* allocate_large(Mutator& mutator, std::size_t bytes, std::size_t alignment,
                                       heap::ShapeId shape, bool is_zeroed);
    // Frees what the program knows to be unreachable, where that is possible now; else the sweep will.
    void free(Mutator& mutator, void* object);
    // The short way, for what starts at `start`: false where more is to be done, or it is to be done later.
    [[nodiscard, gnu::always_inline]] bool try_free(Mutator& mutator, std::uintptr_t start,
                                                    heap::ShapeId shape);
    // The next slot of the thread's current span, when its run is empty; nullptr: there is none, or it is not
    // the time.
    [[nodiscard, gnu::always_inline]] void* try_next_run(Mutator& mutator, unsigned shape);
    // A slot that the thread freed; nullptr: there is none, or it is not the time.
    [[nodiscard, gnu::always_inline]] void* try_reuse(Mutator& mutator, heap::ShapeId shape);
    // Notes pointers that are overwritten or stored while marking.
    void shade(Mutator& mutator, std::uintptr_t first, std::uintptr_t second);

    // ---- cycles and settings

    // A whole cycle that begins after the call, and its sweep. Waits; the caller counts as blocked.
    void collect(Mutator& mutator);
    int set_gc_percent(int percent);
    std::uint64_t set_memory_limit(std::uint64_t bytes);
    void set_least_goal(std::uint64_t bytes);
    Mode set_mode(Mode mode);
    [[nodiscard]] CollectorStats stats();

    // ---- questions, and parts for front ends

    // The object that an address points to or into; needs: inside the runtime.
    [[nodiscard]] CollectedObject find(const void* address) const;
    [[nodiscard]] bool is_marking() const {
        return is_marking_.load(std::memory_order_relaxed);  // relaxed: changes while the world is stopped
    }
    // Checks every span between two cycles; a fault ends the program. False: the world could not be stopped.
    bool verify(Mutator& mutator);
    // Finds who keeps the object that `address` points into alive. False: nobody, or it is not known.
    [[nodiscard]] bool find_holders(Mutator& mutator, const void* address, HolderPath& path);
    // Greys while marking, from inside the runtime.
    [[nodiscard]] Greyer greyer();
    World& world() { return world_; }
    RootSet& roots() { return roots_; }
    Finalizer& finalizer() { return finalizer_; }
    heap::SweptHeap& swept() { return heap_->swept(); }
    heap::Heap& heap() { return *heap_; }
    // Stacks for fibers; needs: inside the runtime.
    [[nodiscard]] heap::FiberStack make_stack(Mutator& mutator, std::size_t bytes) {
        return stacks_.allocate(&mutator.stacks, bytes);
    }
    void free_stack(Mutator& mutator, const heap::FiberStack& stack) {
        stacks_.free(&mutator.stacks, stack, !is_marking());
    }
    [[nodiscard]] const MarkSpace& mark_space() const { return space_; }

    // fork(): no other thread is inside the runtime, and no cycle runs, between before and after.
    void before_fork(Mutator* self);
    void after_fork_parent();
    void after_fork_child(Mutator* survivor);

    // The heap's hooks.
    std::size_t sweep_span(heap::Span& span, bool is_kept) { return sweeper_.sweep(span, is_kept); }
    void reclaim(std::size_t bytes, std::size_t pages);

private:
    friend class ClientSink;
    enum class Worker : std::uint32_t { none, running };
    // Who runs a cycle: the collector's thread; a thread of the program, which leaves what takes long to that
    // one; a thread of the program where there is no other.
    enum class Runner : std::uint8_t { own_thread, program, program_alone };
    // How far it came. half_way: marking goes on beside the program, the collector's thread is to see to it.
    enum class Ended : std::uint8_t { done, not_yet, half_way };

    // collector.cpp
    static void thread_entry(void* self);
    void run_thread();
    [[nodiscard]] bool ensure_thread();
    void after_allocation(Mutator& mutator, std::size_t bytes);
    void collect_inline(Mutator& mutator);
    [[nodiscard]] bool collect_here(Mutator& mutator);
    void take_over();
    void throttle(Mutator& mutator);
    void finish_cycle();
    [[nodiscard]] bool is_over_trigger() const {
        // relaxed: a threshold alone
        return heap_->swept().shared().live_bytes.value() >= trigger_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] bool can_afford_cycle();
    void zero_in_pieces(Mutator& mutator, heap::Span& span);

    // assist.cpp
    void assist(Mutator& mutator, std::size_t allocated);
    [[nodiscard]] std::uint64_t take_credit(std::uint64_t work);
    [[nodiscard]] std::uint64_t mark_for(Mutator& mutator, std::uint64_t work, bool& is_dry);
    [[nodiscard]] bool help_mark(Mutator& mutator);
    void hand_over(BarrierBuffer& buffer);
    [[nodiscard]] bool is_white(std::uintptr_t word) const;
    void grey(std::uintptr_t word);
    void flush_shared_grey();

    // inspect.cpp
    void check_marks();
    [[nodiscard]] bool stop_between_cycles(Mutator& mutator);
    void resume_after_look();

    // client_marking.cpp
    [[nodiscard]] bool may_begin() const;
    void tell(CycleEvent event) const;
    [[nodiscard]] bool stop_settled(ThreadRecord* self);
    void resume_settled();
    void push_client_roots(Marker& marker, bool is_ahead);
    void scan_deferred(Marker& marker, std::uintptr_t object);
    [[nodiscard]] bool scan_all_deferred(Marker& marker);

    // cycle.cpp
    [[nodiscard]] bool prepare_cycle(bool is_forced, Runner runner, Mode& mode);
    [[nodiscard]] Ended run_cycle(bool is_forced, Runner runner, Mutator* self);
    [[nodiscard]] Mode mark_stopped(Marker& marker, Mode mode);
    void go_on_concurrently();
    void conclude_cycle();
    [[nodiscard]] bool begin_marking(Mutator* self);
    void scan_threads(Marker& marker);
    void scan_roots(Marker& marker, Reading reading);
    void scan_changed_roots(Marker& marker, Reading reading);
    [[nodiscard]] static Greyer verbs_of(Marker& marker);
    void mark_concurrently(Marker& marker);
    void mark_until_dry(Marker& marker);
    void rescan_roots(Marker& marker);
    [[nodiscard]] bool try_finish(Marker& marker);
    [[nodiscard]] bool finish_barriered(Marker& marker);
    void wait_for_work();
    [[nodiscard]] bool drain_stopped(Marker& marker, std::uint64_t deadline_ns);
    void rescan_overflow(Marker& marker);
    void finish_stopped(Marker& marker);
    void begin_sweep();
    void retire_gone();
    void note_progress(Marker& marker);
    void add_counts(const MarkCount& count);
    void note_stop(std::uint64_t ns);
    void limit(CpuLimiter::Phase phase);
    void finish_sweep();
    void trace_cycle() const;

    // young.cpp
    void choose_age(Mode mode);
    [[nodiscard]] bool clear_marks_ahead(Mutator* self);
    void clear_marks();
    void scan_written_since(Marker& marker);
    void learn_fate();
    void keep_marks();

    // tracking.cpp
    [[nodiscard]] Mode choose_tracking(Mode mode);
    [[nodiscard]] bool has_conservative();
    [[nodiscard]] bool is_quickly_marked();
    [[nodiscard]] bool may_run_here(Mode mode);
    void learn_speed(std::uint64_t stop_ns, std::uint64_t objects);
    [[nodiscard]] Mode drain_quickly(Marker& marker);
    [[nodiscard]] bool begin_tracking();
    void end_tracking();
    [[nodiscard]] std::uint64_t one_stop_ns() const {
        return std::uint64_t{settings_.one_stop_ms} * 1'000'000;
    }
    [[nodiscard]] os::DirtyTracker* roots_tracker() {
        return is_watching_roots_ ? &watch_.tracker() : nullptr;
    }
    template <class GoesOn>
    [[nodiscard]] bool rescan_written(Marker& marker, GoesOn goes_on);
    void clean_ahead(Marker& marker);
    void expect_pages(const WrittenLook::Seen& seen);
    [[nodiscard]] std::uint64_t slice_end(std::uint64_t start_ns) const;
    [[nodiscard]] bool finish_written(Marker& marker, std::uint64_t start_ns);
    void rest_between_slices(std::uint64_t resumed_ns);

    [[nodiscard]] HeapSnapshot snapshot();
    void commit_pace(bool is_sweep_done);
    void put_off();

    heap::Heap* heap_ = nullptr;                            // [fixed]
    const CollectorEnvironment* environment_ = nullptr;     // [fixed]
    MarkSpace space_;                                       // [fixed]
    World world_;
    RootSet roots_;
    RootJobs root_jobs_;                                    // [owner] who runs the cycle
    ThreadStorage storage_;                                 // [owner] who runs the cycle
    Finalizer finalizer_;
    Sweeper sweeper_;
    heap::StackSpans stacks_;
    WorkPool pool_;
    Crew crew_;                                             // [owner] who runs the cycle
    ConservativeWatch watch_;                               // [owner] likewise
    DeferredObjects deferred_;
    std::size_t scanned_deferred_ = 0;                      // [stopped] of them, in this stop

    base::RankedLock<base::Rank::runtime> lock_;
    CollectorSettings settings_;                            // [lock]
    Pacer pacer_;                                           // [lock]
    CpuLimiter limiter_;                                    // [lock]
    AssistTerms terms_;                                     // [lock]
    base::List<Mutator, &Mutator::link> spare_mutators_;    // [lock]
    StopTimes stop_times_;                                  // [lock]
    CycleReport last_;                                      // [lock] of the last cycle
    CycleReport last_full_;                                 // [lock] of the last one that was not young
    CycleReport aged_;                                      // [lock] of the last one that ages
    std::uint64_t forced_cycles_ = 0;                       // [lock]

    base::RankedLock<base::Rank::heap> grey_lock_;
    WorkBuffer* shared_grey_ = nullptr;                     // [lock] grey_lock_

    CycleReport now_;                                       // [owner] who runs the cycle
    bool is_declined_ = false;                              // [owner] the last one asked for did not run
    WorkerPlan plan_;                                       // [owner] likewise
    std::uint64_t limited_assist_ns_ = 0;                   // [owner] of assist_ns_, what the limiter knows
    std::uint64_t conservative_spans_ = 0;                  // [owner] likewise; made when that was decided
    bool is_watching_ = false;                              // [owner] likewise; conservative spans
    bool is_watching_roots_ = false;                        // [owner] likewise
    bool is_last_look_ = false;                             // [owner] likewise; at written pages, in stop 2
    std::uint64_t sliced_pages_ = 0;                        // [owner] likewise; written, the most in a slice
    AgePolicy age_policy_;                                  // [owner] likewise
    bool may_keep_marks_ = false;                           // [owner] likewise; the next may be young
    bool clears_marks_ = false;                             // [owner] likewise; kept ones, first of all
    bool notes_old_ = false;                                // [owner] likewise; so survivors may stay young
    bool is_quick_ = false;                                 // [owner] likewise; to be marked in one stop
    std::uint64_t quick_ns_ = 0;                            // [owner] likewise; estimated
    std::uint64_t arming_ns_ = 0;                           // [owner] likewise; to arm all, estimated
    LearntSpeed object_speed_;                              // [owner] likewise; to mark one, all CPUs at it
    LearntSpeed new_byte_speed_;                            // [owner] likewise; a byte new to a young cycle
    std::atomic<bool> was_old_freed_{false};                // [atomic] a large marked object, between cycles
    bool is_half_way_ = false;                              // [owner] of the turn; what was handed over
    Turn turn_;                                             // [atomic] to run a cycle, or to fork
    // [atomic] grows with each stop and with each cycle done; who is throttled or collects waits
    std::atomic<std::uint32_t> phases_{0};
    std::atomic<std::uint64_t> throttle_at_{UINT64_MAX};    // [atomic] live bytes from which allocation waits
    std::atomic<bool> is_marking_{false};                   // [atomic] changes while the world is stopped
    std::atomic<std::uint64_t> trigger_{UINT64_MAX};        // [atomic] a copy of the pacer's
    std::atomic<std::uint32_t> completed_{0};               // [atomic] cycles marked and swept
    std::atomic<std::uint32_t> started_{0};                 // [atomic] cycles begun
    std::atomic<std::uint32_t> declined_{0};                // [atomic] requests met with the collector off
    std::atomic<Worker> worker_{Worker::none};              // [atomic] the collector's thread
    // [atomic] scan work done that nobody was asked for
    std::atomic<std::int64_t> credit_{0};
    std::atomic<std::uint32_t> assisting_{0};               // [atomic] threads in mark_for()
    std::atomic<std::uint64_t> stack_bytes_{0};             // [atomic] scanned in the last stop
    std::atomic<bool> is_limiting_{false};                  // [atomic] a copy of the limiter's
    base::Counter marked_bytes_;                            // [atomic] this cycle, but for black ones
    base::Counter marked_objects_;                          // [atomic]
    base::Counter scanned_bytes_;                           // [atomic]
    base::Counter assist_ns_;                               // [atomic] in total
    base::Counter worker_ns_;                               // [atomic] in total
    base::Counter dirty_pages_;                             // [atomic] in total
    base::Counter barrier_flushes_;                         // [atomic] in total
    base::Counter threads_;                                 // [atomic] attached now
};

inline bool Collector::try_free(Mutator& mutator, std::uintptr_t start, heap::ShapeId shape) {
    // Large objects are of no active shape.
    if (mutator.is_interrupted() || !mutator.cache.is_active(shape) || settings_.poisons) [[unlikely]]
        return false;
    if (mutator.cache.may_be_tiny_block(shape) || !fork_gate.try_enter(mutator.thread)) [[unlikely]]
        return false;
    const bool can_free = !is_marking() && sweeper_.is_done() && !finalizer_.specials().were_added();
    if (can_free) [[likely]] (void)mutator.cache.give_back(shape, start);
    World::leave_runtime(mutator.thread);
    return can_free;
}

inline void* Collector::try_reuse(Mutator& mutator, heap::ShapeId shape) {
    if (mutator.is_interrupted() || !fork_gate.try_enter(mutator.thread)) [[unlikely]] return nullptr;
    auto* const slot = reinterpret_cast<void*>(mutator.cache.take_returned(shape));
    World::leave_runtime(mutator.thread);
    return slot;
}

inline void* Collector::try_next_run(Mutator& mutator, unsigned shape) {
    if (mutator.is_interrupted() || !fork_gate.try_enter(mutator.thread)) [[unlikely]] return nullptr;
    std::uintptr_t slot = 0;
    {
        InAllocation now(mutator);
        slot = mutator.cache.take_next_run(shape);
    }
    World::leave_runtime(mutator.thread);
    return reinterpret_cast<void*>(slot);
}

}  // namespace cairn::gc
