// Specials: order, uniqueness, the arena's bit, the sweeper's way of taking them, several threads.
// SPDX-License-Identifier: MIT
#include "heap/specials.hpp"

#include <map>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "unit/heap/swept_heap.hpp"

namespace cairn::heap {
namespace {

class SpecialsTest : public testing::Test {
protected:
    void SetUp() override {
        specials.initialize(heap.spans);
        span = heap.spans.allocate(1, ObjectKind::noscan, 2, nullptr);
        ASSERT_NE(span, nullptr);
    }
    template <class Record>
    Record* attach(std::size_t offset) {
        Record* record = specials.make<Record>();
        EXPECT_NE(record, nullptr);
        EXPECT_TRUE(specials.add(*span, span->base + offset, record));
        specials.verify(*span);
        return record;
    }
    std::vector<std::pair<std::size_t, SpecialKind>> list() {
        std::vector<std::pair<std::size_t, SpecialKind>> all;
        specials.for_each(*span, [&](Special& record) { all.emplace_back(record.offset, record.kind); });
        return all;
    }

    TestHeap& heap = TestHeap::make();
    Specials specials;
    Span* span = nullptr;
};

TEST_F(SpecialsTest, ListIsSortedByOffsetAndKind) {
    attach<ProfileSpecial>(32);
    attach<CleanupSpecial>(16);
    attach<FinalizerSpecial>(32);
    attach<WeakHandleSpecial>(32);
    attach<TinyBlockSpecial>(0);
    attach<PinCounterSpecial>(16);
    attach<ReachableSpecial>(8000);
    using Kind = SpecialKind;
    const std::vector<std::pair<std::size_t, Kind>> want = {
        {0, Kind::tiny_block},   {16, Kind::pin_counter}, {16, Kind::cleanup},    {32, Kind::finalizer},
        {32, Kind::weak_handle}, {32, Kind::profile},     {8000, Kind::reachable}};
    EXPECT_EQ(list(), want);
}

TEST_F(SpecialsTest, OneOfAKindButManyCleanups) {
    attach<FinalizerSpecial>(16);
    auto* again = specials.make<FinalizerSpecial>();
    EXPECT_FALSE(specials.add(*span, span->base + 16, again));
    specials.free(again);
    attach<FinalizerSpecial>(20);  // inside the same slot: a tiny object
    for (std::uint64_t id = 1; id <= 3; ++id) attach<CleanupSpecial>(16)->id = id;
    std::uint64_t next = 1;
    specials.for_each(*span, [&](Special& record) {
        if (record.kind != SpecialKind::cleanup) return;
        EXPECT_EQ(static_cast<CleanupSpecial&>(record).id, next++);
    });
    EXPECT_EQ(next, 4u) << "in the order they were attached";
    EXPECT_EQ(specials.in_use(SpecialKind::finalizer), 2u);
}

TEST_F(SpecialsTest, FindAndRemove) {
    ProfileSpecial* profile = attach<ProfileSpecial>(48);
    CleanupSpecial* cleanup = attach<CleanupSpecial>(48);
    CleanupSpecial* other = attach<CleanupSpecial>(48);
    EXPECT_EQ(specials.find(*span, span->base + 48, SpecialKind::profile), profile);
    EXPECT_EQ(specials.find(*span, span->base + 32, SpecialKind::profile), nullptr);
    EXPECT_EQ(specials.find(*span, span->base + 48, SpecialKind::finalizer), nullptr);
    EXPECT_EQ(specials.remove(*span, span->base + 48, SpecialKind::finalizer), nullptr);
    EXPECT_TRUE(specials.remove(*span, other));
    EXPECT_FALSE(specials.remove(*span, other));
    EXPECT_EQ(specials.remove(*span, span->base + 48, SpecialKind::cleanup), cleanup);
    EXPECT_TRUE(heap.spans.addresses().has_specials(span->base));
    EXPECT_EQ(specials.remove(*span, span->base + 48, SpecialKind::profile), profile);
    EXPECT_FALSE(heap.spans.addresses().has_specials(span->base));
    specials.verify(*span);
    for (Special* record :
         {static_cast<Special*>(profile), static_cast<Special*>(cleanup), static_cast<Special*>(other)})
        specials.free(record);
    EXPECT_EQ(specials.in_use(SpecialKind::cleanup), 0u);
}

TEST_F(SpecialsTest, RecycledRecordsAreBlank) {
    CleanupSpecial* first = attach<CleanupSpecial>(0);
    first->id = 77;
    first->argument = this;
    ASSERT_TRUE(specials.remove(*span, first));
    specials.free(first);
    CleanupSpecial* second = specials.make<CleanupSpecial>();
    EXPECT_EQ(second, first);
    EXPECT_EQ(second->id, 0u);
    EXPECT_EQ(second->argument, nullptr);
    EXPECT_EQ(second->next, nullptr);
}

TEST_F(SpecialsTest, TheSweeperTakesWhatIsDueInOrder) {
    for (std::size_t offset = 0; offset < 160; offset += 16) {
        attach<ProfileSpecial>(offset);
        if (offset % 32 == 0) attach<CleanupSpecial>(offset);
    }
    Special* taken = specials.take_if(*span, [](Special& record) { return record.offset / 16 % 2 == 0; });
    specials.verify(*span);
    std::size_t count = 0;
    for (const Special* before = nullptr; taken != nullptr; ++count) {
        EXPECT_TRUE(before == nullptr || before->offset <= taken->offset);
        before = taken;
        taken = taken->next;
    }
    EXPECT_EQ(count, 10u);
    EXPECT_EQ(list().size(), 5u);
    EXPECT_TRUE(heap.spans.addresses().has_specials(span->base));
    (void)specials.take_if(*span, [](Special&) { return true; });
    EXPECT_FALSE(heap.spans.addresses().has_specials(span->base));
    specials.verify(*span);
}

TEST_F(SpecialsTest, AddingSweepsFirst) {
    ASSERT_EQ(span->take_run(heap.objects(), 1, false, false).base, span->base);
    heap.set_alive(reinterpret_cast<void*>(span->base), true);
    heap.central(2, ObjectKind::noscan).place_swept(span);
    heap.begin_cycle();
    attach<ProfileSpecial>(0);
    EXPECT_EQ(heap.sweeps, 1u);
}

TEST_F(SpecialsTest, AgreesWithAModel) {
    std::multimap<std::pair<std::size_t, SpecialKind>, Special*> model;
    const std::uint32_t seed = 20240601;
    std::mt19937 random(seed);
    for (int i = 0; i < 5000; ++i) {
        const std::size_t offset = random() % 24 * 4;
        const auto kind = static_cast<SpecialKind>(1 + random() % special_kind_count);
        const auto key = std::make_pair(offset, kind);
        if (random() % 2 == 0) {
            Special* record = nullptr;
            switch (kind) {
            case SpecialKind::tiny_block: record = specials.make<TinyBlockSpecial>(); break;
            case SpecialKind::finalizer: record = specials.make<FinalizerSpecial>(); break;
            case SpecialKind::weak_handle: record = specials.make<WeakHandleSpecial>(); break;
            case SpecialKind::profile: record = specials.make<ProfileSpecial>(); break;
            case SpecialKind::reachable: record = specials.make<ReachableSpecial>(); break;
            case SpecialKind::pin_counter: record = specials.make<PinCounterSpecial>(); break;
            case SpecialKind::cleanup: record = specials.make<CleanupSpecial>(); break;
            }
            const bool is_new = model.count(key) == 0 || kind == SpecialKind::cleanup;
            ASSERT_EQ(specials.add(*span, span->base + offset, record), is_new) << "seed " << seed;
            if (is_new) model.emplace(key, record);
            else specials.free(record);
        } else {
            Special* removed = specials.remove(*span, span->base + offset, kind);
            const auto known = model.find(key);
            ASSERT_EQ(removed, known == model.end() ? nullptr : known->second) << "seed " << seed;
            if (removed == nullptr) continue;
            model.erase(known);
            specials.free(removed);
        }
        specials.verify(*span);
    }
    EXPECT_EQ(list().size(), model.size());
}

TEST_F(SpecialsTest, ThreadsAddAndRemove) {
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 500; ++i) {
                auto* profile = specials.make<ProfileSpecial>();
                auto* cleanup = specials.make<CleanupSpecial>();
                ASSERT_TRUE(specials.add(*span, span->base + t * 16, profile));
                ASSERT_TRUE(specials.add(*span, span->base + 64, cleanup));
                ASSERT_TRUE(specials.remove(*span, cleanup));
                ASSERT_EQ(specials.remove(*span, span->base + t * 16, SpecialKind::profile), profile);
                specials.free(profile);
                specials.free(cleanup);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    specials.verify(*span);
    EXPECT_EQ(span->specials, nullptr);
}

}  // namespace
}  // namespace cairn::heap
