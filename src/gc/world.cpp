// Stopping the world and letting it go on: who waits for whom.
//
// `unrested_` counts down: it starts at a bias larger than any number of threads, so that answers which come
// while others are still being asked never bring it to 0; then the bias is exchanged for the number asked.
// SPDX-License-Identifier: MIT
#include "gc/world.hpp"

#include "base/os_calls.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"

namespace cairn::gc {

namespace {

constexpr std::uint32_t running = static_cast<std::uint32_t>(ThreadState::running);
constexpr std::uint32_t stopped = static_cast<std::uint32_t>(ThreadState::stopped);
constexpr std::uint32_t blocked = static_cast<std::uint32_t>(ThreadState::blocked);
constexpr std::uint32_t gone = static_cast<std::uint32_t>(ThreadState::gone);
constexpr std::uint32_t wanted = ThreadRecord::wanted;
constexpr std::uint32_t held = ThreadRecord::held;

constexpr std::uint32_t bias = std::uint32_t{1} << 30;
constexpr std::uint64_t first_look_ns = 2'000'000;    // no thread of a healthy machine is so late
constexpr std::uint64_t look_limit_ns = 50'000'000;

constinit os::Stat signal_stack_bytes;  // [atomic]

// [owner] Found by the signal handler, so it must not be a TLS block that is made on first use.
constinit __thread ThreadRecord* current_thread __attribute__((tls_model("initial-exec"))) = nullptr;

}  // namespace

bool World::initialize(int signal, Patience patience, bool on_alternate_stack) {
    constexpr int tries_max = 8;
    patience_ = patience;
    process_ = os::process_id();
    const int first = signal == 0 ? os::default_stop_signal() : signal;
    const int last = signal == 0 ? first + tries_max - 1 : first;
    os::Installed result = os::Installed::refused;
    for (signal_ = first; signal_ <= last; ++signal_) {
        result = os::install_stop_handler(signal_, on_stop, on_alternate_stack);
        if (result == os::Installed::yes) return true;
    }
    base::Message text;
    text << (result == os::Installed::in_use ? "the program has a handler of its own for signal "
                                             : "the system refuses a handler for signal ")
         << static_cast<std::uint64_t>(first);
    keep_failure(text);
    return false;
}

void World::keep_failure(const base::Message& text) {
    const std::string_view view = text.view();
    const std::size_t length = view.size() < sizeof failure_ ? view.size() : sizeof failure_ - 1;
    for (std::size_t i = 0; i < length; ++i) failure_[i] = view[i];
    failure_[length] = 0;
}

ThreadRecord* World::current() { return current_thread; }

// ---- a thread, about itself

void World::attach(ThreadRecord& thread) {
    if (current_thread == &thread) return;
    CAIRN_CHECK(current_thread == nullptr);
    const os::MemoryRange stack = os::current_stack();
    const os::MemoryRange block = os::thread_block();
    list_lock_.lock();
    CAIRN_CHECK(!thread.link.is_listed);
    // A signal that somebody waits for with sigwait() would be taken by that.
    thread.is_deaf = os::is_stop_signal_blocked() && os::install_insistent_handler(on_insistent);
    thread.tid = os::thread_id();
    thread.stack = stack;
    thread.block = block;
    thread.thread_pointer = os::thread_pointer();
    thread.blocking_depth = 0;
    thread.context = nullptr;
    thread.position.forget();
    thread.own_left_at.forget();
    thread.fiber = nullptr;
    thread.previous_stack = {};
    thread.has_signal_stack = false;
    thread.world = this;
    // relaxed, these three: the list's lock publishes the record
    thread.state.store(running, std::memory_order_relaxed);    // relaxed: as above
    thread.is_signalled.store(0, std::memory_order_relaxed);   // relaxed: as above
    thread.is_insisted.store(0, std::memory_order_relaxed);    // relaxed: as above
    thread.runtime_depth.store(1, std::memory_order_relaxed);  // relaxed: as above; until we are done
    std::atomic_signal_fence(std::memory_order_seq_cst);       // the handler sees a complete record
    current_thread = &thread;
    threads_.push_back(&thread);
    list_lock_.unlock();
    leave_runtime(thread);
}

void World::detach(ThreadRecord& thread) {
    if (current_thread != &thread) return;
    enter_runtime(thread);
    take_signal_stack(thread);
    lock_list(&thread);
    threads_.remove(&thread);
    await_insistent(thread);
    current_thread = nullptr;
    std::atomic_signal_fence(std::memory_order_seq_cst);  // a signal that is still on its way finds nobody
    thread.world = nullptr;
    thread.blocking_depth = 0;
    thread.runtime_depth.store(0, std::memory_order_relaxed);  // relaxed: nobody looks any more
    thread.state.store(gone, std::memory_order_relaxed);       // relaxed: the lock orders it; no roots
    list_lock_.unlock();
}

// One that comes when the thread is not known any more would be taken for libc's. It was sent before the list
// was ours, so it is here as soon as the kernel looks; blocked all the same it may never come.
void World::await_insistent(ThreadRecord& thread) {
    constexpr int most_looks = 1000;
    // relaxed: set under the list's lock, cleared by our own handler
    for (int i = 0; i < most_looks && thread.is_insisted.load(std::memory_order_relaxed) != 0; ++i)
        os::yield_cpu();
}

// The caller's frames that end with this call, its registers in them, are copied.
__attribute__((noinline)) void World::note_position(ThreadRecord& thread) {
    thread.context = nullptr;
    thread.position.note(thread.fiber != nullptr ? thread.fiber->stack : thread.stack);
}

__attribute__((noinline)) void World::enter_blocking(ThreadRecord& thread) {
    __builtin_unwind_init();
    if (thread.blocking_depth++ > 0) return;
    enter_runtime(thread);  // the handler shall not park in the middle of this
    note_position(thread);
    std::uint32_t state = running;
    // release: publishes the position to the stopper
    while (!thread.state.compare_exchange_weak(state, (state & wanted) | blocked, std::memory_order_acq_rel,
                                               std::memory_order_relaxed)) {}  // relaxed: tried again
    if ((state & wanted) != 0) thread.world->acknowledge();
    std::atomic_signal_fence(std::memory_order_seq_cst);  // the handler finds us blocked, then outside
    // relaxed, twice: as in leave_runtime(), but nothing to park for
    thread.runtime_depth.store(thread.runtime_depth.load(std::memory_order_relaxed) - 1,
                               std::memory_order_relaxed);  // relaxed: as above
}

void World::leave_blocking(ThreadRecord& thread) {
    if (--thread.blocking_depth > 0) return;
    run_again(thread, ThreadState::blocked);
}

// Leaves `from` once nobody wants the thread stopped.
void World::run_again(ThreadRecord& thread, ThreadState from) {
    std::atomic<std::uint32_t>& epoch = thread.world->epoch_;
    for (;;) {
        const std::uint32_t before = epoch.load(std::memory_order_acquire);  // acquire: pairs with end_stop()
        auto state = static_cast<std::uint32_t>(from);
        // acquire: what the stopper wrote while we rested
        if (thread.state.compare_exchange_strong(state, running, std::memory_order_acquire,
                                                 std::memory_order_relaxed))  // relaxed: sleeps, tries again
            return;
        base::os_wait(epoch, before);
    }
}

void World::park(ThreadRecord& thread, const os::StopContext* context) {
    std::uint32_t state = running | wanted;
    thread.context = context;
    // release: publishes the position to the stopper; acquire: as in run_again(), when it is over already
    if (!thread.state.compare_exchange_strong(state, stopped | wanted, std::memory_order_acq_rel,
                                              std::memory_order_acquire)) {  // acquire: see run_again()
        thread.context = nullptr;
        return;
    }
    thread.world->acknowledge();
    run_again(thread, ThreadState::stopped);
    thread.context = nullptr;
}

__attribute__((noinline)) void World::park_at_leave(ThreadRecord& thread) {
    __builtin_unwind_init();
    enter_runtime(thread);
    note_position(thread);
    park(thread, nullptr);
    leave_runtime(thread);
}

// On the interrupted thread, all signals blocked.
void World::on_stop(const os::StopContext& context) {
    ThreadRecord* thread = current_thread;
    if (thread == nullptr) return;
    // acquire, release: who finds the flag set sends no signal, and we then see what it wanted
    thread->is_signalled.exchange(0, std::memory_order_acq_rel);
    park_if_wanted(*thread, context);
}

// False: nobody of us sent it.
bool World::on_insistent(const os::StopContext& context) {
    ThreadRecord* thread = current_thread;
    // acquire, release: as above
    if (thread == nullptr || thread->is_insisted.exchange(0, std::memory_order_acq_rel) == 0) return false;
    park_if_wanted(*thread, context);
    return true;
}

void World::park_if_wanted(ThreadRecord& thread, const os::StopContext& context) {
    if (thread.runtime_depth.load(std::memory_order_relaxed) > 0) return;  // relaxed: the same thread
    // relaxed: only a look; park() orders
    if (thread.state.load(std::memory_order_relaxed) != (running | wanted)) return;
    CAIRN_ASSERT(!base::holds_locks());  // who waits for one might be who ends this stop
    park(thread, &context);
}

void World::acknowledge() {
    // release: what the thread wrote before it rested; acquire: the last one's wake-up speaks for all
    if (unrested_.fetch_sub(1, std::memory_order_acq_rel) == 1) base::os_wake(unrested_, true);
}

// ---- the stopper

// Needs not to be stopped itself: counts as blocked while it waits. Who was held meanwhile lets the list go
// before it waits for its release.
void World::lock_list(ThreadRecord* self) {
    while (!list_lock_.try_lock()) {
        if (self == nullptr) {
            list_lock_.lock();
            return;
        }
        enter_blocking(*self);
        list_lock_.lock();
        const bool is_free = !is_held(*self);  // nobody is wanted, or held, while we hold the list
        if (!is_free) list_lock_.unlock();
        leave_blocking(*self);
        if (is_free) return;
    }
}

// A child of a fork() that ran no handlers (_Fork, a bare system call) has one thread, under a new number.
bool World::is_process_ours(ThreadRecord* self) {
    const std::uint32_t process = os::process_id();
    if (process == process_) return true;
    if (self == nullptr) return false;
    reset_in_child(self);
    return true;
}

bool World::begin_stop(ThreadRecord* self) {
    if (!is_process_ours(self)) {
        base::Message text;
        text << "this process was forked without fork handlers, and the thread that did it is not known";
        keep_failure(text);
        return false;
    }
    if (self != nullptr) enter_runtime(*self);
    const std::uint64_t began_ns = os::monotonic_ns();
    lock_list(self);
    stop_began_ns_ = began_ns;
    stopper_ = self;
    failure_[0] = 0;
    last_stop_ = {};
    unrested_.store(bias, std::memory_order_relaxed);  // relaxed: ask() publishes it
    return true;
}

void World::ask(ThreadRecord& thread, std::uint32_t& asked) {
    ++last_stop_.threads;
    // acquire: the position of one that rests; release: unrested_, to who will answer
    const std::uint32_t state = thread.state.fetch_or(wanted, std::memory_order_acq_rel);
    if (state == running) {
        ++asked;
        signal_to(thread);
    } else if ((state & ~held) == blocked && !os::is_thread_alive(thread.tid)) {
        ++asked;
        declare_gone(thread, ThreadState::blocked);
    }
}

void World::signal_to(ThreadRecord& thread) {
    std::atomic<std::uint32_t>& is_sent = thread.is_deaf ? thread.is_insisted : thread.is_signalled;
    // release: the flag `wanted`, to the handler that clears this; acquire: its order with that
    if (is_sent.exchange(1, std::memory_order_acq_rel) != 0) return;
    switch (thread.is_deaf ? os::send_insistent(thread.tid) : os::send_stop(thread.tid)) {
        case os::Sent::sent: ++last_stop_.signals; return;
        case os::Sent::gone: declare_gone(thread, ThreadState::running); return;
        // relaxed: sent again by look_at_late()
        case os::Sent::refused: is_sent.store(0, std::memory_order_relaxed); return;
    }
}

void World::declare_gone(ThreadRecord& thread, ThreadState from) {
    // relaxed: held or not is decided under the list's lock, which is ours
    const std::uint32_t flags = wanted | (thread.state.load(std::memory_order_relaxed) & held);
    std::uint32_t state = static_cast<std::uint32_t>(from) | flags;
    // relaxed, twice: nobody else is there to look; it may just have answered
    if (thread.state.compare_exchange_strong(state, gone | wanted, std::memory_order_relaxed,
                                             std::memory_order_relaxed))  // relaxed: as above
        acknowledge();
}

bool World::wait_for_rest(std::uint32_t asked) {
    // acquire: what the threads wrote before they rested
    std::uint32_t left = unrested_.fetch_sub(bias - asked, std::memory_order_acquire) - (bias - asked);
    std::uint64_t pause_ns = first_look_ns;
    std::uint64_t look_ns = os::monotonic_ns() + pause_ns;
    // Pauses, not the time since the stop began: we may have waited for another's stop first, and a process
    // may be halted as a whole for hours.
    std::uint64_t waited_ns = 0;
    while (left != 0) {
        os::wait_for(unrested_, left, pause_ns);
        left = unrested_.load(std::memory_order_acquire);  // acquire: pairs with acknowledge()
        const std::uint64_t now_ns = os::monotonic_ns();
        if (left == 0 || now_ns < look_ns) continue;
        waited_ns += pause_ns;
        if (!look_at_late(waited_ns)) return false;
        pause_ns = pause_ns * 2 < look_limit_ns ? pause_ns * 2 : look_limit_ns;
        look_ns = now_ns + pause_ns;
        left = unrested_.load(std::memory_order_acquire);  // acquire: pairs with acknowledge()
    }
    return true;
}

// Looks after those that do not answer; false when one of them never will.
bool World::look_at_late(std::uint64_t waited_ns) {
    bool is_hopeful = true;
    for_each([&](ThreadRecord& thread) {
        // relaxed, three times: a look at others' progress
        if (thread.state.load(std::memory_order_relaxed) != (running | wanted)) return;
        const bool is_ours = thread.runtime_depth.load(std::memory_order_relaxed) > 0;  // relaxed: as above
        const os::Standing standing = os::standing_of(thread.tid);
        if (standing == os::Standing::gone) {
            declare_gone(thread, ThreadState::running);
            return;
        }
        const bool is_deaf = standing == os::Standing::blocks_signal && !is_ours;
        // Its queue was full, or the flag was left by a process that we were forked from.
        // relaxed: sent again below
        if (!is_deaf && !is_ours) thread.is_signalled.store(0, std::memory_order_relaxed);
        if (is_deaf && !thread.is_deaf) thread.is_deaf = os::install_insistent_handler(on_insistent);
        signal_to(thread);
        if (waited_ns < (is_deaf ? patience_.blocked_ns : patience_.silent_ns)) return;
        if (is_hopeful) explain(thread, standing);
        is_hopeful = false;
    });
    return is_hopeful;
}

void World::explain(const ThreadRecord& thread, os::Standing standing) {
    base::Message text;
    text << "thread " << std::uint64_t{thread.tid};
    switch (standing) {
        case os::Standing::blocks_signal: text << " blocks signal "; break;
        case os::Standing::halted: text << " is halted and does not take signal "; break;
        default: text << " does not take signal "; break;
    }
    text << static_cast<std::uint64_t>(signal_) << ", which stops threads";
    keep_failure(text);
}

bool World::finish_stop(std::uint32_t asked) {
    const bool is_stopped = wait_for_rest(asked);
    last_stop_.ns = os::monotonic_ns() - stop_began_ns_;
    if (!is_stopped) take_back();
    return is_stopped;
}

bool World::stop_all(ThreadRecord* self, bool is_noted) {
    __builtin_unwind_init();
    CAIRN_ASSERT(self == current_thread);
    StackPosition noted;
    if (is_noted) noted = self->position;
    if (!begin_stop(self)) return false;
    if (is_noted) self->position = noted;  // who waits for the list notes another
    else if (self != nullptr) note_position(*self);
    std::uint32_t asked = 0;
    for_each([&](ThreadRecord& thread) {
        if (&thread != self) ask(thread, asked);
    });
    return finish_stop(asked);
}

bool World::stop_one(ThreadRecord& thread) {
    __builtin_unwind_init();
    ThreadRecord* const self = current_thread;
    if (!begin_stop(self)) return false;
    std::uint32_t asked = 0;
    if (&thread == self) note_position(thread);
    else if (thread.link.is_listed) ask(thread, asked);
    return finish_stop(asked);
}

void World::resume_all() {
    for_each([](ThreadRecord& thread) {
        // release: all we did, to the thread when it runs again
        thread.state.fetch_and(~wanted, std::memory_order_release);
    });
    end_stop();
}

void World::resume_one(ThreadRecord& thread) {
    // release: as in resume_all()
    if (thread.link.is_listed) thread.state.fetch_and(~wanted, std::memory_order_release);
    end_stop();
}

bool World::hold(ThreadRecord& thread) {
    if (&thread == current_thread) {
        enter_blocking(thread);
        lock_list(nullptr);
        thread.state.fetch_or(held, std::memory_order_relaxed);  // relaxed: it looks itself
        list_lock_.unlock();
        leave_blocking(thread);
        return true;
    }
    // relaxed: it rests; one that has just become blocked may be on its way out of our code still
    const bool is_inside = thread.runtime_depth.load(std::memory_order_relaxed) != 0;
    if (is_inside && thread.thread_state() == ThreadState::blocked) return false;
    thread.state.fetch_or(held, std::memory_order_relaxed);  // relaxed: what rests stays where it is
    return true;
}

void World::release(ThreadRecord& thread) {
    ThreadRecord* const self = current_thread;
    if (self != nullptr) enter_runtime(*self);
    lock_list(self);
    // release: what the caller did before, to the thread when it runs again
    const std::uint32_t state = thread.state.fetch_and(~held, std::memory_order_release);
    if ((state & held) != 0) epoch_.fetch_add(1, std::memory_order_release);  // release: as in end_stop()
    list_lock_.unlock();
    if ((state & held) != 0) base::os_wake(epoch_, true);
    if (self != nullptr) leave_runtime(*self);
}

// A stop failed: nobody is wanted, and the answers of those who rested meanwhile have all come in.
void World::take_back() {
    std::uint32_t never_answered = 0;
    for_each([&](ThreadRecord& thread) {
        // release: as in resume_all()
        const std::uint32_t state = thread.state.fetch_and(~wanted, std::memory_order_release);
        if (state == (running | wanted)) ++never_answered;
    });
    // acquire: the last answer was given
    while (unrested_.load(std::memory_order_acquire) != never_answered) os::yield_cpu();
    end_stop();
}

ThreadRecord* World::take_gone() {
    for (ThreadRecord* thread = threads_.first(); thread != nullptr; thread = Threads::next(thread)) {
        if (thread->thread_state() != ThreadState::gone) continue;
        threads_.remove(thread);
        thread->world = nullptr;
        return thread;
    }
    return nullptr;
}

void World::end_stop() {
    ThreadRecord* const self = stopper_;
    stopper_ = nullptr;
    epoch_.fetch_add(1, std::memory_order_release);  // release: pairs with run_again()
    list_lock_.unlock();
    base::os_wake(epoch_, true);
    if (self != nullptr) leave_runtime(*self);
}

// ---- fibers

void World::add_fiber(FiberRecord& fiber, os::MemoryRange stack, bool is_tracked) {
    ThreadRecord* const self = current_thread;
    if (self != nullptr) enter_runtime(*self);
    fibers_.add(fiber, stack, is_tracked);
    if (self != nullptr) leave_runtime(*self);
}

void World::remove_fiber(FiberRecord& fiber) {
    ThreadRecord* const self = current_thread;
    if (self != nullptr) enter_runtime(*self);
    fibers_.remove(fiber);
    if (self != nullptr) leave_runtime(*self);
}

__attribute__((noinline)) void World::fiber_suspend(ThreadRecord& self) {
    __builtin_unwind_init();
    enter_runtime(self);
    FiberRecord* const fiber = self.fiber;
    if (fiber == nullptr) {
        self.own_left_at.note(self.stack);
    } else {
        fiber->left_at.note(fiber->stack);
        self.previous_stack = fiber->stack;
        self.fiber = nullptr;
        FiberSet::leave(*fiber);
    }
    leave_runtime(self);
}

void World::fiber_resume(ThreadRecord& self, FiberRecord* to) {
    enter_runtime(self);
    if (to != nullptr) {
        if (!self.has_signal_stack) give_signal_stack(self);
        self.world->fibers_.enter(*to);
    }
    self.fiber = to;
    leave_runtime(self);
}

void World::give_signal_stack(ThreadRecord& thread) {
    thread.has_signal_stack = true;
    if (!os::alternate_stack().is_empty()) return;
    const std::size_t bytes = os::alternate_stack_bytes();
    if (thread.signal_stack.is_empty()) {
        void* memory = os::alloc(bytes, signal_stack_bytes);
        if (memory == nullptr) return;  // large fibers do without
        const auto low = reinterpret_cast<std::uintptr_t>(memory);
        thread.signal_stack = {low, low + bytes};
    }
    (void)os::set_alternate_stack(reinterpret_cast<void*>(thread.signal_stack.low), bytes);
}

// Before the record goes to another thread. In a handler on it the kernel refuses; the thread is ending then.
void World::take_signal_stack(ThreadRecord& thread) {
    if (thread.signal_stack.is_empty() || os::alternate_stack().low != thread.signal_stack.low) return;
    if (!os::set_alternate_stack(nullptr, 0)) thread.signal_stack = {};
}

__attribute__((noinline)) void World::switch_fiber(ThreadRecord& self, FiberRecord* to) {
    __builtin_unwind_init();
    fiber_suspend(self);
    fiber_resume(self, to);
}

// ---- fork

void World::lock_for_fork() {
    lock_list(current_thread);
    fibers_.lock();
}

void World::unlock_after_fork() {
    fibers_.unlock();
    list_lock_.unlock();
}

void World::reset_in_child(ThreadRecord* survivor) {
    fibers_.reset_in_child(survivor != nullptr ? survivor->fiber : nullptr);
    list_lock_.reset_after_fork();
    while (ThreadRecord* thread = threads_.pop_front()) {
        thread->is_signalled.store(0, std::memory_order_relaxed);  // relaxed: one thread, no signals yet
        thread->is_insisted.store(0, std::memory_order_relaxed);   // relaxed: as above
        if (thread == survivor) continue;
        thread->world = nullptr;
        thread->state.store(gone, std::memory_order_relaxed);  // relaxed: one thread
    }
    process_ = os::process_id();
    if (survivor == nullptr) return;
    survivor->tid = os::thread_id();
    threads_.push_back(survivor);
}

}  // namespace cairn::gc
