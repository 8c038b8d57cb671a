// Big things: arrays of a gigabyte of each kind, ten million objects, deep structures; all held by one word
// each, whole afterwards, and gone when dropped.
//
// What ctest runs is a sixteenth of that; `--scale 16` is the real size and takes 4 GB.
// SPDX-License-Identifier: MIT
#include <chrono>

#include "cairn/cairn.hpp"
#include "gc/gc_test.hpp"

namespace {

struct Node {
    cairn::Ptr<Node> left, right;
    long value = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Node::left, &Node::right);
};

Node* make(long value) {
    Node* node = cairn::make<Node>();
    node->value = value;
    return node;
}

struct Gone {
    cairn_weak* weak;
    const char* what;
};
std::vector<Gone> gone;
template <class T>
T* watch(T* object, const char* what) {
    gone.push_back({cairn_weak_create(object), what});
    return object;
}

// An object in each 64 KiB of the array, and at its ends, known to the array alone.
void conservative_array(std::size_t bytes) {
    constexpr std::size_t step = 8192;
    const std::size_t words = bytes / 8;
    auto** array = watch(static_cast<Node**>(cairn_alloc_conservative(bytes)), "conservative array");
    REQUIRE(array != nullptr);
    for (std::size_t i = 0; i < words; i += step) array[i] = make(static_cast<long>(i));
    array[words - 1] = make(-1);
    for (int round = 0; round < 3; ++round) {
        cairn_collect();
        for (std::size_t i = 0; i < words; i += step) {
            REQUIRE_AT(array[i]->value == static_cast<long>(i), i);
            array[i] = make(static_cast<long>(i));  // the kernel notices
        }
    }
    REQUIRE(array[words - 1]->value == -1 && array[1] == nullptr && array[words - 2] == nullptr);
}

// Held by a pointer one past its end only.
void noscan_array(std::size_t bytes) {
    auto* array = watch(static_cast<char*>(cairn_alloc_noscan(bytes)), "noscan array");
    REQUIRE(array != nullptr);
    for (std::size_t i = 0; i < bytes; i += 4096) array[i] = static_cast<char>(i >> 12);
    char* volatile end = array + cairn_object_size(array);
    array = nullptr;
    for (int round = 0; round < 3; ++round) cairn_collect();
    array = end - cairn_object_size(end - 1);
    for (std::size_t i = 0; i < bytes; i += 4096) REQUIRE_AT(array[i] == static_cast<char>(i >> 12), i);
}

void typed_array(std::size_t bytes) {
    constexpr std::size_t step = 2731;  // meets every place in a page
    const std::size_t count = bytes / sizeof(Node);
    Node* array = watch(cairn::make_array<Node>(count), "typed array");
    for (std::size_t i = 0; i < count; i += step) array[i].right = make(static_cast<long>(i));
    array[count - 1].left = make(-1);
    // An element is enough to hold all of it.
    Node* volatile inside = &array[count / 2];
    array = nullptr;
    for (int round = 0; round < 3; ++round) {
        cairn_collect();
        array = inside - count / 2;
        for (std::size_t i = 0; i < count; i += step) {
            REQUIRE_AT(array[i].right->value == static_cast<long>(i), i);
            array[i].right = make(static_cast<long>(i));
        }
    }
    REQUIRE(array[count - 1].left->value == -1);
}

// Ten million objects: a list, so that the marker has nothing to choose from, and a tree.
void many_objects(std::size_t count) {
    Node* list = watch(make(0), "list");
    for (std::size_t i = 1; i < count; ++i) {
        Node* node = make(static_cast<long>(i));
        node->left = list;
        list = node;
    }
    cairn_collect();
    long expected = static_cast<long>(count);
    for (const Node* at = list; at != nullptr; at = at->left) REQUIRE_AT(at->value == --expected, expected);
    REQUIRE(expected == 0);
}

struct Big {
    const char* name;
    void (*run)(std::size_t amount);
    std::size_t amount;
};
constexpr std::size_t gibi = std::size_t{1} << 30;
const Big bigs[] = {
    {"conservative array", conservative_array, gibi / 16},
    {"noscan array", noscan_array, gibi / 16},
    {"typed array", typed_array, gibi / 16},
    {"many objects", many_objects, 10'000'000 / 16},
};

}  // namespace

int main(int count, char** words) {
    const gc_test::Arguments arguments(count, words);
    for (const Big& big : bigs) {
        const auto amount = static_cast<std::size_t>(arguments.scaled(static_cast<long>(big.amount)));
        const auto start = std::chrono::steady_clock::now();
        gc_test::apart([&] { big.run(amount / 4096 * 4096); });
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
        const cairn_stats_t now = gc_test::stats();
        std::printf("%s: %.2f s, %lu cycles, longest stop %.2f ms\n", big.name, time.count(), now.cycles,
                    static_cast<double>(now.stop_max_ns) / 1e6);
    }
    gc_test::wipe_stack();
    for (int i = 0; i < 3; ++i) cairn_collect();
    std::size_t alive = 0;
    for (const Gone& one : gone) {
        if (cairn_weak_get(one.weak) == nullptr) continue;
        ++alive;
        std::printf("still there: %s\n", one.what);
    }
    REQUIRE_AT(alive <= 1, alive);  // a stale word
    return 0;
}
