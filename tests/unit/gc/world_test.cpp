// Stops: who is stopped and who is left alone, what is found in a stopped thread, and what makes a stop fail.
// SPDX-License-Identifier: MIT
#include "gc/world.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "unit/gc/world_threads.hpp"

namespace cairn::gc {
namespace {

using namespace std::chrono_literals;

// ---- stopping

TEST_F(WorldTest, AStoppedThreadDoesNothingAndGoesOnAfterwards) {
    AttachedThread thread(spin);
    thread.wait_until_ready();
    std::uint64_t during = 0;
    stopped([&] {
        during = thread.rounds.load();
        std::this_thread::sleep_for(5ms);
        EXPECT_EQ(thread.rounds.load(), during);
        EXPECT_EQ(thread.record().thread_state(), ThreadState::stopped);
    });
    while (thread.rounds.load() == during) os::yield_cpu();
    EXPECT_EQ(world.last_stop().threads, 1u);
    // One that waits for a CPU is sent another now and then: it cannot be told from one that lost the signal.
    EXPECT_GE(world.last_stop().signals, 1u);
}

TEST_F(WorldTest, AThreadInsideOurOwnCodeIsStoppedWhenItLeaves) {
    std::atomic<int> step{0};
    AttachedThread thread([&](AttachedThread& me) {
        Inside outer(me.record());
        {
            Inside inner(me.record());
            me.announce();
            // The signal comes here, twice inside.
            std::this_thread::sleep_for(20ms);
            step = 1;
        }
        std::this_thread::sleep_for(5ms);
        step = 2;
    });
    thread.wait_until_ready();
    stopped([&] {
        EXPECT_EQ(step.load(), 2);
        EXPECT_EQ(thread.record().thread_state(), ThreadState::stopped);
    });
}

TEST_F(WorldTest, ADeclaredBlockingRegionIsNotDisturbed) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    AttachedThread thread([&](AttachedThread& me) {
        World::enter_blocking(me.record());
        World::enter_blocking(me.record());  // nests
        me.announce();
        char c;
        EXPECT_EQ(read(ends[0], &c, 1), 1);
        World::leave_blocking(me.record());
        EXPECT_EQ(me.record().thread_state(), ThreadState::blocked);
        World::leave_blocking(me.record());
        me.rounds = 1;
    });
    thread.wait_until_ready();
    stopped([&] {
        EXPECT_EQ(world.last_stop().signals, 0u);
        EXPECT_EQ(write(ends[1], "x", 1), 1);
        std::this_thread::sleep_for(10ms);
        EXPECT_EQ(thread.rounds.load(), 0u) << "it comes out of the region only when the world goes on";
    });
    thread.end();
    EXPECT_EQ(thread.rounds.load(), 1u);
    close(ends[0]), close(ends[1]);
}

TEST_F(WorldTest, AnUndeclaredReadIsInterruptedAndGoesOn) {
    if (base::sanitized_build) GTEST_SKIP() << "ThreadSanitizer calls no handler during read()";
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    AttachedThread thread([&](AttachedThread& me) {
        me.announce();
        char c = 0;
        errno = 77;
        EXPECT_EQ(read(ends[0], &c, 1), 1) << errno;
        EXPECT_EQ(c, 'x');
        EXPECT_EQ(errno, 77);
    });
    thread.wait_until_ready();
    for (int i = 0; i < 20; ++i) stopped([&] { EXPECT_EQ(world.last_stop().threads, 1u); });
    EXPECT_EQ(write(ends[1], "x", 1), 1);
    thread.end();
    close(ends[0]), close(ends[1]);
}

TEST_F(WorldTest, OneThreadAloneIsStoppedByStopOne) {
    AttachedThread one(spin), other(spin);
    one.wait_until_ready();
    other.wait_until_ready();
    ASSERT_TRUE(world.stop_one(one.record()));
    const std::uint64_t before_one = one.rounds.load(), before_other = other.rounds.load();
    while (other.rounds.load() == before_other) os::yield_cpu();
    EXPECT_EQ(one.rounds.load(), before_one);
    world.resume_one(one.record());
    while (one.rounds.load() == before_one) os::yield_cpu();
    ASSERT_TRUE(world.stop_one(*self)) << "the caller stands still anyway";
    world.resume_one(*self);
}

TEST_F(WorldTest, AnUnattachedThreadMayStopTheWorld) {
    AttachedThread thread(spin);
    thread.wait_until_ready();
    World::enter_blocking(*self);
    std::thread([&] {
        ASSERT_TRUE(world.stop_all(nullptr));
        EXPECT_EQ(world.last_stop().threads, 2u);
        unsigned count = 0;
        world.for_each([&](ThreadRecord& record) { count += record.is_attached(); });
        EXPECT_EQ(count, 2u);
        world.resume_all();
    }).join();
    World::leave_blocking(*self);
}

TEST_F(WorldTest, ErrnoIsLeftAlone) {
    std::atomic<bool> is_kept{true};
    AttachedThread thread([&](AttachedThread& me) {
        me.announce();
        errno = 1234;
        while (!me.is_told_to_end()) is_kept = is_kept && errno == 1234;
    });
    thread.wait_until_ready();
    for (int i = 0; i < 50; ++i) stopped([] {});
    EXPECT_TRUE(is_kept);
}

// ---- stops that fail

// Blocks all signals by libc's function, or by the kernel's, which leaves none open.
class DeafThread {
public:
    explicit DeafThread(bool by_kernel)
        : thread_([this, by_kernel](AttachedThread& me) {
              sigset_t all;
              std::memset(&all, 0xff, sizeof all);
              if (by_kernel) syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, nullptr, 8);
              else pthread_sigmask(SIG_SETMASK, &all, nullptr);
              me.announce();
              while (!hears_) me.rounds.fetch_add(1);
              sigemptyset(&all);
              pthread_sigmask(SIG_SETMASK, &all, nullptr);
              me.rounds = 0;
              while (!me.is_told_to_end()) me.rounds.fetch_add(1);
          }) {
        thread_.wait_until_ready();
    }
    ~DeafThread() { hears_ = true; }
    void listen() { hears_ = true; }
    AttachedThread& operator*() { return thread_; }

private:
    std::atomic<bool> hears_{false};
    AttachedThread thread_;
};

TEST_F(WorldTest, AThreadThatBlocksTheSignalMakesTheStopFailWithAReason) {
    if (base::sanitized_build) GTEST_SKIP() << "a sanitizer decides itself when to call a handler";
    ASSERT_TRUE(world.initialize(0, {.blocked_ns = 60'000'000, .silent_ns = 10'000'000'000}));
    {
        DeafThread deaf(true);
        AttachedThread spinner(spin);
        spinner.wait_until_ready();
        for (int i = 0; i < 3; ++i) {
            EXPECT_FALSE(world.stop_all(self));
            EXPECT_NE(world.failure().find("blocks signal 42"), std::string_view::npos) << world.failure();
            const std::uint64_t before = spinner.rounds.load();
            while (spinner.rounds.load() == before) os::yield_cpu();  // nobody is stopped
        }
        deaf.listen();
        stopped([&] { EXPECT_EQ((*deaf).record().thread_state(), ThreadState::stopped); });
    }
    ASSERT_TRUE(world.initialize());
}

TEST_F(WorldTest, AThreadThatBlocksAllThatLibcLetsItBlockIsStoppedAllTheSame) {
    if (base::sanitized_build) GTEST_SKIP() << "a sanitizer decides itself when to call a handler";
    DeafThread deaf(false);
    AttachedThread spinner(spin);
    spinner.wait_until_ready();
    for (int i = 0; i < 50; ++i) {
        stopped([&] {
            const std::uint64_t before = (*deaf).rounds.load();
            EXPECT_EQ((*deaf).record().thread_state(), ThreadState::stopped);
            std::this_thread::sleep_for(1ms);
            EXPECT_EQ((*deaf).rounds.load(), before);
        });
        EXPECT_EQ(seteuid(geteuid()), 0) << "libc's own use of the signal";
    }
    EXPECT_LT(world.last_stop().ns, 1'000'000'000u);
    EXPECT_TRUE((*deaf).record().is_deaf) << "known by now";
    EXPECT_FALSE(spinner.record().is_deaf);
    deaf.listen();
    stopped([&] { EXPECT_EQ((*deaf).record().thread_state(), ThreadState::stopped); });
}

TEST_F(WorldTest, ThreadsThatBeginDeafComeAndGo) {
    if (base::sanitized_build) GTEST_SKIP() << "a sanitizer decides itself when to call a handler";
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::atomic<bool> ends{false};
    World::enter_blocking(*self);
    std::vector<std::thread> starters;
    std::atomic<unsigned> deaf{0};
    for (int i = 0; i < 3; ++i) {
        starters.emplace_back([&] {
            while (!ends) {
                AttachedThread thread([&](AttachedThread& me) {
                    deaf.fetch_add(me.record().is_deaf);
                    for (int j = 0; j < 1000; ++j) me.rounds.fetch_add(1);
                });
            }
        });
    }
    World::leave_blocking(*self);
    for (int i = 0; i < 300; ++i) {
        stopped([] {});
        EXPECT_EQ(seteuid(geteuid()), 0);
    }
    ends = true;
    World::enter_blocking(*self);
    for (std::thread& starter : starters) starter.join();
    World::leave_blocking(*self);
    EXPECT_GT(deaf.load(), 0u);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// Found in review: the time that another's stop took counted, so that the first look was the last.
TEST_F(WorldTest, PatienceBeginsWhenItIsOurTurn) {
    constexpr auto silent = 1s;
    ASSERT_TRUE(world.initialize(0, {.blocked_ns = 1'000'000'000, .silent_ns = 1'000'000'000}));
    world.detach(*self);  // else we would be stopped, and not wait for our turn
    {
        AttachedThread late([](AttachedThread& me) {
            me.announce();
            while (!me.is_told_to_end()) {
                Inside inside(me.record());
                std::this_thread::sleep_for(20ms);  // ten times the first look
            }
        });
        AttachedThread other([&](AttachedThread& me) {
            ASSERT_TRUE(world.stop_all(&me.record())) << world.failure();
            me.announce();
            std::this_thread::sleep_for(silent + 100ms);
            world.resume_all();
        });
        late.wait_until_ready();
        other.wait_until_ready();
        ASSERT_TRUE(world.stop_all(nullptr)) << world.failure();
        EXPECT_EQ(late.record().thread_state(), ThreadState::stopped);
        world.resume_all();
    }
    ASSERT_TRUE(world.initialize());
}

TEST_F(WorldTest, ItDoesNotMatterWhatAThreadBlocksInsideOurOwnCode) {
    AttachedThread thread([&](AttachedThread& me) {
        Inside inside(me.record());
        sigset_t all, old;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        me.announce();
        std::this_thread::sleep_for(100ms);
        pthread_sigmask(SIG_SETMASK, &old, nullptr);
    });
    thread.wait_until_ready();
    stopped([&] { EXPECT_NE(thread.record().thread_state(), ThreadState::running); });
}

TEST_F(WorldTest, AThreadThatEndedWithoutAWordIsFoundOut) {
    if (base::sanitized_build) GTEST_SKIP() << "a sanitizer does not survive such a thread";
    for (const bool is_blocked : {false, true}) {
        auto* record = make_record();
        std::atomic<bool> is_ready{false};
        auto body = [&] {
            world.attach(*record);
            if (is_blocked) World::enter_blocking(*record);
            is_ready = true;
            syscall(SYS_exit, 0);
        };
        pthread_t thread;
        auto entry = [](void* argument) -> void* {
            (*static_cast<decltype(body)*>(argument))();
            return nullptr;
        };
        ASSERT_EQ(pthread_create(&thread, nullptr, entry, &body), 0);
        while (!is_ready) os::yield_cpu();
        pthread_join(thread, nullptr);
        while (os::is_thread_alive(record->tid)) os::yield_cpu();  // it wakes who joins a moment before
        stopped([&] {
            EXPECT_EQ(record->thread_state(), ThreadState::gone);
            World::for_each_root_range(*record, [](std::uintptr_t, std::uintptr_t) { ADD_FAILURE(); });
            EXPECT_EQ(world.take_gone(), record);
            EXPECT_EQ(world.take_gone(), nullptr);
        });
        stopped([&] { EXPECT_EQ(world.last_stop().threads, 0u); });
    }
}

TEST_F(WorldTest, ASignalOfTheProgramIsNotTaken) {
    struct sigaction mine {}, old {};
    mine.sa_handler = [](int) {};
    const int signal = SIGRTMIN + 20;
    ASSERT_EQ(sigaction(signal, &mine, &old), 0);
    constinit static World second;
    EXPECT_FALSE(second.initialize(signal));
    EXPECT_NE(second.failure().find("handler of its own"), std::string_view::npos) << second.failure();
    sigaction(signal, &old, nullptr);
}

// ---- coming and going

TEST_F(WorldTest, AttachAndDetachTwiceAreHarmless) {
    world.attach(*self);
    EXPECT_EQ(World::current(), self);
    world.detach(*self);
    world.detach(*self);
    EXPECT_EQ(World::current(), nullptr);
    EXPECT_FALSE(self->is_attached());
    World::for_each_root_range(*self, [](std::uintptr_t, std::uintptr_t) { ADD_FAILURE(); });
    world.attach(*self);
    EXPECT_EQ(self->tid, os::thread_id());
}

TEST_F(WorldTest, AKeysDestructorMayDetach) {
    pthread_key_t thread_key;
    ASSERT_EQ(pthread_key_create(&thread_key,
                                 [](void* record) {
                                     world.detach(*static_cast<ThreadRecord*>(record));
                                     world.detach(*static_cast<ThreadRecord*>(record));
                                 }),
              0);
    for (int i = 0; i < 50; ++i) {
        std::thread thread([&] {
            auto* record = make_record();
            world.attach(*record);
            pthread_setspecific(thread_key, record);
        });
        for (int k = 0; k < 3; ++k) stopped([] {});
        thread.join();
    }
    stopped([&] { EXPECT_EQ(world.last_stop().threads, 0u); });
    pthread_key_delete(thread_key);
}

// ---- fork

int wait_for_child(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// In a child: a thread of its own can be stopped.
int stop_a_new_thread(ThreadRecord* survivor) {
    AttachedThread thread(spin);
    thread.wait_until_ready();
    if (!world.stop_all(survivor)) return 2;
    const bool is_right = world.last_stop().threads == 1 && survivor->tid == os::thread_id();
    world.resume_all();
    return is_right ? 0 : 3;
}

TEST_F(WorldTest, AForkedChildHasOneThread) {
    if (base::sanitized_build) GTEST_SKIP() << "threads in a forked child are beyond a sanitizer";
    AttachedThread one(spin), other(spin);
    one.wait_until_ready();
    for (int i = 0; i < 10; ++i) {
        world.lock_for_fork();
        const pid_t child = fork();
        if (child == 0) {
            world.reset_in_child(self);
            _exit(one.record().is_attached() ? 1 : stop_a_new_thread(self));
        }
        world.unlock_after_fork();
        EXPECT_EQ(wait_for_child(child), 0);
        stopped([&] { EXPECT_EQ(world.last_stop().threads, 2u); });
    }
}

TEST_F(WorldTest, AChildForkedBehindOurBackIsFoundOutByItsOwnThread) {
    if (base::sanitized_build) GTEST_SKIP() << "threads in a forked child are beyond a sanitizer";
    AttachedThread other(spin);
    other.wait_until_ready();
    stopped([] {});
    const auto child = static_cast<pid_t>(syscall(SYS_fork));
    if (child == 0) _exit(world.stop_all(self) ? (world.resume_all(), stop_a_new_thread(self)) : 1);
    EXPECT_EQ(wait_for_child(child), 0);

    const auto second = static_cast<pid_t>(syscall(SYS_fork));
    if (second == 0) {
        int result = 3;
        std::thread([&] { result = world.stop_all(nullptr) ? 1 : world.failure().empty() ? 2 : 0; }).join();
        _exit(result);
    }
    EXPECT_EQ(wait_for_child(second), 0);
}

}  // namespace
}  // namespace cairn::gc
