// What else the heap asks of an OS: identity, clock, stacks, a background thread, start-up facts.
//
// No call touches errno or allocates through malloc unless it says so.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::os {

[[nodiscard]] std::uint64_t monotonic_ns();
// CPU time of the calling thread.
[[nodiscard]] std::uint64_t thread_cpu_ns();
[[nodiscard]] std::uint32_t process_id();
[[nodiscard]] std::uint32_t thread_id();
[[nodiscard]] unsigned cpu_count();
// The CPU that the calling thread runs on, by now perhaps another.
[[nodiscard]] unsigned current_cpu();
// Moves the calling thread away if it runs on that CPU and may run on others. For threads of our own, since
// it sets the CPUs they may run on, to what they are. Cost: 0.2 us, and 20 to move.
void leave_cpu(unsigned cpu);
// A number nobody outside can guess (for out-of-band marks); falls back to clock and addresses.
[[nodiscard]] std::uint64_t random_word();

void sleep_ns(std::uint64_t ns);
// Gives the rest of the time slice away.
void yield_cpu();

struct MemoryRange {
    std::uintptr_t low = 0;
    std::uintptr_t high = 0;

    [[nodiscard]] constexpr bool contains(std::uintptr_t address) const {
        return address >= low && address < high;
    }
    [[nodiscard]] constexpr std::size_t bytes() const { return is_empty() ? 0 : high - low; }
    [[nodiscard]] constexpr bool is_empty() const { return high <= low; }
};

// True when `address` lies in the stack that the caller runs on. Cost: reads /proc on the error path only.
[[nodiscard]] bool is_on_current_stack(std::uintptr_t address);

// True when `address` looks like a block that libc's own malloc took from the program break: the break is
// nobody else's while its malloc is replaced. Cost: reads /proc, on the error path only.
[[nodiscard]] bool is_block_of_break(std::uintptr_t address);

// Resident bytes of this process (0 when unknown) and its peak. Cost: one /proc read.
struct Residency {
    std::uint64_t now_bytes;
    std::uint64_t peak_bytes;
};
[[nodiscard]] Residency residency();

// Starts `entry(argument)` on a thread of its own that the C library does not know: all signals blocked, its
// own small stack, no thread-local storage but a blank block. `entry` may use only raw OS calls of this
// floor. It does not make the program "multithreaded" in libc's eyes. When it returns the thread ends and
// everything it had is reusable by the next spawn. At most one at a time: returns false when one runs or the
// OS refuses. After fork the child has none (the state lives in memory wiped on fork).
[[nodiscard]] bool spawn_background(void (*entry)(void*), void* argument);
[[nodiscard]] bool is_background_running();
// Sleeps the background thread up to `ns`, ended early by wake_background() (any thread, cheap, signal-safe).
void background_sleep(std::uint64_t ns);
void wake_background();

// Calls `prepare` before, `parent`/`child` after each fork() of the program.
void at_fork(void (*prepare)(), void (*parent)(), void (*child)());

// Appends to an open file by path (create, truncate): for reports; false on error.
[[nodiscard]] bool write_file(const char* path, const char* text, std::size_t bytes, bool append);
// Keeps a way to standard error for later: some programs close theirs before our report at exit.
void keep_stderr();
// Writes to standard error, or to what keep_stderr() kept when that is closed.
void write_stderr(const char* text, std::size_t bytes);
// Value of an environment variable, nullptr when unset or in a set-uid program; usable before libc's own
// start-up is complete.
[[nodiscard]] const char* environment(const char* name);
// Name of the running program (argv[0]'s last part, or /proc/self/comm), into `out`.
void program_name(char* out, std::size_t capacity);

}  // namespace cairn::os
