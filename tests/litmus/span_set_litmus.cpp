// Litmus test of the span set and its block pool: the product's code through every interleaving of a few
// operations.
//
// Blocks have two entries and the first spine one, so that recycling and growing happen within three pushes.
// Each span is an Atomic that its pusher fills before the push, relaxed: whoever pops it must find it filled,
// or the push did not publish it. The self-tests break the atomics on purpose and expect to hear of it.
//
// The scenarios are chosen so that each memory order of span_set.hpp, made relaxed, is caught by one of them;
// but for that of a successful exchange in the pool's allocate(), which its comment explains.
// SPDX-License-Identifier: MIT
#include "litmus/explore.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <string>
#include <vector>

#include "base/config.hpp"
#include "heap/span_set.hpp"

namespace {

using cairn::heap::BasicSpanBlockPool;
using cairn::heap::BasicSpanSet;
using cairn::heap::Span;
using cairn::litmus::Explorer;
using cairn::litmus::Faults;

template <std::uint32_t entries>
struct ModelAtomics {
    template <class T>
    using Atomic = cairn::litmus::Atomic<T>;
    using Lock = cairn::litmus::Lock;
    using Memory = cairn::litmus::Memory;
    static constexpr std::uint32_t block_entries = entries;
    static constexpr std::uint32_t first_spine_capacity = 1;
    static void pause(unsigned) { Explorer::instance().pause(); }
};

constexpr unsigned max_spans = 8;
constexpr unsigned nothing = max_spans;

// A set, its pool, and the spans 0..7: what each scenario starts from.
template <std::uint32_t entries>
struct World {
    using Atomics = ModelAtomics<entries>;
    using Set = BasicSpanSet<Atomics>;
    using Pool = BasicSpanBlockPool<Atomics>;

    World() { pool.initialize(memory); }

    void push(unsigned span) {
        Explorer& explorer = Explorer::instance();
        fill(span);
        const bool is_pushed = set.push(reinterpret_cast<Span*>(std::uintptr_t{span} + 1), pool);
        if (is_pushed) pushed |= 1u << span;
        else refused |= 1u << span;
        explorer.finished(is_pushed);
    }

    void pop() {
        Explorer& explorer = Explorer::instance();
        const unsigned span = take();
        explorer.finished(span);
    }

    unsigned take() {
        Explorer& explorer = Explorer::instance();
        Span* popped_span = set.pop(pool);
        if (popped_span == nullptr) return nothing;
        const auto span = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(popped_span) - 1);
        explorer.expect(span < max_spans, "a popped span is none of ours");
        explorer.expect((popped >> span & 1) == 0, "a span was popped twice");
        explorer.expect(is_filled(span), "a popped span was not published");
        popped |= 1u << span;
        return span;
    }

    void fill(unsigned span) {
        Explorer::Quiet quiet;
        fields[span].store(1, std::memory_order_relaxed);
    }
    bool is_filled(unsigned span) {
        Explorer::Quiet quiet;
        return fields[span].load(std::memory_order_relaxed) == 1;
    }

    // What was pushed is popped or still there; then the set verifies itself, is emptied and reset.
    void check() {
        Explorer& explorer = Explorer::instance();
        set.verify();
        while (take() != nothing) {
        }
        explorer.expect(popped == pushed, "a span was lost");
        explorer.expect(set.count() == 0, "an empty set has a count");
        set.reset(pool);
        set.verify();
    }

    cairn::litmus::Memory memory;
    Pool pool;
    Set set;
    cairn::litmus::Atomic<int> fields[max_spans];
    unsigned pushed = 0;
    unsigned popped = 0;
    unsigned refused = 0;
};

// A thread as a word: digits push that span, 'o' pops.
template <std::uint32_t entries>
std::function<void()> thread_of(World<entries>*& world, const std::string& operations) {
    return [&world, operations] {
        for (char operation : operations) {
            if (operation == 'o') world->pop();
            else world->push(static_cast<unsigned>(operation - '0'));
        }
    };
}

template <std::uint32_t entries>
Explorer::Outcome explore(const std::string& before, const std::vector<std::string>& threads,
                          const Faults& faults = {}, std::size_t memory_limit = 64 * 1024,
                          unsigned detours = Explorer::unlimited) {
    Explorer& explorer = Explorer::instance();
    World<entries>* world = nullptr;
    Explorer::Scenario scenario;
    scenario.name = "blocks of " + std::to_string(entries) + ", " + (before.empty() ? "-" : before) + ":";
    for (const std::string& operations : threads) scenario.name += " " + operations;
    scenario.detours = detours;
    scenario.set_up = [&] {
        explorer.memory_limit = 64 * 1024;
        explorer.faults = {};
        world = explorer.template place<World<entries>>();
        thread_of(world, before)();
        explorer.memory_limit = memory_limit;
        explorer.faults = faults;
    };
    for (const std::string& operations : threads) scenario.threads.push_back(thread_of(world, operations));
    scenario.check = [&] {
        explorer.faults = {};
        world->check();
    };
    return explorer.explore(scenario);
}

class SpanSetLitmus : public testing::Test {
protected:
    void SetUp() override {
        if (cairn::base::sanitized_build)
            GTEST_SKIP() << "fibers of one OS thread: nothing for a sanitizer to see";
    }
};

template <std::uint32_t entries>
void expect_right(const std::string& before, const std::vector<std::string>& threads,
                  unsigned detours = Explorer::unlimited) {
    const Explorer::Outcome outcome = explore<entries>(before, threads, {}, 64 * 1024, detours);
    EXPECT_EQ(outcome.failure, "") << outcome.trace;
}

TEST_F(SpanSetLitmus, OnePushesOnePops) {
    expect_right<2>("", {"0", "o"});
    expect_right<2>("", {"01", "oo"});
    expect_right<2>("0", {"123", "ooo"});
    expect_right<4>("", {"0123", "oooo"});
    expect_right<2>("", {"01234", "ooooo"}, 3);
}

TEST_F(SpanSetLitmus, TwoPush) {
    expect_right<2>("", {"0", "1"});
    expect_right<2>("0", {"1", "2"});
    expect_right<2>("", {"01", "2"});
    expect_right<2>("", {"012", "345"}, 4);
}

TEST_F(SpanSetLitmus, TwoPop) {
    expect_right<2>("0", {"o", "o"});
    expect_right<2>("012", {"oo", "oo"});
}

TEST_F(SpanSetLitmus, BothDoBoth) {
    expect_right<2>("0", {"1o", "o"});
    expect_right<2>("01", {"o", "o2o"});
    expect_right<2>("01", {"2", "o"});
    expect_right<2>("", {"0o", "1o"});
    expect_right<2>("01o", {"2oo", "3oo"}, 3);
    expect_right<2>("", {"0o1o", "2o3o"}, 3);
}

TEST_F(SpanSetLitmus, Three) {
    expect_right<2>("0", {"1", "2", "o"}, 4);
    expect_right<2>("012", {"o", "o", "o"});
    expect_right<2>("01", {"o", "o2", "o"}, 4);
    expect_right<2>("", {"01", "2", "oo"}, 3);
}

// Where memory runs out a push refuses, and nothing is lost.
TEST_F(SpanSetLitmus, OutOfMemory) {
    for (const std::size_t more : {0, 64, 200}) {
        const std::size_t base = sizeof(World<2>) + more;
        const Explorer::Outcome outcome = explore<2>("", {"01o", "23o"}, {}, base, 3);
        EXPECT_EQ(outcome.failure, "") << outcome.trace;
    }
}

// ---- the pool alone -----------------------------------------------------------------------------

struct PoolWorld {
    using Pool = BasicSpanBlockPool<ModelAtomics<2>>;
    using Block = Pool::Block;

    PoolWorld() {
        pool.initialize(memory);
        Block* first = pool.allocate();
        Block* second = pool.allocate();
        pool.free(second);
        pool.free(first);
    }
    Block* take() {
        Block* block = pool.allocate();
        for (unsigned i = 0; i < count; ++i)
            Explorer::instance().expect(held[i] != block, "two threads have one block");
        held[count++] = block;
        Explorer::instance().finished(reinterpret_cast<std::uintptr_t>(block));
        return block;
    }
    void give(Block* block) {
        for (Block*& other : held)
            if (other == block) other = nullptr;
        pool.free(block);
        Explorer::instance().finished(0);
    }

    cairn::litmus::Memory memory;
    Pool pool;
    Block* held[8] = {};
    unsigned count = 0;
};

Explorer::Outcome explore_pool(const char* name, std::uint64_t ignored_bits) {
    Explorer& explorer = Explorer::instance();
    explorer.memory_limit = 64 * 1024;
    static PoolWorld* world;
    Explorer::Scenario scenario;
    scenario.name = name;
    scenario.set_up = [&] {
        explorer.faults = {};
        world = explorer.place<PoolWorld>();
        explorer.faults.ignored_bits = ignored_bits;
    };
    scenario.threads = {[] {
                            world->take();
                            world->take();
                        },
                        [] {
                            PoolWorld::Block* first = world->take();
                            world->take();
                            world->give(first);
                        }};
    scenario.check = [] {};
    return explorer.explore(scenario);
}

TEST_F(SpanSetLitmus, PoolGivesABlockToOne) {
    const Explorer::Outcome outcome = explore_pool("pool", 0);
    EXPECT_EQ(outcome.failure, "") << outcome.trace;
}

// ---- what is broken must be caught --------------------------------------------------------------

TEST_F(SpanSetLitmus, CatchesPoolWithoutTag) {
    const Explorer::Outcome outcome = explore_pool("broken: pool without a tag", (1u << 23) - 1);
    EXPECT_EQ(outcome.failure, "two threads have one block");
}

TEST_F(SpanSetLitmus, CatchesTornExchange) {
    Faults faults;
    faults.exchanges_are_torn = true;
    EXPECT_NE(explore<2>("012", {"o", "o"}, faults).failure, "");
}

TEST_F(SpanSetLitmus, CatchesStoreWithoutRelease) {
    Faults faults;
    faults.stores_are_relaxed = true;
    EXPECT_EQ(explore<2>("0o", {"1", "o"}, faults).failure, "a popped span was not published");
}

TEST_F(SpanSetLitmus, CatchesLoadWithoutAcquire) {
    Faults faults;
    faults.loads_are_relaxed = true;
    EXPECT_EQ(explore<2>("0o", {"1", "o"}, faults).failure, "a popped span was not published");
}

}  // namespace
