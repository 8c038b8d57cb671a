// What is dropped goes: after shapes of every kind were built and dropped many times, the live set is back at
// where it was, and so is what the process holds.
//
// A stale word on a stack may keep one structure; so each is built apart, and the best of a few looks counts.
// SPDX-License-Identifier: MIT
#include <algorithm>

#include "cairn/cairn.hpp"
#include "gc/gc_test.hpp"

namespace {

struct Node {
    cairn::Ptr<Node> left, right;
    long value = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Node::left, &Node::right);
};
struct Loose {
    Loose* next;
    void* pad[5];
};

void build_list(long length) {
    Node* list = nullptr;
    for (long i = 0; i < length; ++i) {
        Node* node = cairn::make<Node>();
        node->left = list;
        list = node;
    }
}
void build_ring(long length) {
    Node* first = cairn::make<Node>();
    Node* last = first;
    for (long i = 1; i < length; ++i) {
        Node* node = cairn::make<Node>();
        node->left = last;
        last->right = node;
        last = node;
    }
    last->right = first;
    first->left = last;
}
Node* build_tree(int depth) {
    Node* node = cairn::make<Node>();
    if (depth == 0) return node;
    node->left = build_tree(depth - 1);
    node->right = build_tree(depth - 1);
    return node;
}
void build_loose_list(long length) {
    Loose* list = nullptr;
    for (long i = 0; i < length; ++i) {
        auto* node = static_cast<Loose*>(cairn_alloc_conservative(sizeof(Loose)));
        REQUIRE(node != nullptr);
        node->next = list;
        list = node;
    }
}
// Large objects that hold each other, of every kind.
void build_large(long count) {
    void** before = nullptr;
    for (long i = 0; i < count; ++i) {
        auto** large = static_cast<void**>(cairn_alloc_conservative(40'000 + 8192 * (i % 20)));
        auto* typed = cairn::make_array<Node>(2000);
        REQUIRE(large != nullptr && cairn_alloc_noscan(100'000) != nullptr);
        large[4000] = before;
        large[17] = typed;
        typed[1999].left = build_tree(3);
        before = large;
    }
}
void build_hanging(long count) {
    for (long i = 0; i < count; ++i) {
        Node* node = cairn::make<Node>();
        cairn_weak* weak = cairn_weak_create(node);
        REQUIRE(weak != nullptr && cairn_weak_get(weak) == node);
        if (i % 2 == 0) REQUIRE(cairn_add_cleanup(node, [](void*) {}, nullptr) != 0);
        if (i % 3 == 0) REQUIRE(cairn_set_finalizer(node, [](void*, void*) {}, nullptr) == 0);
        cairn_weak_destroy(weak);
    }
}

struct Shape {
    const char* name;
    void (*build)(long amount);
    long amount;
};
const Shape shapes[] = {
    {"list", build_list, 200'000},
    {"ring", build_ring, 200'000},
    {"tree", [](long depth) { (void)build_tree(static_cast<int>(depth)); }, 16},
    {"conservative list", build_loose_list, 100'000},
    {"large", build_large, 100},
    {"with weak handles, cleanups and finalizers", build_hanging, 20'000},
};

std::uint64_t settled_bytes() {
    std::uint64_t least = UINT64_MAX;
    for (int i = 0; i < 6; ++i) {
        gc_test::wipe_stack();
        cairn_collect();
        usleep(2000);  // finalizers run on their thread, and free what they held in the next cycle
        least = std::min(least, gc_test::stats().heap_marked_bytes);
    }
    return least;
}

}  // namespace

int main(int count, char** words) {
    const gc_test::Arguments arguments(count, words);
    cairn_keep_alive(cairn_alloc_conservative(16));
    for (const Shape& shape : shapes) {
        // A tree's amount is its depth.
        const long amount = shape.amount < 50 ? shape.amount : arguments.scaled(shape.amount);
        gc_test::apart([&] { shape.build(amount); });
        const std::uint64_t before = settled_bytes();
        const std::uint64_t mapped = gc_test::stats().mapped_bytes;
        for (long round = 0; round < 8; ++round) gc_test::apart([&] { shape.build(amount); });
        const std::uint64_t after = settled_bytes();
        std::printf("%s: %lu, then %lu live bytes; %lu, then %lu KiB mapped\n", shape.name, before, after,
                    mapped >> 10, gc_test::stats().mapped_bytes >> 10);
        REQUIRE_AT(after < before + (256 << 10), after);
        REQUIRE(gc_test::stats().mapped_bytes < 2 * mapped + (32 << 20));
    }
    const cairn_stats_t now = gc_test::stats();
    REQUIRE(now.finalizers_run > 0 && now.freed_objects <= now.allocated_objects);
    return 0;
}
