// Litmus test of the write barrier with conservative stacks: whatever two threads do, no cycle frees what
// they can still reach.
//
// The model is the protocol of gc/collector.hpp, reduced to what can go wrong:
//
//   objects   one that a root always names, and others that are allocated and freed; each has one slot
//   threads   two registers each. In any order and for ever: load the root, load through r0, copy, drop,
//             allocate, store r1 or null through r0, with the barrier
//   barrier   test the flag and load the old value | shade old and new into a buffer | store
//             A stop may come between any two of these, and other threads' steps too. (Test and load are one
//             step: a stop between them makes the load later or the test useless, and both are here anyway.)
//   global    one word shared by all, written without a barrier, as root ranges and conservative objects are
//   cycle     stop 1: flag on, registers scanned; the root is grey; grey objects scanned one by one;
//             stop 2: buffers flushed, registers, global and root scanned again; then either all is drained,
//             or the time is up and marking goes on; flag off, white objects freed. And again.
//
// A thread may be at any step of its barrier when a cycle ends and the next begins, so stale tests, stale old
// values and dropped shades of the last cycle are all in there.
//
// A store that becomes visible late is one that is made late: the step after its shading. What a load may see
// that is older than memory was there when the cycle began, or was shaded by who stored it.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <string>

#include "base/config.hpp"
#include "litmus/state_space.hpp"

namespace {

using cairn::litmus::StateSpace;

constexpr unsigned most_objects = 4;
constexpr unsigned threads = 2;
constexpr unsigned registers = 2;

// What is left out on purpose, to see that it is missed.
struct Rules {
    bool scans_stacks_at_stop1 = true;
    bool scans_stacks_at_stop2 = true;
    bool scans_global_at_stop2 = true;
    bool flushes_at_stop2 = true;
    bool shades_old = true;
    bool shades_new = true;
    bool allocates_black = true;
    // Not how it is: threads stop only outside of a barrier.
    bool stops_inside_barrier = true;
    bool stop2_must_find_nothing = false;  // the claim that holds then
};

struct Size {
    unsigned objects = 3;
    unsigned threads = 2;
    bool has_global = false;
};

// Where a thread is in `r0->slot = value`.
enum class At : std::uint8_t { idle, loaded, storing };

struct Thread {
    unsigned r[registers] = {};  // 0: null; else object + 1
    unsigned old = 0;            // a register too
    At at = At::idle;
    bool stores_null = false;
};

struct State {
    Thread thread[threads];
    unsigned slot[most_objects] = {};
    unsigned global = 0;
    unsigned allocated = 1;  // a bit an object
    unsigned marked = 0;
    unsigned grey = 0;
    unsigned buffered = 0;
    bool is_marking = false;
};

// Widths of the fields; 3 bits hold an object + 1.
constexpr unsigned thread_bits = registers * 3 + 3 + 2 + 1;
constexpr unsigned rest_bits = most_objects * 3 + 3 + 4 * most_objects + 1;

template <class Visit>
void each_field(State& s, Visit visit) {
    for (Thread& t : s.thread) {
        for (unsigned& r : t.r) visit(r, 3);
        visit(t.old, 3);
        visit(t.at, 2);
        visit(t.stores_null, 1);
    }
    for (unsigned& slot : s.slot) visit(slot, 3);
    visit(s.global, 3);
    visit(s.allocated, most_objects);
    visit(s.marked, most_objects);
    visit(s.grey, most_objects);
    visit(s.buffered, most_objects);
    visit(s.is_marking, 1);
}

std::uint64_t pack(State s) {
    std::uint64_t word = 1;  // never 0
    each_field(s,
               [&](auto& field, unsigned bits) { word = word << bits | static_cast<std::uint64_t>(field); });
    return word;
}

State unpack(std::uint64_t word) {
    State s;
    unsigned total = 0;
    each_field(s, [&](auto&, unsigned bits) { total += bits; });
    each_field(s, [&](auto& field, unsigned bits) {
        total -= bits;
        field = static_cast<std::remove_reference_t<decltype(field)>>(word >> total & ((1u << bits) - 1));
    });
    return s;
}

class Barrier {
public:
    Barrier(const Size& size, const Rules& rules) : size_(size), rules_(rules) {}

    template <class Reach>
    const char* visit(std::uint64_t word, Reach reach) {
        const State s = unpack(word);
        failure_ = nullptr;
        for (unsigned t = 0; t < size_.threads; ++t)
            step_thread(s, t, [&](State next) { reach(canonical(next)); });
        step_collector(s, [&](State next) { reach(canonical(next)); });
        return failure_;
    }

private:
    static unsigned bit(unsigned value) { return value == 0 ? 0 : 1u << (value - 1); }

    // Threads are alike, and so are objects but for the root: of equal states one stands for all.
    std::uint64_t canonical(State& s) const {
        forget_garbage(s);
        std::uint64_t least = least_of_threads(pack(s));
        if (size_.objects == 3) {
            swap_objects(s);
            least = std::min(least, least_of_threads(pack(s)));
        }
        return least;
    }
    // Threads stand first in the word, so they are swapped there.
    [[nodiscard]] std::uint64_t least_of_threads(std::uint64_t word) const {
        if (size_.threads == 1) return word;
        const std::uint64_t low = word & ((std::uint64_t{1} << rest_bits) - 1);
        const std::uint64_t first = word >> (rest_bits + thread_bits) & ((1u << thread_bits) - 1);
        const std::uint64_t second = word >> rest_bits & ((1u << thread_bits) - 1);
        const std::uint64_t swapped =
            ((1u << thread_bits | second) << thread_bits | first) << rest_bits | low;
        return std::min(word, swapped);
    }
    // What nobody can reach and no marker will look at has no effect: as if it were freed at once.
    void forget_garbage(State& s) const {
        State seen = s;
        seen.marked = 0;
        mark_all(seen, s.grey | s.buffered);
        const unsigned garbage = s.allocated & ~reachable_with(seen);
        if (garbage == 0) return;
        s.allocated &= ~garbage;
        s.marked &= ~garbage;
        for (unsigned object = 0; object < size_.objects; ++object)
            if ((garbage >> object & 1) != 0) s.slot[object] = 0;
    }
    static void swap_objects(State& s) {
        const auto value = [](unsigned& v) {
            if (v >= 2) v = 5 - v;
        };
        const auto bits = [](unsigned& b) { b = (b & 1) | (b & 2) << 1 | (b & 4) >> 1; };
        for (Thread& t : s.thread) {
            for (unsigned& r : t.r) value(r);
            value(t.old);
        }
        std::swap(s.slot[1], s.slot[2]);
        for (unsigned& slot : s.slot) value(slot);
        value(s.global);
        bits(s.allocated);
        bits(s.marked);
        bits(s.grey);
        bits(s.buffered);
    }

    // ---- the program

    template <class Reach>
    void step_thread(const State& s, unsigned index, Reach reach) {
        const Thread& t = s.thread[index];
        const auto change = [&](auto action) {
            State next = s;
            action(next, next.thread[index]);
            reach(next);
        };
        switch (t.at) {
        case At::idle: return step_idle(s, t, change);
        case At::loaded:
            return change([this](State& n, Thread& m) {  // inside the runtime: no stop
                if (n.is_marking && rules_.shades_old) n.buffered |= bit(m.old);
                if (n.is_marking && rules_.shades_new && !m.stores_null) n.buffered |= bit(m.r[1]);
                n.buffered &= ~n.marked;
                m.old = 0;
                m.at = At::storing;
            });
        case At::storing:
            return change([](State& n, Thread& m) {
                n.slot[m.r[0] - 1] = m.stores_null ? 0 : m.r[1];
                m.at = At::idle;
                m.stores_null = false;
            });
        }
    }

    template <class Change>
    void step_idle(const State& s, const Thread& t, Change change) {
        for (unsigned i = 0; i < registers; ++i) {
            change([i](State&, Thread& m) { m.r[i] = 1; });
            change([i](State&, Thread& m) { m.r[i] = 0; });
            change([i](State&, Thread& m) { m.r[i] = m.r[1 - i]; });
            if (t.r[0] != 0) change([i](State& n, Thread& m) { m.r[i] = n.slot[m.r[0] - 1]; });
        }
        for (unsigned object = 1; object < size_.objects; ++object) {
            if ((s.allocated >> object & 1) != 0) continue;
            change([&](State& n, Thread& m) {
                n.allocated |= 1u << object;
                if (n.is_marking && rules_.allocates_black) n.marked |= 1u << object;
                m.r[1] = object + 1;
            });
            break;  // free ones are alike
        }
        if (size_.has_global) {
            change([](State& n, Thread& m) { m.r[1] = n.global; });
            change([](State& n, Thread& m) { n.global = m.r[1]; });
        }
        if (t.r[0] == 0) return;
        for (const bool null : {false, true})
            change([&](State& n, Thread& m) {
                m.stores_null = null;
                m.old = n.is_marking ? n.slot[m.r[0] - 1] : 0;
                m.at = n.is_marking ? At::loaded : At::storing;
            });
    }

    // ---- the collector

    template <class Reach>
    void step_collector(const State& s, Reach reach) {
        if (!s.is_marking) {
            if (can_stop(s)) stop1(s, reach);
            return;
        }
        if (s.global != 0) {  // a root job, at any time
            State next = s;
            mark(next, next.global);
            reach(next);
        }
        if (s.buffered != 0) {  // a buffer was full
            State next = s;
            flush(next);
            reach(next);
        }
        for (unsigned object = 0; object < size_.objects; ++object) {
            if ((s.grey >> object & 1) == 0) continue;
            State next = s;
            next.grey &= ~(1u << object);
            mark(next, next.slot[object]);
            reach(next);
        }
        if (s.grey == 0 && can_stop(s)) stop2(s, reach);
    }

    [[nodiscard]] bool can_stop(const State& s) const {
        if (rules_.stops_inside_barrier) return true;
        for (const Thread& t : s.thread)
            if (t.at != At::idle) return false;
        return true;
    }

    static void mark(State& s, unsigned value) {
        if (value == 0 || (s.marked & bit(value)) != 0) return;
        s.marked |= bit(value);
        s.grey |= bit(value);
    }
    static void flush(State& s) {
        for (unsigned object = 0; object < most_objects; ++object)
            if ((s.buffered >> object & 1) != 0) mark(s, object + 1);
        s.buffered = 0;
    }
    static void scan_stacks(State& s) {
        for (const Thread& t : s.thread) {
            for (const unsigned r : t.r) mark(s, r);
            mark(s, t.old);
        }
    }
    void drain(State& s) const {
        while (s.grey != 0)
            for (unsigned object = 0; object < size_.objects; ++object) {
                if ((s.grey >> object & 1) == 0) continue;
                s.grey &= ~(1u << object);
                mark(s, s.slot[object]);
            }
    }

    template <class Reach>
    void stop1(const State& s, Reach reach) {
        State next = s;
        next.is_marking = true;
        if (rules_.scans_stacks_at_stop1) scan_stacks(next);
        mark(next, 1);
        reach(next);
    }

    template <class Reach>
    void stop2(const State& s, Reach reach) {
        State next = s;
        if (rules_.flushes_at_stop2) flush(next);
        if (rules_.stop2_must_find_nothing) {
            drain(next);
            const unsigned before = next.marked;
            scan_stacks(next);
            if (next.marked != before) failure_ = "stop 2 found something on a stack";
        }
        if (rules_.scans_stacks_at_stop2) scan_stacks(next);
        if (rules_.scans_global_at_stop2) mark(next, next.global);
        mark(next, 1);
        if (next.grey != 0) reach(next);  // the time is up
        drain(next);
        if ((reachable(next) & ~next.marked) != 0) failure_ = "a reachable object is freed";
        for (unsigned object = 0; object < size_.objects; ++object)
            if ((next.marked >> object & 1) == 0) next.slot[object] = 0;
        next.allocated &= next.marked | 1;
        next.marked = next.buffered = 0;
        next.is_marking = false;
        reach(next);
    }

    static void mark_all(State& s, unsigned objects) {
        s.grey = 0;
        for (unsigned object = 0; object < most_objects; ++object)
            if ((objects >> object & 1) != 0) mark(s, object + 1);
    }

    // From threads, root and global.
    [[nodiscard]] unsigned reachable(const State& s) const {
        State all = s;
        all.marked = all.grey = 0;
        return reachable_with(all);
    }
    // And from what is grey.
    [[nodiscard]] unsigned reachable_with(State& all) const {
        scan_stacks(all);
        mark(all, 1);
        mark(all, all.global);
        drain(all);
        return all.marked;
    }

    const Size size_;
    const Rules rules_;
    const char* failure_ = nullptr;
};

// ---- the tests --------------------------------------------------------------------------------------------

std::string describe(const StateSpace::Outcome& outcome) {
    std::string text;
    for (const std::uint64_t word : outcome.path) {
        const State s = unpack(word);
        char line[200];
        int at = std::snprintf(line, sizeof line,
                               "  %s slots %u%u%u%u global %u alloc %x marked %x grey %x buffer %x",
                               s.is_marking ? "mark" : "off ", s.slot[0], s.slot[1], s.slot[2], s.slot[3],
                               s.global, s.allocated, s.marked, s.grey, s.buffered);
        for (const Thread& t : s.thread)
            at += std::snprintf(line + at, sizeof line - static_cast<std::size_t>(at),
                                " | r %u %u old %u at %d%s", t.r[0], t.r[1], t.old, static_cast<int>(t.at),
                                t.stores_null ? " null" : "");
        text += std::string(line) + "\n";
    }
    return text;
}

StateSpace::Outcome search(const char* name, const Size& size, const Rules& rules) {
    Barrier model(size, rules);
    return StateSpace::search(name, model, pack(State{}), 30'000'000);
}

class BarrierLitmus : public testing::Test {
protected:
    void SetUp() override {
        if (cairn::base::sanitized_build)
            GTEST_SKIP() << "one thread and a table: nothing for a sanitizer to see";
#ifndef __OPTIMIZE__
        GTEST_SKIP() << "ten million states want an optimised build";
#endif
    }
};

constexpr const char* freed = "a reachable object is freed";
constexpr const char* found = "stop 2 found something on a stack";

void expect_right(const char* name, const Size& size, const Rules& rules = {}) {
    const StateSpace::Outcome outcome = search(name, size, rules);
    EXPECT_EQ(outcome.failure, "") << describe(outcome);
    EXPECT_GT(outcome.states, 1000u);
}

void expect_wrong(const char* name, const Size& size, const Rules& rules, const char* failure) {
    const StateSpace::Outcome outcome = search(name, size, rules);
    EXPECT_EQ(outcome.failure, failure) << describe(outcome);
}

// Whatever two threads do for however long.
TEST_F(BarrierLitmus, FreesNothingReachable) {
    expect_right("two threads, three objects", {});
}

TEST_F(BarrierLitmus, FreesNothingReachableFromAGlobal) {
    expect_right("two threads, two objects, global", {.objects = 2, .has_global = true});
    expect_right("one thread, three objects, global", {.threads = 1, .has_global = true});
}

// Threads that stop only outside of a barrier would need no second scan: it is the signal that may come
// between the flag's test and the store that makes stop 2 look at stacks. What it finds then is little, and
// only that.
TEST_F(BarrierLitmus, Stop2FindsWhatWasPendingAndNothingElse) {
    const Rules claim{.stops_inside_barrier = false, .stop2_must_find_nothing = true};
    expect_right("no stop inside a barrier: stop 2 finds nothing", {}, claim);
    expect_wrong("stops anywhere: stop 2 finds something", {}, {.stop2_must_find_nothing = true}, found);
}

// Neither is needed for safety, since new values are shaded and stacks scanned twice. They are there so that
// stop 2 finds next to nothing.
TEST_F(BarrierLitmus, OldValuesAndBlackAllocationKeepStop2Short) {
    const Size small{.objects = 2, .has_global = true};
    expect_right("old values are not shaded", small, {.shades_old = false});
    expect_right("allocation is white", small, {.allocates_black = false});
    Rules claim{.stops_inside_barrier = false, .stop2_must_find_nothing = true};
    claim.shades_old = false;
    expect_wrong("old values are not shaded: stop 2 finds something", {}, claim, found);
    claim.shades_old = true;
    claim.allocates_black = false;
    expect_wrong("allocation is white: stop 2 finds something", {}, claim, found);
}

// ---- what is broken must be caught --------------------------------------------------------------

TEST_F(BarrierLitmus, CatchesNoStacksAtStop1) {
    expect_wrong("no stacks at stop 1", {}, {.scans_stacks_at_stop1 = false}, freed);
}

TEST_F(BarrierLitmus, CatchesNoStacksAtStop2) {
    expect_wrong("no stacks at stop 2", {}, {.scans_stacks_at_stop2 = false}, freed);
}

TEST_F(BarrierLitmus, CatchesNoStacksAtStop2WithoutOldValues) {
    expect_wrong("no stacks at stop 2, no old values", {},
                 {.scans_stacks_at_stop2 = false, .shades_old = false, .stops_inside_barrier = false}, freed);
}

TEST_F(BarrierLitmus, CatchesNoGlobalAtStop2) {
    expect_wrong("no global at stop 2", {.objects = 2, .has_global = true}, {.scans_global_at_stop2 = false},
                 freed);
}

TEST_F(BarrierLitmus, CatchesNoFlushAtStop2) {
    expect_wrong("no flush at stop 2", {}, {.flushes_at_stop2 = false}, freed);
}

TEST_F(BarrierLitmus, CatchesNoShadeOfNewValues) {
    expect_wrong("new values are not shaded", {}, {.shades_new = false}, freed);
}

}  // namespace
