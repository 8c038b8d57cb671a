// Ptr<T> reads like a raw pointer and tells the collector of every store while it marks.
// SPDX-License-Identifier: MIT
#include "cairn/ptr.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "headers/small_collector.hpp"

struct Incomplete;
struct HoldsIncomplete {
    cairn::Ptr<Incomplete> field;
    cairn::AtomicPtr<Incomplete> atomic;
};

namespace {

using cairn::Ptr;
using small_collector::told;

struct Base {
    int number = 1;
    [[nodiscard]] int get() const { return number; }
};
struct Other {
    long filler = 0;
};
struct Derived : Other, Base {};

// Marking is on while it lives; nothing was told before.
struct Marking {
    Marking() {
        told.clear();
        small_collector::set_marking(true);
    }
    ~Marking() { small_collector::set_marking(false); }
};

template <class T>
void** slot_of(T& field) {
    return reinterpret_cast<void**>(&field);
}
using Told = std::vector<std::pair<void**, void*>>;

static_assert(sizeof(Ptr<int>) == sizeof(int*) && alignof(Ptr<int>) == alignof(int*));
static_assert(std::is_trivially_copy_constructible_v<Ptr<int>> && std::is_trivially_destructible_v<Ptr<int>>);
static_assert(std::is_nothrow_default_constructible_v<Ptr<int>> && std::is_standard_layout_v<Ptr<int>>);
static_assert(std::is_convertible_v<Ptr<Derived>, Ptr<Base>> &&
              !std::is_convertible_v<Ptr<Base>, Ptr<Derived>>);
static_assert(std::is_convertible_v<Ptr<int>, Ptr<const int>> &&
              !std::is_convertible_v<Ptr<const int>, Ptr<int>>);
static_assert(std::is_convertible_v<Ptr<int>, Ptr<void>> && !std::is_convertible_v<Ptr<void>, Ptr<int>>);
static_assert(!std::is_assignable_v<Ptr<Derived>&, Base*> && !std::is_assignable_v<const Ptr<int>&, int*>);
static_assert(!std::is_constructible_v<Ptr<int>, long> && !std::is_constructible_v<Ptr<int>, double*>);
static_assert(Ptr<int>() == nullptr && !Ptr<int>());
constinit int constant = 5;
constinit const Ptr<int> to_constant = &constant;

TEST(Ptr, ReadsLikeARawPointer) {
    Derived object;
    Ptr<Derived> derived = &object;
    Ptr<Base> base = derived;
    Base* raw = base;
    EXPECT_EQ(raw, static_cast<Base*>(&object));
    EXPECT_EQ(base.get(), raw);
    EXPECT_TRUE(base == derived && base == raw && raw == base && base == &object && base != nullptr && base);
    EXPECT_EQ(base->number, 1);
    EXPECT_EQ((*base).number, 1);
    int Base::*const member = &Base::number;
    int (Base::*const function)() const = &Base::get;
    EXPECT_EQ(base->*member, 1);
    EXPECT_EQ((base->*function)(), 1);
    const Ptr<const Base> read_only = base;
    EXPECT_EQ(read_only->number, 1);
    EXPECT_EQ(read_only, base);
    const Ptr<void> anything = raw;
    EXPECT_EQ(anything, raw);
    EXPECT_EQ(static_cast<Base*>(anything.get()), raw);
    base = nullptr;
    EXPECT_FALSE(base);
    base = {};
    EXPECT_EQ(base, nullptr);
    EXPECT_EQ(*to_constant, 5);
}

TEST(Ptr, WalksAnArray) {
    int numbers[4] = {10, 11, 12, 13};
    Ptr<int> p = numbers;
    EXPECT_EQ(p[2], 12);
    EXPECT_EQ(*(p + 1), 11);
    EXPECT_EQ(*++p, 11);
    EXPECT_EQ(*p++, 11);
    EXPECT_EQ(p - numbers, 2);
    p += 1;
    EXPECT_EQ(*p, 13);
    p -= 2;
    EXPECT_EQ(*p--, 11);
    EXPECT_EQ(*p, 10);
    EXPECT_LT(p, numbers + 1);
    EXPECT_TRUE((p <=> p + 1) < 0);
}

TEST(Ptr, ServesAsAKeyAndIsSortedAndSwapped) {
    int numbers[3] = {};
    std::unordered_set<Ptr<int>> hashed = {&numbers[0], &numbers[1], &numbers[0]};
    EXPECT_EQ(hashed.size(), 2u);
    EXPECT_EQ(hashed.count(&numbers[1]), 1u);
    EXPECT_EQ(std::hash<Ptr<int>>()(&numbers[0]), std::hash<Ptr<int>>()(Ptr<int>(&numbers[0])));
    std::set<Ptr<int>> ordered = {&numbers[2], &numbers[0], &numbers[1]};
    EXPECT_EQ(*ordered.begin(), &numbers[0]);
    std::vector<Ptr<int>> vector = {&numbers[2], &numbers[0], &numbers[1]};
    std::sort(vector.begin(), vector.end());
    EXPECT_EQ(vector[0], &numbers[0]);
    std::swap(vector[0], vector[2]);
    EXPECT_EQ(vector[0], &numbers[2]);
    vector.insert(vector.begin(), &numbers[1]);
    vector.erase(vector.begin() + 1);
    EXPECT_EQ(vector.size(), 3u);
}

TEST(Ptr, PointsToATypeThatIsNotDefinedYet) {
    HoldsIncomplete holder;
    EXPECT_FALSE(holder.field);
    holder.field = nullptr;
    holder.field = holder.field;
    EXPECT_EQ(holder.atomic.load(), nullptr);
}

TEST(Ptr, TellsNothingWhileNoCycleMarks) {
    told.clear();
    int number = 0;
    Ptr<int> p = &number;
    p = nullptr;
    p = &number;
    cairn::AtomicPtr<int> atomic(&number);
    atomic.exchange(nullptr);
    EXPECT_TRUE(told.empty());
}

TEST(Ptr, TellsEveryAssignmentBeforeItHappens) {
    int one = 1, two = 2;
    Ptr<int> p = &one;
    Ptr<const int> q;
    Marking marking;
    p = &two;
    p = nullptr;
    q = p;
    q = &one;
    ++q;
    EXPECT_EQ(told, (Told{{slot_of(p), &two},
                          {slot_of(p), nullptr},
                          {slot_of(q), nullptr},
                          {slot_of(q), &one},
                          {slot_of(q), &one + 1}}));
}

TEST(Ptr, TellsRawPointersThatBecomeFieldsAndNotCopies) {
    Derived object;
    Ptr<Derived> old = &object;
    Marking marking;
    [[maybe_unused]] const Ptr<Base> made = &object;  // derived to base: the address of the base
    EXPECT_EQ(told, (Told{{nullptr, static_cast<Base*>(&object)}}));
    told.clear();
    const Ptr<Derived> copy = old;
    EXPECT_TRUE(told.empty());
    EXPECT_EQ(copy, old);
    struct Fields {
        Ptr<Derived> a, b;
    };
    Fields from{old, old}, to{};
    told.clear();
    to = from;
    EXPECT_EQ(told, (Told{{slot_of(to.a), &object}, {slot_of(to.b), &object}}));
    told.clear();
    std::swap(from.a, to.b);
    EXPECT_EQ(told, (Told{{slot_of(from.a), &object}, {slot_of(to.b), &object}}));
}

TEST(AtomicPtr, DoesWhatAtomicsDo) {
    int one = 1, two = 2;
    cairn::AtomicPtr<int> p;
    EXPECT_EQ(p.load(), nullptr);
    p = &one;
    EXPECT_EQ(*p, 1);
    EXPECT_EQ(p.exchange(&two, std::memory_order_acq_rel), &one);
    int* expected = &one;
    EXPECT_FALSE(p.compare_exchange_strong(expected, &one, std::memory_order_acq_rel));
    EXPECT_EQ(expected, &two);
    EXPECT_TRUE(p.compare_exchange_strong(expected, &one, std::memory_order_release));
    EXPECT_EQ(p, &one);
    while (!p.compare_exchange_weak(expected = &one, nullptr)) {
    }
    p.store(&two, std::memory_order_release);
    EXPECT_EQ(p.load(std::memory_order_acquire), &two);
}

TEST(AtomicPtr, TellsWhatGoesInAndWhatComesOut) {
    int one = 1, two = 2;
    cairn::AtomicPtr<int> p(&one);
    Marking marking;
    p.store(&two);
    EXPECT_EQ(told, (Told{{slot_of(p), &two}}));
    told.clear();
    p.exchange(&one);
    EXPECT_EQ(told, (Told{{slot_of(p), &one}, {nullptr, &two}}));
    told.clear();
    int* expected = &one;
    p.compare_exchange_strong(expected, &two);
    EXPECT_EQ(told, (Told{{nullptr, &one}, {nullptr, &two}}));
}

TEST(AtomicPtr, IsSafeToRaceFor) {
    struct Link {
        Link* next = nullptr;
    };
    cairn::AtomicPtr<Link> head;
    std::vector<Link> links(4000);
    std::vector<std::thread> threads;
    for (std::size_t part = 0; part < 4; ++part)
        threads.emplace_back([&, part] {
            for (std::size_t i = part * 1000; i < (part + 1) * 1000; ++i) {
                Link* old = head.load(std::memory_order_relaxed);
                do links[i].next = old;
                while (!head.compare_exchange_weak(old, &links[i], std::memory_order_acq_rel));
            }
        });
    for (std::thread& thread : threads) thread.join();
    int count = 0;
    for (const Link* link = head; link != nullptr; link = link->next) ++count;
    EXPECT_EQ(count, 4000);
}

}  // namespace

struct Incomplete {};
