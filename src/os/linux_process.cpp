// The rest of Linux: identity, clocks, stacks, files and environment, and the four calls of floor base.
//
// Raw system calls and /proc. Three things are asked of libc, none of which locks or allocates: getauxval()
// (the vector the kernel left on the stack), `environ`, and pthread_atfork(), called once at start-up.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/auxv.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/os_calls.hpp"
#include "os/linux_syscalls.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"
#include "os/threads.hpp"

extern "C" char** environ;

namespace cairn::os {

namespace raw {

ProcFile::ProcFile(const char* path)
    : file_(call(Call::openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC)) {}

ProcFile::~ProcFile() {
    if (file_ >= 0) (void)call(Call::close, file_);
}

bool ProcFile::refill() {
    if (file_ < 0) return false;
    long got;
    do {
        got = call(Call::read, file_, buffer_, sizeof buffer_);
    } while (got == -EINTR);
    if (got <= 0) return false;
    next_ = 0;
    length_ = static_cast<std::size_t>(got);
    return true;
}

bool ProcFile::next_line(char* out, std::size_t capacity) {
    std::size_t length = 0;
    bool is_anything = false;
    while (next_ < length_ || refill()) {
        is_anything = true;
        const char c = buffer_[next_++];
        if (c == '\n') break;
        if (length + 1 < capacity) out[length++] = c;
    }
    out[length] = 0;
    return is_anything;
}

std::size_t ProcFile::read(char* out, std::size_t capacity) {
    std::size_t length = 0;
    while (length < capacity && (next_ < length_ || refill())) out[length++] = buffer_[next_++];
    return length;
}

std::uint64_t parse_number(const char*& text, unsigned base) {
    std::uint64_t number = 0;
    for (;; ++text) {
        unsigned digit;
        if (*text >= '0' && *text <= '9') digit = static_cast<unsigned>(*text - '0');
        else if (base == 16 && *text >= 'a' && *text <= 'f') digit = static_cast<unsigned>(*text - 'a') + 10;
        else return number;
        number = number * base + digit;
    }
}

// In milliseconds, about: how long a message is worth waiting for.
constexpr unsigned refusals_max = 100;

bool write_all(long file, const char* text, std::size_t bytes) {
    unsigned refusals = 0;
    while (bytes > 0) {
        const long written = call(Call::write, file, text, bytes);
        if (written == -EINTR) continue;
        // A full pipe that does not block: its reader needs a moment.
        if (written == -EAGAIN && ++refusals < refusals_max) {
            sleep_ns(1'000'000);
            continue;
        }
        if (written <= 0) return false;
        text += written;
        bytes -= static_cast<std::size_t>(written);
    }
    return true;
}

}  // namespace raw

using raw::Call;

namespace {

constexpr int standard_error = 2;
constexpr int first_kept_file = 200;           // out of the way of programs that count on low numbers
constinit std::atomic<int> kept_stderr{-1};    // [atomic]
constexpr int clock_monotonic = 1;
constexpr int clock_thread_cpu = 3;
constexpr int timer_absolute = 1;

std::uint64_t read_clock(int clock) {
    raw::TimeSpec now{};
    (void)raw::call(Call::clock_gettime, clock, &now);
    const auto seconds = static_cast<std::uint64_t>(now.seconds);
    return seconds * 1'000'000'000 + static_cast<std::uint64_t>(now.nanoseconds);
}

// Spreads every input bit over the result. Source: the finaliser of SplitMix64.
constexpr std::uint64_t scramble(std::uint64_t word) {
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    return word ^ (word >> 31);
}

// Environment as the kernel passed it, for calls that come before libc set `environ`.
constexpr std::size_t environment_capacity = std::size_t{64} << 10;
constinit char environment_copy[environment_capacity];      // [owner] who brought the state below to 1
constinit std::atomic<std::uint32_t> environment_state{0};  // [atomic] 0 unread, 1 being read, 2 readable

const char* environment_before_libc() {
    std::uint32_t state = 0;
    // acquire: pairs with the release below
    if (environment_state.compare_exchange_strong(state, 1, std::memory_order_acquire)) {
        raw::ProcFile file("/proc/self/environ");
        const std::size_t length = file.read(environment_copy, environment_capacity - 2);
        environment_copy[length] = environment_copy[length + 1] = 0;
        environment_state.store(2, std::memory_order_release);  // release: publishes the copy
        return environment_copy;
    }
    return state == 2 ? environment_copy : "";
}

// Value when `entry` is `name`=value.
const char* value_of(const char* entry, const char* name) {
    while (*name != 0) {
        if (*entry++ != *name++) return nullptr;
    }
    return *entry == '=' ? entry + 1 : nullptr;
}

}  // namespace

std::uint64_t monotonic_ns() { return read_clock(clock_monotonic); }
std::uint64_t thread_cpu_ns() { return read_clock(clock_thread_cpu); }
std::uint32_t process_id() { return static_cast<std::uint32_t>(raw::call(Call::getpid)); }
std::uint32_t thread_id() { return static_cast<std::uint32_t>(raw::call(Call::gettid)); }

unsigned cpu_count() {
    std::uint64_t mask[128];  // 8192 CPUs, the kernel's own limit
    const long bytes = raw::call(Call::sched_getaffinity, 0, sizeof mask, mask);
    if (raw::is_error(bytes)) return 1;
    unsigned count = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(bytes) / sizeof mask[0]; ++i) {
        count += static_cast<unsigned>(std::popcount(mask[i]));
    }
    return count == 0 ? 1 : count;
}

unsigned current_cpu() {
    unsigned cpu = 0;
    (void)raw::call(Call::getcpu, &cpu, nullptr, nullptr);
    return cpu;
}

void leave_cpu(unsigned cpu) {
    constexpr std::size_t cpus_max = 8192;  // what the kernel can be built for
    constexpr std::size_t word_bits = 64;
    if (current_cpu() != cpu || cpu >= cpus_max) return;
    std::uint64_t mask[cpus_max / word_bits] = {};
    const long bytes = raw::call(Call::sched_getaffinity, 0, sizeof mask, mask);
    if (raw::is_error(bytes)) return;
    const std::uint64_t bit = std::uint64_t{1} << (cpu % word_bits);
    std::uint64_t others = 0;
    mask[cpu / word_bits] &= ~bit;
    for (const std::uint64_t word : mask) others |= word;
    if (others == 0 || raw::is_error(raw::call(Call::sched_setaffinity, 0, bytes, mask))) return;
    mask[cpu / word_bits] |= bit;
    (void)raw::call(Call::sched_setaffinity, 0, bytes, mask);
}

std::uint64_t random_word() {
    std::uint64_t word = 0;
    constexpr int do_not_wait = 1;
    if (raw::call(Call::getrandom, &word, sizeof word, do_not_wait) == sizeof word) return word;
    const auto* given = reinterpret_cast<const char*>(getauxval(AT_RANDOM));  // 16 bytes from the kernel
    if (given != nullptr) std::memcpy(&word, given, sizeof word);
    return scramble(scramble(word) ^ monotonic_ns() ^ reinterpret_cast<std::uintptr_t>(&word));
}

void sleep_ns(std::uint64_t ns) {
    const raw::TimeSpec until = raw::time_spec(monotonic_ns() + ns);
    while (raw::call(Call::clock_nanosleep, clock_monotonic, timer_absolute, &until, nullptr) == -EINTR) {}
}

void yield_cpu() { (void)raw::call(Call::sched_yield); }

bool is_on_current_stack(std::uintptr_t address) {
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const MemoryRange own = current_stack();
    if (own.contains(address)) return true;
    // In a signal handler on a stack of its own, which may lie anywhere: the mapping around it says nothing.
    if (const MemoryRange alternate = alternate_stack(); alternate.contains(here))
        return alternate.contains(address);
    return !own.contains(here) && mapping_of(here).contains(address);
}

bool is_block_of_break(std::uintptr_t address) {
    if (address % 16 != 0) return false;
    const auto end = static_cast<std::uintptr_t>(raw::call(Call::brk, 0));
    const MemoryRange mapping = mapping_of(address);
    const std::uintptr_t low = mapping.low + 16;
    if (address < low || address >= end || mapping.high < end || mapping.high - end >= page_bytes())
        return false;
    // In front of a block stands its size: a multiple of 16 with flags below, of which two mean "elsewhere".
    const std::size_t head = *reinterpret_cast<const std::size_t*>(address - sizeof(std::size_t));
    const std::size_t bytes = head & ~std::size_t{15};
    return (head & 14) == 0 && bytes >= 32 && bytes <= end - address + 16;
}

Residency residency() {
    raw::ProcFile status("/proc/self/status");
    Residency found{0, 0};
    char line[128];
    while (status.next_line(line, sizeof line)) {
        std::uint64_t* field = nullptr;
        if (std::strncmp(line, "VmRSS:", 6) == 0) field = &found.now_bytes;
        if (std::strncmp(line, "VmHWM:", 6) == 0) field = &found.peak_bytes;
        if (field == nullptr) continue;
        const char* at = line + 6;
        while (*at == ' ' || *at == '\t') ++at;
        *field = raw::parse_number(at, 10) * 1024;  // the file says kB
    }
    return found;
}

void at_fork(void (*prepare)(), void (*parent)(), void (*child)()) {
    (void)pthread_atfork(prepare, parent, child);
}

bool write_file(const char* path, const char* text, std::size_t bytes, bool append) {
    const int how = O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC);
    const long file = raw::call(Call::openat, AT_FDCWD, path, how, 0644);
    if (raw::is_error(file)) return false;
    const bool is_written = raw::write_all(file, text, bytes);
    return !raw::is_error(raw::call(Call::close, file)) && is_written;
}

void keep_stderr() {
    const long copy = raw::call(Call::fcntl, standard_error, F_DUPFD_CLOEXEC, first_kept_file);
    // relaxed: a number that stands alone
    if (!raw::is_error(copy)) kept_stderr.store(static_cast<int>(copy), std::memory_order_relaxed);
}

void write_stderr(const char* text, std::size_t bytes) {
    if (raw::write_all(standard_error, text, bytes)) return;
    const int kept = kept_stderr.load(std::memory_order_relaxed);  // relaxed: as in keep_stderr()
    if (kept >= 0) (void)raw::write_all(kept, text, bytes);
}

const char* environment(const char* name) {
    if (getauxval(AT_SECURE) != 0) return nullptr;  // a set-uid program must not write files its caller names
    if (environ != nullptr) {
        for (char** entry = environ; *entry != nullptr; ++entry) {
            if (const char* value = value_of(*entry, name)) return value;
        }
        return nullptr;
    }
    for (const char* entry = environment_before_libc(); *entry != 0; entry += std::strlen(entry) + 1) {
        if (const char* value = value_of(entry, name)) return value;
    }
    return nullptr;
}

void program_name(char* out, std::size_t capacity) {
    if (capacity == 0) return;
    char command[1024];
    raw::ProcFile arguments("/proc/self/cmdline");
    const std::size_t length = arguments.read(command, sizeof command - 1);
    command[length] = 0;
    if (command[0] == 0) {
        raw::ProcFile comm("/proc/self/comm");
        if (!comm.next_line(command, sizeof command)) command[0] = 0;
    }
    const char* last = command;
    for (const char* at = command; *at != 0; ++at) {
        if (*at == '/' && at[1] != 0) last = at + 1;
    }
    std::size_t i = 0;
    for (; i + 1 < capacity && last[i] != 0; ++i) out[i] = last[i];
    out[i] = 0;
}

}  // namespace cairn::os

namespace cairn::base {

using os::raw::Call;

void os_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected) {
    (void)os::raw::call(Call::futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr);
}

void os_wake(std::atomic<std::uint32_t>& word, bool all) {
    (void)os::raw::call(Call::futex, &word, FUTEX_WAKE_PRIVATE, all ? 0x7fffffff : 1);
}

void os_write_error(const char* text, std::size_t bytes) { os::write_stderr(text, bytes); }

void os_abort() {
    constexpr int signal = 6;  // SIGABRT
    constexpr int unblock = 1;
    constexpr os::raw::SignalSet mask = os::raw::SignalSet{1} << (signal - 1);
    (void)os::raw::call(Call::rt_sigprocmask, unblock, &mask, nullptr, sizeof mask);
    (void)os::raw::call(Call::tgkill, os::process_id(), os::thread_id(), signal);
    // Ignored, or the program's handler came back: the same with the default action, then without a signal.
    const std::uint64_t default_action[4] = {};
    (void)os::raw::call(Call::rt_sigaction, signal, default_action, nullptr, sizeof mask);
    (void)os::raw::call(Call::rt_sigprocmask, unblock, &mask, nullptr, sizeof mask);
    (void)os::raw::call(Call::tgkill, os::process_id(), os::thread_id(), signal);
    for (;;) (void)os::raw::call(Call::exit_group, 128 + signal);
}

}  // namespace cairn::base
