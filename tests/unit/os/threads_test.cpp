// Threads at the floor of the OS: stacks, what was touched of them, guards, threads of our own, signals.
// SPDX-License-Identifier: MIT
#include "os/threads.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/config.hpp"
#include "base/os_calls.hpp"
#include "os/memory.hpp"

namespace cairn::os {
namespace {

std::uintptr_t address_of(const volatile void* at) { return reinterpret_cast<std::uintptr_t>(at); }

char* map(std::size_t bytes, int protection) {
    void* memory = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT_NE(memory, MAP_FAILED);
    return static_cast<char*>(memory);
}

// ---- places

TEST(Threads, TheStackOfAThreadHoldsItsLocalsAndNoMore) {
    const auto check = [] {
        int local = 0;
        const MemoryRange stack = current_stack();
        EXPECT_TRUE(stack.contains(address_of(&local)));
        EXPECT_EQ(stack.low % page_bytes(), 0u);
        static int global = 0;
        EXPECT_FALSE(stack.contains(address_of(&global)));
        // What pthread says, but for its record at the top and, of the first thread, the environment above.
        pthread_attr_t attributes;
        ASSERT_EQ(pthread_getattr_np(pthread_self(), &attributes), 0);
        void* low = nullptr;
        std::size_t bytes = 0;
        pthread_attr_getstack(&attributes, &low, &bytes);
        pthread_attr_destroy(&attributes);
        const std::uintptr_t high = address_of(low) + bytes;
        EXPECT_LE(stack.high, high + (thread_id() == process_id() ? 8 << 20 : 0));
        EXPECT_GT(stack.high + (base::sanitized_build ? 2 << 20 : 64 << 10), high);
    };
    check();
    std::thread(check).join();
}

TEST(Threads, TheMappingOfAnAddress) {
    auto* memory = map(3 * page_bytes(), PROT_NONE);
    ASSERT_EQ(mprotect(memory + page_bytes(), page_bytes(), PROT_READ), 0);
    const MemoryRange middle = mapping_of(address_of(memory + page_bytes() + 5));
    EXPECT_EQ(middle.low, address_of(memory + page_bytes()));
    EXPECT_EQ(middle.bytes(), page_bytes());
    munmap(memory, 3 * page_bytes());
    EXPECT_TRUE(mapping_of(address_of(memory + page_bytes())).is_empty());
    EXPECT_TRUE(mapping_of(8).is_empty());
}

std::vector<MemoryRange> touched_parts(MemoryRange range) {
    std::vector<MemoryRange> parts;
    visit_touched(
        range,
        [](void* argument, MemoryRange part) {
            static_cast<std::vector<MemoryRange>*>(argument)->push_back(part);
        },
        &parts);
    return parts;
}

TEST(Threads, OnlyTouchedPagesAreVisited) {
    constexpr std::size_t pages = 1000;
    const std::size_t page = page_bytes();
    auto* memory = map(pages * page, PROT_READ | PROT_WRITE);
    ASSERT_EQ(madvise(memory, pages * page, MADV_NOHUGEPAGE), 0);
    const std::uintptr_t start = address_of(memory);
    const MemoryRange all{start, start + pages * page};
    EXPECT_TRUE(touched_parts(all).empty());
    for (const std::size_t at : {3u, 4u, 5u, 300u, 999u}) memory[at * page + 17] = 1;
    const auto expect = [&](MemoryRange range, std::vector<std::pair<std::size_t, std::size_t>> wanted) {
        const auto parts = touched_parts(range);
        ASSERT_EQ(parts.size(), wanted.size());
        for (std::size_t i = 0; i < parts.size(); ++i) {
            EXPECT_EQ(parts[i].low - start, wanted[i].first) << i;
            EXPECT_EQ(parts[i].high - start, wanted[i].second) << i;
        }
    };
    expect(all, {{3 * page, 6 * page}, {300 * page, 301 * page}, {999 * page, 1000 * page}});
    expect({start + 4 * page + 64, start + 300 * page + 128},
           {{4 * page + 64, 6 * page}, {300 * page, 300 * page + 128}});
    // Neither what cannot be read, though it was written, nor what is not there.
    ASSERT_EQ(mprotect(memory + 300 * page, page, PROT_NONE), 0);
    ASSERT_EQ(munmap(memory + 5 * page, page), 0);
    expect(all, {{3 * page, 5 * page}, {999 * page, 1000 * page}});
    munmap(memory, pages * page);
}

TEST(Threads, GuardsFaultAndAreNotVisited) {
    const std::size_t page = page_bytes();
    static Stat stat;
    auto* memory = static_cast<char*>(alloc(4 * page, stat));
    ASSERT_NE(memory, nullptr);
    std::memset(memory, 1, 4 * page);
    ASSERT_TRUE(guard_pages(memory + page, page));
    EXPECT_DEATH(*static_cast<volatile char*>(memory + page) = 1, "");
    EXPECT_DEATH(*static_cast<volatile char*>(memory + 2 * page - 1) = 1, "");
    memory[page - 1] = memory[2 * page] = 1;
    std::size_t bytes = 0;
    for (const MemoryRange part : touched_parts({address_of(memory), address_of(memory + 4 * page)})) {
        bytes += part.bytes();
        EXPECT_FALSE(part.contains(address_of(memory + page)));
    }
    EXPECT_EQ(bytes, 3 * page);
    unguard_pages(memory + page, page);
    std::memset(memory, 1, 4 * page);
    munmap(memory, 4 * page);
}

thread_local int initial_word = 7;

TEST(Threads, BlocksOfModulesByTheThreadVector) {
    const auto check = [] {
        initial_word = 8;
        bool is_found = false;
        for (std::size_t id = 1; id < 8 && !is_found; ++id) {
            const std::uintptr_t block = block_of_module(thread_pointer(), id);
            is_found = block != 0 && address_of(&initial_word) - block < (1 << 20);
        }
        EXPECT_TRUE(is_found);
        EXPECT_EQ(block_of_module(thread_pointer(), 0), 0u);
        EXPECT_EQ(block_of_module(thread_pointer(), 1'000'000), 0u);
    };
    check();
    std::thread(check).join();
}

// ---- threads of our own

std::string task_field(std::uint32_t thread, const std::string& name) {
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/status");
    std::string line;
    while (std::getline(file, line)) {
        if (line.rfind(name + ":", 0) != 0) continue;
        return line.substr(line.find_first_not_of(" \t", name.size() + 1));
    }
    return "";
}

struct Worker {
    std::atomic<std::uint32_t> thread{0};
    std::atomic<std::uint32_t> is_told_to_end{0};
    std::atomic<std::uint32_t> is_done{0};
};

void work(void* argument) {
    auto& worker = *static_cast<Worker*>(argument);
    worker.thread = thread_id();
    while (worker.is_told_to_end == 0) base::os_wait(worker.is_told_to_end, 0);
    worker.is_done = 1;
}

TEST(Threads, OurOwnHaveANameAndHearNoSignals) {
    static Worker the_worker;
    Worker* worker = &the_worker;
    errno = 77;
    ASSERT_TRUE(spawn_thread(work, worker, "cairn-test"));
    EXPECT_EQ(errno, 77);
    while (worker->thread == 0) yield_cpu();
    EXPECT_EQ(task_field(worker->thread, "Name"), "cairn-test");
    // All but KILL and STOP, which cannot be, and libc's two, which must not be.
    const std::uint64_t blocked = std::stoull(task_field(worker->thread, "SigBlk"), nullptr, 16);
    constexpr std::uint64_t never = 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1) | 1ull << 31 | 1ull << 32;
    if (!base::sanitized_build) EXPECT_EQ(blocked | never, ~std::uint64_t{0});
    EXPECT_EQ(blocked & (1ull << 31 | 1ull << 32), 0u);
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, nullptr, &mine);
    EXPECT_FALSE(sigismember(&mine, SIGUSR1)) << "the caller's mask is as it was";
    EXPECT_TRUE(is_thread_alive(worker->thread));
    worker->is_told_to_end = 1;
    base::os_wake(worker->is_told_to_end, true);
    while (is_thread_alive(worker->thread)) yield_cpu();
    EXPECT_EQ(worker->is_done, 1u);
}

// ---- signals

std::atomic<std::uintptr_t> seen_sp{0}, seen_pc{0};
std::atomic<std::uint32_t> seen_areas{0}, seen_count{0};

void note(const StopContext& context) {
    seen_sp = context.sp;
    seen_pc = context.pc;
    for (const MemoryRange& area : context.registers) seen_areas += !area.is_empty();
    ++seen_count;
}

TEST(Threads, TheStopSignalTellsWhereAThreadStood) {
    const int signal = SIGRTMIN + 21;
    seen_areas = seen_count = 0;
    ASSERT_EQ(install_stop_handler(signal, note), Installed::yes);
    ASSERT_EQ(install_stop_handler(signal, note), Installed::yes) << "ours, so it is free for us";
    int local = 0;
    errno = 77;
    ASSERT_EQ(send_stop(thread_id()), Sent::sent);
    while (seen_count == 0) yield_cpu();
    EXPECT_EQ(errno, 77);
    EXPECT_LT(address_of(&local) - seen_sp, 4u << 10);
    EXPECT_GE(seen_areas, base::delays_signals ? 0u : 2u) << "general and vector registers";
    EXPECT_NE(seen_pc, 0u);
    EXPECT_EQ(send_stop(0x7ffffffe), Sent::gone);
    EXPECT_FALSE(is_thread_alive(0x7ffffffe));
    EXPECT_EQ(standing_of(0x7ffffffe), Standing::gone);
    ::signal(signal, SIG_DFL);
}

TEST(Threads, StandingSaysWhyAThreadDoesNotAnswer) {
    const int signal = SIGRTMIN + 21;
    ASSERT_EQ(install_stop_handler(signal, note), Installed::yes);
    std::atomic<std::uint32_t> id{0}, step{0};
    std::thread thread([&] {
        id = thread_id();
        while (step == 0) {}
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        id = 0;
        while (step == 1) yield_cpu();
        sigemptyset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        id = thread_id();
        while (step == 2) base::os_wait(step, 2);
    });
    while (id == 0) yield_cpu();
    const std::uint32_t number = id;
    EXPECT_EQ(standing_of(number), Standing::runnable);
    step = 1;
    while (id != 0) yield_cpu();
    if (!base::sanitized_build) EXPECT_EQ(standing_of(number), Standing::blocks_signal);
    step = 2;
    while (id == 0) yield_cpu();
    while (standing_of(number) == Standing::runnable) yield_cpu();
    EXPECT_EQ(standing_of(number), Standing::waiting);
    step = 3;
    base::os_wake(step, true);
    thread.join();
    ::signal(signal, SIG_DFL);
}

TEST(Threads, WaitingEndsByTimeOrByAChange) {
    std::atomic<std::uint32_t> word{1};
    const std::uint64_t before_ns = monotonic_ns();
    wait_for(word, 0, 3'600'000'000'000);  // not equal: returns at once
    EXPECT_LT(monotonic_ns() - before_ns, 60'000'000'000u);
    wait_for(word, 1, 5'000'000);
    EXPECT_GE(monotonic_ns() - before_ns, 4'000'000u);
}

TEST(Threads, AlternateStacks) {
    std::thread([] {
        if (!base::sanitized_build) EXPECT_TRUE(alternate_stack().is_empty());
        std::vector<char> memory(alternate_stack_bytes());
        ASSERT_TRUE(set_alternate_stack(memory.data(), memory.size()));
        EXPECT_EQ(alternate_stack().low, address_of(memory.data()));
        EXPECT_EQ(alternate_stack().bytes(), memory.size());
        EXPECT_FALSE(set_alternate_stack(memory.data(), 16));
        ASSERT_TRUE(set_alternate_stack(nullptr, 0));
        EXPECT_TRUE(alternate_stack().is_empty());
    }).join();
}

}  // namespace
}  // namespace cairn::os
