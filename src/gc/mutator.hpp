// Mutator: what the collector keeps for one thread of the program.
//
// The thread allocates from its runs, notes overwritten pointers in its barrier buffer while a cycle marks,
// and owes marking for what it allocates. All of it is the thread's own; the collector reads and changes it
// while the thread is stopped, which never happens inside the runtime (world.hpp).
//
// Floor: gc. Everything is [owner] unless marked.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/list.hpp"
#include "gc/fork_gate.hpp"
#include "gc/world.hpp"
#include "heap/span_alloc.hpp"
#include "heap/stack_spans.hpp"
#include "heap/swept_cache.hpp"

namespace cairn::gc {

// Pointers that were overwritten or stored while a cycle marks, until they are handed to the markers.
struct BarrierBuffer {
    static constexpr unsigned capacity = 512;

    unsigned count = 0;
    std::uintptr_t words[capacity];
};

struct Mutator {
    ThreadRecord thread;  // first: a record found through the world is its mutator
    heap::SweptCache cache;
    heap::LocalPages local;
    heap::StackCache stacks;            // of fibers, for the next ones
    // An allocation is between reading and moving a cursor: a signal handler that allocates sees it.
    bool is_allocating = false;
    bool is_in_finalizer = false;       // runs calls of the finalizer queue
    // It leaves a client's critical section: what it changed there is complete only some instructions later,
    // so a stop that finds it here is tried again.
    // [atomic]
    std::atomic<bool> is_leaving_section{false};
    std::int64_t assist_balance = 0;    // bytes this thread may allocate before it has to mark
    std::uint64_t assist_ns = 0;        // time spent on that, in this cycle
    std::uint64_t barrier_flushes = 0;
    BarrierBuffer barrier;
    base::ListLink<Mutator> link;       // [lock] the collector's spare ones

    // The caller is a signal handler that interrupted our own code, whose lists may be half changed.
    [[nodiscard]] bool is_interrupted() const {
        // relaxed: this thread's own
        return is_allocating || thread.runtime_depth.load(std::memory_order_relaxed) != 0;
    }

    static Mutator& of(ThreadRecord& record) { return reinterpret_cast<Mutator&>(record); }
};

// The calling thread is in an allocation while this lives. Needs: it is in none.
class InAllocation {
public:
    explicit InAllocation(Mutator& mutator) : is_allocating_(mutator.is_allocating) {
        is_allocating_ = true;
        std::atomic_signal_fence(std::memory_order_seq_cst);  // before anything is read
    }
    ~InAllocation() {
        std::atomic_signal_fence(std::memory_order_seq_cst);  // after everything is written
        is_allocating_ = false;
    }
    InAllocation(const InAllocation&) = delete;
    InAllocation& operator=(const InAllocation&) = delete;

private:
    bool& is_allocating_;
};

// The calling thread is inside the runtime while this lives: it will not be stopped, but parks when it
// leaves.
class InRuntime {
public:
    explicit InRuntime(Mutator& mutator) : thread_(mutator.thread) { fork_gate.enter(thread_); }
    ~InRuntime() { World::leave_runtime(thread_); }
    InRuntime(const InRuntime&) = delete;
    InRuntime& operator=(const InRuntime&) = delete;

private:
    ThreadRecord& thread_;
};

}  // namespace cairn::gc
