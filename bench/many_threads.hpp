// Many-thread cases: blocks that one thread takes and another gives back, and threads that come and go.
//
// hand_over  one thread allocates, the other frees: every free is a remote one
// mixed      each thread replaces random blocks of random size; one in eight goes through a table all share,
//            so some frees are remote, and blocks outlive the thread that made them from repeat to repeat
// churn      short threads, two at a time, that leave a few blocks behind for the next ones to free
//
// Threads are made by pthread_create, for std::thread would allocate. The clock starts when all of them wait
// at the gate and stops when the last has noted its end; only `churn` times the making of threads too.
// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>
#include <sched.h>

#include <atomic>

#include "harness.hpp"

namespace bench {

inline constexpr unsigned most_threads = 16;

// Waits a moment: first in place, then by letting others run (there may be fewer processors than threads).
class Patience {
public:
    void wait() {
        if (++tries_ < 64) {
            asm volatile("" : : : "memory");
        } else {
            sched_yield();
        }
    }

private:
    unsigned tries_ = 0;
};

// Holds threads back until all of them are there.
class Gate {
public:
    void close() {
        waiting_.store(0, std::memory_order_relaxed);   // relaxed: pthread_create publishes it to the threads
        open_.store(false, std::memory_order_relaxed);  // relaxed: as above
    }
    void pass() {
        waiting_.fetch_add(1, std::memory_order_release);  // release: pairs with await(); the thread is ready
        Patience patience;
        while (!open_.load(std::memory_order_acquire)) patience.wait();  // acquire: pairs with open()
    }
    void await(unsigned threads) {
        Patience patience;
        while (arrived() < threads) patience.wait();
    }
    void open() { open_.store(true, std::memory_order_release); }  // release: pairs with pass()

private:
    unsigned arrived() const { return waiting_.load(std::memory_order_acquire); }  // acquire: see pass()

    std::atomic<unsigned> waiting_{0};  // [atomic] threads that have arrived
    std::atomic<bool> open_{false};     // [atomic] may they go on?
};

// Runs `body(index)` in `threads` threads and returns the time from the gate's opening to the last end.
template <typename Body>
std::uint64_t time_threads(unsigned threads, Body body) {
    struct Worker {
        Body* body;
        Gate* gate;
        unsigned index;
        std::uint64_t end;
    };
    static Gate gate;
    static std::array<Worker, most_threads> worker;
    static std::array<pthread_t, most_threads> thread;
    gate.close();
    for (unsigned i = 0; i < threads; ++i) {
        worker[i] = {&body, &gate, i, 0};
        const auto start = [](void* argument) -> void* {
            auto* self = static_cast<Worker*>(argument);
            self->gate->pass();
            (*self->body)(self->index);
            self->end = now_ns();
            return nullptr;
        };
        if (pthread_create(&thread[i], nullptr, start, &worker[i]) != 0) std::abort();
    }
    gate.await(threads);
    const std::uint64_t begin = now_ns();
    gate.open();
    std::uint64_t end = begin;
    for (unsigned i = 0; i < threads; ++i) {
        pthread_join(thread[i], nullptr);
        end = std::max(end, worker[i].end);
    }
    return end - begin;
}

// A ring from one producer to one consumer; both publish their index once a group, so the ring costs little.
class Ring {
public:
    static constexpr std::uint64_t capacity = 4096;
    static constexpr std::uint64_t group = 64;

    template <typename Make>
    void produce(std::uint64_t groups, Make make) {
        std::uint64_t next = head_.load(std::memory_order_relaxed);  // relaxed: only we write it
        for (std::uint64_t g = 0; g < groups; ++g) {
            Patience patience;
            const std::uint64_t end = next + group;
            while (end - tail() > capacity) patience.wait();
            for (; next < end; ++next) slot_[next % capacity] = make();
            head_.store(next, std::memory_order_release);  // release: publishes the slots to consume()
        }
    }

    template <typename Use>
    void consume(std::uint64_t groups, Use use) {
        std::uint64_t next = tail_.load(std::memory_order_relaxed);  // relaxed: only we write it
        for (std::uint64_t g = 0; g < groups; ++g) {
            Patience patience;
            const std::uint64_t end = next + group;
            while (head() < end) patience.wait();
            for (; next < end; ++next) use(slot_[next % capacity]);
            tail_.store(next, std::memory_order_release);  // release: gives the slots back to produce()
        }
    }

private:
    std::uint64_t head() const { return head_.load(std::memory_order_acquire); }  // acquire: these are full
    std::uint64_t tail() const { return tail_.load(std::memory_order_acquire); }  // acquire: these are empty

    std::array<void*, capacity> slot_{};               // [owner] tail..head: consumer; the rest: producer
    alignas(128) std::atomic<std::uint64_t> head_{0};  // [atomic] slots ever filled
    alignas(128) std::atomic<std::uint64_t> tail_{0};  // [atomic] slots ever emptied
};

template <std::size_t bytes>
Sample hand_over(std::uint64_t ops) {
    static Ring ring;
    const std::uint64_t groups = ops / Ring::group + 1;
    const std::uint64_t ns = time_threads(2, [groups](unsigned index) {
        if (index == 0) {
            ring.produce(groups, [] { return take(bytes); });
        } else {
            ring.consume(groups, [](void* p) {
                *static_cast<volatile char*>(p) = 2;
                std::free(p);
            });
        }
    });
    return {groups * Ring::group, ns};
}

// Blocks on their way from one thread to another.
class SharedTable {
public:
    static constexpr std::uint32_t slots = 1024;
    void* exchange(std::uint32_t i, void* p) {
        return slot_[i].exchange(p, std::memory_order_acq_rel);  // acq_rel: hands the blocks' bytes over
    }

private:
    std::array<std::atomic<void*>, slots> slot_{};  // [atomic] a block or null
};

inline std::size_t mixed_size(Random& dice) {
    return 16 + dice.below(1024 - 16 + 1);
}

template <unsigned threads>
Sample mixed(std::uint64_t ops) {
    constexpr std::uint32_t own_slots = 1000;
    static std::array<std::array<void*, own_slots>, threads> own{};
    static SharedTable shared;
    static std::uint64_t turn = 0;  // each repeat rolls other dice and gives each thread another's old blocks
    ++turn;
    const std::uint64_t each = ops / threads + 1;
    const std::uint64_t ns = time_threads(threads, [each](unsigned index) {
        auto& mine = own[(index + turn) % threads];
        Random dice(turn * most_threads + index + 1);
        for (std::uint64_t i = 0; i < each; ++i) {
            void* fresh = take(mixed_size(dice));
            void* old;
            if (i % 8 == 0) {
                old = shared.exchange(dice.below(SharedTable::slots), fresh);
            } else {
                void*& slot = mine[dice.below(own_slots)];
                old = slot;
                slot = fresh;
            }
            std::free(old);
        }
    });
    return {each * threads, ns};
}

// One short life: 100 blocks up to 512 B; the thread frees nine in ten and leaves the others to a later one.
inline void* short_life(void* argument) {
    static SharedTable left_behind;
    std::array<void*, 100> block;
    Random dice(reinterpret_cast<std::uintptr_t>(argument));
    for (void*& p : block) p = take(16 + dice.below(512 - 16 + 1));
    for (std::size_t i = 0; i < block.size(); ++i) {
        void* old = block[i];
        if (i % 10 == 0) old = left_behind.exchange(dice.below(SharedTable::slots), old);
        std::free(old);
    }
    return nullptr;
}

// Two threads live at any time. One operation is a thread: made, run, joined.
inline Sample thread_churn(std::uint64_t ops) {
    std::array<pthread_t, 2> thread;
    const std::uint64_t start = now_ns();
    for (std::uint64_t i = 0; i < ops; ++i) {
        if (i >= 2) pthread_join(thread[i % 2], nullptr);
        void* seed = reinterpret_cast<void*>(static_cast<std::uintptr_t>(i + 1));
        if (pthread_create(&thread[i % 2], nullptr, short_life, seed) != 0) std::abort();
    }
    for (std::uint64_t i = ops < 2 ? 0 : ops - 2; i < ops; ++i) pthread_join(thread[i % 2], nullptr);
    return {ops, now_ns() - start};
}

}  // namespace bench
