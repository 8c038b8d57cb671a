// Threads as a collector needs them: where their roots lie, how to stop one by a signal, how to start one.
//
// A stopped thread's registers lie in the record the kernel pushed for the signal handler; its stack goes on
// from the interrupted stack pointer, of which compiled code may use 128 bytes below (the red zone). Both are
// true wherever the handler itself runs, also on an alternate stack.
//
//   low            sp - red zone                                     high
//    | never used    | what is live                                   | libc's record of the thread, its keys
//                                                                     ^ thread pointer (threads of libc)
//
// Nothing here touches errno, takes a lock of libc or allocates, but for spawn_thread(), which does all three
// through libc, and thread_block(), which on the first thread asks the loader for its list.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "os/process.hpp"

namespace cairn::os {

#if defined(__x86_64__)
inline constexpr std::size_t red_zone_bytes = 128;
#else
inline constexpr std::size_t red_zone_bytes = 0;
#endif

// ---- threads of our own

// Starts `entry(argument)` on a detached thread of libc's that receives no signal, 256 KiB of stack. `name`
// has at most 15 characters. Needs: no lock of ours held, for libc allocates. False when the OS refuses.
[[nodiscard]] bool spawn_thread(void (*entry)(void*), void* argument, const char* name);

// Whether `start` begins the threads of spawn_thread(): who stands before pthread_create() lets them pass.
[[nodiscard]] bool is_own_start(void* (*start)(void*));

// ---- where a thread's roots lie

// The stack of the calling thread, outside of its signal handlers: from the lowest address that is mapped now
// to libc's record. Cost: one question to the kernel (2 us; a text of all mappings before Linux 6.11).
[[nodiscard]] MemoryRange current_stack();
// Static thread-local storage, libc's record and the first values of thread-specific keys of the calling
// thread, as far as current_stack() does not hold them. Needs: no lock of ours held.
[[nodiscard]] MemoryRange thread_block();
// The mapping that holds `address`; empty when there is none.
[[nodiscard]] MemoryRange mapping_of(std::uintptr_t address);
// Calls `visit(argument, part)` for the parts of `range` that are readable and were ever touched, in rising
// order. Private memory that never was holds zeros, and guard pages fault. Cost: 5 us and 10 ns a page.
void visit_touched(MemoryRange range, void (*visit)(void*, MemoryRange), void* argument);
// Where the calling thread's thread-local storage of each loaded module is entered; for block_of_module().
[[nodiscard]] std::uintptr_t thread_pointer();
// The block of thread-local storage that a thread, stopped now, has for module `id` (dlpi_tls_modid), or 0.
[[nodiscard]] std::uintptr_t block_of_module(std::uintptr_t thread_pointer, std::size_t id);

// ---- the stop signal

// What a thread was doing when the signal came. Valid while the handler runs.
struct StopContext {
    static constexpr unsigned register_areas_max = 3;

    std::uintptr_t sp = 0;
    std::uintptr_t pc = 0;
    MemoryRange registers[register_areas_max];  // general, vector and mask registers; whole words
    MemoryRange alternate_stack;                // the thread's, empty when it has none
};

// SIGRTMIN + 8: above what libc, debuggers and most runtimes take, below what is left for users.
[[nodiscard]] int default_stop_signal();

enum class Installed : std::uint8_t { yes, in_use, refused };
// Makes `handler` run, all signals blocked, on every thread that `signal` is sent to. in_use: the program has
// a handler of its own there. The signal belongs to the process from now on; so does the handler.
// `on_alternate_stack`: on the thread's alternate stack where it has one; else on what it interrupted.
[[nodiscard]] Installed install_stop_handler(int signal, void (*handler)(const StopContext&),
                                             bool on_alternate_stack = true);

enum class Sent : std::uint8_t { sent, gone, refused };
// Sends the installed signal to one thread of this process. refused: its queue is full, try again.
[[nodiscard]] Sent send_stop(std::uint32_t thread);
[[nodiscard]] bool is_thread_alive(std::uint32_t thread);

// A second signal, for threads that block the first: one that libc keeps open for itself. `handler` says
// whether it was meant; if not, libc's is called. False: not to be had. Needs: the stop signal is installed;
// one caller at a time.
[[nodiscard]] bool install_insistent_handler(bool (*handler)(const StopContext&));
[[nodiscard]] Sent send_insistent(std::uint32_t thread);
// By the calling thread.
[[nodiscard]] bool is_stop_signal_blocked();

// Why a thread does not answer. Cost: reads /proc.
enum class Standing : std::uint8_t { gone, blocks_signal, runnable, waiting, halted };
[[nodiscard]] Standing standing_of(std::uint32_t thread);

// As pthread_sigmask(), but never blocks `open`, nor the two signals that libc keeps for itself. Returns 0 or
// an error's number. Any thread, any moment.
[[nodiscard]] int change_signal_mask(int how, const void* set, void* before, int open);

// Sleeps while `word` equals `expected`, at most `ns`; may return early.
void wait_for(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t ns);

// ---- stacks

// Makes [start, start + bytes) fault on any access, or usable again with undefined contents. Whole OS pages
// that are ready. Without a mapping of its own where the kernel can (6.13); false when it refuses.
[[nodiscard]] bool guard_pages(void* start, std::size_t bytes);
void unguard_pages(void* start, std::size_t bytes);

// The stack that handlers of the calling thread run on; empty when it has none.
[[nodiscard]] MemoryRange alternate_stack();
// Makes it [start, start + bytes); bytes == 0 takes it away. False when the kernel refuses.
[[nodiscard]] bool set_alternate_stack(void* start, std::size_t bytes);
// Bytes a handler of ours needs on this machine, registers included.
[[nodiscard]] std::size_t alternate_stack_bytes();

}  // namespace cairn::os
