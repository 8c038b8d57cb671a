// The finalizer thread: started when it is wanted, asleep when idle, obedient to its mode, gone after fork.
// SPDX-License-Identifier: MIT
#include "gc/finalizer_runner.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

std::atomic<int> attached{0};
std::atomic<int> refusals{0};
std::atomic<int> calls{0};
std::atomic<std::thread::id> caller;
thread_local int depth = 0;

const RunnerEnvironment threads{
    .spawn =
        [](void (*entry)(void*), void* argument) {
            if (refusals.load() > 0) {
                --refusals;
                return false;
            }
            std::thread(entry, argument).detach();
            return true;
        },
    .attach = [] { ++attached; },
    .detach = [] { --attached; },
    .enter_runtime =
        [] {
            SmallCollector::current->world.lock_shared();
            EXPECT_EQ(depth++, 0);
        },
    .leave_runtime =
        [] {
            EXPECT_EQ(--depth, 0);
            SmallCollector::current->world.unlock_shared();
        },
    .begin_blocking = [] { EXPECT_EQ(depth, 0); },
    .end_blocking = [] { EXPECT_EQ(depth, 0); },
};

void count_call(void*, void*) {
    EXPECT_EQ(depth, 0) << "the program's functions run outside of the runtime";
    caller.store(std::this_thread::get_id());
    ++calls;
}

class FinalizerRunnerTest : public testing::Test {
protected:
    void SetUp() override { calls = refusals = 0; }
    void TearDown() override {
        runner.stop_thread();
        EXPECT_EQ(attached.load(), 0);
    }
    void make_garbage(int count) {
        for (int i = 0; i < count; ++i)
            ASSERT_EQ(collector.finalizer.set_finalizer(collector.allocate(), count_call, nullptr),
                      Attached::ok);
        collector.collect();
    }
    void wait_idle() {
        while (true) {
            const InCollector inside(collector);
            if (runner.is_idle()) return;
            std::this_thread::yield();
        }
    }

    SmallCollector& collector = SmallCollector::make(threads);
    FinalizerRunner& runner = collector.finalizer.runner();
};

TEST_F(FinalizerRunnerTest, NoThreadBeforeItIsWanted) {
    runner.start_if_wanted();
    EXPECT_EQ(attached.load(), 0);
    make_garbage(1);
    EXPECT_EQ(calls.load(), 0) << "nothing is called before the thread is started";
    runner.start_if_wanted();
    runner.start_if_wanted();
    wait_idle();
    EXPECT_EQ(calls.load(), 1);
    EXPECT_NE(caller.load(), std::this_thread::get_id());
    EXPECT_EQ(attached.load(), 1);
}

TEST_F(FinalizerRunnerTest, WokenAgainAndAgain) {
    make_garbage(1);
    runner.start_if_wanted();
    for (int round = 2; round <= 300; ++round) {
        wait_idle();
        if (round % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // let it fall asleep
        make_garbage(1);
    }
    wait_idle();
    EXPECT_EQ(calls.load(), 300);
}

TEST_F(FinalizerRunnerTest, ARefusedThreadIsTriedAgain) {
    refusals = 2;
    make_garbage(3);
    for (int i = 0; i < 2; ++i) {
        runner.start_if_wanted();
        EXPECT_EQ(attached.load(), 0);
    }
    EXPECT_EQ(calls.load(), 0);
    runner.start_if_wanted();
    wait_idle();
    EXPECT_EQ(calls.load(), 3);
}

TEST_F(FinalizerRunnerTest, InDrainModeOnlyTheProgramMakesCalls) {
    runner.set_mode(FinalizerMode::drain);
    make_garbage(5);
    runner.start_if_wanted();
    EXPECT_EQ(attached.load(), 0);
    EXPECT_EQ(runner.run_pending(), 5u);
    EXPECT_EQ(caller.load(), std::this_thread::get_id());
    // A thread that is there already holds still too.
    runner.set_mode(FinalizerMode::thread);
    runner.start_if_wanted();
    make_garbage(1);
    wait_idle();
    runner.set_mode(FinalizerMode::drain);
    make_garbage(7);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(calls.load(), 6);
    runner.set_mode(FinalizerMode::thread);
    wait_idle();
    EXPECT_EQ(calls.load(), 13);
}

TEST_F(FinalizerRunnerTest, StoppedAndStartedAnew) {
    make_garbage(1);
    runner.start_if_wanted();
    runner.stop_thread();
    runner.stop_thread();
    EXPECT_EQ(attached.load(), 0);
    make_garbage(2);
    runner.start_if_wanted();
    wait_idle();
    EXPECT_EQ(calls.load(), 3);
}

TEST_F(FinalizerRunnerTest, AChildOfForkStartsItsOwn) {
    if (base::sanitized_build) GTEST_SKIP() << "sanitizers allow no thread in a forked child";
    make_garbage(1);
    runner.start_if_wanted();
    wait_idle();
    pid_t child = -1;
    {
        const SmallCollector::Stop nobody_inside(collector);
        collector.finalizer.lock_for_fork();
        child = fork();
        if (child == 0) collector.reset_in_child();
        else collector.finalizer.unlock_after_fork();
    }
    if (child == 0) {
        make_garbage(4);
        runner.start_if_wanted();
        wait_idle();
        _exit(calls.load() == 5 ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    make_garbage(1);
    wait_idle();
    EXPECT_EQ(calls.load(), 2);
}

}  // namespace
}  // namespace cairn::gc
