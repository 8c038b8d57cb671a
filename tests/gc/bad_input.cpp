// What no program should do, and what then happens: each case is a process of its own that ends as promised.
// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "cairn/cairn.hpp"
#include "gc/gc_test.hpp"

namespace {

using gc_test::apart;

struct Node {
    cairn::Ptr<Node> next;
    long value = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Node::next);
};

Node* make_list(long length) {
    Node* list = nullptr;
    for (long i = 0; i < length; ++i) {
        Node* node = cairn::make<Node>();
        node->next = list;
        node->value = i;
        list = node;
    }
    return list;
}
void check_list(const Node* list, long length) {
    for (; list != nullptr; list = list->next) REQUIRE_AT(list->value == --length, length);
    REQUIRE_AT(length == 0, length);
}
void churn(long rounds) {
    for (long i = 0; i < rounds; ++i) check_list(make_list(100), 100);
}

// ---- pointers to what is no object

// A field may hold any address: it is asked for and leads nowhere.
void foreign_pointers() {
    static Node in_static_data;
    Node on_stack;
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    auto* unmapped = static_cast<char*>(mmap(nullptr, 1 << 20, PROT_NONE, flags, -1, 0));
    auto* in_malloc = static_cast<Node*>(std::malloc(sizeof(Node)));
    const std::uintptr_t words[] = {reinterpret_cast<std::uintptr_t>(&in_static_data),
                                    reinterpret_cast<std::uintptr_t>(&on_stack),
                                    reinterpret_cast<std::uintptr_t>(unmapped),
                                    reinterpret_cast<std::uintptr_t>(unmapped + 12345),
                                    reinterpret_cast<std::uintptr_t>(in_malloc),
                                    0x1, 0xfff, 0xdead'beef'dead'beef, ~std::uintptr_t{0},
                                    std::uintptr_t{1} << 47,
                                    (std::uintptr_t{1} << 47) - 1, std::uintptr_t{1} << 63};
    Node* fields[std::size(words)];
    for (std::size_t i = 0; i < std::size(words); ++i) {
        fields[i] = cairn::make<Node>();
        fields[i]->next = reinterpret_cast<Node*>(words[i]);
    }
    // Every word around every kind of object, too: tails, headers, the end of the heap.
    auto* loose = static_cast<std::uintptr_t*>(cairn_alloc_conservative(1 << 20));
    gc_test::Random random(gc_test::seed());
    const auto near = reinterpret_cast<std::uintptr_t>(loose);
    for (long i = 0; i < (1 << 17); ++i) loose[i] = near - (std::uintptr_t{1} << 27) + random.below(1 << 28);
    for (int i = 0; i < 10; ++i) {
        churn(200);
        cairn_collect();
    }
    for (std::size_t i = 0; i < std::size(words); ++i)
        REQUIRE_AT(fields[i]->next.get() == reinterpret_cast<Node*>(words[i]), i);
    cairn_free(&on_stack);
    cairn_free(&in_static_data);
    cairn_free(in_malloc);
    cairn_free(unmapped);
    cairn_free(reinterpret_cast<void*>(8));
    REQUIRE(cairn_object_base(&on_stack) == nullptr && cairn_object_size(unmapped) == 0);
    REQUIRE(cairn_weak_create(in_malloc) == nullptr && cairn_set_finalizer(&on_stack, nullptr, nullptr) == 0);
    std::free(in_malloc);
}

// What is handed to cleanups, finalizers and ephemerons beside the object may be anything as well.
void foreign_arguments() {
    std::atomic<bool> is_over{false};
    std::thread cycles([&] {
        while (!is_over) cairn_collect();
    });
    gc_test::Random random(gc_test::seed());
    cairn_ephemerons* map = cairn_ephemerons_create();
    for (int i = 0; i < 100'000; ++i) {
        void* anything = reinterpret_cast<void*>(random.next() << random.below(50) ^ random.next());
        Node* object = cairn::make<Node>();
        (void)cairn_add_cleanup(object, [](void*) {}, anything);
        if (i % 2 == 0) REQUIRE(cairn_set_finalizer(object, [](void*, void*) {}, anything) == 0);
        if (i % 16 == 0) REQUIRE(cairn_ephemerons_set(map, object, anything) == 0);
        (void)cairn_ephemerons_get(map, anything);
        cairn_shade(anything);
        cairn_free(anything);
    }
    is_over = true;
    cycles.join();
}

// A map that is longer than its objects is cut off at their end.
void map_outside_the_object() {
    static constexpr std::uint64_t map[] = {~0ull, ~0ull, ~0ull, ~0ull};
    static std::uint32_t cell;
    static constexpr cairn_type type = {16, 8, CAIRN_TYPED, 256, map, nullptr, "long map", &cell};
    static std::uint32_t large_cell;
    static constexpr cairn_type large = {16, 8, CAIRN_TYPED, 256, map, nullptr, "long map", &large_cell};
    for (int i = 0; i < 20'000; ++i) REQUIRE(cairn_alloc(16, &type) != nullptr);
    REQUIRE(cairn_alloc_array(1'000'000, &large) != nullptr);
    cairn_collect();
    cairn_collect();
}

// More types than there are shapes: the rest are scanned word by word.
void very_many_types() {
    static std::uint32_t cells[3000];
    static std::uint64_t maps[3000];
    static cairn_type types[3000];
    void* objects[3000];
    for (unsigned i = 0; i < 3000; ++i) {
        maps[i] = i + 1;
        types[i] = {128, 8, CAIRN_TYPED, 16, &maps[i], nullptr, "one of many", &cells[i]};
        objects[i] = cairn_alloc(128, &types[i]);
        REQUIRE(objects[i] != nullptr);
        const unsigned word = static_cast<unsigned>(__builtin_ctz(i + 1));
        cairn_store(static_cast<void**>(objects[i]) + word, make_list(3));
    }
    for (int i = 0; i < 3; ++i) cairn_collect();
    churn(100);
    for (unsigned i = 0; i < 3000; ++i)
        check_list(static_cast<Node**>(objects[i])[__builtin_ctz(i + 1)], 3);
}

void sizes_beyond_reason() {
    static std::uint32_t cell;
    static constexpr cairn_type type = {24, 8, CAIRN_CONSERVATIVE, 0, nullptr, nullptr, "loose", &cell};
    volatile std::size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4095, std::size_t{1} << 63, std::size_t{1} << 46};
    for (const volatile std::size_t& size : sizes) {
        REQUIRE_AT(cairn_alloc_noscan(size) == nullptr, size);
        REQUIRE_AT(cairn_alloc_conservative(size) == nullptr, size);
    }
    REQUIRE(cairn_alloc_array(SIZE_MAX / 24 + 2, &type) == nullptr);
    REQUIRE(cairn_alloc_array(SIZE_MAX / 48, &type) == nullptr);
    REQUIRE(cairn_alloc(std::size_t{1} << 50, &type) == nullptr);
    REQUIRE(cairn_alloc_array(0, &type) != nullptr && cairn_alloc(0, &type) != nullptr);
    REQUIRE(cairn_alloc_noscan(0) != nullptr && cairn_alloc_conservative(0) != nullptr);
    churn(100);
}

// ---- finalizers

std::atomic<int> finalized{0};

void wait_for_finalizers(int wanted) {
    for (int i = 0; i < 2000 && finalized < wanted; ++i) {
        cairn_collect();
        usleep(1000);
    }
    REQUIRE_AT(finalized >= wanted, finalized.load());
}

void collect_in_a_finalizer() {
    apart([] {
        for (int i = 0; i < 20; ++i) {
            const auto finalizer = [](void* object, void*) {
                cairn_collect();
                static_cast<Node*>(object)->next = make_list(10);
                cairn_collect();
                check_list(static_cast<Node*>(object)->next, 10);
                ++finalized;
            };
            REQUIRE(cairn_set_finalizer(cairn::make<Node>(), finalizer, nullptr) == 0);
        }
    });
    wait_for_finalizers(15);
}

void finalizers_that_throw() {
    apart([] {
        for (int i = 0; i < 20; ++i) {
            const auto finalizer = [](void*, void* number) {
                ++finalized;
                if (number == nullptr) throw std::runtime_error("thrown by a finalizer");
                throw 42;
            };
            void* number = reinterpret_cast<void*>(static_cast<std::uintptr_t>(i % 2));
            REQUIRE(cairn_set_finalizer(cairn::make<Node>(), finalizer, number) == 0);
        }
    });
    wait_for_finalizers(15);
    churn(100);
}

// ---- threads that nobody told us of

// The system's pthread_create, past ours.
int real_pthread_create(pthread_t* thread, void* (*start)(void*)) {
    using Create = int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
    void* libc = dlopen("libc.so.6", RTLD_NOW);
    auto* create = reinterpret_cast<Create*>(dlsym(libc, "pthread_create"));
    REQUIRE(create != nullptr);
    return create(thread, nullptr, start, nullptr);
}

// It attaches by its first allocation, and is a root from there.
void unattached_threads() {
    for (int round = 0; round < 20; ++round) {
        pthread_t threads[4];
        for (pthread_t& thread : threads) {
            const auto start = [](void*) -> void* {
                Node* list = make_list(1000);
                for (int i = 0; i < 20; ++i) churn(5);
                check_list(list, 1000);
                return nullptr;
            };
            REQUIRE(real_pthread_create(&thread, start) == 0);
        }
        cairn_collect();
        for (const pthread_t& thread : threads) pthread_join(thread, nullptr);
    }
    REQUIRE_AT(gc_test::stats().threads <= 3, gc_test::stats().threads);
}

// A thread that ends by the bare system call runs no destructors: it is found gone, and what it had is used
// again.
void threads_that_end_without_a_word() {
    const auto start = [](void*) -> void* {
        churn(3);
        syscall(SYS_exit, 0);
        return nullptr;
    };
    for (int round = 0; round < 200; ++round) {
        pthread_t thread;
        REQUIRE(real_pthread_create(&thread, start) == 0);
        // libc clears nothing up after such an end, so there is nothing to join: the kernel tells.
        usleep(300);
        if (round % 10 == 9) cairn_collect();
    }
    cairn_collect();
    churn(1000);
    cairn_collect();
    REQUIRE_AT(gc_test::stats().threads <= 20, gc_test::stats().threads);
}

// ---- signals

void signal_during_allocation() {
    static std::atomic<bool> is_on{true};
    cairn_keep_alive(cairn_alloc_conservative(48));
    struct sigaction action {};
    action.sa_handler = [](int) { cairn_keep_alive(cairn_alloc_conservative(48)); };
    REQUIRE(sigaction(SIGUSR1, &action, nullptr) == 0);
    timer_t timer;
    struct sigevent event {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    REQUIRE(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    const itimerspec every{{0, 50'000}, {0, 50'000}};
    REQUIRE(timer_settime(timer, 0, &every, nullptr) == 0);
    while (is_on) cairn_keep_alive(cairn_alloc_conservative(48));
}

// A thread that said it is blocked is not stopped, so what it took would be taken from under the collector.
void allocation_while_blocked() {
    churn(1);
    cairn_blocking_begin();
    cairn_blocking_begin();
    cairn_blocking_end();
    cairn_keep_alive(cairn_alloc_conservative(48));
}
void signal_while_waiting_for_a_cycle() {
    struct sigaction action {};
    action.sa_handler = [](int) { cairn_keep_alive(cairn_alloc_conservative(48)); };
    REQUIRE(sigaction(SIGUSR1, &action, nullptr) == 0);
    Node* list = make_list(1'000'000);
    const pthread_t self = pthread_self();
    std::thread killer([self] {
        for (;;) {
            pthread_kill(self, SIGUSR1);
            usleep(100);
        }
    });
    for (;;) {
        cairn_collect();
        cairn_keep_alive(list);
    }
}

// The same handler is harmless in a program that is somewhere else.
void signal_outside_allocation() {
    static std::atomic<long> runs{0};
    struct sigaction action {};
    action.sa_handler = [](int) {
        check_list(make_list(20), 20);
        ++runs;
    };
    REQUIRE(sigaction(SIGUSR1, &action, nullptr) == 0);
    Node* list = make_list(1000);
    volatile long work = 0;
    for (int i = 0; i < 300; ++i) {
        raise(SIGUSR1);
        for (int j = 0; j < 1000; ++j) work = work + j;
        if (i % 50 == 0) cairn_collect();
    }
    check_list(list, 1000);
    REQUIRE(runs == 300);
}

// A thread that blocks every signal by libc's means is stopped all the same.
void all_signals_blocked() {
    static std::atomic<int> stage{0};
    std::thread busy([] {
        sigset_t all, now;
        sigfillset(&all);
        REQUIRE(pthread_sigmask(SIG_SETMASK, &all, nullptr) == 0);
        REQUIRE(sigprocmask(SIG_BLOCK, &all, nullptr) == 0);
        REQUIRE(pthread_sigmask(SIG_BLOCK, nullptr, &now) == 0);
        REQUIRE(sigismember(&now, SIGUSR1) == 1 && sigismember(&now, SIGTERM) == 1);
        errno = 0;
        REQUIRE(sigprocmask(77, &all, nullptr) == -1 && errno == EINVAL);
        stage = 1;
        while (stage != 2) {
        }
    });
    while (stage != 1) sched_yield();
    const std::uint64_t before = gc_test::stats().cycles;
    cairn_collect();
    REQUIRE(gc_test::stats().cycles > before);
    stage = 2;
    busy.join();
}

// Past libc, as a static program or another runtime in the process might.
void set_mask(const sigset_t& mask) {
    REQUIRE(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, std::size_t{8}) == 0);
}

// A thread that hears no signal at all cannot be stopped: cycles wait, the program goes on, and so do cycles
// once it listens again.
void stop_signal_blocked() {
    static std::atomic<int> stage{0};
    std::thread deaf([] {
        sigset_t all;
        std::memset(&all, 0xff, sizeof all);
        set_mask(all);
        stage = 1;
        while (stage != 2) {
        }
        sigemptyset(&all);
        set_mask(all);
        while (stage != 3) sched_yield();
    });
    while (stage != 1) sched_yield();
    const std::uint64_t before = gc_test::stats().cycles;
    Node* list = make_list(1000);
    const time_t end = time(nullptr) + 3;
    while (time(nullptr) < end) churn(100);
    check_list(list, 1000);
    REQUIRE_AT(gc_test::stats().cycles == before, gc_test::stats().cycles);
    stage = 2;
    cairn_collect();
    REQUIRE(gc_test::stats().cycles > before);
    stage = 3;
    deaf.join();
    check_list(list, 1000);
}

// The program's own handler sees its own overflow, on its own stack; other threads are not disturbed.
long (*volatile dive_again)(long) = nullptr;
[[gnu::noinline]] long dive(long depth) {
    volatile char room[512];
    room[0] = static_cast<char>(depth);
    Node* list = make_list(2);
    const long deeper = dive_again(depth + 1);
    return deeper + room[0] + list->value;
}
void stack_overflow() {
    static char handler_stack[65536];
    stack_t alternate{};
    alternate.ss_sp = handler_stack;
    alternate.ss_size = sizeof handler_stack;
    REQUIRE(sigaltstack(&alternate, nullptr) == 0);
    struct sigaction action {};
    action.sa_flags = SA_ONSTACK;
    action.sa_handler = [](int) {
        static const char text[] = "overflow seen by the program\n";
        if (write(2, text, sizeof text - 1) < 0) _exit(1);
        signal(SIGSEGV, SIG_DFL);
    };
    REQUIRE(sigaction(SIGSEGV, &action, nullptr) == 0);
    std::thread other([] { for (;;) churn(10); });
    other.detach();
    dive_again = dive;
    std::printf("%ld", dive(0));
}

// ---- the collector off

void collect_while_off() {
    Node* list = make_list(1000);
    for (int i = 0; i < 3; ++i) cairn_collect();
    REQUIRE(gc_test::stats().mode == CAIRN_GC_OFF && gc_test::stats().cycles == 0);
    check_list(list, 1000);
    cairn_gc_mode(CAIRN_GC_CONCURRENT);
    cairn_collect();
    REQUIRE(gc_test::stats().cycles == 1);
    std::thread collector([] { for (int i = 0; i < 200; ++i) cairn_collect(); });
    for (int i = 0; i < 400; ++i) {
        cairn_gc_mode(i % 3);
        usleep(100);
    }
    cairn_gc_mode(CAIRN_GC_OFF);
    collector.join();
    check_list(list, 1000);
}

const char interrupted[] = "cairn: allocation in a signal handler that interrupted the allocator";
const char blocked[] = "cairn: allocation by a thread that said it is blocked, or that waits for a cycle";
std::vector<gc_test::Case> cases = {
    {"foreign_pointers", foreign_pointers, 0, ""},
    {"foreign_arguments", foreign_arguments, 0, ""},
    {"map_outside_the_object", map_outside_the_object, 0, ""},
    {"very_many_types", very_many_types, 0, ""},
    {"sizes_beyond_reason", sizes_beyond_reason, 0, ""},
    {"collect_in_a_finalizer", collect_in_a_finalizer, 0, ""},
    {"finalizers_that_throw", finalizers_that_throw, 0, "cairn: exception in a finalizer of 0x"},
    {"signal_during_allocation", signal_during_allocation, SIGABRT, interrupted},
    {"allocation_while_blocked", allocation_while_blocked, SIGABRT, blocked},
    {"signal_while_waiting_for_a_cycle", signal_while_waiting_for_a_cycle, SIGABRT, "cairn: allocation "},
    {"signal_outside_allocation", signal_outside_allocation, 0, ""},
    {"stop_signal_blocked", stop_signal_blocked, 0, ""},
    {"stack_overflow", stack_overflow, SIGSEGV, "overflow seen by the program"},
    {"collect_while_off", collect_while_off, 0, "", {"CAIRN_GC=off"}},
};

}  // namespace

int main(int count, char** words) {
    if (!gc_test::is_sanitized) {  // a sanitizer wants to know of every thread
        cases.push_back({"unattached_threads", unattached_threads, 0, ""});
        cases.push_back({"all_signals_blocked", all_signals_blocked, 0, ""});
        cases.push_back({"threads_that_end_without_a_word", threads_that_end_without_a_word, 0, ""});
    }
    return gc_test::run_cases(cases, gc_test::Arguments(count, words));
}
