// The intrusive list against a std::list.
// SPDX-License-Identifier: MIT
#include "base/list.hpp"

#include <gtest/gtest.h>

#include <list>
#include <random>
#include <vector>

namespace cairn::base {
namespace {

struct Item {
    int value = 0;
    ListLink<Item> link;
};

using Items = List<Item, &Item::link>;

std::vector<int> values(const Items& items) {
    std::vector<int> found;
    for (const Item* item = items.first(); item != nullptr; item = Items::next(item)) {
        found.push_back(item->value);
    }
    return found;
}

TEST(List, StartsEmpty) {
    Items items;
    EXPECT_TRUE(items.is_empty());
    EXPECT_EQ(items.count(), 0u);
    EXPECT_EQ(items.first(), nullptr);
    EXPECT_EQ(items.pop_front(), nullptr);
}

TEST(List, KeepsOrderAtBothEnds) {
    Item a{1, {}}, b{2, {}}, c{3, {}};
    Items items;
    items.push_back(&b);
    items.push_front(&a);
    items.push_back(&c);
    EXPECT_EQ(values(items), (std::vector<int>{1, 2, 3}));
    EXPECT_EQ(items.pop_front(), &a);
    EXPECT_EQ(values(items), (std::vector<int>{2, 3}));
}

TEST(List, KnowsWhetherANodeIsListed) {
    Item a{1, {}}, b{2, {}}, c{3, {}};
    Items items;
    for (Item* item : {&a, &b, &c}) {
        EXPECT_FALSE(item->link.is_listed);
        items.push_back(item);
        EXPECT_TRUE(item->link.is_listed);
    }
    items.remove(&b);
    EXPECT_FALSE(b.link.is_listed);
    EXPECT_EQ(values(items), (std::vector<int>{1, 3}));
    items.remove(&c);
    items.push_back(&b);
    EXPECT_EQ(values(items), (std::vector<int>{1, 2}));
}

TEST(List, AgreesWithTheStandardList) {
    constexpr unsigned seed = 7;
    std::mt19937 random(seed);
    std::vector<Item> pool(64);
    for (int i = 0; i < 64; ++i) pool[i].value = i;
    Items items;
    std::list<int> model;
    for (unsigned round = 0; round < 20'000; ++round) {
        Item& item = pool[random() % pool.size()];
        if (item.link.is_listed) {
            items.remove(&item);
            model.remove(item.value);
        } else if (random() % 2 == 0) {
            items.push_front(&item);
            model.push_front(item.value);
        } else {
            items.push_back(&item);
            model.push_back(item.value);
        }
        ASSERT_EQ(items.count(), model.size()) << "seed " << seed << " round " << round;
        if (round % 16 != 0) continue;
        ASSERT_EQ(values(items), std::vector<int>(model.begin(), model.end())) << "round " << round;
    }
}

}  // namespace
}  // namespace cairn::base
