// Libraries with pointers in their static data, loaded and unloaded while cycles run: what a loaded one
// points to lives, an unloaded one is not read, and what only it held goes.
// SPDX-License-Identifier: MIT
#include <dlfcn.h>

#include <atomic>
#include <thread>

#include "cairn/cairn.hpp"
#include "gc/gc_test.hpp"

namespace {

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

// The library's own two variables, one of them large and zero at first.
struct Library {
    void* handle = nullptr;
    void** initialised = nullptr;
    void** blank = nullptr;
    void* (*variable)(int) = nullptr;

    // The calling thread's own two.
    [[nodiscard]] void** local() const { return static_cast<void**>(variable(3)); }
    [[nodiscard]] void** locals() const { return static_cast<void**>(variable(4)); }
    void load() {
        handle = dlopen(CAIRN_ROOTS_MODULE, RTLD_NOW);
        REQUIRE(handle != nullptr);
        variable = reinterpret_cast<void* (*)(int)>(dlsym(handle, "module_variable"));
        REQUIRE(variable != nullptr);
        initialised = static_cast<void**>(variable(0));
        blank = static_cast<void**>(variable(1));
    }
    void unload() { REQUIRE(dlclose(handle) == 0); }
};

std::vector<cairn_weak*> unloaded;

[[gnu::noinline]] void use(Library& library, long round) {
    Node* list = make_list(50);
    if (round % 10 == 0) unloaded.push_back(cairn_weak_create(list));
    __atomic_store_n(library.initialised, static_cast<void*>(list), __ATOMIC_RELAXED);
    __atomic_store_n(&library.blank[round * 7 % 20000], static_cast<void*>(make_list(30)), __ATOMIC_RELAXED);
}

void run(long rounds) {
    for (long round = 0; round < rounds; ++round) {
        Library library;
        library.load();
        gc_test::apart([&] { use(library, round); });
        if (round % 3 == 0) cairn_collect();
        for (int i = 0; i < 20; ++i) check_list(make_list(100), 100);
        check_list(static_cast<Node*>(*library.initialised), 50);
        check_list(static_cast<Node*>(library.blank[round * 7 % 20000]), 30);
        library.unload();
    }
}

// What only thread-local variables of a loaded library hold lives as long as their thread.
void hold_in_thread_storage() {
    Library library;
    library.load();
    std::atomic<int> stage{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            gc_test::apart([&] {
                *library.local() = make_list(100);
                library.locals()[599] = make_list(70);
            });
            ++stage;
            while (stage.load() < 100) sched_yield();
            check_list(static_cast<Node*>(*library.local()), 100);
            check_list(static_cast<Node*>(library.locals()[599]), 70);
        });
    }
    while (stage.load() != 3) sched_yield();
    for (int round = 0; round < 5; ++round) {
        cairn_collect();
        for (int i = 0; i < 200; ++i) check_list(make_list(100), 100);  // what was freed is used again
    }
    stage = 100;
    for (std::thread& thread : threads) thread.join();
    library.unload();
}

}  // namespace

int main(int count, char** words) {
    const gc_test::Arguments arguments(count, words);
    REQUIRE(cairn_roots_add_module(nullptr) == 0);
    std::atomic<bool> is_over{false};
    std::thread cycles([&] {
        while (!is_over) cairn_collect();
    });
    hold_in_thread_storage();
    run(arguments.scaled(1000));
    is_over = true;
    cycles.join();
    gc_test::wipe_stack();
    for (int i = 0; i < 3; ++i) cairn_collect();
    std::size_t alive = 0;
    for (cairn_weak* weak : unloaded) alive += cairn_weak_get(weak) != nullptr;
    std::printf("%zu of %zu that unloaded libraries held are still there\n", alive, unloaded.size());
    REQUIRE_AT(alive <= 1 + unloaded.size() / 4, alive);
    return 0;
}
