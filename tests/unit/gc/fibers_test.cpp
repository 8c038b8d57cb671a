// Fibers: their stacks are roots wherever they rest, run, or are between the two, and whoever runs them.
//
// Switching is ucontext's, which knows nothing of us, so it stands for any library's.
// SPDX-License-Identifier: MIT
#include "gc/fibers.hpp"

#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <csignal>
#include <cstdio>
#include <deque>
#include <mutex>
#include <set>

#include "base/config.hpp"
#include "unit/gc/world_threads.hpp"

namespace cairn::gc {
namespace {

// A fiber of the test's: runs `body`, switches back to whoever resumed it.
class Fiber {
public:
    static constexpr std::size_t stack_bytes = 64 << 10;
    using Body = std::function<void(Fiber&)>;

    explicit Fiber(Body body, bool is_registered = true, bool is_tracked = true)
        : body_(std::move(body)), is_registered_(is_registered), is_tracked_(is_registered && is_tracked) {
        memory_ = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        EXPECT_NE(memory_, MAP_FAILED);
        const auto low = reinterpret_cast<std::uintptr_t>(memory_);
        if (is_registered_) world.add_fiber(record, {low, low + stack_bytes}, is_tracked_);
        getcontext(&own_);
        own_.uc_stack.ss_sp = memory_;
        own_.uc_stack.ss_size = stack_bytes;
        own_.uc_link = nullptr;
        const auto self = reinterpret_cast<std::uintptr_t>(this);
        makecontext(&own_, reinterpret_cast<void (*)()>(&Fiber::start), 2, static_cast<unsigned>(self),
                    static_cast<unsigned>(self >> 32));
    }
    ~Fiber() {
        if (is_registered_) world.remove_fiber(record);
        munmap(memory_, stack_bytes);
    }
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    // From a thread's own stack to the fiber, until it yields or ends.
    void resume() {
        if (is_tracked_) World::switch_fiber(*World::current(), &record);
        swapcontext(&back_, &own_);
    }
    // On the fiber: back to who resumed it.
    __attribute__((noinline)) void yield() {
        if (is_tracked_) World::switch_fiber(*World::current(), nullptr);
        swapcontext(&own_, &back_);
    }
    [[nodiscard]] bool is_done() const { return is_done_; }

    FiberRecord record;

private:
    static void start(unsigned low, unsigned high) {
        auto* self = reinterpret_cast<Fiber*>(std::uintptr_t{low} | std::uintptr_t{high} << 32);
        self->body_(*self);
        self->is_done_ = true;
        self->yield();
    }

    Body body_;
    bool is_registered_;
    bool is_tracked_;
    bool is_done_ = false;
    void* memory_;
    ucontext_t own_;
    ucontext_t back_;
};

// Runs `body` with the hidden word, made true, in a local.
template <class Body>
__attribute__((noinline)) void with_word(std::uintptr_t hidden, Body body) {
    volatile std::uintptr_t local = hidden;
    local = local ^ key;
    body();
    local = 0;
}

class FibersTest : public WorldTest {
protected:
    void SetUp() override {
        if (base::sanitized_build) GTEST_SKIP() << "a sanitizer does not follow ucontext";
        WorldTest::SetUp();
    }
    void TearDown() override {
        if (!base::sanitized_build) WorldTest::TearDown();
    }
    // In all roots, with the world stopped.
    static unsigned count_everywhere(std::uintptr_t hidden) {
        unsigned count = 0;
        world.for_each([&](ThreadRecord& thread) { count += count_in_roots(thread, hidden); });
        world.fibers().visit_unscanned(
            [&](std::uintptr_t low, std::uintptr_t high) { count += count_words(low, high, hidden); }, true);
        return count;
    }
    void expect_everywhere(std::initializer_list<unsigned> words) {
        stopped([&] {
            for (const unsigned word : words) EXPECT_GE(count_everywhere(hidden_word(word)), 1u) << word;
            EXPECT_EQ(count_everywhere(hidden_word(999)), 0u);
        });
    }
};

// ---- resting

TEST_F(FibersTest, ARestingFiberIsScannedFromWhereItWasLeft) {
    Fiber fiber([](Fiber& me) {
        with_word(hidden_word(1), [&] { me.yield(); });
        with_word(hidden_word(2), [&] { me.yield(); });
    });
    fiber.resume();
    expect_everywhere({1});
    stopped([&] {
        std::size_t bytes = 0;
        fiber.record.visit_resting([&](std::uintptr_t low, std::uintptr_t high) { bytes += high - low; });
        EXPECT_LT(bytes, 8u << 10);
    });
    fiber.resume();
    expect_everywhere({2});
    stopped([&] { EXPECT_EQ(count_everywhere(hidden_word(1)), 0u); });
    fiber.resume();
    EXPECT_TRUE(fiber.is_done());
}

#if defined(__x86_64__)
// A word that is in a callee-saved register only, when the fiber leaves through wrappers that save it.
TEST_F(FibersTest, RegistersOfARestingFiber) {
    static Fiber* current_fiber;
    Fiber fiber([](Fiber& me) {
        current_fiber = &me;
        void (*leave)() = [] {
            asm volatile("xor %%r12d, %%r12d" ::: "r12", "cc");
            current_fiber->yield();
            asm volatile("" ::: "memory");
        };
        const std::uintptr_t hidden = hidden_word(3);
        asm volatile(
            "mov %[hidden], %%r12\n\t"
            "xor %[mask], %%r12\n\t"
            "mov %%rsp, %%r13\n\t"
            "sub $256, %%rsp\n\t"
            "and $-16, %%rsp\n\t"
            "xor %[mask], %[mask]\n\t"
            "call *%[leave]\n\t"
            "mov %%r13, %%rsp\n\t"
            "xor %%r12d, %%r12d"
            :
            : [hidden] "r"(hidden), [mask] "b"(key), [leave] "r"(leave)
            : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "memory", "cc");
    });
    fiber.resume();
    expect_everywhere({3});
    fiber.resume();
}
#endif

TEST_F(FibersTest, AFiberThatNeverRanIsScannedAsFarAsItWasTouched) {
    Fiber fiber([](Fiber&) {});
    const auto top = reinterpret_cast<volatile std::uintptr_t*>(fiber.record.stack.high - 64);
    *top = hidden_word(4);
    *top = *top ^ key;
    expect_everywhere({4});
    stopped([&] {
        std::size_t bytes = 0;
        fiber.record.visit_resting([&](std::uintptr_t low, std::uintptr_t high) { bytes += high - low; });
        EXPECT_LE(bytes, 2 * os::red_zone_bytes + (8u << 10)) << "of 64 KiB, the rest was never touched";
    });
    *top = 0;
}

// ---- running

TEST_F(FibersTest, BothStacksOfAThreadThatRunsOnAFiber) {
    AttachedThread thread([](AttachedThread& me) {
        Fiber fiber([&](Fiber&) { with_word(hidden_word(6), [&] { spin(me); }); });
        with_word(hidden_word(5), [&] { fiber.resume(); });
    });
    thread.wait_until_ready();
    expect_everywhere({5, 6});
    stopped([&] {
        EXPECT_GE(count_in_roots(thread.record(), hidden_word(5)), 1u);
        EXPECT_GE(count_in_roots(thread.record(), hidden_word(6)), 1u);
        std::size_t bytes = 0;
        World::for_each_root_range(thread.record(), [&](std::uintptr_t low, std::uintptr_t high) {
            bytes += high - low;
        });
        EXPECT_LT(bytes, 256u << 10);
    });
}

// A scheduler may say what it will do long before it does it.
TEST_F(FibersTest, BetweenSayingAndDoing) {
    // On its own stack, a fiber announced.
    AttachedThread before([](AttachedThread& me) {
        Fiber fiber([](Fiber& it) { with_word(hidden_word(12), [&] { it.yield(); }); });
        fiber.resume();
        with_word(hidden_word(11), [&] {
            World::switch_fiber(me.record(), &fiber.record);
            spin(me);
            World::switch_fiber(me.record(), nullptr);
        });
    });
    // On a fiber, its own stack announced.
    AttachedThread after([](AttachedThread& me) {
        Fiber fiber([&](Fiber& it) {
            with_word(hidden_word(14), [&] {
                World::switch_fiber(me.record(), nullptr);
                spin(me);
                World::switch_fiber(me.record(), &it.record);
            });
        });
        with_word(hidden_word(13), [&] { fiber.resume(); });
    });
    // On a fiber that was suspended, nothing announced.
    AttachedThread between([](AttachedThread& me) {
        Fiber fiber([&](Fiber& it) {
            with_word(hidden_word(16), [&] {
                World::fiber_suspend(me.record());
                spin(me);
                World::fiber_resume(me.record(), &it.record);
            });
        });
        with_word(hidden_word(15), [&] { fiber.resume(); });
    });
    for (AttachedThread* thread : {&before, &after, &between}) thread->wait_until_ready();
    expect_everywhere({11, 12, 13, 14, 15, 16});
}

std::atomic<bool> is_in_handler{false}, may_leave_handler{false};

TEST_F(FibersTest, AHandlerOnAnAlternateStackInterruptsAFiber) {
    struct sigaction action {};
    action.sa_handler = [](int) {
        is_in_handler = true;
        while (!may_leave_handler) os::yield_cpu();
    };
    action.sa_flags = SA_ONSTACK;
    ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
    std::vector<char> memory(64 << 10);
    AttachedThread thread([&](AttachedThread& me) {
        EXPECT_TRUE(os::set_alternate_stack(memory.data(), memory.size()));
        Fiber fiber([&](Fiber&) { with_word(hidden_word(22), [&] { spin(me); }); });
        with_word(hidden_word(21), [&] { fiber.resume(); });
        EXPECT_TRUE(os::set_alternate_stack(nullptr, 0));
    });
    thread.wait_until_ready();
    ASSERT_EQ(pthread_kill(thread.thread().native_handle(), SIGUSR1), 0);
    while (!is_in_handler) os::yield_cpu();
    expect_everywhere({21, 22});
    may_leave_handler = true;
    thread.end();
    signal(SIGUSR1, SIG_DFL);
}

// The kernel's frame for a signal does not fit a small fiber's stack: it must not land there.
TEST_F(FibersTest, SignalsSpareSmallStacks) {
    constexpr std::size_t stack_bytes = 2048, below_bytes = 16 << 10;
    std::vector<unsigned char> memory(below_bytes + stack_bytes, 0x5a);
    static AttachedThread* owner;
    static ucontext_t on_fiber, on_thread;
    AttachedThread thread([&](AttachedThread& me) {
        owner = &me;
        FiberRecord record;
        const auto low = reinterpret_cast<std::uintptr_t>(memory.data() + below_bytes);
        world.add_fiber(record, {low, low + stack_bytes}, true);
        getcontext(&on_fiber);
        on_fiber.uc_stack.ss_sp = memory.data() + below_bytes;
        on_fiber.uc_stack.ss_size = stack_bytes;
        on_fiber.uc_link = &on_thread;
        makecontext(&on_fiber, [] { spin(*owner); }, 0);
        World::switch_fiber(me.record(), &record);
        swapcontext(&on_thread, &on_fiber);
        World::switch_fiber(me.record(), nullptr);
        world.remove_fiber(record);
        EXPECT_FALSE(os::alternate_stack().is_empty());
        world.detach(me.record());
        EXPECT_TRUE(os::alternate_stack().is_empty()) << "ours, so it goes";
    });
    thread.wait_until_ready();
    for (unsigned i = 0; i < 50; ++i) stopped([] {});
    thread.end();
    for (std::size_t i = 0; i < below_bytes; ++i) ASSERT_EQ(memory[i], 0x5a) << below_bytes - i << " below";
}

// ---- fibers nobody speaks of

TEST_F(FibersTest, AnUntrackedFiberIsScannedWholeRestingOrNot) {
    AttachedThread thread([](AttachedThread& me) {
        Fiber resting([](Fiber& it) { with_word(hidden_word(31), [&] { it.yield(); }); }, true, false);
        Fiber entered([&](Fiber&) { with_word(hidden_word(32), [&] { spin(me); }); }, true, false);
        resting.resume();
        with_word(hidden_word(33), [&] { entered.resume(); });
    });
    thread.wait_until_ready();
    expect_everywhere({31, 32, 33});
}

TEST_F(FibersTest, AStackNobodyToldUsOf) {
    AttachedThread thread([](AttachedThread& me) {
        Fiber fiber([&](Fiber&) { with_word(hidden_word(41), [&] { spin(me); }); }, false);
        with_word(hidden_word(42), [&] { fiber.resume(); });
    });
    thread.wait_until_ready();
    expect_everywhere({41, 42});
}

TEST_F(FibersTest, RemovedFibersAreNoRoots) {
    auto fiber = std::make_unique<Fiber>(
        [](Fiber& me) { with_word(hidden_word(51), [&] { me.yield(); }); });
    fiber->resume();
    expect_everywhere({51});
    world.remove_fiber(fiber->record);
    world.remove_fiber(fiber->record);
    stopped([&] { EXPECT_EQ(count_everywhere(hidden_word(51)), 0u); });
    EXPECT_EQ(world.fibers().count(), 0u);
    const os::MemoryRange stack = fiber->record.stack;
    world.add_fiber(fiber->record, stack, true);
    EXPECT_EQ(world.fibers().count(), 1u);
    fiber.reset();
    EXPECT_EQ(world.fibers().count(), 0u);
}

// ---- scanned beside the program

TEST_F(FibersTest, EachIsClaimedOnceACycleUnlessItRan) {
    std::vector<std::unique_ptr<Fiber>> fibers;
    for (unsigned i = 0; i < 5; ++i) {
        fibers.push_back(std::make_unique<Fiber>([](Fiber& me) {
            for (;;) me.yield();
        }));
        fibers.back()->resume();
    }
    const auto claim_all = [&] {
        std::multiset<FiberRecord*> claimed;
        while (FiberRecord* fiber = world.fibers().claim_next()) {
            claimed.insert(fiber);
            world.fibers().release(*fiber);
        }
        return claimed;
    };
    stopped([] { world.fibers().begin_cycle(); });
    EXPECT_EQ(claim_all().size(), 5u);
    EXPECT_EQ(claim_all().size(), 0u);
    fibers[3]->resume();
    const auto again = claim_all();
    EXPECT_EQ(again.size(), 1u);
    EXPECT_EQ(again.count(&fibers[3]->record), 1u);
    fibers[1]->resume();
    stopped([&] {
        unsigned ranges = 0;
        world.fibers().visit_unscanned([&](std::uintptr_t, std::uintptr_t) { ++ranges; });
        EXPECT_EQ(ranges, 2u) << "one fiber: its stack and its copied frames";
        world.fibers().begin_cycle();
    });
    EXPECT_EQ(claim_all().size(), 5u);
}

TEST_F(FibersTest, WhoWantsToRunOnAClaimedFiberWaits) {
    Fiber fiber([](Fiber& me) {
        for (;;) me.yield();
    });
    stopped([] { world.fibers().begin_cycle(); });
    FiberRecord* claimed = world.fibers().claim_next();
    ASSERT_EQ(claimed, &fiber.record);
    std::atomic<bool> has_run{false};
    AttachedThread thread([&](AttachedThread&) {
        fiber.resume();
        has_run = true;
    });
    os::sleep_ns(20'000'000);
    EXPECT_FALSE(has_run);
    world.fibers().release(*claimed);
    thread.end();
    EXPECT_TRUE(has_run);
}

// Fibers run by turns on several threads; each holds one word for ever.
class Wanderers {
public:
    static constexpr unsigned fiber_count = 24, thread_count = 3;

    Wanderers() {
        for (unsigned i = 0; i < fiber_count; ++i) {
            fibers_.push_back(std::make_unique<Fiber>([i](Fiber& me) {
                with_word(hidden_word(100 + i), [&] {
                    for (;;) me.yield();
                });
            }));
            fibers_.back()->resume();
            queue_.push_back(fibers_.back().get());
        }
        for (unsigned n = 0; n < thread_count; ++n)
            threads_.push_back(std::make_unique<AttachedThread>([this](AttachedThread& me) { run(me); }));
    }
    void end() { threads_.clear(); }

    std::atomic<std::uint64_t> switches{0};

private:
    void run(AttachedThread& me) {
        while (!me.is_told_to_end()) {
            Fiber* fiber = nullptr;
            {
                Inside inside(me.record());  // a lock of the test's, as one of ours
                std::lock_guard guard(mutex_);
                if (!queue_.empty()) {
                    fiber = queue_.front();
                    queue_.pop_front();
                }
            }
            if (fiber == nullptr) continue;
            fiber->resume();
            ++switches;
            Inside inside(me.record());
            std::lock_guard guard(mutex_);
            queue_.push_back(fiber);
        }
    }

    std::deque<Fiber*> queue_;
    std::mutex mutex_;  // of queue_
    std::vector<std::unique_ptr<Fiber>> fibers_;
    std::vector<std::unique_ptr<AttachedThread>> threads_;
};

// No scan may miss a word, done in one stop or put together from claims and the last stop.
TEST_F(FibersTest, NothingIsMissedWhileFibersWander) {
    Wanderers wanderers;
    for (unsigned round = 0; round < 150; ++round) {
        std::set<unsigned> missing;
        stopped([&] {
            for (unsigned i = 0; i < Wanderers::fiber_count; ++i)
                if (count_everywhere(hidden_word(100 + i)) == 0) missing.insert(i);
            world.fibers().begin_cycle();
        });
        EXPECT_TRUE(missing.empty()) << "in one stop, round " << round;
        for (unsigned i = 0; i < Wanderers::fiber_count; ++i) missing.insert(i);
        const auto look = [&](std::uintptr_t low, std::uintptr_t high) {
            for (unsigned i = 0; i < Wanderers::fiber_count; ++i)
                if (count_words(low, high, hidden_word(100 + i)) > 0) missing.erase(i);
        };
        for (unsigned n = 0; n < 10; ++n) {
            Inside inside(*self);
            FiberRecord* claimed = world.fibers().claim_next();
            if (claimed == nullptr) break;
            claimed->visit_resting(look);
            world.fibers().release(*claimed);
        }
        stopped([&] {
            world.for_each([&](ThreadRecord& thread) { World::for_each_root_range(thread, look); });
            world.fibers().visit_unscanned(look);
        });
        EXPECT_TRUE(missing.empty()) << "beside the program, round " << round;
    }
    wanderers.end();
    EXPECT_GT(wanderers.switches.load(), 100u);
}

TEST_F(FibersTest, CostOfASwitch) {
    Fiber fiber([](Fiber&) {});
    constexpr unsigned rounds = 1'000'000;
    const std::uint64_t before_ns = os::thread_cpu_ns();
    for (unsigned i = 0; i < rounds; ++i) {
        World::switch_fiber(*self, &fiber.record);
        World::switch_fiber(*self, nullptr);
    }
    std::printf("  saying that we switch: %.1f ns\n",
                static_cast<double>(os::thread_cpu_ns() - before_ns) / rounds / 2);
}

}  // namespace
}  // namespace cairn::gc
