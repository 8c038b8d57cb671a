// The world: all threads that may hold pointers into the heap, and how to stop them and let them go on.
//
// A stop
//   1  takes the list of threads; none comes or goes until the world goes on;
//   2  sets `wanted` in each thread's state; who rests already (parked, blocked) is done;
//   3  sends the others a signal. User code parks in the handler. Our own code (runtime_depth > 0) ignores it
//      and parks when it leaves; so no thread is ever stopped while it holds a lock of ours;
//   4  waits until the last of them says so.
// Going on: clears `wanted` everywhere, gives the list back, and wakes all sleepers by one call, last of all:
// the waker may lose its processor to those it wakes.
//
// A thread that must wait for the list while it is attached (attach excepted) counts as blocked meanwhile, so
// two stoppers, or a stop and a thread that ends, do not wait for each other.
//
// A thread that blocks the signal is sent another, which libc lets nobody block (os/threads.hpp), from then
// on always. A stop fails when a thread blocks that too, by asking the kernel itself or in a handler, or does
// not answer for other reasons, for too long: then all go on, and failure() says why. Threads that ended
// without a word are found out and marked gone.
//
// Calls that return EINTR when a stop interrupts them, SA_RESTART or not: os/linux_threads.cpp.
//
// Floor: gc. Locks: Rank::world, held from stop_all() to resume_all().
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/check.hpp"
#include "base/lock.hpp"
#include "gc/fibers.hpp"
#include "gc/thread_record.hpp"

namespace cairn::gc {

struct StopStats {
    std::uint64_t ns = 0;       // from the call to the last thread's rest
    std::uint32_t threads = 0;  // attached, without the caller
    std::uint32_t signals = 0;  // sent; the others rested already
};

// How long a stop waits for a thread before it fails.
struct Patience {
    std::uint64_t blocked_ns = 1'000'000'000;   // the thread blocks the signal
    std::uint64_t silent_ns = 10'000'000'000;   // it does not, and yet says nothing
};

class World {
public:
    constexpr World() = default;

    // Takes the stop signal: `signal`, or, when 0, the first free one from os::default_stop_signal() upward.
    // False when the program uses it already; failure() says so. One world a process.
    // `on_alternate_stack`: stopped threads stand on their alternate stack, so that fibers may be small.
    [[nodiscard]] bool initialize(int signal = 0, Patience patience = {}, bool on_alternate_stack = true);
    [[nodiscard]] int signal() const { return signal_; }

    // ---- a thread, about itself

    // From now on the calling thread can be stopped. `thread` has its starting values, or was detached.
    void attach(ThreadRecord& thread);
    // From now on it cannot, and is no root. Works in destructors of thread-specific keys; twice is harmless.
    void detach(ThreadRecord& thread);
    // The calling thread's record, nullptr when it is not attached.
    [[nodiscard]] static ThreadRecord* current();

    // Around our own code, nestable: the thread is not stopped inside. Cost: a store each. leave_runtime()
    // parks when a stop was asked for meanwhile.
    static void enter_runtime(ThreadRecord& thread) {
        // relaxed, twice: only this thread and its own signal handler look
        const std::uint32_t depth = thread.runtime_depth.load(std::memory_order_relaxed);
        thread.runtime_depth.store(depth + 1, std::memory_order_relaxed);  // relaxed: as above
        std::atomic_signal_fence(std::memory_order_seq_cst);  // the handler sees it before what follows
    }
    static void leave_runtime(ThreadRecord& thread) {
        std::atomic_signal_fence(std::memory_order_seq_cst);  // what we did is complete for the handler
        // relaxed, twice: as in enter_runtime()
        const std::uint32_t depth = thread.runtime_depth.load(std::memory_order_relaxed) - 1;
        thread.runtime_depth.store(depth, std::memory_order_relaxed);  // relaxed: as above
        std::atomic_signal_fence(std::memory_order_seq_cst);  // a signal from now on parks by itself
        // relaxed: the signal came after the flag was set, and we are after the signal
        const std::uint32_t state = thread.state.load(std::memory_order_relaxed);
        if (depth == 0 && (state & ThreadRecord::wanted) != 0) [[unlikely]] park_at_leave(thread);
    }

    // Around a call that may take long and touches no object of the heap, nestable, inside our own code too:
    // the thread is not disturbed. leave_blocking() waits while the world is stopped.
    static void enter_blocking(ThreadRecord& thread);
    static void leave_blocking(ThreadRecord& thread);

    // ---- the stopper

    // Returns true when all other attached threads stand still, and keeps them so until resume_all(). The
    // caller runs inside our own code or is not attached (self == nullptr), and is a root like the others.
    // False: one of them could not be stopped, all go on, failure() says why.
    // `is_noted`: the caller's caller has noted its position, and what lies below is no root.
    [[nodiscard]] bool stop_all(ThreadRecord* self, bool is_noted = false);
    // The calling thread's stack is a root from here on upwards. Needs: inside the runtime; the caller's
    // frame holds all registers of its callers (__builtin_unwind_init) and stays.
    static void note_position(ThreadRecord& thread);
    void resume_all();
    // The same for one thread, which may be the caller.
    [[nodiscard]] bool stop_one(ThreadRecord& thread);
    void resume_one(ThreadRecord& thread);

    // Keeps a thread from going on after resume_one(), until release(); or the caller, at once. False: it
    // waits inside our own code, perhaps with a turn that others need; try again later. Needs: stop_one();
    // for the caller that it is outside of our code.
    bool hold(ThreadRecord& thread);
    // Lets it go on. Nothing if it was not held, or is not attached any more.
    void release(ThreadRecord& thread);
    [[nodiscard]] static bool is_held(const ThreadRecord& thread) {
        // relaxed: true of a moment ago
        return (thread.state.load(std::memory_order_relaxed) & ThreadRecord::held) != 0;
    }

    // Visits every attached thread's record, the caller's own too. Needs: the world stopped, or the list
    // locked.
    template <class Visit>
    void for_each(Visit visit) {
        for (ThreadRecord* thread = threads_.first(); thread != nullptr; thread = Threads::next(thread))
            visit(*thread);
    }
    // Visits (low, high), whole words, of the registers, stacks, thread-local storage and current fiber of a
    // thread that stands still. Fibers that rest: fibers().
    template <class Visit>
    static void for_each_root_range(const ThreadRecord& thread, Visit visit) {
        thread.visit_roots(visit);
    }
    // Takes a thread that ended without detach() off the list; nullptr when there is none. Its record may be
    // attached again. Needs: as for_each().
    [[nodiscard]] ThreadRecord* take_gone();
    void lock_threads() { lock_list(current()); }
    void unlock_threads() { list_lock_.unlock(); }

    [[nodiscard]] const StopStats& last_stop() const { return last_stop_; }
    // Why the last stop, or initialize(), failed.
    [[nodiscard]] std::string_view failure() const { return failure_; }

    // ---- fibers

    [[nodiscard]] FiberSet& fibers() { return fibers_; }
    void add_fiber(FiberRecord& fiber, os::MemoryRange stack, bool is_tracked);
    void remove_fiber(FiberRecord& fiber);
    // Said just before the calling thread's stack pointer goes to `to`; nullptr is the thread's own stack.
    // Only for tracked fibers. Both halves in one; fiber_suspend() first where a scheduler of the program
    // decides later.
    static void switch_fiber(ThreadRecord& self, FiberRecord* to);
    static void fiber_suspend(ThreadRecord& self);
    // The first time gives the thread an alternate stack unless it has one: the frame of a signal is larger
    // than a small fiber's stack. The program's handlers do with SA_ONSTACK.
    static void fiber_resume(ThreadRecord& self, FiberRecord* to);

    // ---- fork

    void lock_for_fork();
    void unlock_after_fork();
    // The child has one thread: `survivor`, or one that is not attached. The others' records are detached.
    void reset_in_child(ThreadRecord* survivor);

private:
    using Threads = base::List<ThreadRecord, &ThreadRecord::link>;

    static void on_stop(const os::StopContext& context);
    static bool on_insistent(const os::StopContext& context);
    static void await_insistent(ThreadRecord& thread);
    static void park_if_wanted(ThreadRecord& thread, const os::StopContext& context);
    static void park_at_leave(ThreadRecord& thread);
    static void park(ThreadRecord& thread, const os::StopContext* context);
    static void run_again(ThreadRecord& thread, ThreadState from);
    static void give_signal_stack(ThreadRecord& thread);
    static void take_signal_stack(ThreadRecord& thread);

    void lock_list(ThreadRecord* self);
    [[nodiscard]] bool begin_stop(ThreadRecord* self);
    [[nodiscard]] bool is_process_ours(ThreadRecord* self);
    void ask(ThreadRecord& thread, std::uint32_t& asked);
    void signal_to(ThreadRecord& thread);
    void declare_gone(ThreadRecord& thread, ThreadState from);
    void acknowledge();
    [[nodiscard]] bool wait_for_rest(std::uint32_t asked);
    [[nodiscard]] bool look_at_late(std::uint64_t waited_ns);
    void keep_failure(const base::Message& text);
    void explain(const ThreadRecord& thread, os::Standing standing);
    [[nodiscard]] bool finish_stop(std::uint32_t asked);
    void take_back();
    void end_stop();

    base::RankedLock<base::Rank::world> list_lock_;
    Threads threads_;                        // [lock]
    FiberSet fibers_;
    std::atomic<std::uint32_t> unrested_{0};  // [atomic] threads asked that do not rest yet
    std::atomic<std::uint32_t> epoch_{0};     // [atomic] stops that are over: what sleepers sleep on
    StopStats last_stop_;                    // [lock]
    ThreadRecord* stopper_ = nullptr;        // [lock]
    std::uint64_t stop_began_ns_ = 0;        // [lock]
    char failure_[160] = {};                 // [lock] text, ended by 0
    Patience patience_;                      // [fixed]
    int signal_ = 0;                         // [fixed]
    std::uint32_t process_ = 0;              // [lock] that knows of its threads
};

}  // namespace cairn::gc
