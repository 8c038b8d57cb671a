// Ephemerons: values live with their keys, chains settle, the table agrees with a model.
// SPDX-License-Identifier: MIT
#include "gc/ephemeron.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

class EphemeronTest : public testing::Test {
protected:
    void SetUp() override {
        map = ephemerons.create();
        ASSERT_NE(map, nullptr);
    }
    void* value_of(const void* key) {
        void* value = nullptr;
        const bool is_found = ephemerons.get(*map, key, value);
        EXPECT_EQ(is_found, value != nullptr);
        return value;
    }
    void set(const void* key, void* value) { ASSERT_TRUE(ephemerons.set(*map, key, value)); }

    SmallCollector& collector = SmallCollector::make();
    Ephemerons& ephemerons = collector.finalizer.ephemerons();
    EphemeronMap* map = nullptr;
};

TEST_F(EphemeronTest, TheValueLivesWhileTheKeyDoes) {
    void** key = collector.allocate(4);
    void** value = collector.allocate();
    value[0] = collector.allocate();
    set(key, value);
    collector.roots = {key};
    collector.collect();
    EXPECT_EQ(value_of(key), value);
    EXPECT_EQ(value_of(key + 2), value) << "by any address in it";
    EXPECT_TRUE(collector.is_allocated(value[0]));
    collector.roots.clear();
    collector.collect();
    EXPECT_FALSE(collector.is_allocated(key));
    EXPECT_FALSE(collector.is_allocated(value));
    ephemerons.destroy(map);
    EXPECT_EQ(collector.finalizer.weak().count(), 0u);
}

TEST_F(EphemeronTest, AValueThatRefersToItsKeyDoesNotKeepIt) {
    void** key = collector.allocate();
    void** value = collector.allocate();
    value[0] = key;
    set(key, value);
    collector.collect();
    EXPECT_FALSE(collector.is_allocated(key));
    EXPECT_FALSE(collector.is_allocated(value));
    collector.collect();  // the next mark phase drops the entry
    EXPECT_EQ(ephemerons.count(*map), 0u);
}

TEST_F(EphemeronTest, SetReplacesRemoveForgets) {
    void** key = collector.allocate();
    void** one = collector.allocate();
    void** two = collector.allocate();
    collector.roots = {key};
    set(key, one);
    set(key, two);
    EXPECT_EQ(ephemerons.count(*map), 1u);
    collector.collect();
    EXPECT_EQ(value_of(key), two);
    EXPECT_FALSE(collector.is_allocated(one));
    EXPECT_TRUE(ephemerons.remove(*map, key));
    EXPECT_FALSE(ephemerons.remove(*map, key));
    EXPECT_EQ(value_of(key), nullptr);
    EXPECT_EQ(collector.finalizer.weak().count(), 0u);
    int local = 0;
    EXPECT_FALSE(ephemerons.set(*map, &local, one));
    EXPECT_FALSE(ephemerons.set(*map, nullptr, one));
    EXPECT_FALSE(ephemerons.remove(*map, &local));
}

TEST_F(EphemeronTest, ASlotUsedAgainIsANewKey) {
    std::vector<void*> keys;
    for (int i = 0; i < 4000; ++i) {
        keys.push_back(collector.allocate());
        set(keys.back(), &collector);
    }
    collector.collect();
    std::size_t reused = 0;
    for (int i = 0; i < 4000; ++i) {
        void** fresh = collector.allocate();
        collector.roots.push_back(fresh);
        reused += std::find(keys.begin(), keys.end(), fresh) != keys.end();
        EXPECT_EQ(value_of(fresh), nullptr);
    }
    EXPECT_GT(reused, 0u);
    ephemerons.verify(*map);
}

TEST_F(EphemeronTest, ChainsInAnyOrderSettle) {
    constexpr std::size_t links = 3000;
    std::vector<void**> chain;
    for (std::size_t i = 0; i <= links; ++i) chain.push_back(collector.allocate());
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < links; ++i) order.push_back(i);
    std::shuffle(order.begin(), order.end(), std::mt19937(7));
    for (const std::size_t i : order) {
        // Every fifth link goes through an object in between.
        void** value = chain[i + 1];
        if (i % 5 == 0) {
            value = collector.allocate();
            value[0] = chain[i + 1];
        }
        set(chain[i], value);
    }
    collector.roots = {chain[0]};
    collector.collect();
    for (void** each : chain) EXPECT_TRUE(collector.is_allocated(each));
    collector.roots = {chain[links / 2]};
    collector.collect();
    for (std::size_t i = 0; i <= links; ++i) EXPECT_EQ(collector.is_allocated(chain[i]), i >= links / 2);
    collector.roots.clear();
    collector.collect();
    for (void** each : chain) EXPECT_FALSE(collector.is_allocated(each));
}

TEST_F(EphemeronTest, ChainsAcrossMaps) {
    EphemeronMap* other = ephemerons.create();
    std::vector<void**> chain;
    for (int i = 0; i < 50; ++i) chain.push_back(collector.allocate());
    for (std::size_t i = 0; i + 1 < chain.size(); ++i)
        ASSERT_TRUE(ephemerons.set(i % 2 == 0 ? *map : *other, chain[i], chain[i + 1]));
    collector.roots = {chain[0]};
    collector.collect();
    for (void** each : chain) EXPECT_TRUE(collector.is_allocated(each));
    ephemerons.destroy(other);
    collector.collect();
    EXPECT_TRUE(collector.is_allocated(chain[1]));
    EXPECT_FALSE(collector.is_allocated(chain[2]));
}

TEST_F(EphemeronTest, SetAndReadWhileMarking) {
    void** key = collector.allocate();
    void** early = collector.allocate();
    void** value = collector.allocate();
    void** read_key = collector.allocate();
    void** read_value = collector.allocate();
    set(read_key, read_value);
    collector.begin_mark();
    collector.mark_roots();
    set(key, early);
    set(key, value);
    EXPECT_EQ(value_of(read_key), read_value);
    EXPECT_TRUE(ephemerons.remove(*map, read_key));
    collector.end_mark();
    collector.sweep_all();
    EXPECT_TRUE(collector.is_allocated(value)) << "set while marking: kept for this cycle";
    EXPECT_TRUE(collector.is_allocated(read_value)) << "read while marking: somebody may hold it";
    EXPECT_FALSE(collector.is_allocated(key));
    collector.collect();
    EXPECT_FALSE(collector.is_allocated(value));
    EXPECT_FALSE(collector.is_allocated(read_value));
}

TEST_F(EphemeronTest, AFinalizedKeyLosesItsEntryAtOnce) {
    void** key = collector.allocate();
    void** value = collector.allocate();
    set(key, value);
    ASSERT_EQ(collector.finalizer.set_finalizer(key, [](void*, void*) {}, nullptr), Attached::ok);
    collector.collect();
    EXPECT_TRUE(collector.is_allocated(key));
    EXPECT_FALSE(collector.is_allocated(value));
    EXPECT_EQ(value_of(key), nullptr);
}

TEST_F(EphemeronTest, AgreesWithAModelWhileItGrowsAndShrinks) {
    std::map<void*, void*> model;
    std::vector<void*> keys;
    std::mt19937 random(20240702);
    for (int round = 0; round < 6; ++round) {
        for (int i = 0; i < 20000; ++i) {
            const bool is_new = keys.empty() || random() % 3 != 0;
            void* key = is_new ? collector.allocate() : keys[random() % keys.size()];
            if (is_new) keys.push_back(key);
            if (random() % 4 == 0) {
                EXPECT_EQ(ephemerons.remove(*map, key), model.erase(key) != 0);
            } else {
                void* value = reinterpret_cast<void*>(random() | 1);
                set(key, value);
                model[key] = value;
            }
        }
        ephemerons.verify(*map);
        EXPECT_EQ(ephemerons.count(*map), model.size());
        // A third of the keys goes.
        std::shuffle(keys.begin(), keys.end(), random);
        for (std::size_t i = 0; i < keys.size() / 3; ++i) model.erase(keys[i]);
        keys.erase(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(keys.size() / 3));
        collector.roots = keys;
        collector.collect();
        collector.collect();
        ephemerons.verify(*map);
        EXPECT_EQ(ephemerons.count(*map), model.size()) << "dead keys' entries go in the next cycle";
        for (void* key : keys) {
            const auto known = model.find(key);
            EXPECT_EQ(value_of(key), known == model.end() ? nullptr : known->second);
        }
    }
    ephemerons.destroy(map);
    EXPECT_EQ(collector.finalizer.weak().count(), 0u);
}

class EphemeronThreadsTest : public EphemeronTest {
protected:
    void run_thread(unsigned number, heap::SweptCache& cache) {
        unsigned random = number + 1;
        EphemeronMap* own = nullptr;
        while (!is_over.load()) {
            const InCollector inside(collector);
            random = random * 1664525 + 1013904223;
            void* key = keys[random >> 24 & 63].load();
            if (own == nullptr) own = ephemerons.create();
            use((random >> 16 & 1) != 0 ? *map : *own, key, random >> 20 & 3, cache);
            if ((random >> 8 & 1023) != 0) continue;
            ephemerons.destroy(own);
            own = nullptr;
        }
        const InCollector inside(collector);
        if (own != nullptr) ephemerons.destroy(own);
    }
    // A value holds its own address: whoever reads it must find that.
    void use(EphemeronMap& used, void* key, unsigned what, heap::SweptCache& cache) {
        void* value = nullptr;
        if (what == 0) {
            void** fresh = SmallCollector::allocate_from(cache, 2, SmallCollector::conservative);
            fresh[1] = fresh;
            EXPECT_TRUE(ephemerons.set(used, key, fresh));
        } else if (what == 1) {
            (void)ephemerons.remove(used, key);
        } else if (ephemerons.get(used, key, value)) {
            EXPECT_EQ(static_cast<void**>(value)[1], value);
            found.fetch_add(1);
        }
    }
    void run_cycle(unsigned number) {
        {
            const SmallCollector::Stop stop(collector);
            collector.roots.clear();
            keys[number & 63].store(collector.allocate());
            for (auto& key : keys) collector.roots.push_back(key.load());
        }
        collector.begin_mark();
        collector.mark_roots();
        while (ephemerons.advance(SmallCollector::greyer()) != 0) collector.drain();
        collector.end_mark();
        collector.sweep_beside_threads();
        const SmallCollector::Stop stop(collector);
        ephemerons.verify(*map);
    }

    std::atomic<bool> is_over{false};
    std::atomic<std::uint64_t> found{0};
    std::atomic<void*> keys[64] = {};
};

TEST_F(EphemeronThreadsTest, UseMapsAndThrowThemAwayWhileCyclesRun) {
    heap::SweptCache caches[3];
    for (auto& key : keys) key.store(collector.allocate());
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t) {
        ASSERT_TRUE(caches[t].attach(collector.heap.centrals(), nullptr, t + 2));
        collector.caches.push_back(&caches[t]);
        threads.emplace_back([this, t, &caches] { run_thread(t, caches[t]); });
    }
    for (unsigned cycle = 0; cycle < 200 || found.load() < 20000; ++cycle) run_cycle(cycle);
    is_over.store(true);
    for (std::thread& thread : threads) thread.join();
    ephemerons.destroy(map);
    EXPECT_EQ(collector.finalizer.weak().count(), 0u);
}

}  // namespace
}  // namespace cairn::gc
