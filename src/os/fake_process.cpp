// A process on the fake operating system: clocks that stand still, a background thread that runs when told.
//
// Files, standard error and the calls of floor base are real.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/check.hpp"
#include "base/os_calls.hpp"
#include "os/fake.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"

namespace cairn::os {
namespace {

constexpr std::uint64_t first_time = 1'000'000'000;

struct Process {
    std::atomic<std::uint64_t> now_ns{first_time};         // [atomic]
    std::atomic<std::uint64_t> thread_cpu_ns{first_time};  // [atomic]
    std::atomic<std::uint64_t> random{0};                  // [atomic]
    std::atomic<std::uint64_t> wakes{0};                   // [atomic]
    std::atomic<bool> is_woken{false};                     // [atomic]
    bool is_background_allowed = false;                    // [owner] the test's thread, as all below
    void (*entry)(void*) = nullptr;                        // [owner] noted by spawn_background()
    void* argument = nullptr;                              // [owner]
    unsigned cpus = 2;                                     // [owner]
};

constinit Process process;

}  // namespace

// ---- orders of a test

namespace fake {

void reset_process() {
    // relaxed, all of these: the test's own thread, no other runs
    process.now_ns.store(first_time, std::memory_order_relaxed);         // relaxed: as above
    process.thread_cpu_ns.store(first_time, std::memory_order_relaxed);  // relaxed: as above
    process.random.store(0, std::memory_order_relaxed);                  // relaxed: as above
    process.wakes.store(0, std::memory_order_relaxed);                   // relaxed: one thread
    process.is_woken.store(false, std::memory_order_relaxed);            // relaxed: one thread
    process.is_background_allowed = false;
    process.entry = nullptr;
    process.cpus = 2;
}

void set_time(std::uint64_t ns) { process.now_ns.store(ns, std::memory_order_relaxed); }  // relaxed: a clock

void advance_time(std::uint64_t ns) {
    process.now_ns.fetch_add(ns, std::memory_order_relaxed);  // relaxed: a clock
}

void set_thread_cpu_time(std::uint64_t ns) {
    process.thread_cpu_ns.store(ns, std::memory_order_relaxed);  // relaxed: a clock
}

void advance_thread_cpu_time(std::uint64_t ns) {
    process.thread_cpu_ns.fetch_add(ns, std::memory_order_relaxed);  // relaxed: a clock
}

void set_cpu_count(unsigned count) { process.cpus = count; }
void allow_background(bool is_allowed) { process.is_background_allowed = is_allowed; }

void run_background() {
    CAIRN_CHECK(process.entry != nullptr);
    process.entry(process.argument);
    process.entry = nullptr;
}

std::uint64_t wakes() { return process.wakes.load(std::memory_order_relaxed); }  // relaxed: a statistic

}  // namespace fake

// ---- process.hpp

std::uint64_t monotonic_ns() {
    return process.now_ns.load(std::memory_order_relaxed);  // relaxed: a clock
}

std::uint64_t thread_cpu_ns() {
    return process.thread_cpu_ns.load(std::memory_order_relaxed);  // relaxed: a clock
}

std::uint32_t process_id() { return static_cast<std::uint32_t>(getpid()); }
std::uint32_t thread_id() { return static_cast<std::uint32_t>(syscall(SYS_gettid)); }
unsigned current_cpu() { return 0; }
void leave_cpu(unsigned) {}
unsigned cpu_count() { return process.cpus; }

// The same row after every reset(). Source: SplitMix64.
std::uint64_t random_word() {
    constexpr std::uint64_t step = 0x9e3779b97f4a7c15;
    // relaxed: a counter
    std::uint64_t word = process.random.fetch_add(step, std::memory_order_relaxed) + step;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    return word ^ (word >> 31);
}

void sleep_ns(std::uint64_t ns) { fake::advance_time(ns); }
void yield_cpu() { (void)sched_yield(); }

bool is_on_current_stack(std::uintptr_t address) {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return false;
    void* low = nullptr;
    std::size_t bytes = 0;
    (void)pthread_attr_getstack(&attributes, &low, &bytes);
    (void)pthread_attr_destroy(&attributes);
    return address - reinterpret_cast<std::uintptr_t>(low) < bytes;
}

Residency residency() { return {mapped_ready(), fake::ready_peak()}; }

bool spawn_background(void (*entry)(void*), void* argument) {
    if (!process.is_background_allowed || process.entry != nullptr) return false;
    process.entry = entry;
    process.argument = argument;
    process.is_woken.store(false, std::memory_order_relaxed);  // relaxed: one thread in all of this
    return true;
}

bool is_background_running() { return process.entry != nullptr; }

void background_sleep(std::uint64_t ns) {
    // acquire: pairs with wake_background()
    if (!process.is_woken.exchange(false, std::memory_order_acquire)) fake::advance_time(ns);
}

void wake_background() {
    process.wakes.fetch_add(1, std::memory_order_relaxed);    // relaxed: a statistic
    process.is_woken.store(true, std::memory_order_release);  // release: pairs with background_sleep()
}

void at_fork(void (*prepare)(), void (*parent)(), void (*child)()) {
    (void)pthread_atfork(prepare, parent, child);
}

bool write_file(const char* path, const char* text, std::size_t bytes, bool append) {
    const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0644);
    if (file < 0) return false;
    const bool is_written = write(file, text, bytes) == static_cast<ssize_t>(bytes);
    return close(file) == 0 && is_written;
}

void keep_stderr() {}

bool is_block_of_break(std::uintptr_t) { return false; }

void write_stderr(const char* text, std::size_t bytes) {
    if (write(STDERR_FILENO, text, bytes) < 0) return;
}

const char* environment(const char* name) { return getenv(name); }

void program_name(char* out, std::size_t capacity) {
    if (capacity == 0) return;
    std::strncpy(out, "fake", capacity - 1);
    out[capacity - 1] = 0;
}

}  // namespace cairn::os

namespace cairn::base {

void os_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected) {
    const int error = errno;
    (void)syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr);
    errno = error;
}

void os_wake(std::atomic<std::uint32_t>& word, bool all) {
    const int error = errno;
    (void)syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, all ? 0x7fffffff : 1);
    errno = error;
}

void os_write_error(const char* text, std::size_t bytes) { os::write_stderr(text, bytes); }

void os_abort() { std::abort(); }

}  // namespace cairn::base
