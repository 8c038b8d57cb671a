// The fake OS itself: every legal move works, every illegal one dies, every order is obeyed.
// SPDX-License-Identifier: MIT
#include "os/fake.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

#include "base/bits.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"

namespace cairn::os {
namespace {

using fake::Move;
using fake::State;

constexpr std::size_t page = 4096;
constexpr std::size_t mib = std::size_t{1} << 20;

class Fake : public testing::Test {
protected:
    Fake() { fake::reset(); }
    ~Fake() override { fake::reset(); }

    // `count` pages in `state`.
    char* pages_in(State state, std::size_t count) {
        char* start = static_cast<char*>(reserve(nullptr, count * page));
        if (state == State::reserved) return start;
        EXPECT_TRUE(map(start, count * page, stat_));
        if (state == State::ready) used(start, count * page, count * page);
        return start;
    }

    Stat stat_;
};

using FakeDeathTest = Fake;

TEST_F(Fake, ARangeGoesThroughAllStates) {
    char* start = static_cast<char*>(reserve(nullptr, mib));
    EXPECT_TRUE(fake::is_all(start, mib, State::reserved));
    ASSERT_TRUE(map(start, mib, stat_));
    EXPECT_TRUE(fake::is_all(start, mib, State::prepared));
    EXPECT_EQ(stat_.value(), mib);
    EXPECT_EQ(mapped_ready(), 0u);
    used(start, mib, mib);
    EXPECT_TRUE(fake::is_all(start, mib, State::ready));
    EXPECT_EQ(mapped_ready(), mib);
    EXPECT_EQ(start[mib - 1], 0) << "fresh memory is zero";
    unused(start + page, page);
    EXPECT_EQ(fake::state_of(start), State::ready);
    EXPECT_EQ(fake::state_of(start + page), State::prepared);
    EXPECT_EQ(fake::state_of(start + 2 * page), State::ready);
    EXPECT_EQ(mapped_ready(), mib - page);
    used(start, mib, page);
    EXPECT_NE(start[page], 0) << "lost memory is junk";
    fault(start, mib);
    EXPECT_EQ(mapped_ready(), 0u);
    EXPECT_EQ(fake::ready_peak(), mib);
    release(start, mib);
    EXPECT_EQ(fake::state_of(start), State::none);
    EXPECT_EQ(fake::bytes_in(State::reserved), 0u);
}

TEST_F(Fake, AllocAndFreeAreCounted) {
    char* start = static_cast<char*>(alloc(mib, stat_));
    std::memset(start, 1, mib);
    EXPECT_TRUE(fake::is_all(start, mib, State::ready));
    EXPECT_EQ(mapped_ready(), mib);
    free(start, mib, stat_);
    EXPECT_EQ(mapped_ready(), 0u);
    EXPECT_EQ(stat_.value(), 0u);
    EXPECT_EQ(fake::calls(Move::alloc), 1u);
    EXPECT_EQ(fake::calls(Move::free), 1u);
    EXPECT_EQ(fake::calls(Move::any), 2u);
}

TEST_F(Fake, AlignedReservationsKeepNothingElse) {
    for (std::size_t alignment : {page, 16 * page, 64 * mib}) {
        void* start = reserve_aligned(3 * page, alignment);
        EXPECT_TRUE(base::is_aligned(reinterpret_cast<std::uintptr_t>(start), alignment));
        EXPECT_EQ(fake::bytes_in(State::reserved), 3 * page);
        release(start, 3 * page);
    }
}

TEST_F(Fake, ManyBordersStayExact) {
    constexpr std::size_t count = 512;
    char* start = pages_in(State::ready, count);
    for (std::size_t i = 0; i < count; i += 2) unused(start + i * page, page);
    EXPECT_EQ(fake::bytes_in(State::ready), count / 2 * page);
    EXPECT_EQ(fake::bytes_in(State::prepared), count / 2 * page);
    EXPECT_EQ(mapped_ready(), count / 2 * page);
    for (std::size_t i = 0; i < count; ++i) {
        ASSERT_EQ(fake::state_of(start + i * page), i % 2 == 0 ? State::prepared : State::ready) << i;
    }
    used(start, count * page, count / 2 * page);
    EXPECT_TRUE(fake::is_all(start, count * page, State::ready));
    EXPECT_FALSE(fake::is_all(start, (count + 1) * page, State::ready));
}

TEST_F(Fake, NeighboursOfOneKindAreOneRange) {
    char* start = pages_in(State::reserved, 64);
    for (std::size_t i = 64; i-- > 0;) ASSERT_TRUE(map(start + i * page, page, stat_));
    used(start, 64 * page, 64 * page);  // legal over borders that were
    free(start, 64 * page, stat_);
    EXPECT_EQ(stat_.value(), 0u);
}

// ---- orders

TEST_F(Fake, RefusesTheNthCall) {
    fake::fail(Move::map, 2);
    char* start = pages_in(State::reserved, 4);
    EXPECT_TRUE(map(start, page, stat_));
    EXPECT_FALSE(map(start + page, page, stat_));
    EXPECT_EQ(fake::state_of(start + page), State::reserved);
    EXPECT_EQ(stat_.value(), page);
    EXPECT_TRUE(map(start + page, page, stat_));
    fake::fail(Move::reserve, 1);
    EXPECT_EQ(reserve(nullptr, page), nullptr);
    EXPECT_NE(reserve(nullptr, page), nullptr);
    fake::fail(Move::alloc, 1, 2);
    EXPECT_EQ(alloc(page, stat_), nullptr);
    EXPECT_EQ(alloc(page, stat_), nullptr);
    EXPECT_NE(alloc(page, stat_), nullptr);
}

TEST_F(Fake, RefusesForEverUntilToldOtherwise) {
    fake::fail(Move::any, 2, fake::for_ever);
    EXPECT_NE(alloc(page, stat_), nullptr);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(reserve(nullptr, page), nullptr);
    EXPECT_EQ(reserve_aligned(page, mib), nullptr);
    fake::fail(Move::any, 0);
    EXPECT_NE(reserve(nullptr, page), nullptr);
}

TEST_F(Fake, SomebodyElseMayBeThere) {
    void* hole = reserve(nullptr, 4 * mib);
    release(hole, 4 * mib);
    EXPECT_EQ(reserve(hole, mib), hole);
    char* taken = static_cast<char*>(hole) + 2 * mib;
    fake::occupy(taken, mib);
    EXPECT_EQ(fake::state_of(taken), State::foreign);
    void* elsewhere = reserve(taken, mib);
    EXPECT_NE(elsewhere, nullptr);
    EXPECT_NE(elsewhere, taken);
    EXPECT_NE(reserve(taken - page, mib), taken - page) << "overlaps its start";
    fake::refuse_hints_into_foreign(true);
    EXPECT_EQ(reserve(taken, mib), nullptr);
    EXPECT_NE(reserve(nullptr, mib), nullptr);
}

TEST_F(Fake, TimeStandsStillButForOrders) {
    const std::uint64_t start = monotonic_ns();
    EXPECT_EQ(monotonic_ns(), start);
    fake::advance_time(5);
    EXPECT_EQ(monotonic_ns(), start + 5);
    sleep_ns(10);
    EXPECT_EQ(monotonic_ns(), start + 15);
    fake::set_time(77);
    fake::set_thread_cpu_time(33);
    EXPECT_EQ(monotonic_ns(), 77u);
    fake::set_cost(Move::unused, 1000);
    unused(pages_in(State::ready, 1), page);
    EXPECT_EQ(monotonic_ns(), 1077u);
    EXPECT_EQ(thread_cpu_ns(), 1033u);
}

TEST_F(Fake, PagesMayBeLarger) {
    fake::set_page_bytes(64 << 10, 0);
    EXPECT_EQ(page_bytes(), std::size_t{64} << 10);
    EXPECT_EQ(huge_page_bytes(), 0u);
    for (int i = 0; i < 8; ++i) {
        const auto start = reinterpret_cast<std::uintptr_t>(reserve(nullptr, 64 << 10));
        EXPECT_TRUE(base::is_aligned(start, 64 << 10));
    }
}

TEST_F(Fake, TheBackgroundThreadRunsWhenTold) {
    static unsigned runs;
    runs = 0;
    const auto entry = [](void*) {
        ++runs;
        background_sleep(100);
    };
    EXPECT_FALSE(spawn_background(entry, nullptr));
    fake::allow_background(true);
    EXPECT_TRUE(spawn_background(entry, nullptr));
    EXPECT_FALSE(spawn_background(entry, nullptr));
    EXPECT_TRUE(is_background_running());
    const std::uint64_t start = monotonic_ns();
    fake::run_background();
    EXPECT_EQ(runs, 1u);
    EXPECT_EQ(monotonic_ns(), start + 100);
    EXPECT_FALSE(is_background_running());
    EXPECT_TRUE(spawn_background(entry, nullptr));
    wake_background();
    fake::run_background();
    EXPECT_EQ(monotonic_ns(), start + 100) << "woken before it slept";
    EXPECT_EQ(fake::wakes(), 1u);
}

TEST_F(Fake, RandomWordsRepeatAfterReset) {
    const std::uint64_t first = random_word();
    EXPECT_NE(random_word(), first);
    fake::reset();
    EXPECT_EQ(random_word(), first);
}

// ---- what dies

TEST_F(FakeDeathTest, UntouchableMemoryFaults) {
    for (State state : {State::reserved, State::prepared}) {
        EXPECT_DEATH(*static_cast<volatile char*>(pages_in(state, 1)) = 1, "");
    }
    char* start = pages_in(State::ready, 1);
    *start = 1;
    unused(start, page);
    EXPECT_DEATH((void)*static_cast<volatile char*>(start), "");
}

// Every move from every state: those the diagram of memory.hpp does not draw must die.
TEST_F(FakeDeathTest, IllegalMovesDie) {
    struct Case {
        Move move;
        State legal;  // the one state it may start from
        void (*make)(char*, Stat&);
    };
    static const Case cases[] = {
        {Move::map, State::reserved, [](char* p, Stat& s) { (void)map(p, page, s); }},
        {Move::release, State::reserved, [](char* p, Stat&) { release(p, page); }},
        {Move::unused, State::ready, [](char* p, Stat&) { unused(p, page); }},
        {Move::fault, State::ready, [](char* p, Stat&) { fault(p, page); }},
        {Move::free, State::ready, [](char* p, Stat& s) { s.add(page), free(p, page, s); }},
    };
    for (const Case& c : cases) {
        for (State state : {State::reserved, State::prepared, State::ready}) {
            char* start = pages_in(state, 1);
            if (state == c.legal) {
                c.make(start, stat_);
            } else {
                EXPECT_EXIT(c.make(start, stat_), testing::KilledBySignal(SIGABRT), "fake OS: illegal")
                    << static_cast<int>(c.move) << " from " << static_cast<int>(state);
            }
        }
        char* gone = pages_in(State::reserved, 1);
        release(gone, page);
        EXPECT_DEATH(c.make(gone, stat_), "is none") << static_cast<int>(c.move);
    }
}

TEST_F(FakeDeathTest, PreparedBytesMustBeExact) {
    char* start = pages_in(State::prepared, 4);
    used(start, 2 * page, 2 * page);
    EXPECT_DEATH(used(start, 4 * page, 4 * page), "counts 16384 prepared bytes, there are 8192");
    EXPECT_DEATH(used(start, 4 * page, 0), "there are 8192");
    EXPECT_DEATH(used(pages_in(State::reserved, 1), page, page), "is reserved");
    used(start, 4 * page, 2 * page);
}

TEST_F(FakeDeathTest, OneWrongPageInTheMiddleIsFound) {
    char* start = pages_in(State::ready, 8);
    unused(start + 5 * page, page);
    EXPECT_DEATH(unused(start, 8 * page), "is prepared");
    EXPECT_DEATH(free(start, 8 * page, stat_), "is prepared");
    EXPECT_DEATH(unused(start + 7 * page, 2 * page), "is none");
}

TEST_F(FakeDeathTest, PartsOfAPageDie) {
    char* start = pages_in(State::ready, 2);
    EXPECT_DEATH(unused(start + 8, page), "not whole OS pages");
    EXPECT_DEATH(unused(start, page + 8), "not whole OS pages");
    EXPECT_DEATH((void)alloc(100, stat_), "not whole OS pages");
    EXPECT_DEATH((void)reserve(nullptr, 0), "empty");
    EXPECT_DEATH((void)reserve_aligned(page, 3 * page), "power of two");
}

TEST_F(FakeDeathTest, StatisticsMayNotGoBelowZero) {
    char* start = pages_in(State::ready, 2);
    Stat other;
    EXPECT_DEATH(free(start, 2 * page, other), "more than its statistic holds");
}

TEST_F(FakeDeathTest, ForeignMemoryIsNotOurs) {
    char* start = static_cast<char*>(reserve(nullptr, mib));
    release(start, mib);
    fake::occupy(start, mib);
    EXPECT_DEATH((void)map(start, page, stat_), "is foreign");
    EXPECT_DEATH(release(start, page), "is foreign");
    EXPECT_DEATH(want_huge_pages(start, mib), "is foreign");
}

}  // namespace
}  // namespace cairn::os
