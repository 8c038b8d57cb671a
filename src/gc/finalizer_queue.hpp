// Finalizer queue: calls that are due, between the sweeper that finds them and whoever makes them.
//
//   head ─▶ record ─▶ record ─▶ ... ◀─ tail          cursor: the first that marking has not greyed yet
//
// The records are the very ones that were attached to the objects: queueing moves pointers and needs no
// memory, so a sweep cannot fail half-way through an object. Once queued, a record's offset is the object's
// address. The queue keeps the objects and arguments alive: it is a root as a whole.
//
// Sweeps fill it, so a mark phase mostly sees it shrink. mark() walks it in small steps under the lock; a
// call taken before the walk reached it is greyed by its taker, who moves the cursor on; what is appended
// while marking is greyed by who appends.
//
// Locks: a leaf. Floor: gc. Source: Go runtime mfinal.go (BSD-3); differs in queueing the records themselves.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include "base/lock.hpp"
#include "gc/greyer.hpp"
#include "heap/specials.hpp"

namespace cairn::gc {

// One call that is due: a finalizer of `object`, or (object is nullptr) a cleanup.
struct FinalizerCall {
    void (*finalizer)(void* object, void* argument) = nullptr;
    void (*cleanup)(void* argument) = nullptr;
    void* object = nullptr;
    void* argument = nullptr;
    const void* descriptor = nullptr;  // as given with the finalizer
};

class FinalizerQueue {
public:
    constexpr FinalizerQueue() = default;

    void initialize(heap::Specials& specials) { specials_ = &specials; }

    // What a queued record says.
    [[nodiscard]] static FinalizerCall call_of(const heap::Special& record);
    static void grey_call(const FinalizerCall& call, const Greyer& greyer) {
        greyer(call.object);
        greyer(call.argument);
    }

    // Adds a chain of finalizers and cleanups in its order; their offsets are addresses by now.
    void append(heap::Special* first, heap::Special* last, std::uint64_t count);
    // Takes the oldest call; it counts as running until finished() is told. False when there is none.
    [[nodiscard]] bool take(FinalizerCall& call);
    void finished();

    // Greys all that is queued: one root job. Needs: one such walk at a time.
    void mark(const Greyer& greyer);

    // Asked under the lock: what others appended before is seen.
    [[nodiscard]] bool has_calls() {
        base::Guard guard(lock_);
        return head_ != nullptr;
    }
    // True when nothing is queued and nothing runs.
    [[nodiscard]] bool is_idle() {
        base::Guard guard(lock_);
        return length() == 0 && running() == 0;
    }
    // relaxed: hints and statistics
    [[nodiscard]] std::uint64_t length() const { return length_.load(std::memory_order_relaxed); }
    // relaxed: hints and statistics
    [[nodiscard]] std::uint64_t running() const { return running_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t appended_total() const { return appended_.value(); }
    [[nodiscard]] std::uint64_t finished_total() const { return finished_.value(); }

    void lock_for_fork() { lock_.lock(); }
    void unlock_after_fork() { lock_.unlock(); }
    // The calls that ran in other threads of the parent have no end here.
    void reset_in_child() {
        lock_.reset_after_fork();
        running_.store(0, std::memory_order_relaxed);  // relaxed: the child has one thread
    }

private:
    base::RankedLock<base::Rank::leaf> lock_;
    heap::Special* head_ = nullptr;         // [lock]
    heap::Special* tail_ = nullptr;         // [lock]
    heap::Special* cursor_ = nullptr;       // [lock] nullptr: no walk, or it is done
    std::atomic<std::uint64_t> length_{0};  // [atomic] changed under the lock
    // [atomic] changed under the lock, so that length 0 and running 0 together mean that all is done
    std::atomic<std::uint64_t> running_{0};
    base::Counter appended_;                // [atomic]
    base::Counter finished_;                // [atomic]
    heap::Specials* specials_ = nullptr;    // [fixed]
};

}  // namespace cairn::gc
