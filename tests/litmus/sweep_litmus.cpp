// Litmus test of the sweep generations: each span is swept once in a generation, by one thread, and nobody
// allocates from a span before that.
//
// The model follows heap/central.cpp, heap/swept_cache.cpp and gc/sweeper.cpp line by line where they read
// and write generations: caching a span, uncaching it, ensuring that it is swept, sweeping the next, and the
// end of a cycle, which bumps the generation and sweeps what is cached while the others are stopped. Sets
// are words with a bit a span, changed by compare-and-swap: span_set_litmus.cpp is about the real ones.
//
// A thread is a word of operations:
//   c  takes a span into its cache    a  allocates from it    u  gives it back
//   s  sweeps some span               0, 1  ensures that this span is swept
//   f  frees span 2, a large one, explicitly; its record is used again, for an explicit span
//   |  stops here if asked to
//   G  the collector ends a cycle: sweeps what is left, stops the world, generation + 2
//
// `alloc_count` is relaxed: who sweeps or allocates must find it as the last owner left it, or the generation
// did not publish it.
// SPDX-License-Identifier: MIT
#include "litmus/explore.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "base/config.hpp"
#include "heap/central.hpp"

namespace {

using cairn::heap::sweep_state;
using cairn::heap::SweepState;
using cairn::litmus::Atomic;
using cairn::litmus::Explorer;
using cairn::litmus::Faults;

constexpr unsigned spans = 3;
constexpr unsigned large = 2;  // the span that is not for caches
constexpr unsigned none = spans;
constexpr unsigned most_threads = 3;
constexpr std::uint32_t first_generation = 10;

// What is done wrong on purpose.
struct Mistakes {
    bool caches_stay_stale = false;  // spans in caches are not swept when a cycle ends
    bool uncache_believes = false;   // and whoever gives one back does not look
    bool claims_by_storing = false;  // the right to sweep is taken without an exchange
    bool stops_nobody = false;       // the generation grows while threads are inside
    bool leaves_unswept = false;     // it grows though sweeping is not done
    bool reuses_generation = false;  // an explicit span gets the heap's even generation
    bool caches_before_sweeping = false;
};

struct World {
    struct Span {
        Atomic<std::uint32_t> generation{first_generation};
        Atomic<int> alloc_count{3};
        // for the checks alone
        int right_count = 3;
        std::uint32_t swept_in = first_generation;
        bool is_explicit = false;
    };

    explicit World(const Mistakes& wrong) : mistakes(wrong) {}

    // ---- sets

    static unsigned pop(Atomic<std::uint32_t>& set) {
        std::uint32_t seen = set.load(std::memory_order_acquire);
        while (seen != 0) {
            const std::uint32_t rest = seen & (seen - 1);
            if (set.compare_exchange_strong(seen, rest, std::memory_order_acq_rel, std::memory_order_acquire))
                return static_cast<unsigned>(std::countr_zero(seen));
        }
        return none;
    }
    static void push(Atomic<std::uint32_t>& set, unsigned span) {
        std::uint32_t seen = set.load(std::memory_order_relaxed);
        while (!set.compare_exchange_strong(seen, seen | 1u << span, std::memory_order_release,
                                            std::memory_order_relaxed)) {
        }
    }
    [[nodiscard]] static unsigned swept_half(std::uint32_t generation) { return generation / 2 % 2; }

    // ---- a span

    bool try_acquire(unsigned index, std::uint32_t g) {
        Span& span = all[index];
        std::uint32_t unswept = g - 2;
        if (span.generation.load(std::memory_order_relaxed) != unswept) return false;
        if (mistakes.claims_by_storing) {
            span.generation.store(g - 1, std::memory_order_release);
            return true;
        }
        return span.generation.compare_exchange_strong(unswept, g - 1, std::memory_order_acq_rel,
                                                       std::memory_order_relaxed);
    }

    // One object of three dies in each cycle, another is allocated now and then.
    void sweep(unsigned index, std::uint32_t g, bool is_kept) {
        Span& span = all[index];
        Explorer& explorer = Explorer::instance();
        explorer.expect(!span.is_explicit, "an explicit span was swept");
        explorer.expect(span.swept_in != g, "a span was swept twice");
        explorer.expect(span.swept_in == g - 2, "a span was not swept in the generation before");
        expect_published(span);
        span.swept_in = g;
        if (span.right_count > 1) --span.right_count;
        write_count(span);
        span.generation.store(g, std::memory_order_release);
        if (!is_kept) place(index, g);
    }
    void place(unsigned index, std::uint32_t g) {
        push(index == large ? full[swept_half(g)] : partial[swept_half(g)], index);
    }

    static void expect_published(Span& span) {
        Explorer::Quiet quiet;
        Explorer::instance().expect(span.alloc_count.load(std::memory_order_relaxed) == span.right_count,
                                    "a span's fields were not published");
    }
    static void write_count(Span& span) {
        Explorer::Quiet quiet;
        span.alloc_count.store(span.right_count, std::memory_order_relaxed);
    }

    // ---- what threads do

    unsigned pop_unswept(std::uint32_t g) {
        const unsigned half = 1 - swept_half(g);
        const unsigned span = pop(full[half]);
        return span != none ? span : pop(partial[half]);
    }

    bool sweep_one() {
        const std::uint32_t g = generation;
        for (;;) {
            const unsigned span = pop_unswept(g);
            if (span == none) return false;
            if (!try_acquire(span, g)) continue;
            sweep(span, g, false);
            return true;
        }
    }

    unsigned cache_span() {
        const std::uint32_t g = generation;
        unsigned span = pop(partial[swept_half(g)]);
        while (span == none) {
            span = pop(partial[1 - swept_half(g)]);
            if (span == none) return none;
            if (mistakes.caches_before_sweeping) break;
            if (try_acquire(span, g)) sweep(span, g, true);
            else span = none;
        }
        expect_published(all[span]);
        all[span].generation.store(g + 3, std::memory_order_release);
        return span;
    }

    void allocate(unsigned index) {
        if (index == none) return;
        Span& span = all[index];
        Explorer::instance().expect(span.swept_in == generation, "allocated from a span that is not swept");
        expect_published(span);
        ++span.right_count;
        write_count(span);
    }

    void uncache(unsigned index) {
        if (index == none) return;
        const std::uint32_t g = generation;
        const SweepState state = sweep_state(all[index].generation.load(std::memory_order_acquire), g);
        if (state == SweepState::cached_stale && !mistakes.uncache_believes) {
            all[index].generation.store(g - 1, std::memory_order_release);
            return sweep(index, g, false);
        }
        Explorer::instance().expect(state == SweepState::cached || mistakes.uncache_believes,
                                    "an uncached span was not cached");
        all[index].generation.store(g, std::memory_order_release);
        place(index, g);
    }

    void ensure_swept(unsigned index) {
        const std::uint32_t g = generation;
        for (;;) {
            const SweepState state = sweep_state(all[index].generation.load(std::memory_order_acquire), g);
            if (state == SweepState::swept || state == SweepState::cached) break;
            if (state == SweepState::sweeping) Explorer::instance().pause();
            else if (try_acquire(index, g)) return sweep(index, g, false);
        }
        Explorer::instance().expect(all[index].swept_in == g, "ensured, but not swept");
    }

    void free_large() {
        const std::uint32_t g = generation;
        ensure_swept(large);
        std::uint32_t swept = g;
        if (!all[large].generation.compare_exchange_strong(swept, g - 1, std::memory_order_acq_rel,
                                                           std::memory_order_relaxed))
            return;
        expect_published(all[large]);
        all[large].is_explicit = true;
        all[large].generation.store(mistakes.reuses_generation ? g : g - 1, std::memory_order_relaxed);
    }

    // ---- stops

    void stop_here(unsigned thread) {
        const unsigned epoch = wanted.load(std::memory_order_acquire);
        if (epoch == resumed_to(thread)) return;
        parked[thread].store(epoch, std::memory_order_release);
        while (resumed.load(std::memory_order_acquire) != epoch) Explorer::instance().pause();
        resumed_epoch[thread] = epoch;
    }
    [[nodiscard]] unsigned resumed_to(unsigned thread) const { return resumed_epoch[thread]; }

    void end_cycle() {
        while (!mistakes.leaves_unswept && sweep_one()) {
        }
        const unsigned epoch = ++last_epoch;
        wanted.store(epoch, std::memory_order_release);
        for (unsigned thread = 1; thread < thread_count && !mistakes.stops_nobody; ++thread)
            while (parked[thread].load(std::memory_order_acquire) < epoch) Explorer::instance().pause();
        {
            Explorer::Quiet quiet;  // the world is stopped
            generation += 2;
            for (unsigned thread = 1; thread < thread_count && !mistakes.caches_stay_stale; ++thread)
                if (cache[thread] != none) sweep_stale(cache[thread]);
        }
        resumed.store(epoch, std::memory_order_release);
    }
    void sweep_stale(unsigned index) {
        const std::uint32_t seen = all[index].generation.load(std::memory_order_relaxed);
        Explorer::instance().expect(sweep_state(seen, generation) == SweepState::cached_stale,
                                    "a cached span is not stale");
        all[index].generation.store(generation - 1, std::memory_order_relaxed);
        sweep(index, generation, true);
        all[index].generation.store(generation + 3, std::memory_order_release);
    }

    // ---- all of it

    void run(unsigned thread, const std::string& operations) {
        for (const char operation : operations) {
            unsigned& mine = cache[thread];
            switch (operation) {
            case 'c':
                if (mine == none) mine = cache_span();
                break;
            case 'a': allocate(mine); break;
            case 'u':
                uncache(mine);
                mine = none;
                break;
            case 's': (void)sweep_one(); break;
            case 'f': free_large(); break;
            case '|': stop_here(thread); break;
            case 'G': end_cycle(); break;
            default: ensure_swept(static_cast<unsigned>(operation - '0'));
            }
            Explorer::instance().finished(mine);
        }
        parked[thread].store(~0u, std::memory_order_release);
    }

    // Every span is somewhere, once, and the rest of the sweep finds what nobody swept.
    void check() {
        Explorer& explorer = Explorer::instance();
        while (sweep_one()) {
        }
        std::uint32_t seen = partial[swept_half(generation)].load(std::memory_order_relaxed) |
                             full[swept_half(generation)].load(std::memory_order_relaxed);
        for (unsigned thread = 0; thread < most_threads; ++thread) {
            if (cache[thread] == none) continue;
            explorer.expect((seen >> cache[thread] & 1) == 0, "a span is in a cache and in a set");
            seen |= 1u << cache[thread];
        }
        explorer.expect((seen | 1u << large) == (1u << spans) - 1, "a span was lost");
        for (Span& span : all)
            explorer.expect(span.is_explicit || span.swept_in == generation, "a span was not swept");
    }

    const Mistakes mistakes;
    std::uint32_t generation = first_generation;  // changes while the world is stopped
    unsigned thread_count = 0;
    Span all[spans];
    Atomic<std::uint32_t> partial[2];
    Atomic<std::uint32_t> full[2];
    Atomic<unsigned> wanted{0};
    Atomic<unsigned> resumed{0};
    Atomic<unsigned> parked[most_threads];
    unsigned resumed_epoch[most_threads] = {};
    unsigned last_epoch = 0;
    unsigned cache[most_threads] = {none, none, none};
};

// Before the threads run, `before` is done by each of them in turn.
Explorer::Outcome explore(const std::vector<std::string>& before, const std::vector<std::string>& operations,
                          unsigned detours = Explorer::unlimited, const Mistakes& mistakes = {},
                          const Faults& faults = {}) {
    Explorer& explorer = Explorer::instance();
    static World* world;
    Explorer::Scenario scenario;
    for (const std::string& text : before) scenario.name += text + " ";
    scenario.name += "then";
    for (const std::string& text : operations) scenario.name += " " + text;
    scenario.detours = detours;
    scenario.set_up = [&] {
        explorer.faults = {};
        explorer.memory_limit = 64 * 1024;
        world = explorer.place<World>(mistakes);
        world->thread_count = 1;
        for (unsigned span = 0; span < spans; ++span) world->place(span, first_generation);
        for (unsigned thread = 0; thread < before.size(); ++thread)
            for (const char operation : before[thread]) world->run(thread, std::string(1, operation));
        world->thread_count = static_cast<unsigned>(operations.size());
        for (auto& parked : world->parked) parked.store(0, std::memory_order_relaxed);
        for (auto& epoch : world->resumed_epoch) epoch = world->last_epoch;
        explorer.faults = faults;
    };
    for (unsigned thread = 0; thread < operations.size(); ++thread)
        scenario.threads.push_back([thread, &operations] { world->run(thread, operations[thread]); });
    scenario.check = [&] {
        explorer.faults = {};
        world->check();
    };
    return explorer.explore(scenario);
}

class SweepLitmus : public testing::Test {
protected:
    void SetUp() override {
        if (cairn::base::sanitized_build)
            GTEST_SKIP() << "fibers of one OS thread: nothing for a sanitizer to see";
    }
};

void expect_right(const std::vector<std::string>& before, const std::vector<std::string>& operations,
                  unsigned detours = Explorer::unlimited) {
    const Explorer::Outcome outcome = explore(before, operations, detours);
    EXPECT_EQ(outcome.failure, "") << outcome.trace;
}

// Thread 0 is the collector's. A cycle has just ended where `before` is G; three spans then want a sweep.
TEST_F(SweepLitmus, OneSweepsEachSpan) {
    expect_right({"G"}, {"s", "s"});
    expect_right({"G"}, {"ss", "ca"});
    expect_right({"G"}, {"", "ca", "ca"});
    expect_right({"G"}, {"s", "0", "1"});
    expect_right({"G"}, {"ss", "0", "cau"});
    expect_right({"G"}, {"ss", "0cau", "cau"}, 4);
}

TEST_F(SweepLitmus, CyclesEndWhileSpansAreCached) {
    expect_right({"", "c"}, {"G", "a|au"});
    expect_right({"", "c"}, {"Gs", "a|a|u"});
    expect_right({"", "c", "c"}, {"G", "a|u", "|a"});
    expect_right({"", "c", "c"}, {"Gs", "a|uc", "u|ca"}, 4);
    expect_right({"", "c"}, {"GG", "u|ca|a|"});
}

// The entry of a large span that was freed explicitly stays in its set, whatever its record is used for.
TEST_F(SweepLitmus, LargeSpansAreFreedExplicitly) {
    expect_right({"G"}, {"Gs", "f|"});
    expect_right({"G"}, {"G", "f|", ""});
    expect_right({"G"}, {"Gs", "f|", "c|a"}, 3);
}

// ---- what is broken must be caught --------------------------------------------------------------

void expect_wrong(const std::vector<std::string>& before, const std::vector<std::string>& operations,
                  const Mistakes& mistakes, const char* failure, const Faults& faults = {}) {
    EXPECT_EQ(explore(before, operations, Explorer::unlimited, mistakes, faults).failure, failure);
}

TEST_F(SweepLitmus, CatchesClaimWithoutExchange) {
    expect_wrong({"G"}, {"s", "2"}, {.claims_by_storing = true}, "a span was swept twice");
}

TEST_F(SweepLitmus, CatchesCachesThatStayStale) {
    expect_wrong({"", "c"}, {"G", "|a"}, {.caches_stay_stale = true},
                 "allocated from a span that is not swept");
    expect_wrong({"", "c"}, {"G", "|u"}, {.caches_stay_stale = true, .uncache_believes = true},
                 "a span was not swept");
}

// Who gives a stale span back sweeps it: with that alone nothing is lost, as long as nobody allocates before.
TEST_F(SweepLitmus, UncachingSweepsWhatIsStale) {
    const Explorer::Outcome outcome = explore({"", "c"}, {"G", "|u"}, 4, {.caches_stay_stale = true});
    EXPECT_EQ(outcome.failure, "") << outcome.trace;
}

TEST_F(SweepLitmus, CatchesCachingBeforeSweeping) {
    expect_wrong({"G"}, {"", "ca"}, {.caches_before_sweeping = true},
                 "allocated from a span that is not swept");
}

TEST_F(SweepLitmus, CatchesCycleThatEndsUnswept) {
    expect_wrong({"G"}, {"G", "|"}, {.leaves_unswept = true}, "a span was not swept");
}

TEST_F(SweepLitmus, CatchesGenerationThatGrowsWhileSomebodySweeps) {
    expect_wrong({"G"}, {"G", "ca"}, {.stops_nobody = true}, "allocated from a span that is not swept");
}

TEST_F(SweepLitmus, CatchesExplicitSpanOfTheHeapsGeneration) {
    expect_wrong({"G"}, {"Gs", "f|"}, {.reuses_generation = true}, "an explicit span was swept");
}

TEST_F(SweepLitmus, CatchesTornExchange) {
    Faults faults;
    faults.exchanges_are_torn = true;
    expect_wrong({"G"}, {"s", "2"}, {}, "a span was swept twice", faults);
}

TEST_F(SweepLitmus, CatchesStoreWithoutRelease) {
    Faults faults;
    faults.stores_are_relaxed = true;
    expect_wrong({"G"}, {"ss", "ca"}, {}, "a span's fields were not published", faults);
}

TEST_F(SweepLitmus, CatchesLoadWithoutAcquire) {
    Faults faults;
    faults.loads_are_relaxed = true;
    expect_wrong({"G"}, {"ss", "ca"}, {}, "a span's fields were not published", faults);
}

}  // namespace
