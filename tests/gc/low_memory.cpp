// Too little memory: what cannot be had is refused, what is there stays whole, and nobody waits for ever.
// Each case is a process of its own.
// SPDX-License-Identifier: MIT
#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <new>
#include <thread>

#include "cairn/cairn.hpp"
#include "gc/gc_test.hpp"

namespace {

struct Node {
    cairn::Ptr<Node> next;
    long value = 0;
    long pad[6] = {};
    static constexpr auto cairn_pointers = cairn::pointers(&Node::next);
};

void limit_address_space(std::uint64_t more) {
    std::uint64_t pages = 0;
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    REQUIRE(file != nullptr && std::fscanf(file, "%lu", &pages) == 1);
    std::fclose(file);
    const rlimit limit{pages * 4096 + more, pages * 4096 + more};
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
}
void check_list(const Node* list, long length) {
    for (; list != nullptr; list = list->next) REQUIRE_AT(list->value == --length, length);
    REQUIRE_AT(length == 0, length);
}

// Without cycles everything that can be had is taken, then NULL or std::bad_alloc; with the list dropped all
// is well again.
void exhaust(bool by_exception) {
    long length = 0;
    Node* list = nullptr;
    for (;;) {
        Node* node = nullptr;
        if (by_exception) {
            try {
                node = cairn::make<Node>();
            } catch (const std::bad_alloc&) {
                break;
            }
        } else {
            node = static_cast<Node*>(cairn_alloc(sizeof(Node), &cairn::type_of<Node>));
            if (node == nullptr) break;
        }
        node->value = length++;
        node->next = list;
        list = node;
    }
    REQUIRE_AT(length > 100'000, length);
    check_list(list, length);
    REQUIRE(cairn_alloc_noscan(100 << 20) == nullptr);
    REQUIRE(cairn_alloc_conservative(8) == nullptr || cairn_alloc_conservative(3000) == nullptr);
    cairn_collect();
    check_list(list, length);
}
[[gnu::noinline]] void drop_and_go_on() {
    gc_test::wipe_stack();
    cairn_collect();
    cairn_collect();
    Node* list = nullptr;
    for (long i = 0; i < 100'000; ++i) {
        Node* node = cairn::make<Node>();
        node->value = i;
        node->next = list;
        list = node;
    }
    check_list(list, 100'000);
}
void out_of_memory_by_null() {
    cairn_gc_percent(-1);
    cairn_collect();
    limit_address_space(300 << 20);
    gc_test::apart([] { exhaust(false); });
    drop_and_go_on();
}
void out_of_memory_by_exception() {
    cairn_gc_percent(-1);
    cairn_collect();
    limit_address_space(300 << 20);
    gc_test::apart([] { exhaust(true); });
    drop_and_go_on();
}
// The limit was there before the heap was: its tables are smaller, and the collector's threads may be
// refused.
void small_from_the_start() {
    cairn_gc_percent(-1);
    gc_test::apart([] { exhaust(false); });
    drop_and_go_on();
}
// The collector is off: nothing can be freed, and nobody waits for it.
void out_of_memory_with_the_collector_off() {
    cairn_keep_alive(cairn_alloc_conservative(16));
    limit_address_space(200 << 20);
    gc_test::apart([] { exhaust(false); });
    cairn_gc_mode(CAIRN_GC_CONCURRENT);
    drop_and_go_on();
}
void many_threads_run_out() {
    cairn_collect();
    limit_address_space(200 << 20);
    std::vector<std::thread> threads;
    std::atomic<long> refused{0};
    for (int i = 0; i < 6; ++i) {
        try {
            threads.emplace_back([&] {
                for (int round = 0; round < 4; ++round) {
                    void** list = nullptr;
                    for (long j = 0; j < 500'000; ++j) {
                        auto** next = static_cast<void**>(cairn_alloc_conservative(200 + j % 500));
                        if (next == nullptr) {
                            ++refused;
                            break;
                        }
                        *next = list;
                        list = next;
                    }
                }
            });
        } catch (const std::system_error&) {
            break;  // no memory for a stack
        }
    }
    for (std::thread& thread : threads) thread.join();
    REQUIRE_AT(refused > 0, refused.load());
    drop_and_go_on();
}

// More lives than the limit allows: the limiter gives way, and the program ends.
void limit_below_what_lives() {
    cairn_memory_limit(20 << 20);
    Node* list = nullptr;
    const long length = gc_test::is_sanitized ? 500'000 : 1'000'000;  // 64 MB
    for (long i = 0; i < length; ++i) {
        Node* node = cairn::make<Node>();
        node->value = i;
        node->next = list;
        list = node;
    }
    for (int i = 0; i < 100'000; ++i) cairn_keep_alive(cairn::make<Node>());
    check_list(list, length);
    REQUIRE(gc_test::stats().cycles > 3);
}
// Without a percentage the limit alone asks for cycles, and it is kept.
void limit_alone() {
    cairn_gc_percent(-1);
    cairn_memory_limit(64 << 20);
    std::uint64_t most = 0;
    for (int i = 0; i < 4000; ++i) {
        for (int j = 0; j < 1000; ++j) cairn_keep_alive(cairn::make<Node>());
        most = std::max(most, gc_test::stats().heap_live_bytes);
    }
    REQUIRE_AT(most < (80 << 20), most);  // a soft limit, and the collector may wait for a CPU
    REQUIRE(gc_test::stats().cycles > 1);
}

// No buffer is to be had for the pointers that the barrier notes while cycles mark, nor for the markers:
// words are dropped, so all roots and objects are looked at again, and nothing that is alive is freed.
void words_dropped() {
    constexpr std::size_t width = 60'000, steps = 400'000;
    cairn_gc_percent(-1);
    cairn_collect();
    auto* table = cairn::make_array<cairn::Ptr<Node>>(width);
    for (std::size_t i = 0; i < width; ++i) {
        table[i] = cairn::make<Node>();
        table[i]->next = cairn::make<Node>();
        table[i]->next->value = static_cast<long>(i);
    }
    std::atomic<bool> is_done{false};
    std::thread swapper([&] {
        gc_test::Random random(gc_test::seed());
        for (std::size_t i = 0; i < steps; ++i) {  // the nodes behind change places
            Node* one = table[random.below(width)];
            Node* other = table[random.below(width)];
            Node* const kept = one->next;
            one->next = nullptr;
            Node* const second = other->next;
            if (second == nullptr) {
                one->next = kept;
                continue;
            }
            other->next = kept;
            one->next = second;
        }
        is_done = true;
    });
    limit_address_space(0);
    while (cairn_root_create(nullptr) != nullptr) {
    }
    for (int i = 0; i < 20 || !is_done; ++i) cairn_collect();
    swapper.join();
    std::vector<bool> seen(width);
    for (std::size_t i = 0; i < width; ++i) {
        const auto value = static_cast<std::size_t>(table[i]->next->value);
        REQUIRE_AT(value < width && !seen[value], value);
        seen[value] = true;
    }
}

}  // namespace

int main(int count, char** words) {
    // A shared limit for a process from its start: set here, before anything of the heap exists.
    const gc_test::Arguments arguments(count, words);
    if (arguments.only == "small_from_the_start") limit_address_space(300 << 20);
    std::vector<gc_test::Case> cases = {
        {"limit_below_what_lives", limit_below_what_lives, 0, ""},
        {"limit_alone", limit_alone, 0, ""},
    };
    if (!gc_test::is_sanitized) {  // a sanitizer needs terabytes of addresses
        cases.push_back({"out_of_memory_by_null", out_of_memory_by_null, 0, ""});
        cases.push_back({"out_of_memory_by_exception", out_of_memory_by_exception, 0, ""});
        cases.push_back({"out_of_memory_with_the_collector_off", out_of_memory_with_the_collector_off, 0, "",
                         {"CAIRN_GC=off"}});
        cases.push_back({"words_dropped", words_dropped, 0, "times all again for want of memory",
                         {"CAIRN_TRACE=gc", "CAIRN_POISON=on", "CAIRN_VERIFY=on"}});
        cases.push_back({"small_from_the_start", small_from_the_start, 0, ""});
        cases.push_back({"many_threads_run_out", many_threads_run_out, 0, ""});
    }
    return gc_test::run_cases(cases, arguments);
}
