// What is found in a thread that stands still: registers, the red zone, stacks, thread-local storage.
//
// A word lies in one register or one place only; how it got there leaves no copy.
// SPDX-License-Identifier: MIT
#include <pthread.h>
#include <sys/mman.h>

#include <csignal>
#include <cstring>

#include "base/config.hpp"
#include "unit/gc/world_threads.hpp"

namespace cairn::gc {
namespace {

class WorldRootsTest : public WorldTest {
protected:
    // Once `thread` stands still, `hidden` is (or is not) among its roots.
    void expect_found(AttachedThread& thread, std::uintptr_t hidden) {
        stopped([&] { EXPECT_GE(count_in_roots(thread.record(), hidden), 1u); });
    }
    void expect_missing(AttachedThread& thread, std::uintptr_t hidden) {
        stopped([&] { EXPECT_EQ(count_in_roots(thread.record(), hidden), 0u); });
    }
};

#if defined(__x86_64__)

// Spins with a word in r12, one in each half of xmm7, and one at each end of the red zone.
__attribute__((noinline)) void spin_on_registers(const std::atomic<bool>* told, std::atomic<bool>* ready,
                                                 const std::uintptr_t* hidden, std::uintptr_t mask) {
    asm volatile(
        "sub $512, %%rsp\n\t"
        "mov (%[hidden]), %%r12\n\t"
        "xor %[mask], %%r12\n\t"
        "mov 8(%[hidden]), %%rax\n\t"
        "xor %[mask], %%rax\n\t"
        "movq %%rax, %%xmm7\n\t"
        "mov 16(%[hidden]), %%rax\n\t"
        "xor %[mask], %%rax\n\t"
        "movq %%rax, %%xmm6\n\t"
        "punpcklqdq %%xmm6, %%xmm7\n\t"
        "pxor %%xmm6, %%xmm6\n\t"
        "mov 24(%[hidden]), %%rax\n\t"
        "xor %[mask], %%rax\n\t"
        "mov %%rax, -8(%%rsp)\n\t"
        "mov 32(%[hidden]), %%rax\n\t"
        "xor %[mask], %%rax\n\t"
        "mov %%rax, -128(%%rsp)\n\t"
        "xor %%eax, %%eax\n\t"
        "movb $1, (%[ready])\n"
        "1:\n\t"
        "pause\n\t"
        "cmpb $0, (%[told])\n\t"
        "je 1b\n\t"
        "xor %%r12, %%r12\n\t"
        "pxor %%xmm7, %%xmm7\n\t"
        "movq $0, -8(%%rsp)\n\t"
        "movq $0, -128(%%rsp)\n\t"
        "add $512, %%rsp"
        :
        : [told] "r"(told), [ready] "r"(ready), [hidden] "r"(hidden), [mask] "r"(mask)
        : "rax", "r12", "xmm6", "xmm7", "memory", "cc");
}

// The upper halves of wide registers, where the machine has them.
__attribute__((noinline)) void spin_on_ymm(const std::atomic<bool>* told, std::atomic<bool>* ready,
                                           const std::uintptr_t* hidden, std::uintptr_t mask) {
    asm volatile(
        "mov (%[hidden]), %%rax\n\t"
        "xor %[mask], %%rax\n\t"
        "vmovq %%rax, %%xmm6\n\t"
        "vpxor %%xmm7, %%xmm7, %%xmm7\n\t"
        "vinsertf128 $1, %%xmm6, %%ymm7, %%ymm7\n\t"
        "vpxor %%xmm6, %%xmm6, %%xmm6\n\t"
        "xor %%eax, %%eax\n\t"
        "movb $1, (%[ready])\n"
        "1:\n\t"
        "pause\n\t"
        "cmpb $0, (%[told])\n\t"
        "je 1b\n\t"
        "vzeroall"
        :
        : [told] "r"(told), [ready] "r"(ready), [hidden] "r"(hidden), [mask] "r"(mask)
        : "rax", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
          "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory", "cc");
}

__attribute__((noinline)) void spin_on_zmm(const std::atomic<bool>* told, std::atomic<bool>* ready,
                                           const std::uintptr_t* hidden, std::uintptr_t mask) {
    asm volatile(
        "mov (%[hidden]), %%rax\n\t"
        "xor %[mask], %%rax\n\t"
        "vmovq %%rax, %%xmm6\n\t"
        "vpxorq %%zmm21, %%zmm21, %%zmm21\n\t"
        "vinserti32x4 $3, %%xmm6, %%zmm21, %%zmm21\n\t"
        "vpxor %%xmm6, %%xmm6, %%xmm6\n\t"
        "xor %%eax, %%eax\n\t"
        "movb $1, (%[ready])\n"
        "1:\n\t"
        "pause\n\t"
        "cmpb $0, (%[told])\n\t"
        "je 1b\n\t"
        "vpxorq %%zmm21, %%zmm21, %%zmm21\n\t"
        "vzeroupper"
        :
        : [told] "r"(told), [ready] "r"(ready), [hidden] "r"(hidden), [mask] "r"(mask)
        : "rax", "xmm6", "memory", "cc");
}

using Spinner = void (*)(const std::atomic<bool>*, std::atomic<bool>*, const std::uintptr_t*, std::uintptr_t);

class SpinningThread {
public:
    explicit SpinningThread(Spinner spinner)
        : thread_([this, spinner](AttachedThread& me) {
              spinner(&me.told(), &is_ready_, hidden, key);
              is_ready_ = false;
          }) {
        while (!is_ready_) os::yield_cpu();
    }
    AttachedThread& operator*() { return thread_; }

    const std::uintptr_t hidden[5] = {hidden_word(1), hidden_word(2), hidden_word(3), hidden_word(4),
                                      hidden_word(5)};

private:
    std::atomic<bool> is_ready_{false};
    AttachedThread thread_;
};

TEST_F(WorldRootsTest, GeneralAndVectorRegistersAndTheRedZone) {
    if (base::sanitized_build) GTEST_SKIP() << "a sanitizer calls handlers from its own code only";
    SpinningThread thread(spin_on_registers);
    for (const std::uintptr_t hidden : thread.hidden) expect_found(*thread, hidden);
    expect_missing(*thread, hidden_word(99));
}

TEST_F(WorldRootsTest, WideRegisters) {
    if (base::sanitized_build) GTEST_SKIP() << "a sanitizer calls handlers from its own code only";
    if (__builtin_cpu_supports("avx")) {
        SpinningThread thread(spin_on_ymm);
        expect_found(*thread, thread.hidden[0]);
    }
    if (__builtin_cpu_supports("avx512f")) {
        SpinningThread thread(spin_on_zmm);
        expect_found(*thread, thread.hidden[0]);
    }
}

// ---- under a handler of the program's

std::atomic<bool> is_in_handler{false}, may_leave_handler{false};

void wait_in_handler(int) {
    is_in_handler = true;
    while (!may_leave_handler) __builtin_ia32_pause();
    is_in_handler = false;
}

void install_waiting_handler(int flags) {
    struct sigaction action {};
    action.sa_handler = wait_in_handler;
    action.sa_flags = flags;
    ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
}

TEST_F(WorldRootsTest, WhatAHandlerInterruptedIsFoundOnEitherStack) {
    if (base::sanitized_build) GTEST_SKIP() << "a sanitizer calls handlers from its own code only";
    for (const bool is_alternate : {false, true}) {
        install_waiting_handler(is_alternate ? SA_ONSTACK : 0);
        std::vector<char> memory(64 << 10);
        const std::uintptr_t hidden[5] = {hidden_word(1), hidden_word(2), hidden_word(3), hidden_word(4),
                                          hidden_word(5)};
        std::atomic<bool> is_ready{false};
        may_leave_handler = false;
        AttachedThread thread([&](AttachedThread& me) {
            if (is_alternate) EXPECT_TRUE(os::set_alternate_stack(memory.data(), memory.size()));
            volatile std::uintptr_t local[2] = {hidden_word(6), 0};
            local[0] = local[0] ^ key;
            spin_on_registers(&me.told(), &is_ready, hidden, key);
            local[0] = 0;
            if (is_alternate) EXPECT_TRUE(os::set_alternate_stack(nullptr, 0));
        });
        while (!is_ready) os::yield_cpu();
        ASSERT_EQ(pthread_kill(thread.thread().native_handle(), SIGUSR1), 0);
        while (!is_in_handler) os::yield_cpu();
        for (const std::uintptr_t word : hidden) expect_found(thread, word);
        expect_found(thread, hidden_word(6));
        expect_missing(thread, hidden_word(99));
        may_leave_handler = true;
        while (is_in_handler) os::yield_cpu();
        for (const std::uintptr_t word : hidden) expect_found(thread, word);
    }
    signal(SIGUSR1, SIG_DFL);
}

// ---- frames that end before the thread comes to rest

struct Region {
    AttachedThread* thread;
};

// A wrapper that saves its caller's registers in its frame, overwrites them, and returns before the region.
__attribute__((noinline)) void enter_wrapped(Region& region) {
    asm volatile("xor %%ebx, %%ebx\n\txor %%r14d, %%r14d" ::: "rbx", "r14", "cc");
    World::enter_blocking(region.thread->record());
    asm volatile("" ::: "memory");
}

__attribute__((noinline)) void enter_twice_wrapped(Region& region) {
    asm volatile("xor %%r12d, %%r12d\n\txor %%r13d, %%r13d" ::: "r12", "r13", "cc");
    enter_wrapped(region);
    asm volatile("" ::: "memory");
}

__attribute__((noinline)) void leave_plainly(Region& region) {
    World::leave_blocking(region.thread->record());
}

__attribute__((noinline)) void wait_over_dead_frames(Region& region) {
    volatile char frames[4096];
    for (volatile char& c : frames) c = 0;
    region.thread->announce();
    while (!region.thread->is_told_to_end()) os::yield_cpu();
}

struct Calls {
    Region* region;
    void (*enter)(Region&);
    void (*wait)(Region&);
    void (*leave)(Region&);
    std::uintptr_t hidden[2];
    std::uintptr_t mask;
};

// Calls the three with words in rbx and r12 that are nowhere else.
__attribute__((noinline)) void run_region(const Calls& with) {
    register const Calls* calls asm("r15") = &with;
    asm volatile(
        "mov %%rsp, %%r13\n\t"
        "sub $256, %%rsp\n\t"
        "and $-16, %%rsp\n\t"
        "mov 32(%%r15), %%rbx\n\t"
        "xor 48(%%r15), %%rbx\n\t"
        "mov 40(%%r15), %%r12\n\t"
        "xor 48(%%r15), %%r12\n\t"
        "mov (%%r15), %%rdi\n\t"
        "call *8(%%r15)\n\t"
        "mov (%%r15), %%rdi\n\t"
        "call *16(%%r15)\n\t"
        "mov (%%r15), %%rdi\n\t"
        "call *24(%%r15)\n\t"
        "xor %%ebx, %%ebx\n\t"
        "xor %%r12d, %%r12d\n\t"
        "mov %%r13, %%rsp"
        :
        : "r"(calls)
        : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "memory", "cc");
}

TEST_F(WorldRootsTest, RegistersSavedByWrappersOfABlockingRegion) {
    if (base::sanitized_build) GTEST_SKIP() << "a sanitizer's frames hold copies of everything";
    for (const auto enter : {enter_wrapped, enter_twice_wrapped}) {
        const std::uintptr_t hidden[2] = {hidden_word(11), hidden_word(12)};
        AttachedThread thread([&](AttachedThread& me) {
            Region region{&me};
            run_region({&region, enter, wait_over_dead_frames, leave_plainly, {hidden[0], hidden[1]}, key});
        });
        thread.wait_until_ready();
        expect_found(thread, hidden[0]);
        expect_found(thread, hidden[1]);
        stopped([&] { EXPECT_EQ(world.last_stop().signals, 0u); });
    }
}

#endif

// ---- memory

TEST_F(WorldRootsTest, TheStackFromTheStackPointerUpNoFurther) {
    AttachedThread thread([&](AttachedThread& me) {
        volatile std::uintptr_t local = hidden_word(21);
        local = local ^ key;
        spin(me);
        local = 0;
    });
    thread.wait_until_ready();
    expect_found(thread, hidden_word(21));
    stopped([&] {
        std::size_t bytes = 0;
        World::for_each_root_range(thread.record(), [&](std::uintptr_t low, std::uintptr_t high) {
            bytes += high - low;
        });
        EXPECT_LT(bytes, std::size_t{base::sanitized_build ? 2048 : 256} << 10) << "of 8 MiB";
    });
}

thread_local volatile std::uintptr_t local_word = 0;
thread_local volatile std::uintptr_t many_words[5000] = {};

void check_own_block(ThreadRecord& record, std::uintptr_t hidden) {
    local_word = hidden;
    local_word = local_word ^ key;
    many_words[0] = local_word;
    many_words[4999] = local_word;
    pthread_key_t thread_key;
    ASSERT_EQ(pthread_key_create(&thread_key, nullptr), 0);
    ASSERT_EQ(pthread_setspecific(thread_key, reinterpret_cast<void*>(hidden ^ key)), 0);
    ASSERT_TRUE(world.stop_all(&record)) << world.failure();
    EXPECT_GE(count_in_roots(record, hidden), 4u) << "three in TLS, one under a key";
    world.resume_all();
    EXPECT_GE(count_words(record.block.low, record.block.high, hidden), 1u)
        << "the key's value lies in libc's record, above the stack";
    local_word = 0;
    many_words[0] = 0;
    many_words[4999] = 0;
    ASSERT_TRUE(world.stop_all(&record)) << world.failure();
    EXPECT_GE(count_in_roots(record, hidden), 1u);
    world.resume_all();
    pthread_key_delete(thread_key);
}

TEST_F(WorldRootsTest, ThreadLocalStorageAndKeysOfTheFirstThread) {
    ASSERT_EQ(os::thread_id(), os::process_id()) << "gtest runs tests on the first thread";
    check_own_block(*self, hidden_word(31));
    EXPECT_LT(self->block.bytes(), std::size_t{1} << 20);
}

TEST_F(WorldRootsTest, ThreadLocalStorageAndKeysOfAnotherThread) {
    AttachedThread thread([](AttachedThread& me) { check_own_block(me.record(), hidden_word(32)); });
    thread.end();
}

TEST_F(WorldRootsTest, TheCallersOwnRoots) {
    volatile std::uintptr_t local = hidden_word(41);
    local = local ^ key;
    stopped([&] { EXPECT_GE(count_in_roots(*self, hidden_word(41)), 1u); });
    local = 0;
}

// An address whose frame is gone says nothing, but deep frames are all found.
__attribute__((noinline)) void recurse(AttachedThread& me, unsigned depth) {
    volatile std::uintptr_t local[64] = {hidden_word(1000 + depth)};
    local[0] = local[0] ^ key;
    if (depth == 0) spin(me);
    else recurse(me, depth - 1);
    local[0] = 0;
}

TEST_F(WorldRootsTest, DeepStacks) {
    AttachedThread thread([](AttachedThread& me) { recurse(me, 1000); });
    thread.wait_until_ready();
    stopped([&] {
        for (const unsigned depth : {0u, 1u, 500u, 1000u})
            EXPECT_GE(count_in_roots(thread.record(), hidden_word(1000 + depth)), 1u) << depth;
    });
}

// The first thread's stack grows after the thread was attached.
TEST_F(WorldRootsTest, AFirstStackThatGrew) {
    std::atomic<bool> is_done{false};
    std::atomic<bool> is_ready{false};
    std::thread stopper([&] {
        while (!is_ready) os::yield_cpu();
        ASSERT_TRUE(world.stop_all(nullptr));
        EXPECT_GE(count_in_roots(*self, hidden_word(51)), 1u);
        world.resume_all();
        is_done = true;
    });
    auto deep = [&] {
        volatile char frames[2 << 20];
        frames[0] = 1;
        volatile std::uintptr_t local = hidden_word(51);
        local = local ^ key;
        is_ready = true;
        while (!is_done) os::yield_cpu();
        local = frames[0];
    };
    deep();
    stopper.join();
}

// The stack of a thread may be memory of the program's, amid other memory.
TEST_F(WorldRootsTest, AThreadOnMemoryOfTheProgramsOwn) {
    constexpr std::size_t bytes = 2 << 20;
    auto* memory = static_cast<char*>(
        mmap(nullptr, 3 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(memory, MAP_FAILED);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    ASSERT_EQ(pthread_attr_setstack(&attributes, memory + bytes, bytes), 0);
    struct Shared {
        ThreadRecord* record = make_record();
        std::atomic<bool> is_ready{false}, is_told{false};
    } shared;
    auto body = [](void* argument) -> void* {
        auto& with = *static_cast<Shared*>(argument);
        world.attach(*with.record);
        volatile std::uintptr_t local = hidden_word(61);
        local = local ^ key;
        with.is_ready = true;
        while (!with.is_told) os::yield_cpu();
        local = 0;
        world.detach(*with.record);
        return nullptr;
    };
    pthread_t thread;
    ASSERT_EQ(pthread_create(&thread, &attributes, body, &shared), 0);
    while (!shared.is_ready) os::yield_cpu();
    stopped([&] { EXPECT_GE(count_in_roots(*shared.record, hidden_word(61)), 1u); });
    EXPECT_LT(shared.record->block.high - (reinterpret_cast<std::uintptr_t>(memory) + bytes), 2 * bytes);
    shared.is_told = true;
    pthread_join(thread, nullptr);
    munmap(memory, 3 * bytes);
}

}  // namespace
}  // namespace cairn::gc
