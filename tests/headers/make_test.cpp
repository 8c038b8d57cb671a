// make, make_array, roots, weak pointers, cleanups, containers: what reaches the C interface, and how it
// comes back.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory_resource>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/cairn.hpp"
#include "cairn/containers.hpp"
#include "headers/small_collector.hpp"

namespace {

using small_collector::allocation_of;
using small_collector::is_object;

struct Node {
    cairn::Ptr<Node> left, right;
    long value = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Node::left, &Node::right);
};
struct Point {
    int x, y;
};
struct Counted {
    explicit Counted(int* count, bool fails = false) : count_(count) {
        if (fails) throw std::runtime_error("no");
    }
    Counted() : Counted(&total) {}
    ~Counted() { ++*count_; }
    static inline int total = 0;

private:
    int* count_;
};
struct alignas(64) Line {
    char text[64];
};

class Heap : public testing::Test {
protected:
    ~Heap() override { small_collector::reset(); }
};
using Make = Heap;
using Roots = Heap;
using WeakPointers = Heap;
using Cleanups = Heap;
using Containers = Heap;

TEST_F(Make, ForwardsToTheConstructor) {
    Node* leaf = cairn::make<Node>();
    Node* node = cairn::make<Node>(leaf, nullptr, 7L);
    EXPECT_EQ(node->left, leaf);
    EXPECT_EQ(node->value, 7);
    EXPECT_EQ(cairn::make<Point>(1, 2)->y, 2);
    EXPECT_EQ(cairn::make<Point>()->x, 0);
    EXPECT_EQ(*cairn::make<int>(), 0);
    EXPECT_EQ(*cairn::make<const int>(3), 3);
    EXPECT_EQ(cairn::make<std::string_view>("abc")->size(), 3u);
    EXPECT_STREQ(allocation_of(node).entry, "alloc");
    EXPECT_EQ(allocation_of(node).size, sizeof(Node));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(cairn::make<Line>()) % 64, 0u);
    EXPECT_STREQ(allocation_of(cairn::make_heap<Node>()).entry, "heap");
}

TEST_F(Make, OutOfMemoryThrows) {
    small_collector::refuse(1);
    EXPECT_THROW((void)cairn::make<Node>(), std::bad_alloc);
    small_collector::refuse(1);
    EXPECT_THROW((void)cairn::make_array<int>(4), std::bad_alloc);
    EXPECT_THROW((void)cairn::make_array<Node>(SIZE_MAX / 8), std::bad_alloc);
    EXPECT_THROW((void)cairn::make_array<Counted>(SIZE_MAX / 2), std::bad_alloc);
    small_collector::refuse(1);
    EXPECT_THROW(cairn::Root<Node>(static_cast<Node*>(nullptr)), std::bad_alloc);
    cairn::allocator<int> allocator;
    EXPECT_THROW((void)allocator.allocate(SIZE_MAX / 2), std::bad_alloc);
    EXPECT_THROW((void)cairn::memory_resource()->allocate(8, 8192), std::bad_alloc);
}

TEST_F(Make, DestructorsRunOnceTheObjectIsUnreachable) {
    int count = 0;
    cairn::Root<Counted> root = cairn::make<Counted>(&count);
    EXPECT_STREQ(allocation_of(root).entry, "finalized");
    cairn::collect();
    EXPECT_EQ(cairn::run_finalizers(), 0u);
    root = nullptr;
    cairn::collect();
    EXPECT_EQ(count, 0);
    EXPECT_EQ(cairn::run_finalizers(), 1u);
    EXPECT_EQ(count, 1);
    cairn::collect();
    EXPECT_EQ(cairn::run_finalizers(), 0u);
    EXPECT_EQ(small_collector::object_count(), 0u);
}

TEST_F(Make, AThrowingConstructorLeavesNothingToDestroy) {
    int count = 0;
    EXPECT_THROW((void)cairn::make<Counted>(&count, true), std::runtime_error);
    EXPECT_EQ(small_collector::object_count(), 0u);
    cairn::collect();
    EXPECT_EQ(cairn::run_finalizers(), 0u);
    EXPECT_EQ(count, 0);
}

TEST_F(Make, ArraysAreZeroOrConstructed) {
    const int* numbers = cairn::make_array<int>(100);
    EXPECT_EQ(std::count(numbers, numbers + 100, 0), 100);
    EXPECT_STREQ(allocation_of(numbers).entry, "array");
    EXPECT_EQ(allocation_of(numbers).type.kind, std::uint32_t{CAIRN_NOSCAN});
    Node* nodes = cairn::make_array<Node>(10);
    EXPECT_EQ(nodes[9].left, nullptr);
    EXPECT_EQ(allocation_of(nodes).type.kind, std::uint32_t{CAIRN_TYPED});
    EXPECT_NE(cairn::make_array<Node>(0), nullptr);
}

TEST_F(Make, ElementsOfAnArrayAreAllDestroyed) {
    Counted::total = 0;
    cairn::Root<Counted> elements = cairn::make_array<Counted>(7);
    EXPECT_NE(cairn::object_base(elements), elements.get());  // their number lies before them
    cairn::collect();
    EXPECT_EQ(cairn::run_finalizers(), 0u);
    EXPECT_TRUE(cairn::is_collected(elements));
    elements = nullptr;
    cairn::collect();
    EXPECT_EQ(cairn::run_finalizers(), 1u);
    EXPECT_EQ(Counted::total, 7);
}

TEST_F(Make, ExplicitFreeDestroysAndFreesAtOnce) {
    int count = 0;
    Counted* object = cairn::make<Counted>(&count);
    cairn::explicit_free(object);
    EXPECT_EQ(count, 1);
    EXPECT_FALSE(is_object(object));
    cairn::collect();
    EXPECT_EQ(cairn::run_finalizers(), 0u);
    cairn::explicit_free<Counted>(nullptr);
}

struct Frame : cairn::Collected {
    Node* node = nullptr;
};
struct alignas(64) WideFrame : cairn::Collected {
    char text[64];
};

TEST_F(Make, CollectedClassesAreMadeByNew) {
    cairn::Root<Frame> frame = new Frame;
    frame->node = cairn::make<Node>();
    EXPECT_STREQ(allocation_of(frame).entry, "conservative");
    cairn::collect();
    EXPECT_TRUE(is_object(frame->node));
    delete frame.get();
    EXPECT_FALSE(is_object(frame));
    auto* wide = new WideFrame;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(wide) % 64, 0u);
    EXPECT_TRUE(is_object(wide));
    delete wide;
    EXPECT_FALSE(is_object(wide));
}

cairn::Root<Node> static_root;

TEST_F(Roots, KeepWhatTheyPointTo) {
    auto* holder = new cairn::Root<Node>;  // malloc's memory
    *holder = cairn::make<Node>();
    (*holder)->left = cairn::make<Node>();
    static_root = cairn::make<Node>();
    cairn::collect();
    EXPECT_EQ(small_collector::object_count(), 3u);

    Node* raw = *holder;
    cairn::Root<Node> copy = *holder;
    cairn::Root<Node> taken = std::move(*holder);
    EXPECT_EQ(holder->get(), nullptr);
    EXPECT_EQ(copy, taken);
    EXPECT_EQ(taken, raw);
    copy = nullptr;
    EXPECT_EQ(taken, raw);
    cairn::Root<const Node> read_only = taken;
    cairn::Ptr<const Node> field = read_only;
    EXPECT_EQ(field, raw);
    delete holder;
    taken = nullptr;
    cairn::collect();
    EXPECT_EQ(small_collector::object_count(), 3u);

    read_only = nullptr;
    static_root = nullptr;
    cairn::collect();
    EXPECT_EQ(small_collector::object_count(), 0u);
}

TEST_F(WeakPointers, FindTheObjectUntilItIsGone) {
    cairn::Root<Node> root = cairn::make<Node>();
    cairn::Weak<Node> weak = root.get(), same = root.get(), copy = weak;
    cairn::Weak<Node> moved = std::move(copy);
    cairn::collect();
    EXPECT_EQ(weak.get(), root.get());
    EXPECT_TRUE(weak == same && moved == weak);
    EXPECT_FALSE(weak == cairn::Weak<Node>());
    root = nullptr;
    cairn::collect();
    EXPECT_EQ(weak.get(), nullptr);
    EXPECT_EQ(moved.get(), nullptr);
    EXPECT_TRUE(weak == same);
    weak = {};
    EXPECT_EQ(weak.get(), nullptr);
    EXPECT_THROW((void)cairn::Weak<int>{&Counted::total}, std::bad_alloc);  // no object of this heap
}

TEST_F(WeakPointers, EphemeronsDieWithTheirKey) {
    cairn::EphemeronMap<Node, Node> notes;
    cairn::Root<Node> key = cairn::make<Node>();
    notes.set(key, cairn::make<Node>(key.get(), nullptr, 5L));  // the value refers to its key
    notes.set(cairn::make<Node>(), key);
    cairn::collect();
    EXPECT_EQ(notes.size(), 1u);
    ASSERT_NE(notes.get(key), nullptr);
    EXPECT_EQ(notes.get(key)->value, 5);
    key = nullptr;
    cairn::collect();
    EXPECT_EQ(notes.size(), 0u);
    EXPECT_EQ(small_collector::object_count(), 0u);
}

TEST_F(Cleanups, RunAfterTheObjectIsGone) {
    int sum = 0;
    Node* node = cairn::make<Node>();
    cairn::on_unreachable(
        node, [&sum, text = std::string("five and more letters")] { sum += static_cast<int>(text.size()); });
    const cairn::Cleanup cleanup = cairn::on_unreachable(node, [&sum] { sum += 1000; });
    EXPECT_TRUE(cleanup.cancel());
    EXPECT_FALSE(cleanup.cancel());
    cairn::collect();
    EXPECT_EQ(sum, 0);
    cairn::run_finalizers();
    EXPECT_EQ(sum, 21);
    cairn::collect();  // what the function captured is destroyed in its turn
    EXPECT_EQ(cairn::run_finalizers(), 1u);
    EXPECT_THROW(cairn::on_unreachable(&sum, [] {}), std::bad_alloc);
}

TEST_F(Cleanups, AFinalizerBringsTheObjectBackOnce) {
    cairn::Root<Node> saved;
    Node* node = cairn::make<Node>();
    node->value = 9;
    cairn::set_finalizer(node, [&saved](Node* dying) { saved = dying; });
    cairn::collect();
    cairn::run_finalizers();
    ASSERT_NE(saved, nullptr);
    EXPECT_EQ(saved->value, 9);
    saved = nullptr;
    cairn::collect();
    EXPECT_EQ(cairn::run_finalizers(), 0u);
    EXPECT_FALSE(is_object(node));
}

TEST_F(Cleanups, ADestructorCanBeTakenBack) {
    Counted::total = 0;
    cairn::clear_finalizer(cairn::make<Counted>());
    cairn::collect();
    EXPECT_EQ(cairn::run_finalizers(), 0u);
    EXPECT_EQ(Counted::total, 0);
}

struct OwnsVector {
    std::vector<Node*, cairn::allocator<Node*>> nodes;
};

}  // namespace

template <>
inline constexpr bool cairn::needs_destructor<OwnsVector> = false;

namespace {

TEST_F(Containers, ElementsKeepWhatTheyPointTo) {
    cairn::Root<OwnsVector> owner = cairn::make<OwnsVector>();
    EXPECT_STREQ(allocation_of(owner).entry, "alloc");
    for (int i = 0; i < 100; ++i) owner->nodes.push_back(cairn::make<Node>(nullptr, nullptr, i));
    cairn::collect();
    EXPECT_EQ(small_collector::object_count(), 102u);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(owner->nodes[i]->value, i);
    owner->nodes.clear();
    owner->nodes.shrink_to_fit();
    cairn::collect();
    EXPECT_EQ(small_collector::object_count(), 1u);
}

TEST_F(Containers, FreeAtOnceWhatTheyNeedNoMore) {
    std::vector<int, cairn::allocator<int>> numbers;
    numbers.push_back(1);
    EXPECT_STREQ(allocation_of(numbers.data()).entry, "noscan");
    numbers.reserve(1000);
    EXPECT_EQ(small_collector::object_count(), 1u);
}

TEST_F(Containers, OfEveryKindWork) {
    using Tree = std::map<int, Node*, std::less<>, cairn::allocator<std::pair<const int, Node*>>>;
    cairn::Root<Tree> tree = cairn::make_heap<Tree>();
    (*tree)[1] = cairn::make<Node>();
    using Vector = std::pmr::vector<Node*>;
    cairn::Root<Vector> pmr = cairn::make_heap<Vector>(cairn::memory_resource());
    pmr->push_back(cairn::make<Node>());
    cairn::collect();
    EXPECT_TRUE(is_object((*tree)[1]));
    EXPECT_TRUE(is_object((*pmr)[0]));
    std::vector<Line, cairn::allocator<Line>> lines(3);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(lines.data()) % 64, 0u);
    EXPECT_TRUE(*cairn::memory_resource() == *cairn::memory_resource());
}

TEST_F(Make, SettingsAnswerWithWhatWasSet) {
    EXPECT_EQ(cairn::gc_percent(), 100);
    EXPECT_EQ(cairn::gc_percent(50), 100);
    EXPECT_EQ(cairn::gc_percent(100), 50);
    EXPECT_EQ(cairn::memory_limit(1 << 20), UINT64_MAX);
    EXPECT_EQ(cairn::memory_limit(UINT64_MAX), 1u << 20);
    const auto before = cairn::stats().cycles;
    cairn::collect();
    EXPECT_EQ(cairn::stats().cycles, before + 1);
    EXPECT_EQ(cairn::stats().size, sizeof(cairn::Stats));
}

}  // namespace
