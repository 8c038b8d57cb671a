// Litmus test of the turn to run a cycle: the product's code through every interleaving of a few threads.
//
// Thread 0 is the collector's: it does what run_thread() in gc/collector.cpp does with the turn. The others
// are the program's. What is wanted: one at a time has the turn; what was handed over is gone on with, by the
// collector's thread, which finds everything that belongs to it; what was asked for is heard; nobody sleeps
// for ever.
//
// Sleeping is modelled too: a word's sleepers are woken by wake() alone, as a futex's are, so a wake-up that
// is forgotten, or that comes before the sleep, leaves them there. wait_for() wakes by nothing else either:
// in the product it is over after a second, which nobody shall need.
//
// A thread is a word of operations:
//   h  takes the turn if it is free, and hands it over     n  takes it if it is free, and gives it back
//      (both ask for a cycle when it is not)
//   c  asks for a cycle that must come                     f  waits for the turn, as a fork does
// SPDX-License-Identifier: MIT
#include "litmus/explore.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/config.hpp"
#include "gc/turn.hpp"

namespace {

using cairn::gc::BasicTurn;
using cairn::litmus::Atomic;
using cairn::litmus::Explorer;
using cairn::litmus::Faults;

using Turn = BasicTurn<struct ModelAtomics>;
constexpr std::uint32_t turn_given = 4;
constexpr std::uint32_t thread_ended = 8;  // another bit of a request, for the model: somebody ended
constexpr unsigned most_threads = 3;

struct Mistakes {
    bool forgets_wakes = false;      // nobody who sleeps is woken
    bool looks_before = false;       // whoever sets a bit looks first whether it is set
    bool gives_silently = false;     // a hand-over asks for nothing
    bool waits_like_others = false;  // the collector's thread waits for its turn as a fork does
    bool ignores_given = false;      // the collector's thread goes on with nothing
};
Mistakes wrong;

// A word and its sleepers.
class Word {
public:
    Word(std::uint32_t value) : value_(value) {}  // NOLINT: as std::atomic

    std::uint32_t load(std::memory_order order) const { return value_.load(order); }
    void store(std::uint32_t value, std::memory_order order) { value_.store(value, order); }
    std::uint32_t exchange(std::uint32_t value, std::memory_order order) {
        return value_.exchange(value, order);
    }
    std::uint32_t fetch_or(std::uint32_t bits, std::memory_order order) {
        if (wrong.gives_silently && bits == turn_given) return 0;
        if (wrong.looks_before && bits != thread_ended &&
            (value_.load(std::memory_order_relaxed) & bits) == bits)
            return bits;
        return value_.fetch_or(bits, order);
    }
    bool compare_exchange_strong(std::uint32_t& expected, std::uint32_t desired, std::memory_order success,
                                 std::memory_order failure) {
        return value_.compare_exchange_strong(expected, desired, success, failure);
    }

    // Comparing and going to sleep is one step: the kernel does it under a lock that wake() takes as well.
    void wait(std::uint32_t expected) {
        const std::uint32_t before = newest(wakes_);
        {
            Explorer::Quiet quiet;
            if (newest(value_) != expected) return;
        }
        while (wakes_.load(std::memory_order_relaxed) == before) Explorer::instance().pause();
    }
    void wake() {
        if (!wrong.forgets_wakes) (void)wakes_.fetch_add(1, std::memory_order_relaxed);
    }

private:
    // What an exchange finds that fails.
    static std::uint32_t newest(Atomic<std::uint32_t>& word) {
        std::uint32_t found = ~0u;
        (void)word.compare_exchange_strong(found, 0, std::memory_order_relaxed, std::memory_order_relaxed);
        return found;
    }

    Atomic<std::uint32_t> value_;
    Atomic<std::uint32_t> wakes_{0};
};

struct ModelAtomics {
    using Word = ::Word;
    static void wait(Word& word, std::uint32_t expected) { word.wait(expected); }
    static void wait_for(Word& word, std::uint32_t expected, std::uint64_t) { word.wait(expected); }
    static void wake(Word& word, bool) { word.wake(); }
};

class World {
public:
    unsigned thread_count = 0;

    void run(unsigned thread, const std::string& operations) {
        for (const char operation : operations) {
            switch (operation) {
            case 'h': try_cycle(true); break;
            case 'n': try_cycle(false); break;
            case 'c': force(thread); break;
            default:
                turn_.take();
                enter();
                leave();
                turn_.end();
            }
            Explorer::instance().finished(static_cast<unsigned>(operation));
        }
        (void)ended_.fetch_add(1, std::memory_order_release);
        turn_.request(thread_ended);
    }

    // As run_thread(), until all others have ended and nothing is asked for.
    void run_collector() {
        for (;;) {
            const bool is_last = ended_.load(std::memory_order_acquire) == thread_count - 1;
            std::uint32_t wanted = turn_.take_requests();
            if ((wanted & (Turn::turn_given | thread_ended)) != 0) {
                if ((wanted & Turn::turn_given) != 0 && turn_.is_handed() && !wrong.ignores_given) go_on();
                wanted &= ~(Turn::turn_given | thread_ended);
                if (wanted == 0) continue;
            }
            if (wanted == 0) {
                if (is_last) return;
                turn_.wait_for_request(1);
                continue;
            }
            if ((wanted & Turn::cycle_forced) != 0) note_forced();
            if (wrong.waits_like_others) turn_.take();
            else turn_.take_by_collector([this] { go_on(); });
            enter();
            leave();
            turn_.end();
        }
    }

    void check() {
        Explorer& explorer = Explorer::instance();
        explorer.expect(handed_ == gone_on_, "what was handed over was not gone on with");
        explorer.expect(turn_.try_take(), "the turn was left behind");
        for (const Thread& thread : threads_)
            explorer.expect(thread.seen == thread.asked, "a request was not heard");
    }

private:
    // The model's own bookkeeping is plain: threads here are fibers of one.
    struct Thread {
        Atomic<unsigned> asked_for{0};
        unsigned asked = 0;
        unsigned seen = 0;  // by the collector's thread
    };

    // Who has the turn finds what the one before wrote.
    void enter() {
        Explorer::Quiet quiet;
        Explorer::instance().expect(!is_inside_, "two have the turn");
        is_inside_ = true;
        Explorer::instance().expect(cycle_.load(std::memory_order_relaxed) == turns_,
                                    "what the one before wrote is not seen");
        cycle_.store(++turns_, std::memory_order_relaxed);
    }
    // A step, for another to come in.
    void leave() {
        cycle_.store(turns_, std::memory_order_relaxed);
        is_inside_ = false;
    }

    void try_cycle(bool is_begun) {
        if (turn_.try_take()) {
            enter();
            leave();
            if (is_begun) {
                ++handed_;
                turn_.hand_over();
                return;
            }
            turn_.end();
        }
        turn_.request(Turn::cycle_wanted);
    }

    void force(unsigned thread) {
        {
            Explorer::Quiet quiet;
            threads_[thread].asked_for.store(++threads_[thread].asked, std::memory_order_relaxed);
        }
        turn_.request(Turn::cycle_wanted | Turn::cycle_forced);
    }
    void note_forced() {
        Explorer::Quiet quiet;
        for (Thread& thread : threads_) thread.seen = thread.asked_for.load(std::memory_order_relaxed);
    }

    void go_on() {
        enter();
        ++gone_on_;
        leave();
        turn_.end();
    }

    Turn turn_;
    Thread threads_[most_threads];
    Atomic<std::uint32_t> ended_{0};
    Atomic<std::uint32_t> cycle_{0};
    bool is_inside_ = false;
    unsigned turns_ = 0;
    unsigned handed_ = 0, gone_on_ = 0;
};

Explorer::Outcome explore(const std::vector<std::string>& operations, unsigned detours = Explorer::unlimited,
                          const Mistakes& mistakes = {}, const Faults& faults = {}) {
    Explorer& explorer = Explorer::instance();
    static World* world;
    Explorer::Scenario scenario;
    scenario.name = "collector";
    for (const std::string& text : operations) scenario.name += ", " + text;
    scenario.detours = detours;
    scenario.set_up = [&] {
        explorer.faults = {};
        explorer.memory_limit = 64 * 1024;
        world = explorer.place<World>();
        world->thread_count = static_cast<unsigned>(operations.size()) + 1;
        explorer.faults = faults;
        wrong = mistakes;
    };
    scenario.threads.push_back([] { world->run_collector(); });
    for (unsigned i = 0; i < operations.size(); ++i)
        scenario.threads.push_back([i, &operations] { world->run(i, operations[i]); });
    scenario.check = [&] {
        explorer.faults = {};
        wrong = {};
        world->check();
    };
    return explorer.explore(scenario);
}

class TurnLitmus : public testing::Test {
protected:
    void SetUp() override {
        if (cairn::base::sanitized_build)
            GTEST_SKIP() << "fibers of one OS thread: nothing for a sanitizer to see";
    }
};

void expect_right(const std::vector<std::string>& operations, unsigned detours = Explorer::unlimited) {
    const Explorer::Outcome outcome = explore(operations, detours);
    EXPECT_EQ(outcome.failure, "") << outcome.trace;
}

TEST_F(TurnLitmus, AHandOverIsGoneOnWith) {
    expect_right({"h"});
    expect_right({"hh"});
    expect_right({"h", "h"}, 3);
    expect_right({"hh", "h"}, 3);
    expect_right({"h", "h", "h"}, 2);
}

TEST_F(TurnLitmus, ATurnGivenBackIsFree) {
    expect_right({"n"});
    expect_right({"nh"});
    expect_right({"n", "h"}, 3);
}

TEST_F(TurnLitmus, ForksWaitForTheTurn) {
    expect_right({"f"});
    expect_right({"f", "f"}, 4);
    expect_right({"f", "h"}, 3);
    expect_right({"hf", "h"}, 3);
    expect_right({"f", "h", "h"}, 2);
}

TEST_F(TurnLitmus, ForcedCyclesAreHeard) {
    expect_right({"c"});
    expect_right({"cc"});
    expect_right({"c", "c"}, 4);
    expect_right({"c", "h"}, 3);
    expect_right({"ch", "fc"}, 3);
}

// ---- what is broken must be caught --------------------------------------------------------------

constexpr const char* stuck = "all threads wait for each other";
constexpr const char* unseen = "what the one before wrote is not seen";
constexpr const char* lost = "what was handed over was not gone on with";

void expect_wrong(const std::vector<std::string>& operations, const char* failure, const Mistakes& mistakes,
                  const Faults& faults = {}, unsigned detours = Explorer::unlimited) {
    EXPECT_EQ(explore(operations, detours, mistakes, faults).failure, failure);
}

TEST_F(TurnLitmus, CatchesForgottenWakes) { expect_wrong({"f"}, stuck, {.forgets_wakes = true}); }

// The collector's thread may have taken the bit just before, and have looked at a turn that was not handed.
TEST_F(TurnLitmus, CatchesHandOversThatLookBefore) {
    expect_wrong({"h", "hh"}, lost, {.looks_before = true}, {}, 4);
}

TEST_F(TurnLitmus, CatchesForcesThatLookBefore) {
    expect_wrong({"cc"}, "a request was not heard", {.looks_before = true});
}

TEST_F(TurnLitmus, CatchesSilentHandOvers) { expect_wrong({"h"}, lost, {.gives_silently = true}); }

TEST_F(TurnLitmus, CatchesACollectorThatWaitsForItself) {
    expect_wrong({"h", "h"}, stuck, {.waits_like_others = true}, {}, 4);
}

TEST_F(TurnLitmus, CatchesACollectorThatIgnoresWhatItIsGiven) {
    expect_wrong({"h"}, lost, {.ignores_given = true});
}

TEST_F(TurnLitmus, CatchesTornExchange) {
    Faults faults;
    faults.exchanges_are_torn = true;
    EXPECT_NE(explore({"f", "f"}, 4, {}, faults).failure, "");
}

TEST_F(TurnLitmus, CatchesStoreWithoutRelease) {
    Faults faults;
    faults.stores_are_relaxed = true;
    expect_wrong({"h"}, unseen, {}, faults);
}

TEST_F(TurnLitmus, CatchesLoadWithoutAcquire) {
    Faults faults;
    faults.loads_are_relaxed = true;
    expect_wrong({"h"}, unseen, {}, faults);
}

}  // namespace
