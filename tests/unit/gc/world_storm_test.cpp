// The world under storms: threads that come, go, block, nest and catch signals while others stop and fork.
//
// While the world stands still no thread may get on; what each thread counts is compared across the stop.
// Latencies are printed, not judged: the machine may be busy.
// SPDX-License-Identifier: MIT
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "base/config.hpp"
#include "unit/gc/world_threads.hpp"

namespace cairn::gc {
namespace {

constexpr unsigned scale = base::sanitized_build ? 4 : 1;

struct Random {
    std::uint64_t state;
    std::uint64_t below(std::uint64_t limit) {  // splitmix64
        std::uint64_t z = state += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return (z ^ (z >> 31)) % limit;
    }
};

void spin_for(unsigned rounds) {
    for (unsigned i = 0; i < rounds; ++i) asm volatile("" ::: "memory");
}

// A record and what its thread counts while it runs user code: grows only when the thread is not stopped.
struct Worker {
    ThreadRecord thread;
    std::atomic<std::uint64_t> progress{0};
};

class WorldStormTest : public WorldTest {
protected:
    static void SetUpTestSuite() {
        WorldTest::SetUpTestSuite();
        struct sigaction action {};
        action.sa_handler = [](int) {
            spin_for(1000);
        };
        action.sa_flags = SA_ONSTACK | SA_RESTART;
        ASSERT_EQ(sigaction(SIGUSR2, &action, nullptr), 0);
    }

    // Records are recycled, as an owner that never unmaps them would do.
    Worker* take_worker() {
        std::lock_guard guard(mutex_);
        if (free_.empty()) return make_record<Worker>();
        Worker* worker = free_.back();
        free_.pop_back();
        return worker;
    }
    void drop_worker(Worker* worker) {
        std::lock_guard guard(mutex_);
        free_.push_back(worker);
    }

    static void act(Worker& me, Random& random, int pipe_out, int pipe_in) {
        ThreadRecord& thread = me.thread;
        char c = 'x';
        switch (random.below(7)) {
            case 0: {
                Inside outer(thread);
                Inside inner(thread);
                spin_for(200);
                break;
            }
            case 1:
                World::enter_blocking(thread);
                os::yield_cpu();
                World::leave_blocking(thread);
                break;
            case 2: {
                Inside inside(thread);
                World::enter_blocking(thread);  // waits inside our own code
                World::leave_blocking(thread);
                break;
            }
            case 3:
                EXPECT_EQ(write(pipe_in, &c, 1), 1);
                EXPECT_EQ(read(pipe_out, &c, 1), 1);
                break;
            case 4: raise(SIGUSR2); break;
            case 5:
                world.detach(thread);
                world.attach(thread);
                break;
            default:
                for (unsigned i = 0; i < 500; ++i) me.progress.fetch_add(1, std::memory_order_relaxed);
        }
        me.progress.fetch_add(1, std::memory_order_relaxed);
    }

    void live(std::uint64_t seed, unsigned steps) {
        Worker* me = take_worker();
        Random random{seed};
        std::vector<char> memory(64 << 10);
        if (random.below(2) == 0) EXPECT_TRUE(os::set_alternate_stack(memory.data(), memory.size()));
        world.attach(me->thread);
        int ends[2];
        EXPECT_EQ(pipe(ends), 0);
        for (unsigned i = 0; i < steps; ++i) act(*me, random, ends[0], ends[1]);
        close(ends[0]), close(ends[1]);
        world.detach(me->thread);
        EXPECT_TRUE(os::set_alternate_stack(nullptr, 0));
        drop_worker(me);
    }

    // Starts one thread after the other until told to end.
    void keep_starting(std::uint64_t seed) {
        for (std::uint64_t n = 0; !is_over_.load(); ++n) {
            std::thread thread([this, seed, n] { live(seed * 1000 + n, 50 + seed % 100); });
            thread.join();
            ++threads_started_;
        }
    }

    static std::uint64_t progress_of(ThreadRecord& thread) {
        return reinterpret_cast<Worker&>(thread).progress.load(std::memory_order_relaxed);
    }

    // Stops the world and looks whether it does.
    void stop_and_check(ThreadRecord* who) {
        ASSERT_TRUE(world.stop_all(who)) << world.failure();
        std::vector<std::pair<ThreadRecord*, std::uint64_t>> before;
        world.for_each([&](ThreadRecord& thread) {
            if (&thread == who || thread.thread_state() == ThreadState::blocked) return;
            before.emplace_back(&thread, progress_of(thread));
        });
        std::uintptr_t sum = 0;
        world.for_each([&](ThreadRecord& thread) {
            World::for_each_root_range(thread, [&](std::uintptr_t low, std::uintptr_t high) {
                sum += count_words(low, high, 0);
            });
        });
        for (auto [thread, progress] : before) EXPECT_EQ(progress_of(*thread), progress);
        sum_ += sum;
        world.resume_all();
    }

    void start_storm(unsigned starters) {
        is_over_ = false;
        for (unsigned i = 0; i < starters; ++i) {
            starters_.push_back(std::make_unique<std::thread>([this, i] { keep_starting(i + 1); }));
        }
    }
    void end_storm() {
        is_over_ = true;
        for (auto& starter : starters_) starter->join();
        starters_.clear();
    }

    Worker& own_ = *make_record<Worker>();
    std::atomic<bool> is_over_{false};
    std::atomic<unsigned> threads_started_{0};
    std::atomic<std::uintptr_t> sum_{0};

private:
    std::mutex mutex_;
    std::vector<Worker*> free_;
    std::vector<std::unique_ptr<std::thread>> starters_;
};

TEST_F(WorldStormTest, ThreadsComeAndGoWhileTwoStopTheWorld) {
    world.detach(*self);
    world.attach(own_.thread);
    start_storm(6);
    std::thread second([this] {
        auto* worker = make_record<Worker>();
        world.attach(worker->thread);
        for (unsigned i = 0; i < 300 / scale; ++i) stop_and_check(&worker->thread);
        world.detach(worker->thread);
    });
    for (unsigned i = 0; i < 300 / scale; ++i) {
        World::enter_blocking(own_.thread);
        std::thread([this] { stop_and_check(nullptr); }).join();
        World::leave_blocking(own_.thread);
        stop_and_check(&own_.thread);
    }
    World::enter_blocking(own_.thread);
    second.join();
    end_storm();
    World::leave_blocking(own_.thread);
    EXPECT_GT(threads_started_.load(), 0u);
    std::printf("  %u threads came and went\n", threads_started_.load());
    ASSERT_TRUE(world.stop_all(&own_.thread));
    EXPECT_EQ(world.last_stop().threads, 0u);
    world.resume_all();
    world.detach(own_.thread);
}

TEST_F(WorldStormTest, OneAfterTheOtherIsStoppedAloneAndScanned) {
    world.detach(*self);
    world.attach(own_.thread);
    start_storm(4);
    for (unsigned round = 0; round < 100 / scale; ++round) {
        std::vector<ThreadRecord*> all;
        {
            Inside inside(own_.thread);
            world.lock_threads();
            world.for_each([&](ThreadRecord& thread) { all.push_back(&thread); });
            world.unlock_threads();
        }
        for (ThreadRecord* thread : all) {
            ASSERT_TRUE(world.stop_one(*thread)) << world.failure();
            const std::uint64_t before = progress_of(*thread);
            std::uintptr_t sum = 0;
            World::for_each_root_range(*thread, [&](std::uintptr_t low, std::uintptr_t high) {
                sum += count_words(low, high, 0);
            });
            if (thread != &own_.thread && thread->thread_state() == ThreadState::stopped)
                EXPECT_EQ(progress_of(*thread), before);
            sum_ += sum;
            world.resume_one(*thread);
        }
    }
    World::enter_blocking(own_.thread);
    end_storm();
    World::leave_blocking(own_.thread);
    world.detach(own_.thread);
}

TEST_F(WorldStormTest, ForksAmidStops) {
    if (base::sanitized_build) GTEST_SKIP() << "threads in a forked child are beyond a sanitizer";
    world.detach(*self);
    world.attach(own_.thread);
    start_storm(4);
    std::atomic<bool> is_stopping{true};
    std::thread stopper([&] {
        while (is_stopping) {
            if (!world.stop_all(nullptr)) ADD_FAILURE() << world.failure();
            else world.resume_all();
            os::sleep_ns(100'000);
        }
    });
    for (unsigned i = 0; i < 30; ++i) {
        world.lock_for_fork();
        const pid_t child = fork();
        if (child == 0) {
            world.reset_in_child(&own_.thread);
            if (!world.stop_all(&own_.thread) || world.last_stop().threads != 0) _exit(1);
            world.resume_all();
            _exit(0);
        }
        world.unlock_after_fork();
        int status = 0;
        World::enter_blocking(own_.thread);
        ASSERT_EQ(waitpid(child, &status, 0), child);
        World::leave_blocking(own_.thread);
        EXPECT_EQ(status, 0);
    }
    World::enter_blocking(own_.thread);
    is_stopping = false;
    stopper.join();
    end_storm();
    World::leave_blocking(own_.thread);
    world.detach(own_.thread);
}

// ---- how long a stop takes

struct Latencies {
    std::vector<std::uint64_t> stop_ns, resume_ns;
    static double at(std::vector<std::uint64_t>& all, double share) {
        std::sort(all.begin(), all.end());
        const auto index = static_cast<std::size_t>(share * static_cast<double>(all.size()));
        return static_cast<double>(all[std::min(all.size() - 1, index)]) / 1e3;
    }
    void print(const char* what, unsigned threads) {
        std::printf("  %2u threads %-20s stop p50 %6.1f  p99 %7.1f  max %8.1f us   wake-up p50 %6.1f us\n",
                    threads, what, at(stop_ns, 0.5), at(stop_ns, 0.99), at(stop_ns, 1), at(resume_ns, 0.5));
    }
};

TEST_F(WorldStormTest, LatencyOfAStop) {
    struct Case {
        const char* what;
        void (*body)(AttachedThread&);
    };
    const Case cases[] = {{"spinning", spin},
                          {"in and out of ours",
                           [](AttachedThread& me) {
                               me.announce();
                               while (!me.is_told_to_end()) {
                                   Inside inside(me.record());
                                   spin_for(100);
                               }
                           }},
                          {"asleep in a call",
                           [](AttachedThread& me) {
                               me.announce();
                               while (!me.is_told_to_end()) os::sleep_ns(5'000'000);
                           }},
                          {"in a region", [](AttachedThread& me) {
                               World::enter_blocking(me.record());
                               me.announce();
                               while (!me.is_told_to_end()) os::sleep_ns(5'000'000);
                               World::leave_blocking(me.record());
                           }}};
    for (const Case& one : cases) {
        for (const unsigned count : {1u, 4u, 16u}) {
            std::vector<std::unique_ptr<AttachedThread>> threads;
            for (unsigned i = 0; i < count; ++i) {
                threads.push_back(std::make_unique<AttachedThread>(one.body));
                threads.back()->wait_until_ready();
            }
            Latencies latencies;
            const std::uint64_t end_ns = os::monotonic_ns() + 300'000'000;
            for (unsigned i = 0; i < 300 && (i < 3 || os::monotonic_ns() < end_ns); ++i) {
                ASSERT_TRUE(world.stop_all(self)) << world.failure();
                latencies.stop_ns.push_back(world.last_stop().ns);
                EXPECT_EQ(world.last_stop().threads, count);
                const std::uint64_t before_ns = os::monotonic_ns();
                world.resume_all();
                latencies.resume_ns.push_back(os::monotonic_ns() - before_ns);
                os::sleep_ns(200'000);
            }
            latencies.print(one.what, count);
        }
    }
}

TEST_F(WorldStormTest, CostOfGoingInAndOut) {
    constexpr unsigned rounds = 2'000'000;
    const auto time = [&](const char* what, auto body) {
        const std::uint64_t before_ns = os::thread_cpu_ns();
        for (unsigned i = 0; i < rounds; ++i) body();
        const auto ns = static_cast<double>(os::thread_cpu_ns() - before_ns);
        std::printf("  %-36s %5.1f ns\n", what, ns / rounds);
    };
    time("enter and leave our own code", [&] {
        World::enter_runtime(*self);
        World::leave_runtime(*self);
    });
    time("enter and leave a blocking region", [&] {
        World::enter_blocking(*self);
        World::leave_blocking(*self);
    });
}

}  // namespace
}  // namespace cairn::gc
