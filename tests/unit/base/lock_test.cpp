// The lock: one owner at a time, sleepers woken, usable again in a forked child.
// SPDX-License-Identifier: MIT
#include "base/lock.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace cairn::base {
namespace {

using Lock = RankedLock<Rank::leaf>;

TEST(Lock, IsFourBytes) { EXPECT_EQ(sizeof(Lock), 4u); }

TEST(Lock, TryLockFailsWhileHeld) {
    Lock lock;
    ASSERT_TRUE(lock.try_lock());
    EXPECT_TRUE(lock.is_held());
    EXPECT_FALSE(lock.try_lock());
    lock.unlock();
    EXPECT_FALSE(lock.is_held());
    EXPECT_TRUE(lock.try_lock());
    lock.unlock();
}

TEST(Lock, GuardHoldsForItsScope) {
    Lock lock;
    {
        Guard guard(lock);
        EXPECT_TRUE(lock.is_held());
    }
    EXPECT_FALSE(lock.is_held());
}

// A plain counter: lost updates show as a wrong sum, and as a race under the thread sanitizer.
TEST(Lock, ExcludesOthers) {
    constexpr unsigned threads = 6;
    constexpr unsigned rounds = 20'000;
    Lock lock;
    std::uint64_t counter = 0;
    std::vector<std::thread> crowd;
    for (unsigned i = 0; i < threads; ++i) {
        crowd.emplace_back([&] {
            for (unsigned round = 0; round < rounds; ++round) {
                Guard guard(lock);
                ++counter;
            }
        });
    }
    for (std::thread& thread : crowd) thread.join();
    EXPECT_EQ(counter, std::uint64_t{threads} * rounds);
}

TEST(Lock, WakesWhoSleptLong) {
    Lock lock;
    std::atomic<unsigned> passed{0};
    lock.lock();
    std::vector<std::thread> crowd;
    for (unsigned i = 0; i < 4; ++i) {
        crowd.emplace_back([&] {
            Guard guard(lock);
            passed.fetch_add(1, std::memory_order_relaxed);  // relaxed: joined before it is read
        });
    }
    // Long enough for all to give up spinning; being wrong here only tests less.
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(passed.load(std::memory_order_relaxed), 0u);  // relaxed: the lock is ours
    lock.unlock();
    for (std::thread& thread : crowd) thread.join();
    EXPECT_EQ(passed.load(std::memory_order_relaxed), 4u);  // relaxed: joined
}

TEST(Lock, IsFreeInAChildAfterReset) {
    Lock lock;
    lock.lock();
    const pid_t child = fork();
    if (child == 0) {
        lock.reset_after_fork();
        _exit(lock.try_lock() ? 0 : 1);
    }
    lock.unlock();
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace cairn::base

#if defined(CAIRN_DEBUG) && CAIRN_DEBUG
TEST(LockDeathTest, AFallingRankStopsADebugBuild) {
    using cairn::base::Rank;
    static constinit cairn::base::RankedLock<Rank::heap> heap;
    static constinit cairn::base::RankedLock<Rank::central> central;
    const auto number = [](Rank rank) { return std::to_string(static_cast<unsigned>(rank)); };
    EXPECT_DEATH(
        {
            heap.lock();
            central.lock();
        },
        "lock of rank " + number(Rank::central) + " taken while one of rank " + number(Rank::heap));
}

TEST(LockDebug, ADebugBuildKnowsWhoHoldsSome) {
    using cairn::base::holds_locks;
    cairn::base::RankedLock<cairn::base::Rank::leaf> first, second;
    EXPECT_FALSE(holds_locks());
    first.lock();
    second.lock();
    first.unlock();
    EXPECT_TRUE(holds_locks());
    std::thread([] { EXPECT_FALSE(holds_locks()) << "another thread's"; }).join();
    second.unlock();
    EXPECT_FALSE(holds_locks());
}
#endif
