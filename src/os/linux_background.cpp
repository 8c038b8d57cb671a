// One background thread that the C library does not know.
//
// A thread made by pthread_create() has a price the program notices: libc allocates for it, leaves its
// single-threaded shortcuts, runs its hooks, and sends signals its way. This one is a bare clone(): every
// signal is blocked, its stack and its blank thread-local block are one mapping kept for the next spawn.
//
//   low                                                                                   high
//   | guard page | stack 64 KiB | 64 KiB below the thread pointer | 64 KiB above the thread pointer |
//
// The thread pointer must point somewhere: compiled code reads the stack protector's word relative to it (on
// x86_64), so the block is zero but for the pointers to itself that the ABI puts in it.
//
// State lies in a page that the kernel wipes in a forked child, so the child, where the thread does not
// exist, finds "none" whatever kind of fork it came from (a kernel older than 4.14 cannot: there is no
// background thread then). The kernel itself clears `tid` when the thread has left its stack for good:
//
//   none     tid == 0
//   running  tid != 0, not leaving
//   leaving  tid != 0, leaving: entry has returned, tid becomes 0 within microseconds
//
// Under sanitizers, whose runtime keeps a record in every thread's TLS, the thread is an ordinary one.
// SPDX-License-Identifier: MIT
#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/config.hpp"
#include "base/os_calls.hpp"
#include "os/linux_syscalls.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"
#include "os/threads.hpp"

namespace cairn::os {
namespace {

using raw::Call;

constexpr std::size_t stack_bytes = std::size_t{64} << 10;     // one page where pages are largest
constexpr std::size_t tls_side_bytes = std::size_t{64} << 10;  // loaders accept at most this much static TLS

struct State {
    std::atomic<std::uint32_t> tid;         // [atomic] written by the kernel; 0: no thread
    std::atomic<std::uint32_t> is_claimed;  // [atomic] 1 while somebody spawns
    std::atomic<std::uint32_t> is_leaving;  // [atomic]
    std::atomic<std::uint32_t> is_woken;    // [atomic] 1: the next sleep ends at once
    void (*entry)(void*);                   // [lock] of is_claimed
    void* argument;                         // [lock] of is_claimed
};

constinit std::atomic<State*> state_page{nullptr};  // [atomic] mapped once, then fixed
constinit std::atomic<char*> stack_mapping{nullptr};  // [atomic] mapped once, then fixed

void* map_pages(std::size_t bytes) {
    const long result = raw::call(Call::mmap, nullptr, bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return raw::is_error(result) ? nullptr : reinterpret_cast<void*>(result);
}

State* find_state() {
    return state_page.load(std::memory_order_acquire);  // acquire: pairs with make_state()
}

State* make_state() {
    State* state = find_state();
    if (state != nullptr) return state;
    auto* fresh = static_cast<State*>(map_pages(page_bytes()));  // zero pages are a State at rest
    if (fresh == nullptr) return nullptr;
    const bool is_wiped = !raw::is_error(raw::call(Call::madvise, fresh, page_bytes(), MADV_WIPEONFORK));
    // release: publishes the page; acquire: sees the one of who came first
    if (is_wiped && state_page.compare_exchange_strong(state, fresh, std::memory_order_acq_rel,
                                                       std::memory_order_acquire)) {  // acquire: as above
        return fresh;
    }
    (void)raw::call(Call::munmap, fresh, page_bytes());
    return state;
}

// Lowest address of the mapping drawn above, blank.
char* prepare_stack() {
    const std::size_t guard = page_bytes();
    const std::size_t bytes = guard + stack_bytes + 2 * tls_side_bytes;
    char* low = stack_mapping.load(std::memory_order_relaxed);  // relaxed: only under is_claimed
    if (low == nullptr) {
        low = static_cast<char*>(map_pages(bytes));
        if (low == nullptr) return nullptr;
        (void)raw::call(Call::mprotect, low, guard, PROT_NONE);
        stack_mapping.store(low, std::memory_order_relaxed);  // relaxed: only under is_claimed
    } else {
        (void)raw::call(Call::madvise, low + guard, bytes - guard, MADV_DONTNEED);
    }
    return low;
}

[[noreturn]] void run(State* state) {
    (void)raw::call(Call::prctl, PR_SET_NAME, "cairn");
    state->entry(state->argument);
    state->is_leaving.store(1, std::memory_order_release);  // release: what entry did, to the next spawn
    for (;;) (void)raw::call(Call::exit, 0);
}

// Returns twice in the kernel's eyes, once in ours: the new thread calls run(state) and never comes back.
long clone_thread(State* state, char* stack_top, void* thread_pointer) {
    constexpr long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                           CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
#if defined(__x86_64__)
    register void* child_tid asm("r10") = &state->tid;
    register void* tls asm("r8") = thread_pointer;
    register void (*start)(State*) asm("r9") = run;
    register State* argument asm("r12") = state;
    long result = static_cast<long>(Call::clone);
    asm volatile(
        "syscall\n\t"
        "test %%rax, %%rax\n\t"
        "jnz 1f\n\t"
        "xor %%ebp, %%ebp\n\t"
        "mov %%r12, %%rdi\n\t"
        "call *%%r9\n\t"
        "ud2\n"
        "1:"
        : "+a"(result)
        : "D"(flags), "S"(stack_top), "d"(&state->tid), "r"(child_tid), "r"(tls), "r"(start), "r"(argument)
        : "rcx", "r11", "memory", "cc");
    return result;
#elif defined(__aarch64__)
    register long number asm("x8") = static_cast<long>(Call::clone);
    register long result asm("x0") = flags;
    register void* stack asm("x1") = stack_top;
    register void* parent_tid asm("x2") = &state->tid;
    register void* tls asm("x3") = thread_pointer;
    register void* child_tid asm("x4") = &state->tid;
    register void (*start)(State*) asm("x5") = run;
    register State* argument asm("x6") = state;
    asm volatile(
        "svc 0\n\t"
        "cbnz x0, 1f\n\t"
        "mov x29, xzr\n\t"
        "mov x30, xzr\n\t"
        "mov x0, x6\n\t"
        "blr x5\n\t"
        "brk 1\n"
        "1:"
        : "+r"(result)
        : "r"(number), "r"(stack), "r"(parent_tid), "r"(tls), "r"(child_tid), "r"(start), "r"(argument)
        : "memory", "cc");
    return result;
#endif
}

bool start_bare_thread(State& state) {
    char* low = prepare_stack();
    if (low == nullptr) return false;
    char* stack_top = low + page_bytes() + stack_bytes;
    char* thread_pointer = stack_top + tls_side_bytes;
    auto* words = reinterpret_cast<void**>(thread_pointer);
    words[0] = thread_pointer;  // x86_64: %fs:0 holds its own address; unused elsewhere
    words[2] = thread_pointer;
    return !raw::is_error(clone_thread(&state, stack_top, thread_pointer));
}

void run_ordinary(void* argument) {
    auto* state = static_cast<State*>(argument);
    state->entry(state->argument);
    state->is_leaving.store(1, std::memory_order_release);  // release: what entry did, to the next spawn
    state->tid.store(0, std::memory_order_release);         // release: as above
    (void)raw::call(Call::futex, &state->tid, FUTEX_WAKE, 1);
}

[[maybe_unused]] bool start_ordinary_thread(State& state) {
    state.tid.store(1, std::memory_order_relaxed);  // relaxed: thread creation orders it
    // By our own road, or the collector would take it for a thread of the program's, and its creator too.
    if (spawn_thread(run_ordinary, &state, "cairn-background")) return true;
    state.tid.store(0, std::memory_order_relaxed);  // relaxed: the caller holds is_claimed
    return false;
}

// True when no thread is left; waits for one that has only its exit before it.
bool is_vacant(State& state) {
    for (;;) {
        const std::uint32_t tid = state.tid.load(std::memory_order_acquire);  // acquire: all the thread did
        if (tid == 0) return true;
        // acquire: pairs with the release in run()
        if (state.is_leaving.load(std::memory_order_acquire) == 0) return false;
        // Shared, not private: this is the kind of wake-up the kernel sends at thread exit.
        (void)raw::call(Call::futex, &state.tid, FUTEX_WAIT, tid, nullptr);
    }
}

bool spawn_claimed(State& state, void (*entry)(void*), void* argument) {
    if (!is_vacant(state)) return false;
    state.entry = entry;
    state.argument = argument;
    state.is_leaving.store(0, std::memory_order_relaxed);  // relaxed: thread creation orders it
    state.is_woken.store(0, std::memory_order_relaxed);    // relaxed: as above
    raw::SignalSet old_mask = 0;
    constexpr int set_mask = 2;
    // The new thread inherits the mask; libc's wrapper would leave its two private signals open.
    (void)raw::call(Call::rt_sigprocmask, set_mask, &raw::all_signals, &old_mask, sizeof old_mask);
    bool is_started;
    if constexpr (base::sanitized_build) is_started = start_ordinary_thread(state);
    else is_started = start_bare_thread(state);
    (void)raw::call(Call::rt_sigprocmask, set_mask, &old_mask, nullptr, sizeof old_mask);
    return is_started;
}

}  // namespace

bool spawn_background(void (*entry)(void*), void* argument) {
    State* state = make_state();
    if (state == nullptr) return false;
    // acquire: pairs with the release below
    if (state->is_claimed.exchange(1, std::memory_order_acquire) != 0) return false;
    const bool is_started = spawn_claimed(*state, entry, argument);
    state->is_claimed.store(0, std::memory_order_release);  // release: hands the fields to the next spawner
    return is_started;
}

bool is_background_running() {
    State* state = find_state();
    if (state == nullptr) return false;
    // acquire, both: who hears "no" also sees what the thread did; "yes" may be old as soon as it is given
    const bool is_there = state->tid.load(std::memory_order_acquire) != 0;
    return is_there && state->is_leaving.load(std::memory_order_acquire) == 0;  // acquire: as above
}

void background_sleep(std::uint64_t ns) {
    State* state = find_state();
    if (state == nullptr) return;
    // acquire: pairs with the release in wake_background()
    if (state->is_woken.exchange(0, std::memory_order_acquire) != 0) return;
    const raw::TimeSpec timeout = raw::time_spec(ns);
    (void)raw::call(Call::futex, &state->is_woken, FUTEX_WAIT_PRIVATE, 0, &timeout);
    state->is_woken.exchange(0, std::memory_order_acquire);  // acquire: pairs with wake_background()
}

void wake_background() {
    State* state = find_state();
    if (state == nullptr) return;
    // release: what the waker wrote, to the sleeper; a second wake-up before the sleeper ran costs no call
    if (state->is_woken.exchange(1, std::memory_order_release) == 0) base::os_wake(state->is_woken, false);
}

}  // namespace cairn::os
