// Threads come and go, block, fork, switch stacks; every pointer they hold is found.
// SPDX-License-Identifier: MIT
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <threads.h>
#include <ucontext.h>
#include <unistd.h>

#include <barrier>
#include <csignal>
#include <semaphore>
#include <thread>

#include "library/library.hpp"

namespace {

using library::apart;
using library::Node;
using library::stale_max;

constexpr int many = 300;

// A list that only its thread knows is whole after many cycles, its own and others'.
void work_alone(int seed) {
    Node* list = nullptr;
    for (int i = 0; i < 20'000; ++i) {
        list = cairn::make<Node>(list, nullptr, seed + i);
        if (i % 1000 == 999) {
            int count = 0;
            for (const Node* node = list; node != nullptr; node = node->left)
                ASSERT_EQ(node->value, seed + i - count++);
            ASSERT_EQ(count, i % 5000 + 1);
        }
        if (i % 5000 == 4999) list = nullptr;
    }
}

TEST(Threads, EachKeepsWhatItsStackHolds) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) threads.emplace_back(work_alone, i * 1'000'000);
    for (int i = 0; i < 20; ++i) cairn::collect();
    for (std::thread& thread : threads) thread.join();
}

// The argument is the only pointer to the object, and the thread calls nothing of ours.
TEST(Threads, TheArgumentOfANewThreadIsKept) {
    static std::binary_semaphore go{0}, done{0};
    for (int round = 0; round < 20; ++round) {
        pthread_t thread;
        apart([&] {
            const auto start = [](void* argument) -> void* {
                go.acquire();
                const long value = static_cast<Node*>(argument)->left->value;
                done.release();
                return reinterpret_cast<void*>(value);
            };
            Node* node = cairn::make<Node>(cairn::make<Node>(nullptr, nullptr, 77), nullptr, 0);
            ASSERT_EQ(pthread_create(&thread, nullptr, start, node), 0);
        });
        cairn::collect();
        apart([] {
            for (int i = 0; i < 1000; ++i) (void)cairn::make<Node>(nullptr, nullptr, -1);
        });
        cairn::collect();
        go.release();
        void* value = nullptr;
        pthread_join(thread, &value);
        done.acquire();
        ASSERT_EQ(reinterpret_cast<long>(value), 77);
    }
    thrd_t thread;
    const auto start = [](void* argument) { return static_cast<int>(static_cast<Node*>(argument)->value); };
    ASSERT_EQ(thrd_create(&thread, start, cairn::make<Node>(nullptr, nullptr, 5)), thrd_success);
    int result = 0;
    thrd_join(thread, &result);
    EXPECT_EQ(result, 5);
}

TEST(Threads, PthreadExitAndCancellationLeaveCleanly) {
    for (int round = 0; round < 50; ++round) {
        pthread_t leaver, waiter;
        ASSERT_EQ(pthread_create(
                      &leaver, nullptr,
                      [](void*) -> void* {
                          (void)cairn::make<Node>();
                          pthread_exit(nullptr);
                      },
                      nullptr),
                  0);
        ASSERT_EQ(pthread_create(
                      &waiter, nullptr,
                      [](void*) -> void* {
                          for (;;) {
                              (void)cairn::make<Node>();
                              usleep(10);
                          }
                      },
                      nullptr),
                  0);
        cairn::collect();
        pthread_cancel(waiter);
        pthread_join(leaver, nullptr);
        pthread_join(waiter, nullptr);
    }
    EXPECT_LE(cairn::stats().threads, 3u);
}

TEST(Threads, ABlockedOneIsNotDisturbedAndItsStackCounts) {
    std::binary_semaphore is_blocked{0}, go_on{0};
    std::atomic<long> value{0};
    library::Watched<Node> watched;
    std::thread thread([&] {
        Node* node = cairn::make<Node>(nullptr, nullptr, 99);
        watched.watch(node);
        {
            cairn::Blocking blocking;
            is_blocked.release();
            go_on.acquire();
        }
        value = node->value;
    });
    is_blocked.acquire();
    for (int i = 0; i < 20; ++i) cairn::collect();
    EXPECT_EQ(watched.alive(), 1u);
    go_on.release();
    thread.join();
    EXPECT_EQ(value, 99);
}

TEST(Threads, AttachAndDetachMayBeCalledAtAnyTime) {
    for (int i = 0; i < 100; ++i) {
        {
            cairn::Attach here;  // harmless where it is attached already
            EXPECT_GE(cairn::stats().threads, 1u);
        }
        cairn_detach_thread();
        EXPECT_NE(cairn::make<Node>(), nullptr);
    }
}

TEST(Fork, TheChildGoesOnWithTheHeapAsItWas) {
    cairn::Root<Node> list;
    for (int i = 0; i < 1000; ++i) list = cairn::make<Node>(list.get(), nullptr, i);
    std::jthread beside([](const std::stop_token& stop) {
        while (!stop.stop_requested()) (void)cairn::make<Node>();
    });
    for (int round = 0; round < 20; ++round) {
        const pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < 3; ++i) {
                for (int k = 0; k < 50'000; ++k) (void)cairn::make<Node>();
                cairn::collect();
            }
            int count = 0;
            for (const Node* node = list; node != nullptr; node = node->left)
                count += node->value == 999 - count;
            std::thread([&] { work_alone(7); }).join();
            _exit(count == 1000 ? 0 : 1);
        }
        int status = -1;
        waitpid(child, &status, 0);
        ASSERT_EQ(status, 0) << round;
    }
}

// ---- fibers by ucontext

struct Fiber {
    ucontext_t context{};
    cairn_fiber* fiber = nullptr;
    bool is_done = false;
    long sum = 0;
};
constexpr std::size_t stack_bytes = 64 << 10;
ucontext_t main_context;
Fiber* running = nullptr;

bool is_silent = false;

void pause_fiber() {
    Fiber* self = running;
    if (!is_silent) cairn_fiber_switch(nullptr);
    swapcontext(&self->context, &main_context);
}

void run_fiber() {
    Node* list = nullptr;
    for (int i = 0; i < 100; ++i) {
        list = cairn::make<Node>(list, nullptr, i);
        pause_fiber();
    }
    for (const Node* node = list; node != nullptr; node = node->left) running->sum += node->value;
    running->is_done = true;
    pause_fiber();
}

void resume_fiber(Fiber& fiber) {
    running = &fiber;
    if (!is_silent) cairn_fiber_switch(fiber.fiber);
    swapcontext(&main_context, &fiber.context);
}

class Fibers : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Kinds, Fibers, testing::Values(CAIRN_FIBER_TRACKED, CAIRN_FIBER_SILENT),
                         [](const auto& info) {
                             return info.param == CAIRN_FIBER_TRACKED ? "tracked" : "silent";
                         });

TEST_P(Fibers, StacksThatRestKeepWhatTheyHold) {
    is_silent = GetParam() == CAIRN_FIBER_SILENT;
    std::vector<Fiber> fibers(20);
    std::vector<void*> stacks;
    for (Fiber& fiber : fibers) {
        void* stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ASSERT_NE(stack, MAP_FAILED);
        stacks.push_back(stack);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = stack;
        fiber.context.uc_stack.ss_size = stack_bytes;
        makecontext(&fiber.context, run_fiber, 0);
        fiber.fiber = cairn_fiber_create(stack, stack_bytes, GetParam());
        ASSERT_NE(fiber.fiber, nullptr);
    }
    bool is_over = false;
    for (int round = 0; !is_over; ++round) {
        is_over = true;
        for (Fiber& fiber : fibers) {
            if (fiber.is_done) continue;
            is_over = false;
            resume_fiber(fiber);
        }
        for (int i = 0; i < 1000; ++i) (void)cairn::make<Node>(nullptr, nullptr, -1);
        if (round % 10 == 0) cairn::collect();
    }
    for (const Fiber& fiber : fibers) EXPECT_EQ(fiber.sum, 99 * 100 / 2);
    for (Fiber& fiber : fibers) cairn_fiber_destroy(fiber.fiber);
    for (void* stack : stacks) munmap(stack, stack_bytes);
    cairn::collect();
}

// ---- signal handlers

// A handler that interrupts an allocation is told by the flag that a blocked thread has too: what is freed
// then waits for the sweep, since the lists of what is used again may be half changed.
TEST(SignalHandlers, FreeNothingAtOnceWhereTheAllocatorWasInterrupted) {
    const int percent = cairn_gc_percent(-1);
    Node* const freed = cairn::make<Node>(nullptr, nullptr, 1);
    Node* const blocked = cairn::make<Node>(nullptr, nullptr, 2);
    cairn::explicit_free(freed);
    cairn_blocking_begin();
    cairn::explicit_free(blocked);
    cairn_blocking_end();
    int freed_again = 0, blocked_again = 0;
    for (int i = 0; i < 20'000; ++i) {
        const Node* const node = cairn::make<Node>(nullptr, nullptr, 3);
        freed_again += node == freed;
        blocked_again += node == blocked;
    }
    cairn_gc_percent(percent);
    EXPECT_EQ(freed_again, 1);
    EXPECT_EQ(blocked_again, 0);
}

}  // namespace
