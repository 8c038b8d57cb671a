// Destructors, finalizers, cleanups, weak pointers, ephemerons: on the real collector.
// SPDX-License-Identifier: MIT
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include "library/library.hpp"

namespace {

using library::apart;
using library::Node;
using library::stale_max;

constexpr int many = 1000;

std::atomic<int> deaths{0};
std::atomic<int> wrong_deaths{0};

struct Mortal {
    explicit Mortal(int number) : number(number) {}
    ~Mortal() {
        if (alive != 0x11ce) ++wrong_deaths;
        alive = 0;
        ++deaths;
    }
    int alive = 0x11ce;
    int number;
    std::string text = "a string that malloc keeps outside of the object";
};

// Whoever finalizes here does so when the test says.
class Drained : public testing::Test {
protected:
    Drained() {
        cairn::finalizers(cairn::Finalizers::drained);
        settle(3);  // what other tests left
        deaths = wrong_deaths = 0;
    }
    ~Drained() override {
        cairn::run_finalizers();
        cairn::finalizers(cairn::Finalizers::on_thread);
    }
    static void settle(int cycles = 1) {
        for (int i = 0; i < cycles; ++i) {
            library::wipe_stack();
            cairn::collect();
            cairn::run_finalizers();
        }
    }
};
using Destructors = Drained;
using Finalizers = Drained;
using Cleanups = Drained;
using WeakPointers = Drained;
using Ephemerons = Drained;

TEST_F(Destructors, RunOnceForEachObjectThatDies) {
    cairn::Root<Mortal> kept = cairn::make<Mortal>(-1);
    apart([] {
        for (int i = 0; i < many; ++i) (void)cairn::make<Mortal>(i);
    });
    cairn::collect();
    EXPECT_EQ(deaths, 0);
    settle();
    EXPECT_GE(deaths, many - int{stale_max});
    settle(3);
    EXPECT_LE(deaths, many);
    EXPECT_EQ(wrong_deaths, 0);
    EXPECT_EQ(kept->text.front(), 'a');
}

TEST_F(Destructors, OfArrayElementsRun) {
    struct Element : Mortal {
        Element() : Mortal(0) {}
    };
    apart([] {
        for (int i = 0; i < 100; ++i) (void)cairn::make_array<Element>(10);
    });
    settle();
    EXPECT_GE(deaths, 1000 - int{stale_max} * 10);
    EXPECT_LE(deaths, 1000);
    EXPECT_EQ(deaths % 10, 0);
    EXPECT_EQ(wrong_deaths, 0);
}

TEST_F(Destructors, RunOnTheirThreadWhenNobodyDrains) {
    cairn::finalizers(cairn::Finalizers::on_thread);
    apart([] {
        for (int i = 0; i < many; ++i) (void)cairn::make<Mortal>(i);
    });
    const std::uint64_t run = cairn::stats().finalizers_run;
    cairn::collect();
    for (int i = 0; i < 10'000 && deaths < many - int{stale_max}; ++i) {
        library::wipe_stack();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_GE(deaths, many - int{stale_max});
    EXPECT_GE(cairn::stats().finalizers_run, run + many - stale_max);
    EXPECT_EQ(wrong_deaths, 0);
}

struct Bomb {
    ~Bomb() noexcept(false) {
        ++deaths;
        if (deaths % 2 == 0) throw std::runtime_error("no destructor should do this");
        throw 7;
    }
    long filler = 0;
};

TEST_F(Destructors, ThatThrowAreReportedAndContained) {
    testing::internal::CaptureStderr();
    apart([] {
        for (int i = 0; i < 100; ++i) (void)cairn::make<Bomb>();
    });
    settle();
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_GE(deaths, 100 - int{stale_max});
    EXPECT_NE(text.find("cairn: exception in a finalizer of 0x"), std::string::npos) << text;
    EXPECT_NE(text.find(": no destructor should do this\n"), std::string::npos) << text;
}

struct ThrowsAtBirth : Mortal {
    explicit ThrowsAtBirth(int number) : Mortal(number) { throw std::runtime_error("stillborn"); }
};

TEST_F(Destructors, OfObjectsThatWereNotFinishedDoNotRun) {
    for (int i = 0; i < many; ++i) EXPECT_THROW((void)cairn::make<ThrowsAtBirth>(i), std::runtime_error);
    EXPECT_EQ(deaths, many);  // of the base, as the language has it
    settle(2);
    EXPECT_EQ(deaths, many);
    EXPECT_EQ(wrong_deaths, 0);
}

TEST_F(Destructors, ExplicitFreeRunsThemOnce) {
    for (int i = 0; i < many; ++i) cairn::explicit_free(cairn::make<Mortal>(i));
    EXPECT_EQ(deaths, many);
    settle(2);
    EXPECT_EQ(deaths, many);
    EXPECT_EQ(wrong_deaths, 0);
}

TEST_F(Destructors, ExplicitFreeGivesTheSlotToTheNextObject) {
    std::set<const void*> places;
    for (int i = 0; i < 100'000; ++i) {
        Mortal* object = cairn::make<Mortal>(i);
        places.insert(object);
        cairn::explicit_free(object);
    }
    EXPECT_EQ(deaths, 100'000);
    EXPECT_LT(places.size(), 50'000u) << "a cycle may run meanwhile, in which nothing is freed";
    cairn::Weak<Mortal> weak;
    cairn::Root<Mortal> other;
    Mortal* object = cairn::make<Mortal>(1);
    weak = object;
    cairn::explicit_free(object);
    for (int i = 0; i < 100; ++i) other = cairn::make<Mortal>(2);
    EXPECT_EQ(weak.get(), nullptr) << "it does not lead to what lives there now";
}

TEST_F(Finalizers, BringObjectsBackOnceWithAllTheyHold) {
    static cairn::Root<Node> saved[many];
    apart([] {
        for (int i = 0; i < many; ++i) {
            Node* node = cairn::make<Node>(cairn::make<Node>(nullptr, nullptr, i), nullptr, i);
            cairn::set_finalizer(node, [](Node* dying) { saved[dying->value] = dying; });
        }
    });
    settle();
    int back = 0;
    for (int i = 0; i < many; ++i) {
        if (saved[i] == nullptr) continue;
        ++back;
        EXPECT_EQ(saved[i]->left->value, i);
        saved[i] = nullptr;
    }
    EXPECT_GE(back, many - int{stale_max});
    settle(2);
    back = 0;
    for (const cairn::Root<Node>& root : saved) back += root != nullptr;
    EXPECT_LE(back, int{stale_max});
}

TEST_F(Finalizers, OfAChainRunFromItsHeadALinkACycle) {
    struct Link {
        Link* next = nullptr;
        int number = 0;
    };
    static std::vector<int> order;
    order.clear();
    apart([] {
        Link* chain = nullptr;
        for (int i = 4; i >= 0; --i) {
            chain = cairn::make<Link>(chain, i);
            cairn::set_finalizer(chain, [](Link* dying) { order.push_back(dying->number); });
        }
    });
    settle(10);
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST_F(Finalizers, MayAllocateAndCollectAndSetFinalizers) {
    static int rounds = 0;
    rounds = 0;
    struct Again {
        static void finalize(Node* node) {
            ++rounds;
            for (int i = 0; i < 10'000; ++i) node->left = cairn::make<Node>();
            cairn::collect();
            if (rounds < 5) cairn::set_finalizer(cairn::make<Node>(), Again::finalize);
        }
    };
    apart([] { cairn::set_finalizer(cairn::make<Node>(), Again::finalize); });
    settle(20);
    EXPECT_EQ(rounds, 5);
}

TEST_F(Cleanups, RunAfterTheirObjectAndCanBeCancelled) {
    static std::multiset<int> ran;
    ran.clear();
    apart([] {
        for (int i = 0; i < many; ++i) {
            Node* node = cairn::make<Node>();
            cairn::on_unreachable(node, [i] { ran.insert(i); });
            const cairn::Cleanup second = cairn::on_unreachable(&node->right, [i] { ran.insert(i); });
            if (i % 2 == 0) {
                EXPECT_TRUE(second.cancel());
                EXPECT_FALSE(second.cancel());
            }
        }
    });
    settle();
    EXPECT_GE(ran.size(), many / 2 * 3 - 2 * stale_max);
    EXPECT_LE(ran.size(), std::size_t{many / 2 * 3});
    EXPECT_LE(ran.count(0), 1u);
    EXPECT_LE(ran.count(1), 2u);
    EXPECT_FALSE(cairn::Cleanup(12345678).cancel());
    EXPECT_FALSE(cairn::Cleanup(0).cancel());
}

TEST_F(Cleanups, RunWhenTheObjectIsFreedByHand) {
    static int ran = 0;
    Node* node = cairn::make<Node>();
    cairn::Weak<Node> weak = node;
    cairn::on_unreachable(node, [] { ++ran; });
    cairn::explicit_free(node);
    EXPECT_EQ(weak.get(), nullptr);
    cairn::run_finalizers();
    EXPECT_EQ(ran, 1);
}

TEST_F(Cleanups, AreRefusedWhereThereIsNoObject) {
    int local = 0;
    EXPECT_EQ(cairn_add_cleanup(
                  &local, [](void*) {}, nullptr),
              0u);
    EXPECT_EQ(cairn_set_finalizer(
                  &local, [](void*, void*) {}, nullptr),
              -1);
    EXPECT_EQ(cairn_set_finalizer(
                  nullptr, [](void*, void*) {}, nullptr),
              -1);
    EXPECT_EQ(cairn_weak_create(&local), nullptr);
    Node* node = cairn::make<Node>();
    EXPECT_EQ(cairn_set_finalizer(
                  &node->right, [](void*, void*) {}, nullptr),
              -1);
}

TEST_F(WeakPointers, AreOneAnObjectAndEndWithIt) {
    cairn::Root<Node> root = cairn::make<Node>();
    cairn::Weak<Node> one = root.get(), same = root.get();
    cairn::Weak<cairn::Ptr<Node>> inside = &root->right;
    EXPECT_TRUE(one == same);
    EXPECT_EQ(one.get(), root.get());
    EXPECT_EQ(inside.get(), &root->right);
    std::vector<cairn::Weak<Node>> dead;
    apart([&] {
        for (int i = 0; i < many; ++i) dead.emplace_back(cairn::make<Node>());
    });
    settle();
    int alive = 0;
    for (const cairn::Weak<Node>& weak : dead) alive += weak.get() != nullptr;
    EXPECT_LE(alive, int{stale_max});
    EXPECT_EQ(one.get(), root.get());
}

TEST_F(WeakPointers, AreNullBeforeTheFinalizerRuns) {
    static std::vector<cairn::Weak<Node>> weak;
    static int seen = 0;
    weak.clear();
    apart([] {
        for (int i = 0; i < many; ++i) {
            Node* node = cairn::make<Node>(nullptr, nullptr, i);
            weak.emplace_back(node);
            cairn::set_finalizer(node, [](Node* dying) {
                const auto index = static_cast<std::size_t>(dying->value);
                if (index < weak.size()) seen += weak[index].get() != nullptr;  // else: a stale word kept it
            });
        }
    });
    settle();
    EXPECT_EQ(seen, 0);
    weak.clear();
}

TEST_F(Ephemerons, ValuesLiveWhileTheirKeysDo) {
    cairn::EphemeronMap<Node, Node> map;
    std::vector<cairn::Root<Node>> keys;
    library::Watched<Node> values;
    apart([&] {
        for (int i = 0; i < many; ++i) {
            Node* key = cairn::make<Node>(nullptr, nullptr, i);
            map.set(key, values.watch(cairn::make<Node>(key, nullptr, i)));  // refers to its key
            if (i % 10 == 0) keys.emplace_back(key);
        }
    });
    settle();
    EXPECT_GE(values.alive(), keys.size());
    EXPECT_LE(values.alive(), keys.size() + stale_max);
    for (const cairn::Root<Node>& key : keys) {
        ASSERT_NE(map.get(key), nullptr);
        EXPECT_EQ(map.get(key)->value, key->value);
    }
    EXPECT_TRUE(map.remove(keys[0]));
    EXPECT_FALSE(map.remove(keys[0]));
    EXPECT_EQ(map.get(keys[0]), nullptr);
    keys.clear();
    settle();
    EXPECT_LE(values.alive(), stale_max);
    int local = 0;
    EXPECT_EQ(map.get(reinterpret_cast<Node*>(&local)), nullptr);
}

// A child that ends by exit(): what it prints to fd 1.
std::string output_of_child(int (*body)()) {
    int ends[2];
    if (pipe(ends) != 0) return "no pipe";
    const pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        std::exit(body());
    }
    close(ends[1]);
    std::string text;
    char room[256];
    for (ssize_t got = 0; (got = read(ends[0], room, sizeof room)) > 0;)
        text.append(room, static_cast<std::size_t>(got));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return text + (status == 0 ? "" : "bad end");
}

struct SaysSo {
    ~SaysSo() { (void)!write(1, "x", 1); }
    long filler = 0;
};

TEST_F(Finalizers, RunAtExitIfAskedOnly) {
    static cairn::Root<SaysSo> kept[5];
    const auto make_some = [] {
        for (cairn::Root<SaysSo>& root : kept) root = cairn::make<SaysSo>();
    };
    make_some();
    EXPECT_EQ(output_of_child([] { return 0; }), "");
    EXPECT_EQ(output_of_child([] {
                  cairn::finalize_at_exit(true);
                  return 0;
              }),
              "xxxxx");
    EXPECT_EQ(output_of_child([] {
                  EXPECT_FALSE(cairn::finalize_at_exit(true));
                  return cairn::finalize_at_exit(false) ? 0 : 1;
              }),
              "");
    for (cairn::Root<SaysSo>& root : kept) {
        cairn::clear_finalizer(root.get());
        root = nullptr;
    }
}

}  // namespace
