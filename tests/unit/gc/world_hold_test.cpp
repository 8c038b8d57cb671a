// Threads that are held: they rest while the world goes on, through stops, and go on when they are let.
// SPDX-License-Identifier: MIT
#include <chrono>

#include "gc/world.hpp"
#include "unit/gc/world_threads.hpp"

namespace cairn::gc {
namespace {

using namespace std::chrono_literals;

class WorldHoldTest : public WorldTest {
protected:
    static void suspend(ThreadRecord& thread) {
        ASSERT_TRUE(world.stop_one(thread)) << world.failure();
        EXPECT_TRUE(world.hold(thread));
        world.resume_one(thread);
    }
    static void wait_for_change(const std::atomic<std::uint64_t>& rounds) {
        const std::uint64_t before = rounds.load();
        while (rounds.load() == before) os::yield_cpu();
    }
};

TEST_F(WorldHoldTest, AHeldThreadRestsThroughStopsUntilItIsReleased) {
    AttachedThread one(spin), other(spin);
    one.wait_until_ready();
    other.wait_until_ready();
    for (int i = 0; i < 20; ++i) {
        EXPECT_FALSE(World::is_held(one.record()));
        suspend(one.record());
        EXPECT_TRUE(World::is_held(one.record()));
        const std::uint64_t before = one.rounds.load();
        for (int j = 0; j < 5; ++j) {
            stopped([&] { EXPECT_EQ(one.record().thread_state(), ThreadState::stopped); });
            wait_for_change(other.rounds);
        }
        suspend(one.record());  // twice is once
        EXPECT_EQ(one.rounds.load(), before);
        world.release(one.record());
        wait_for_change(one.rounds);
        world.release(one.record());  // nothing
        wait_for_change(one.rounds);
    }
}

TEST_F(WorldHoldTest, AHeldThreadGoesOnInItsBlockingCallAndNoFurther) {
    std::atomic<std::uint64_t> inside{0}, outside{0};
    std::atomic<bool> leaves{false};
    AttachedThread thread([&](AttachedThread& me) {
        World::enter_blocking(me.record());
        me.announce();
        while (!leaves.load()) inside.fetch_add(1);
        World::leave_blocking(me.record());
        outside.fetch_add(1);
    });
    thread.wait_until_ready();
    suspend(thread.record());
    wait_for_change(inside);
    leaves = true;
    std::this_thread::sleep_for(10ms);
    stopped([] {});
    EXPECT_EQ(outside.load(), 0u);
    EXPECT_TRUE(World::is_held(thread.record()));
    world.release(thread.record());
    wait_for_change(outside);
}

// Found by the collector: a thread of the program that runs a cycle waits for the list with the turn taken.
TEST_F(WorldHoldTest, AThreadThatWaitsInsideOurOwnCodeIsNotHeld) {
    AttachedThread thread([](AttachedThread& me) {
        Inside inside(me.record());
        World::enter_blocking(me.record());
        me.announce();
        while (!me.is_told_to_end()) os::yield_cpu();
        World::leave_blocking(me.record());
    });
    thread.wait_until_ready();
    ASSERT_TRUE(world.stop_one(thread.record()));
    EXPECT_FALSE(world.hold(thread.record()));
    world.resume_one(thread.record());
    EXPECT_FALSE(World::is_held(thread.record()));
}

TEST_F(WorldHoldTest, AThreadHoldsItself) {
    std::atomic<bool> is_done{false};
    AttachedThread thread([&](AttachedThread& me) {
        me.announce();
        EXPECT_TRUE(world.hold(me.record()));
        is_done = true;
    });
    thread.wait_until_ready();
    while (!World::is_held(thread.record())) os::yield_cpu();
    stopped([] {});
    EXPECT_FALSE(is_done.load());
    world.release(thread.record());
    while (!is_done.load()) os::yield_cpu();
}

// Each may be held where it waits for the list of threads, which it then must not keep.
TEST_F(WorldHoldTest, ThreadsThatHoldEachOtherAreAllReleased) {
    constexpr unsigned count = 4, rounds = 3000 / (base::sanitized_build ? 10 : 1);
    std::atomic<unsigned> ended{0}, ready{0};
    AttachedThread* all[count];
    const auto body = [&](AttachedThread& me) {
        me.announce();
        ready.fetch_add(1);
        World::enter_blocking(me.record());
        while (ready.load() != count) os::yield_cpu();
        World::leave_blocking(me.record());
        for (unsigned i = 0; i < rounds; ++i) {
            ThreadRecord& other = all[(i + me.rounds.load()) % count]->record();
            me.rounds.fetch_add(1);
            if (&other == &me.record() || !world.stop_one(other)) continue;
            (void)world.hold(other);
            world.resume_one(other);
            world.release(other);
        }
        ended.fetch_add(1);
        World::enter_blocking(me.record());
        while (!me.is_told_to_end()) os::yield_cpu();
        World::leave_blocking(me.record());
    };
    World::enter_blocking(*self);
    std::vector<std::unique_ptr<AttachedThread>> threads;
    for (unsigned i = 0; i < count; ++i) {
        threads.push_back(std::make_unique<AttachedThread>(body));
        all[i] = threads.back().get();
    }
    World::leave_blocking(*self);
    // Two may hold each other before either releases: somebody else must come by.
    while (ended.load() != count) {
        for (AttachedThread* thread : all) world.release(thread->record());
        stopped([] {});
    }
}

}  // namespace
}  // namespace cairn::gc
