// Storms: threads that come and go, forks, signals, fibers, blocked threads and freed objects, each while
// cycles run one after the other; everybody checks what they hold all the time.
// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <pthread.h>
#include <sys/time.h>
#include <ucontext.h>

#include <atomic>
#include <chrono>
#include <iterator>
#include <thread>

#include "cairn/cairn.hpp"
#include "gc/gc_test.hpp"

namespace {

using gc_test::Random;

struct Node {
    cairn::Ptr<Node> next, other;
    long value = 0;
    long sum = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Node::next, &Node::other);
};
struct Loose {
    Loose* next;
    long value;
    long pad[4];
};

Node* make_list(long length, long first) {
    Node* list = nullptr;
    for (long i = 0; i < length; ++i) {
        Node* node = cairn::make<Node>();
        node->value = first + i;
        node->sum = ~node->value;
        node->next = list;
        list = node;
    }
    return list;
}
void check_list(const Node* list, long length, long first) {
    for (; list != nullptr; list = list->next) {
        REQUIRE_AT(list->value == first + --length, list->value);
        REQUIRE_AT(list->sum == ~list->value, list->value);
    }
    REQUIRE_AT(length == 0, length);
}
void work(long rounds, long seed) {
    Node* kept = make_list(200, seed);
    Loose* loose = nullptr;
    for (long i = 0; i < rounds; ++i) {
        Node* list = make_list(50, i);
        auto* top = static_cast<Loose*>(cairn_alloc_conservative(sizeof(Loose)));
        REQUIRE(top != nullptr);
        top->next = i % 100 == 0 ? nullptr : loose;
        top->value = i;
        loose = top;
        kept->other = list;
        check_list(kept->other, 50, i);
        long value = i;
        for (const Loose* at = loose; at != nullptr; at = at->next) REQUIRE_AT(at->value == value--, value);
    }
    check_list(kept, 200, seed);
}

std::atomic<bool> is_over{false};

// Cycles without end beside what `storm` does.
template <class Storm>
void amid_cycles(Storm storm) {
    is_over = false;
    std::thread cycles([] {
        while (!is_over) cairn_collect();
    });
    storm();
    is_over = true;
    cycles.join();
}

// ---- threads

void threads_come_and_go(long rounds) {
    amid_cycles([=] {
        for (long round = 0; round < rounds; ++round) {
            pthread_t threads[16];
            pthread_attr_t attributes;
            pthread_attr_init(&attributes);
            for (pthread_t& thread : threads) {
                const auto start = [](void* argument) -> void* {
                    auto* list = static_cast<Node*>(argument);
                    check_list(list, 30, 7);
                    work(3, list->value);
                    check_list(list, 30, 7);
                    return list;
                };
                REQUIRE(pthread_create(&thread, &attributes, start, make_list(30, 7)) == 0);
            }
            for (const pthread_t& thread : threads) {
                void* list = nullptr;
                REQUIRE(pthread_join(thread, &list) == 0);
            }
        }
    });
    REQUIRE_AT(gc_test::stats().threads <= 3, gc_test::stats().threads);
}

// A result that nobody but libc holds while its thread is gone is on no stack: it needs a root. One that is
// in thread-local storage is found.
thread_local Node* in_thread = nullptr;
void thread_local_pointers(long rounds) {
    amid_cycles([=] {
        std::vector<std::thread> threads;
        for (int i = 0; i < 8; ++i) {
            threads.emplace_back([=] {
                for (long round = 0; round < rounds; ++round) {
                    in_thread = make_list(100, i);
                    work(3, i);
                    check_list(in_thread, 100, i);
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
    });
}

void sixty_four_threads(long rounds) {
    amid_cycles([=] {
        std::vector<std::thread> threads;
        for (int i = 0; i < 64; ++i) threads.emplace_back(work, rounds, i * 1000);
        for (std::thread& thread : threads) thread.join();
    });
}

// A megabyte of frames, each with a list that only it knows.
[[gnu::noinline]] long descend(int depth) {
    Node* list = make_list(3, depth);
    volatile char room[2048];
    room[depth % 2048] = 1;
    const long below = depth == 0 ? 0 : descend(depth - 1);
    check_list(list, 3, depth);
    return below + room[depth % 2048];
}
void deep_recursion(long rounds) {
    amid_cycles([=] {
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; ++i) {
            threads.emplace_back([=] {
                for (long round = 0; round < rounds; ++round) (void)descend(500);
            });
        }
        for (std::thread& thread : threads) thread.join();
    });
}

void blocked_threads(long rounds) {
    amid_cycles([=] {
        std::vector<std::thread> threads;
        for (int i = 0; i < 6; ++i) {
            threads.emplace_back([=] {
                for (long round = 0; round < rounds; ++round) {
                    Node* list = make_list(100, i);
                    cairn_blocking_begin();
                    usleep(500);
                    cairn_blocking_end();
                    check_list(list, 100, i);
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
    });
}

// ---- forks

void in_child(const Node* list) {
    check_list(list, 500, 3);
    for (int i = 0; i < 3; ++i) {
        work(10, i);
        cairn_collect();
    }
    std::thread thread(work, 20, 5);
    const pid_t grandchild = fork();
    if (grandchild == 0) {
        work(10, 1);
        cairn_collect();
        check_list(list, 500, 3);
        _exit(0);
    }
    thread.join();
    int status = 0;
    REQUIRE(waitpid(grandchild, &status, 0) == grandchild && status == 0);
    check_list(list, 500, 3);
}

// Children are forked by several threads at any moment of a cycle, while others start and end.
[[maybe_unused]] void forks(long rounds) {
    amid_cycles([=] {
        std::vector<std::thread> threads;
        for (int i = 0; i < 2; ++i) {
            threads.emplace_back([=] {
                Node* list = make_list(500, 3);
                for (long round = 0; round < rounds; ++round) {
                    const pid_t child = fork();
                    REQUIRE(child >= 0);
                    if (child == 0) {
                        alarm(gc_test::is_sanitized ? 120 : 30);
                        in_child(list);
                        _exit(0);
                    }
                    work(5, i);
                    int status = 0;
                    REQUIRE(waitpid(child, &status, 0) == child);
                    REQUIRE_AT(status == 0, status);
                }
                check_list(list, 500, 3);
            });
        }
        std::atomic<bool> is_done{false};
        std::thread starter([&] {
            while (!is_done) std::thread(work, 2, 9).join();
        });
        for (std::thread& thread : threads) thread.join();
        is_done = true;
        starter.join();
    });
}

// ---- signals

std::atomic<long> signals_seen{0};

// Timers interrupt everybody everywhere; the handlers use the heap only to read.
void signals(long rounds) {
    static Node* watched = nullptr;
    static void** root = cairn_root_create(nullptr);
    watched = make_list(20, 11);
    cairn_store(root, watched);
    struct sigaction action {};
    action.sa_flags = SA_RESTART;
    action.sa_handler = [](int) {
        check_list(watched, 20, 11);
        ++signals_seen;
    };
    REQUIRE(sigaction(SIGALRM, &action, nullptr) == 0 && sigaction(SIGPROF, &action, nullptr) == 0);
    // Each round waits for some: under load a timer is late, never silent.
    const itimerval often{{0, 200}, {0, 200}};
    REQUIRE(setitimer(ITIMER_REAL, &often, nullptr) == 0 && setitimer(ITIMER_PROF, &often, nullptr) == 0);
    amid_cycles([=] {
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i) threads.emplace_back(work, 40 * rounds, i);
        for (std::thread& thread : threads) thread.join();
    });
    const itimerval off{};
    setitimer(ITIMER_REAL, &off, nullptr);
    setitimer(ITIMER_PROF, &off, nullptr);
    REQUIRE_AT(signals_seen > 10, signals_seen.load());
}

// ---- fibers

struct Fiber {
    ucontext_t context;
    cairn_stack stack;
    cairn_fiber* fiber = nullptr;
    long number = 0;
};
thread_local ucontext_t scheduler;
thread_local Fiber* running = nullptr;

[[gnu::noinline]] void yield() {
    Fiber* self = running;
    cairn_fiber_switch(nullptr);
    swapcontext(&self->context, &scheduler);
}
void run_fiber() {
    const long number = running->number;
    Node* list = make_list(100, number);
    for (;;) {
        Node* young = make_list(20, number + 1);
        yield();
        check_list(young, 20, number + 1);
        check_list(list, 100, number);
    }
}
void run_fibers(long rounds, int kind) {
    std::vector<Fiber> fibers(20);
    long number = 0;
    for (Fiber& fiber : fibers) {
        REQUIRE(cairn_stack_alloc(&fiber.stack, 64 << 10) == 0);
        fiber.fiber = cairn_fiber_create(fiber.stack.low, fiber.stack.size, kind);
        REQUIRE(fiber.fiber != nullptr);
        fiber.number = number += 1000;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.low;
        fiber.context.uc_stack.ss_size = fiber.stack.size;
        makecontext(&fiber.context, run_fiber, 0);
    }
    Random random(gc_test::seed());
    for (long round = 0; round < 20 * rounds; ++round) {
        Fiber& fiber = fibers[random.below(fibers.size())];
        running = &fiber;
        if (kind == CAIRN_FIBER_TRACKED) cairn_fiber_switch(fiber.fiber);
        swapcontext(&scheduler, &fiber.context);
    }
    for (Fiber& fiber : fibers) {
        cairn_fiber_destroy(fiber.fiber);
        cairn_stack_free(&fiber.stack);
    }
}
void fibers(long rounds) {
    amid_cycles([=] {
        std::thread other(run_fibers, rounds, CAIRN_FIBER_TRACKED);
        run_fibers(rounds, CAIRN_FIBER_TRACKED);
        other.join();
    });
}

// ---- what the program frees itself

// Every word of it tells whose it is.
struct Marked {
    std::uint64_t words, number;

    static Marked* make(std::size_t words, std::uint64_t number) {
        auto* made = static_cast<Marked*>(cairn_alloc_conservative(words * 8));
        REQUIRE(made != nullptr);
        const auto* all = reinterpret_cast<const std::uint64_t*>(made);
        for (std::size_t i = 0; i < words; ++i) REQUIRE_AT(all[i] == 0, i);
        for (std::size_t i = 2; i < words; ++i) reinterpret_cast<std::uint64_t*>(made)[i] = ~number;
        *made = {words, number};
        return made;
    }
    void check() const {
        const auto* all = reinterpret_cast<const std::uint64_t*>(this);
        for (std::size_t i = 2; i < words; ++i) REQUIRE_AT(all[i] == ~number, i);
    }
};
std::atomic<Marked*> in_passing[64];

// Slots that are used again at once are zero and nobody else's, whoever made what was there and whichever
// thread freed it.
void swap_and_free(long rounds, std::uint64_t first) {
    constexpr std::size_t sizes[] = {2, 6, 8, 25, 400, 8000};  // words
    Random random(gc_test::seed() + first);
    Marked* volatile held[100] = {};
    for (long round = 0; round < rounds; ++round) {
        Marked* volatile& place = held[random.below(std::size(held))];
        if (place == nullptr) {
            const std::size_t words = sizes[random.below(random.one_in(50) ? 6 : 4)];
            place = Marked::make(words, first + static_cast<std::uint64_t>(round));
            continue;
        }
        place->check();
        if (random.one_in(3)) {
            place = in_passing[random.below(std::size(in_passing))].exchange(place);
        } else {
            Marked* const dead = place;
            place = nullptr;
            cairn_free(dead);
        }
    }
}
void freed(long rounds) {
    REQUIRE(cairn_roots_add_range(std::begin(in_passing), std::end(in_passing)) == 0);
    is_over = false;
    std::thread cycles([] {  // with time between them: while one marks, nothing is freed
        while (!is_over) {
            cairn_collect();
            std::this_thread::sleep_for(std::chrono::milliseconds(3));
        }
    });
    std::vector<std::thread> threads;
    for (std::uint64_t i = 1; i <= 4; ++i) threads.emplace_back(swap_and_free, rounds, i << 40);
    for (std::thread& thread : threads) thread.join();
    is_over = true;
    cycles.join();
    for (std::atomic<Marked*>& one : in_passing)
        if (const Marked* left = one.exchange(nullptr)) left->check();
}

// ---- by name

struct Storm {
    const char* name;
    void (*run)(long rounds);
    long rounds;
};
const Storm storms[] = {
    {"threads", threads_come_and_go, 600},
    {"thread_local", thread_local_pointers, 6000},
    {"sixty_four", sixty_four_threads, 2000},
    {"recursion", deep_recursion, 2000},
    {"blocked", blocked_threads, 600},
#ifndef __SANITIZE_THREAD__  // which ends children that start threads
    {"forks", forks, 100},
#endif
    {"signals", signals, 4000},
    {"fibers", fibers, 3000},
    {"freed", freed, 3'000'000},
};

}  // namespace

int main(int count, char** words) {
    const gc_test::Arguments arguments(count, words);
    for (const Storm& storm : storms) {
        if (!arguments.only.empty() && arguments.only != storm.name) continue;
        const std::uint64_t before = gc_test::stats().cycles;
        storm.run(arguments.scaled(storm.rounds));
        std::printf("%s: %lu cycles\n", storm.name, gc_test::stats().cycles - before);
        std::fflush(stdout);
        REQUIRE(gc_test::stats().cycles > before);
    }
    return 0;
}
