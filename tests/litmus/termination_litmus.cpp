// Litmus test of the end of marking: when the collector says that all is marked, nobody holds a grey object.
//
// The model follows gc/cycle.cpp and gc/assist.cpp: thread 0 marks until there is nothing left, stops the
// others, takes over their barrier buffers and stacks and drains what that gave, or gives up when the time is
// short, lets them go on and marks again. The others assist, shade, and hide objects on their stacks. They
// stop only between two operations, as the product's threads do not stop inside the runtime.
//
// The heap is a fixed graph of seven objects: 0 is grey at first, 5 and 6 are white and known to nobody but
// the threads. The pool is a word with a bit an object; what a buffer in it holds is one relaxed Atomic an
// object, so that the pool has to publish it.
//
// A thread is a word of operations:
//   m     assists: takes an object from the pool, scans it, and puts back what that gave
//   5, 6  shades this object        e, f  has object 5, 6 on its stack, unshaded
//   |     stops here if asked to
// SPDX-License-Identifier: MIT
#include "litmus/explore.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "base/config.hpp"

namespace {

using cairn::litmus::Atomic;
using cairn::litmus::Explorer;
using cairn::litmus::Faults;

constexpr unsigned objects = 7;
constexpr unsigned children[objects] = {1u << 1 | 1u << 2, 1u << 3, 1u << 4, 0, 0, 1u << 4, 1u << 3};
constexpr unsigned most_threads = 3;

struct Mistakes {
    bool assists_keep_work = false;     // what an assist found stays with its thread
    bool stops_inside_assists = false;  // a thread counts as stopped though it is in an assist
    bool keeps_buffers = false;         // stop 2 does not take the barrier buffers over
    bool keeps_stacks = false;          // stop 2 does not scan stacks
    bool ends_when_late = false;        // out of time is taken for done
    bool ignores_assists = false;       // marking beside the program ends though somebody assists
};

struct Options {
    unsigned stop_budget = objects;    // objects that stop 2 may scan before it gives up
    unsigned buffer_capacity = 2;      // shaded objects a thread keeps to itself
    bool stop2_finds_nothing = false;  // to be checked
};

class World {
public:
    World(const Mistakes& mistakes, const Options& options) : wrong_(mistakes), options_(options) {
        Explorer::Quiet quiet;
        marked_.store(1, std::memory_order_relaxed);
        put(1);
    }

    void run(unsigned thread, const std::string& operations) {
        if (thread == 0) return collect();
        for (const char operation : operations) {
            switch (operation) {
            case 'm': assist(thread); break;
            case 'e': threads_[thread].stack |= 1u << 5; break;
            case 'f': threads_[thread].stack |= 1u << 6; break;
            case '|': stop_here(thread); break;
            default: shade(thread, static_cast<unsigned>(operation - '0'));
            }
            Explorer::instance().finished(threads_[thread].stack << 16 | threads_[thread].buffer);
        }
        threads_[thread].parked.store(~0u, std::memory_order_release);
    }

    unsigned thread_count = 0;

    void check() {
        unsigned reachable = 1;
        for (const Thread& thread : threads_) reachable |= thread.shaded_in_time | thread.stack_in_time;
        for (unsigned pass = 0; pass < objects; ++pass)
            for (unsigned object = 0; object < objects; ++object)
                if ((reachable >> object & 1) != 0) reachable |= children[object];
        unsigned scanned = 0;
        for (const Thread& thread : threads_) scanned |= thread.scanned;
        Explorer::instance().expect(is_done_, "marking did not end");
        Explorer::instance().expect((reachable & ~scanned) == 0, "an object was not scanned");
    }

private:
    struct Thread {
        Atomic<unsigned> parked{0};
        Atomic<unsigned> is_assisting{0};
        unsigned resumed = 0;
        unsigned local = 0;   // grey, its own: a bit an object
        unsigned buffer = 0;  // shaded, not handed over
        unsigned stack = 0;
        // for the checks alone
        unsigned scanned = 0;
        unsigned shaded_in_time = 0;
        unsigned stack_in_time = 0;
    };

    // ---- the pool

    void put(unsigned words) {
        if (words == 0) return;
        for (unsigned object = 0; object < objects; ++object)
            if ((words >> object & 1) != 0) fill(object);
        unsigned seen = pool_.load(std::memory_order_relaxed);
        while (!pool_.compare_exchange_strong(seen, seen | words, std::memory_order_release,
                                              std::memory_order_relaxed)) {
        }
    }
    void fill(unsigned object) {
        Explorer::Quiet quiet;
        content_[object].store(1, std::memory_order_relaxed);
    }
    // Takes one object; false: none is there.
    bool take(Thread& self) {
        unsigned seen = pool_.load(std::memory_order_acquire);
        do {
            if (seen == 0) return false;
        } while (!pool_.compare_exchange_strong(seen, seen & (seen - 1), std::memory_order_acq_rel,
                                                std::memory_order_acquire));
        const auto object = static_cast<unsigned>(std::countr_zero(seen));
        {
            Explorer::Quiet quiet;
            Explorer::instance().expect(content_[object].load(std::memory_order_relaxed) == 1,
                                        "a buffer was not published");
        }
        self.local |= 1u << object;
        return true;
    }
    [[nodiscard]] bool is_alone() { return assisting_.load(std::memory_order_acquire) == 0; }
    [[nodiscard]] bool is_dry() { return pool_.load(std::memory_order_acquire) == 0; }

    void mark(Thread& self, unsigned found) {
        unsigned seen = marked_.load(std::memory_order_relaxed);
        while ((found & ~seen) != 0) {
            if (!marked_.compare_exchange_strong(seen, seen | found, std::memory_order_relaxed,
                                                 std::memory_order_relaxed))
                continue;
            self.local |= found & ~seen;
            return;
        }
    }
    bool scan_one(Thread& self) {
        if (self.local == 0 && !take(self)) return false;
        const auto object = static_cast<unsigned>(std::countr_zero(self.local));
        self.local &= self.local - 1;
        self.scanned |= 1u << object;
        mark(self, children[object]);
        return true;
    }

    // ---- the program's threads

    void assist(unsigned thread) {
        Thread& self = threads_[thread];
        if (!is_marking_) return;
        assisting_.fetch_add(1, std::memory_order_acq_rel);
        if (wrong_.stops_inside_assists) self.is_assisting.store(1, std::memory_order_release);
        (void)scan_one(self);
        if (!wrong_.assists_keep_work) {
            put(self.local);
            self.local = 0;
        }
        if (wrong_.stops_inside_assists) self.is_assisting.store(0, std::memory_order_release);
        assisting_.fetch_add(~0u, std::memory_order_acq_rel);
    }

    void shade(unsigned thread, unsigned object) {
        Thread& self = threads_[thread];
        if (!is_marking_) return;
        self.buffer |= 1u << object;
        self.shaded_in_time |= 1u << object;
        if (static_cast<unsigned>(std::popcount(self.buffer)) >= options_.buffer_capacity) hand_over(self);
    }
    // Words, not objects: whether one is marked already is found out by who takes it.
    void hand_over(Thread& self) {
        put(self.buffer);
        self.buffer = 0;
    }

    void stop_here(unsigned thread) {
        Thread& self = threads_[thread];
        const unsigned epoch = wanted_.load(std::memory_order_acquire);
        if (epoch == self.resumed) return;
        self.parked.store(epoch, std::memory_order_release);
        while (resumed_.load(std::memory_order_acquire) < epoch) Explorer::instance().pause();
        self.resumed = epoch;
    }

    // ---- the collector's

    void collect() {
        mark_until_dry();
        while (!try_finish()) {
        }
    }

    void mark_until_dry() {
        for (;;) {
            while (scan_one(threads_[0])) {
            }
            if (!is_dry()) continue;
            if ((is_alone() || wrong_.ignores_assists) && is_dry()) return;
            while (!wrong_.ignores_assists && !is_alone()) Explorer::instance().pause();
        }
    }

    void stop_all() {
        const unsigned epoch = ++epoch_;
        wanted_.store(epoch, std::memory_order_release);
        for (unsigned i = 1; i < thread_count; ++i) {
            Thread& thread = threads_[i];
            if (wrong_.stops_inside_assists && thread.is_assisting.load(std::memory_order_acquire) != 0)
                continue;
            while (thread.parked.load(std::memory_order_acquire) < epoch) Explorer::instance().pause();
        }
    }

    bool try_finish() {
        stop_all();
        Thread& self = threads_[0];
        unsigned budget = options_.stop_budget;
        {
            Explorer::Quiet quiet;  // the world is stopped
            if (options_.stop2_finds_nothing)
                Explorer::instance().expect(is_dry(), "stop 2 found something in the pool");
            for (Thread& thread : threads_) {
                if (!wrong_.keeps_buffers) hand_over(thread);
                if (!wrong_.keeps_stacks) mark(self, thread.stack);
            }
            while (budget > 0 && scan_one(self)) --budget;
        }
        const bool is_dry_now = self.local == 0 && is_dry();
        if (!is_dry_now && !wrong_.ends_when_late) {
            put(self.local);
            self.local = 0;
            resumed_.store(epoch_, std::memory_order_release);
            mark_until_dry();
            return false;
        }
        is_marking_ = false;
        for (Thread& thread : threads_) thread.stack_in_time = thread.stack;
        is_done_ = true;
        resumed_.store(epoch_, std::memory_order_release);
        return true;
    }

    const Mistakes wrong_;
    const Options options_;
    Thread threads_[most_threads];
    Atomic<unsigned> pool_{0};
    Atomic<unsigned> marked_{0};
    Atomic<unsigned> assisting_{0};
    Atomic<unsigned> wanted_{0};
    Atomic<unsigned> resumed_{0};
    Atomic<unsigned> content_[objects];
    unsigned epoch_ = 0;
    bool is_marking_ = true;  // changes while the world is stopped
    bool is_done_ = false;
};

Explorer::Outcome explore(const std::vector<std::string>& operations, const Options& options = {},
                          unsigned detours = Explorer::unlimited, const Mistakes& mistakes = {},
                          const Faults& faults = {}) {
    Explorer& explorer = Explorer::instance();
    static World* world;
    Explorer::Scenario scenario;
    scenario.name = "collector";
    for (const std::string& text : operations) scenario.name += ", " + text;
    if (options.stop_budget < objects)
        scenario.name += ", stop 2 scans " + std::to_string(options.stop_budget);
    scenario.detours = detours;
    scenario.set_up = [&] {
        explorer.faults = {};
        explorer.memory_limit = 64 * 1024;
        world = explorer.place<World>(mistakes, options);
        world->thread_count = static_cast<unsigned>(operations.size()) + 1;
        explorer.faults = faults;
    };
    scenario.threads.push_back([] { world->run(0, ""); });
    for (unsigned i = 0; i < operations.size(); ++i)
        scenario.threads.push_back([i, &operations] { world->run(i + 1, operations[i]); });
    scenario.check = [&] {
        explorer.faults = {};
        world->check();
    };
    return explorer.explore(scenario);
}

class TerminationLitmus : public testing::Test {
protected:
    void SetUp() override {
        if (cairn::base::sanitized_build)
            GTEST_SKIP() << "fibers of one OS thread: nothing for a sanitizer to see";
    }
};

void expect_right(const std::vector<std::string>& operations, const Options& options = {},
                  unsigned detours = Explorer::unlimited) {
    const Explorer::Outcome outcome = explore(operations, options, detours);
    EXPECT_EQ(outcome.failure, "") << outcome.trace;
}

TEST_F(TerminationLitmus, AssistsLeaveNothingBehind) {
    expect_right({"m"});
    expect_right({"m|m"});
    expect_right({"m", "m"}, {}, 3);
}

TEST_F(TerminationLitmus, Stop2TakesBuffersAndStacksOver) {
    expect_right({"5|"});
    expect_right({"e|"});
    expect_right({"5m|"}, {.buffer_capacity = 1});
    expect_right({"5|6|", "m|"}, {}, 3);
    expect_right({"e|m", "5m|"}, {}, 3);
}

TEST_F(TerminationLitmus, Stop2GivesUpAndMarkingGoesOn) {
    expect_right({"e5|m|"}, {.stop_budget = 1});
    expect_right({"5|f|"}, {.stop_budget = 1});
    expect_right({"e5|6|"}, {.stop_budget = 0});
    expect_right({"5|6", "e|m"}, {.stop_budget = 1}, 3);
}

// Where threads only assist, stop 2 comes when all is marked, never before: the count of assists is worth its
// two additions.
TEST_F(TerminationLitmus, Stop2FindsNothingOfAssists) {
    const Options claim{.stop2_finds_nothing = true};
    expect_right({"m|m"}, claim);
    expect_right({"m", "m"}, claim, 3);
    const Mistakes wrong{.ignores_assists = true};
    EXPECT_EQ(explore({"m"}, claim, Explorer::unlimited, wrong).failure,
              "stop 2 found something in the pool");
    expect_right({"5|m|"}, {});
    EXPECT_EQ(explore({"5|m|"}, {}, Explorer::unlimited, wrong).failure, "") << "stop 2 decides";
}

// ---- what is broken must be caught --------------------------------------------------------------

void expect_wrong(const std::vector<std::string>& operations, const Mistakes& mistakes, const char* failure,
                  const Options& options = {}, const Faults& faults = {}) {
    EXPECT_EQ(explore(operations, options, Explorer::unlimited, mistakes, faults).failure, failure);
}

constexpr const char* lost = "an object was not scanned";

TEST_F(TerminationLitmus, CatchesAssistsThatKeepWork) {
    expect_wrong({"m|"}, {.assists_keep_work = true}, lost);
}

TEST_F(TerminationLitmus, CatchesStopsInsideAssists) {
    expect_wrong({"m|"}, {.stops_inside_assists = true, .ignores_assists = true}, lost);
}

TEST_F(TerminationLitmus, CatchesBuffersThatStay) {
    expect_wrong({"5|"}, {.keeps_buffers = true}, lost);
}

TEST_F(TerminationLitmus, CatchesStacksThatStay) {
    expect_wrong({"e|"}, {.keeps_stacks = true}, lost);
}

TEST_F(TerminationLitmus, CatchesEndWhenLate) {
    expect_wrong({"e6|"}, {.ends_when_late = true}, lost, {.stop_budget = 1});
}

TEST_F(TerminationLitmus, CatchesTornExchange) {
    Faults faults;
    faults.exchanges_are_torn = true;
    EXPECT_NE(explore({"m"}, {}, Explorer::unlimited, {}, faults).failure, "");
}

TEST_F(TerminationLitmus, CatchesStoreWithoutRelease) {
    Faults faults;
    faults.stores_are_relaxed = true;
    expect_wrong({"m"}, {}, "a buffer was not published", {}, faults);
}

TEST_F(TerminationLitmus, CatchesLoadWithoutAcquire) {
    Faults faults;
    faults.loads_are_relaxed = true;
    expect_wrong({"m"}, {}, "a buffer was not published", {}, faults);
}

}  // namespace
