// Threads on the fake operating system: real stacks, and nobody who could be stopped.
//
// What needs other threads is tested on the real one; here a collector links, and is refused.
// SPDX-License-Identifier: MIT
#include <pthread.h>

#include "os/threads.hpp"

namespace cairn::os {

bool spawn_thread(void (*)(void*), void*, const char*) { return false; }
bool is_own_start(void* (*)(void*)) { return false; }

MemoryRange current_stack() {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return {};
    void* low = nullptr;
    std::size_t bytes = 0;
    (void)pthread_attr_getstack(&attributes, &low, &bytes);
    (void)pthread_attr_destroy(&attributes);
    const auto start = reinterpret_cast<std::uintptr_t>(low);
    return {start, start + bytes};
}

MemoryRange thread_block() { return {}; }
MemoryRange mapping_of(std::uintptr_t) { return {}; }
void visit_touched(MemoryRange range, void (*visit)(void*, MemoryRange), void* argument) {
    visit(argument, range);
}
std::uintptr_t thread_pointer() { return reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer()); }
std::uintptr_t block_of_module(std::uintptr_t, std::size_t) { return 0; }
int change_signal_mask(int, const void*, void*, int) { return 0; }

int default_stop_signal() { return 0; }
Installed install_stop_handler(int, void (*)(const StopContext&), bool) { return Installed::yes; }
Sent send_stop(std::uint32_t) { return Sent::refused; }
bool install_insistent_handler(bool (*)(const StopContext&)) { return false; }
Sent send_insistent(std::uint32_t) { return Sent::refused; }
bool is_stop_signal_blocked() { return false; }
bool is_thread_alive(std::uint32_t) { return true; }
Standing standing_of(std::uint32_t) { return Standing::blocks_signal; }
void wait_for(std::atomic<std::uint32_t>&, std::uint32_t, std::uint64_t ns) { sleep_ns(ns); }

bool guard_pages(void*, std::size_t) { return true; }
void unguard_pages(void*, std::size_t) {}
MemoryRange alternate_stack() { return {}; }
bool set_alternate_stack(void*, std::size_t) { return false; }
std::size_t alternate_stack_bytes() { return std::size_t{64} << 10; }

}  // namespace cairn::os
