// The background thread: one at a time, unseen by libc, deaf to signals, absent in children, spawned again.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "base/config.hpp"
#include "base/os_calls.hpp"
#include "os/process.hpp"

namespace cairn::os {
namespace {

constexpr std::uint64_t hour_ns = 3'600'000'000'000;

// A field of /proc/self/status or of one task's.
std::string status_field(const std::string& name, const std::string& task = "self") {
    std::ifstream file(task == "self" ? "/proc/self/status" : "/proc/self/task/" + task + "/status");
    std::string line;
    while (std::getline(file, line)) {
        if (line.rfind(name + ":", 0) != 0) continue;
        return line.substr(line.find_first_not_of(" \t", name.size() + 1));
    }
    return "";
}

// What a test and the thread share. The thread may use only raw calls, so no gtest there.
struct Shared {
    std::atomic<std::uint32_t> thread{0};
    std::atomic<std::uint32_t> rounds{0};
    std::atomic<std::uint32_t> is_told_to_end{0};
};

void announce(Shared& shared) {
    shared.thread.store(thread_id(), std::memory_order_release);  // release: pairs with wait_for
    base::os_wake(shared.thread, true);
}

std::uint32_t wait_for_start(Shared& shared) {
    std::uint32_t thread;
    // acquire: pairs with announce()
    while ((thread = shared.thread.load(std::memory_order_acquire)) == 0) base::os_wait(shared.thread, 0);
    return thread;
}

void sleep_until_told(void* argument) {
    auto& shared = *static_cast<Shared*>(argument);
    announce(shared);
    while (shared.is_told_to_end.load(std::memory_order_acquire) == 0) {  // acquire: pairs with end()
        background_sleep(hour_ns);
        shared.rounds.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    }
}

// Until the kernel has seen it off; the thread's own exit needs no help.
void end(Shared& shared) {
    shared.is_told_to_end.store(1, std::memory_order_release);  // release: pairs with the thread's loop
    wake_background();
    while (is_background_running()) yield_cpu();
    if (base::sanitized_build) return;
    const std::string task = "/proc/self/task/" + std::to_string(wait_for_start(shared));
    while (access(task.c_str(), F_OK) == 0) yield_cpu();
}

TEST(Background, RunsBesideTheProgram) {
    Shared shared;
    EXPECT_FALSE(is_background_running());
    const std::string threads_before = status_field("Threads");
    const char single_before = __libc_single_threaded;
    errno = 4321;
    ASSERT_TRUE(spawn_background(sleep_until_told, &shared));
    if (!base::sanitized_build) {
        EXPECT_EQ(errno, 4321);
    }
    const std::uint32_t thread = wait_for_start(shared);
    EXPECT_TRUE(is_background_running());
    EXPECT_NE(thread, thread_id());
    if (!base::sanitized_build) {
        EXPECT_EQ(std::stoi(status_field("Threads")), std::stoi(threads_before) + 1);
        EXPECT_EQ(__libc_single_threaded, single_before);
    }
    end(shared);
    EXPECT_FALSE(is_background_running());
    if (!base::sanitized_build) {
        EXPECT_EQ(status_field("Threads"), threads_before);
    }
}

TEST(Background, IsOnlyOne) {
    Shared shared;
    ASSERT_TRUE(spawn_background(sleep_until_told, &shared));
    EXPECT_FALSE(spawn_background(sleep_until_told, &shared));
    wait_for_start(shared);
    EXPECT_FALSE(spawn_background(sleep_until_told, &shared));
    end(shared);
}

TEST(Background, HearsEveryWakeUp) {
    Shared shared;
    ASSERT_TRUE(spawn_background(sleep_until_told, &shared));
    wait_for_start(shared);
    for (std::uint32_t round = 1; round <= 1000; ++round) {
        errno = 4321;
        wake_background();
        ASSERT_EQ(errno, 4321);
        // relaxed: a count
        while (shared.rounds.load(std::memory_order_relaxed) < round) yield_cpu();
    }
    end(shared);
}

TEST(Background, SleepsAsLongAsTold) {
    struct Slept {
        std::atomic<std::uint64_t> ns{0};
    } slept;
    ASSERT_TRUE(spawn_background(
        [](void* argument) {
            const std::uint64_t before = monotonic_ns();
            background_sleep(5'000'000);
            // release: pairs with the loop below
            static_cast<Slept*>(argument)->ns.store(monotonic_ns() - before, std::memory_order_release);
        },
        &slept));
    while (slept.ns.load(std::memory_order_acquire) == 0) yield_cpu();  // acquire: pairs with the store
    EXPECT_GE(slept.ns.load(std::memory_order_relaxed), 5'000'000u);    // relaxed: read before
    while (is_background_running()) yield_cpu();
}

TEST(Background, IsReusableAtOnce) {
    std::atomic<std::uint32_t> runs{0};
    constexpr std::uint32_t wanted = 500;
    for (std::uint32_t i = 0; i < wanted; ++i) {
        // A thread that is past its entry is waited for; one still in it makes the call fail.
        while (!spawn_background(
            [](void* argument) {
                volatile char room[16 << 10];  // a good part of the stack, blank or not
                room[0] = 1;
                auto& count = *static_cast<std::atomic<std::uint32_t>*>(argument);
                // relaxed: a count
                count.fetch_add(static_cast<unsigned>(room[0]), std::memory_order_relaxed);
            },
            &runs)) {
            yield_cpu();
        }
    }
    while (is_background_running()) yield_cpu();
    EXPECT_EQ(runs.load(std::memory_order_relaxed), wanted);  // relaxed: all have ended
}

std::atomic<std::uint32_t> handled_by{0};

void note_thread(int) {
    handled_by.store(thread_id(), std::memory_order_relaxed);  // relaxed: read by the same thread
}

TEST(Background, NeverGetsASignal) {
    if (base::sanitized_build) GTEST_SKIP() << "an ordinary thread there";
    handled_by.store(0, std::memory_order_relaxed);  // relaxed: one's own thread
    Shared shared;
    ASSERT_TRUE(spawn_background(sleep_until_told, &shared));
    const std::uint32_t thread = wait_for_start(shared);
    EXPECT_EQ(status_field("SigBlk", std::to_string(thread)), "fffffffffffbfeff");  // all but KILL and STOP
    struct sigaction action {};
    action.sa_handler = note_thread;
    struct sigaction old_action {};
    sigaction(SIGUSR2, &action, &old_action);
    sigset_t set, old_set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &old_set);
    kill(getpid(), SIGUSR2);
    wake_background();
    while (shared.rounds.load(std::memory_order_relaxed) == 0) yield_cpu();  // relaxed: a count
    sigpending(&pending);
    EXPECT_TRUE(sigismember(&pending, SIGUSR2));
    EXPECT_EQ(handled_by.load(std::memory_order_relaxed), 0u);  // relaxed: one's own thread
    sigprocmask(SIG_SETMASK, &old_set, nullptr);
    EXPECT_EQ(handled_by.load(std::memory_order_relaxed), thread_id());  // relaxed: one's own thread
    sigaction(SIGUSR2, &old_action, nullptr);
    end(shared);
}

TEST(Background, LeavesTheCallersSignalMask) {
    sigset_t set, old_set, after;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &old_set);
    Shared shared;
    ASSERT_TRUE(spawn_background(sleep_until_told, &shared));
    sigprocmask(SIG_SETMASK, &old_set, &after);
    EXPECT_TRUE(sigismember(&after, SIGUSR2));
    EXPECT_FALSE(sigismember(&after, SIGUSR1));
    wait_for_start(shared);
    end(shared);
}

// In a child: none there, one of its own possible.
int child_result() {
    if (is_background_running()) return 2;
    wake_background();
    if (base::sanitized_build) return 0;  // a sanitizer allows no new thread in a forked child
    Shared shared;
    if (!spawn_background(sleep_until_told, &shared)) return 3;
    wait_for_start(shared);
    end(shared);
    return is_background_running() ? 4 : 0;
}

void expect_child_success(pid_t child) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << "exit code " << WEXITSTATUS(status);
}

TEST(Background, IsNotInAForkedChild) {
    Shared shared;
    ASSERT_TRUE(spawn_background(sleep_until_told, &shared));
    wait_for_start(shared);
    for (int i = 0; i < 20; ++i) {
        const pid_t child = fork();
        if (child == 0) _exit(child_result());
        expect_child_success(child);
    }
    EXPECT_TRUE(is_background_running());
    end(shared);
}

// The kind of fork that no handler hears of.
TEST(Background, IsNotInARawForkedChild) {
    if (base::sanitized_build) GTEST_SKIP() << "a raw fork confuses the sanitizer";
    Shared shared;
    ASSERT_TRUE(spawn_background(sleep_until_told, &shared));
    wait_for_start(shared);
    const pid_t child = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    if (child == 0) _exit(child_result());
    expect_child_success(child);
    EXPECT_TRUE(is_background_running());
    end(shared);
}

// A program ends as ever: by exit() and by the last thread's pthread_exit().
TEST(BackgroundDeathTest, DoesNotKeepTheProcess) {
    static Shared shared;
    const auto leave = [] {
        if (!spawn_background(sleep_until_told, &shared)) _exit(1);
        wait_for_start(shared);
        std::exit(7);
    };
    EXPECT_EXIT(leave(), testing::ExitedWithCode(7), "");
}

// On a stack of its own, since pthread_exit() unwinds and the test's frames would catch it.
[[noreturn]] void leave_by_pthread_exit() {
    static char stack[256 << 10];
    static ucontext_t fresh;
    getcontext(&fresh);
    fresh.uc_stack.ss_sp = stack;
    fresh.uc_stack.ss_size = sizeof stack;
    makecontext(&fresh, [] { pthread_exit(nullptr); }, 0);
    setcontext(&fresh);
    _exit(1);
}

TEST(Background, DoesNotKeepAProcessWithoutOtherThreads) {
    if (base::sanitized_build) GTEST_SKIP() << "an ordinary thread there, which libc counts";
    static Shared shared;
    const pid_t child = fork();
    if (child == 0) {
        if (!spawn_background(sleep_until_told, &shared)) _exit(1);
        wait_for_start(shared);
        leave_by_pthread_exit();
    }
    expect_child_success(child);
}

TEST(Background, MayBeSpawnedByAnyThread) {
    Shared shared;
    std::thread([&] { ASSERT_TRUE(spawn_background(sleep_until_told, &shared)); }).join();
    wait_for_start(shared);
    end(shared);
}

}  // namespace
}  // namespace cairn::os
