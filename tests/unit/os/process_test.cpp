// Identity, clocks, stacks, files and environment, on the real system.
// SPDX-License-Identifier: MIT
#include "os/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "base/config.hpp"
#include "base/os_calls.hpp"

extern "C" char** environ;

namespace cairn::os {
namespace {

std::uintptr_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

TEST(Process, KnowsItself) {
    EXPECT_EQ(process_id(), static_cast<std::uint32_t>(getpid()));
    EXPECT_EQ(thread_id(), process_id());
    std::uint32_t other = 0;
    std::thread([&] { other = thread_id(); }).join();
    EXPECT_NE(other, thread_id());
    EXPECT_EQ(cpu_count(), static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN)));
}

TEST(Process, AThreadLeavesACpuForAnotherAndMayReturn) {
    if (cpu_count() < 2) GTEST_SKIP() << "one CPU";
    cpu_set_t before, after;
    ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    // Looked at by whoever may be moved at any moment: often enough it is not.
    unsigned left = 0;
    for (unsigned i = 0; i < 50; ++i) {
        const unsigned here = current_cpu();
        EXPECT_TRUE(CPU_ISSET(here, &before));
        leave_cpu(here);
        left += current_cpu() != here;
    }
    EXPECT_GT(left, 25u);
    leave_cpu(100'000);
    ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
    EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(Process, NamesTheProgram) {
    char name[64];
    program_name(name, sizeof name);
    std::ifstream file("/proc/self/comm");
    std::string comm;
    std::getline(file, comm);
    EXPECT_EQ(std::string(name).substr(0, 15), comm);
    char small[4];
    program_name(small, sizeof small);
    EXPECT_EQ(std::string(small), std::string(name).substr(0, 3));
}

TEST(Clock, GoesOn) {
    const std::uint64_t before = monotonic_ns();
    const std::uint64_t cpu_before = thread_cpu_ns();
    sleep_ns(2'000'000);
    const std::uint64_t slept = monotonic_ns() - before;
    EXPECT_GE(slept, 2'000'000u);
    EXPECT_LE(thread_cpu_ns() - cpu_before, slept);
    yield_cpu();
    EXPECT_GE(thread_cpu_ns(), cpu_before);
}

void come_back(int) {}

TEST(Clock, SleepsOnAfterASignal) {
    struct sigaction action {};
    action.sa_handler = come_back;
    struct sigaction old_action {};
    sigaction(SIGALRM, &action, &old_action);
    const std::uint64_t before = monotonic_ns();
    ualarm(2'000, 0);
    sleep_ns(20'000'000);
    EXPECT_GE(monotonic_ns() - before, 20'000'000u);
    sigaction(SIGALRM, &old_action, nullptr);
}

TEST(Random, DoesNotRepeat) {
    const std::uint64_t a = random_word(), b = random_word(), c = random_word();
    EXPECT_NE(a, b);
    EXPECT_NE(b, c);
    EXPECT_NE(a, c);
}

TEST(Stack, OfTheMainThread) {
    int local = 0;
    static int global = 0;
    void* block = std::malloc(64);
    EXPECT_EQ(thread_id(), process_id());
    if (!base::sanitized_build) {
        EXPECT_TRUE(is_on_current_stack(address_of(&local)));
    }
    EXPECT_TRUE(is_on_current_stack(getauxval(AT_RANDOM)));  // the kernel puts it above all frames
    EXPECT_TRUE(is_on_current_stack(address_of(__builtin_frame_address(0))));
    EXPECT_FALSE(is_on_current_stack(address_of(&global)));
    EXPECT_FALSE(is_on_current_stack(address_of(block)));
    EXPECT_FALSE(is_on_current_stack(0));
    EXPECT_FALSE(is_on_current_stack(~std::uintptr_t{0}));
    std::free(block);
}

TEST(Stack, OfAnotherThread) {
    const std::uintptr_t mine = address_of(__builtin_frame_address(0));
    std::thread([mine] {
        const std::uintptr_t here = address_of(__builtin_frame_address(0));
        EXPECT_TRUE(is_on_current_stack(here));
        EXPECT_FALSE(is_on_current_stack(mine));
        void* block = std::malloc(64);
        EXPECT_FALSE(is_on_current_stack(address_of(block)));
        std::free(block);
        std::thread([here] { EXPECT_FALSE(is_on_current_stack(here)); }).join();
    }).join();
}

// An alternate stack between two neighbours in static memory, which are no stack.
struct {
    char before[4096];
    alignas(16) char stack[64 << 10];
    char after[4096];
} alternate;

struct Seen {
    volatile bool own, stack, before, after, interrupted;
    std::uintptr_t frame;
} seen;

void look_around(int) {
    seen.own = is_on_current_stack(address_of(__builtin_frame_address(0)));
    seen.stack = is_on_current_stack(address_of(alternate.stack));
    seen.before = is_on_current_stack(address_of(alternate.before));
    seen.after = is_on_current_stack(address_of(alternate.after));
    seen.interrupted = is_on_current_stack(seen.frame);
}

void interrupt_oneself() {
    stack_t stack{};
    stack.ss_sp = alternate.stack;
    stack.ss_size = sizeof alternate.stack;
    stack_t old_stack{};
    ASSERT_EQ(sigaltstack(&stack, &old_stack), 0);
    struct sigaction action {};
    action.sa_handler = look_around;
    action.sa_flags = SA_ONSTACK;
    struct sigaction old_action {};
    sigaction(SIGUSR1, &action, &old_action);
    seen = {};
    seen.frame = address_of(__builtin_frame_address(0));
    raise(SIGUSR1);
    sigaction(SIGUSR1, &old_action, nullptr);
    if ((old_stack.ss_flags & SS_DISABLE) == 0) sigaltstack(&old_stack, nullptr);
    stack.ss_flags = SS_DISABLE;
    if ((old_stack.ss_flags & SS_DISABLE) != 0) sigaltstack(&stack, nullptr);
    EXPECT_TRUE(seen.own);
    EXPECT_TRUE(seen.stack);
    EXPECT_FALSE(seen.before);
    EXPECT_FALSE(seen.after);
    EXPECT_TRUE(seen.interrupted);
}

TEST(Stack, InAHandlerOnAnAlternateStack) {
    interrupt_oneself();
    std::thread(interrupt_oneself).join();
}

TEST(Residency, FollowsTheMemoryTouched) {
    constexpr std::size_t bytes = std::size_t{32} << 20;
    constexpr std::size_t slack = std::size_t{4} << 20;  // the kernel counts in batches a CPU
    const Residency before = residency();
    EXPECT_GT(before.now_bytes, 0u);
    EXPECT_GE(before.peak_bytes + slack, before.now_bytes);
    void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memset(block, 1, bytes);
    const Residency during = residency();
    munmap(block, bytes);
    EXPECT_GE(during.now_bytes, before.now_bytes + bytes - slack);
    EXPECT_LT(residency().now_bytes, during.now_bytes);
    EXPECT_GE(residency().peak_bytes + slack, during.now_bytes);
}

std::string contents(const std::string& path) {
    std::ifstream file(path);
    std::stringstream all;
    all << file.rdbuf();
    return all.str();
}

TEST(Files, AreReplacedOrAppendedTo) {
    const std::string path = testing::TempDir() + "cairn_write_file_" + std::to_string(getpid());
    EXPECT_TRUE(write_file(path.c_str(), "one\n", 4, false));
    EXPECT_TRUE(write_file(path.c_str(), "two\n", 4, true));
    EXPECT_EQ(contents(path), "one\ntwo\n");
    EXPECT_TRUE(write_file(path.c_str(), "3", 1, false));
    EXPECT_EQ(contents(path), "3");
    std::remove(path.c_str());
    EXPECT_FALSE(write_file("/no/such/folder/file", "x", 1, false));
    EXPECT_FALSE(write_file("/dev/full", "x", 1, false));
}

// A pipe much smaller than the message, read slowly, in both blocking modes.
TEST(Files, StandardErrorIsWrittenWhole) {
    for (const bool is_blocking : {true, false}) {
        int ends[2];
        ASSERT_EQ(pipe2(ends, is_blocking ? 0 : O_NONBLOCK), 0);
        const int old_error = dup(STDERR_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[1]);
        const std::string text(300'000, 'e');
        std::size_t received = 0;
        std::thread reader([&] {
            char buffer[4096];
            for (;;) {
                const ssize_t got = read(ends[0], buffer, sizeof buffer);
                if (got > 0) received += static_cast<std::size_t>(got);
                else if (got == 0 || errno != EAGAIN) return;
            }
        });
        write_stderr(text.data(), text.size());
        dup2(old_error, STDERR_FILENO);
        close(old_error);
        reader.join();
        close(ends[0]);
        EXPECT_EQ(received, text.size()) << is_blocking;
    }
}

TEST(Environment, FollowsTheProgram) {
    EXPECT_EQ(environment("CAIRN_NOT_THERE"), nullptr);
    setenv("CAIRN_THERE", "value", 1);
    setenv("CAIRN_EMPTY", "", 1);
    EXPECT_STREQ(environment("CAIRN_THERE"), "value");
    EXPECT_STREQ(environment("CAIRN_EMPTY"), "");
    EXPECT_EQ(environment("CAIRN_THER"), nullptr);
    EXPECT_EQ(environment("CAIRN_THERE1"), nullptr);
    unsetenv("CAIRN_THERE");
    unsetenv("CAIRN_EMPTY");
    EXPECT_EQ(environment("CAIRN_THERE"), nullptr);
}

TEST(EnvironmentDeathTest, IsThereBeforeLibcIs) {
    if (getenv("PATH") == nullptr) GTEST_SKIP() << "started without PATH";
    const auto ask = [] {
        const std::string path = getenv("PATH");
        char** const saved = environ;
        environ = nullptr;
        const char* first = environment("PATH");
        const char* second = environment("PATH");
        const char* none = environment("CAIRN_NOT_THERE");
        environ = saved;
        _exit(first != nullptr && path == first && first == second && none == nullptr ? 0 : 1);
    };
    EXPECT_EXIT(ask(), testing::ExitedWithCode(0), "");
}

TEST(Process, KeepsErrno) {
    char name[32];
    const auto expect_kept = [](const char* call) {
        EXPECT_EQ(errno, 4321) << call;
        errno = 4321;
    };
    errno = 4321;
    (void)monotonic_ns(), (void)thread_cpu_ns(), (void)process_id(), (void)thread_id(), (void)cpu_count();
    expect_kept("numbers");
    (void)random_word(), sleep_ns(1000), yield_cpu();
    expect_kept("random, sleep, yield");
    (void)is_on_current_stack(0), (void)residency(), program_name(name, sizeof name);
    expect_kept("proc");
    EXPECT_FALSE(write_file("/no/such/folder/file", "x", 1, false));
    expect_kept("write_file");
    (void)environment("CAIRN_NOT_THERE");
    expect_kept("environment");
    std::atomic<std::uint32_t> word{1};
    base::os_wait(word, 2);  // returns at once: the word differs
    base::os_wake(word, true);
    expect_kept("futex");
    const int old_error = dup(STDERR_FILENO);
    close(STDERR_FILENO);
    errno = 4321;
    write_stderr("lost", 4);
    const int seen_error = errno;
    dup2(old_error, STDERR_FILENO);
    close(old_error);
    EXPECT_EQ(seen_error, 4321) << "write_stderr, closed";
}

// Handlers stay registered for the rest of the process, so they only count.
int prepared = 0, parents = 0, children = 0;

TEST(Fork, CallsTheHandlersOnBothSides) {
    [[maybe_unused]] static const bool is_registered = [] {
        at_fork([] { ++prepared; }, [] { ++parents; }, [] { ++children; });
        return true;
    }();
    prepared = parents = children = 0;
    const pid_t child = fork();
    if (child == 0) _exit(prepared == 1 && parents == 0 && children == 1 ? 0 : 1);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(prepared, 1);
    EXPECT_EQ(parents, 1);
    EXPECT_EQ(children, 0);
}

}  // namespace
}  // namespace cairn::os
