// Finalizers, handles, ephemerons and verification when the OS refuses memory: a plain no, nothing lost, and
// sweeps that cannot fail.
// SPDX-License-Identifier: MIT
#include <vector>

#include "gc/verify.hpp"
#include "os/fake.hpp"
#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

using os::fake::Move;

std::size_t calls;
void count_finalizer(void*, void*) { ++calls; }
void count_cleanup(void*) { ++calls; }

class FinalizeOutOfMemory : public testing::Test {
protected:
    FinalizeOutOfMemory() : collector((os::fake::reset(), SmallCollector::make())) { calls = 0; }

    static void refuse() { os::fake::fail(Move::any, 1, os::fake::for_ever); }
    static void allow() { os::fake::fail(Move::any, 1, 0); }
    void use_up_metadata() {
        for (std::size_t bytes = 16 * 1024; bytes >= 8; bytes /= 2)
            while (collector.spans.metadata().allocate(bytes, 8) != nullptr) {
            }
    }
    // Objects enough for records of every kind to run out.
    std::vector<void**> allocate(std::size_t count) {
        std::vector<void**> objects;
        for (std::size_t i = 0; i < count; ++i) objects.push_back(collector.allocate());
        return objects;
    }

    SmallCollector& collector;
};

TEST_F(FinalizeOutOfMemory, AttachingSaysNoAndWhatIsAttachedIsCalled) {
    const std::vector<void**> objects = allocate(4000);
    refuse();
    use_up_metadata();
    std::size_t attached = 0;
    std::size_t refused = 0;
    for (void** object : objects) {
        const Attached result = collector.finalizer.set_finalizer(object, count_finalizer, nullptr);
        (result == Attached::ok ? attached : refused) += 1;
        if (result != Attached::ok) EXPECT_EQ(result, Attached::out_of_memory);
        const bool is_added = collector.finalizer.add_cleanup(object, count_cleanup, nullptr) != 0;
        (is_added ? attached : refused) += 1;
    }
    EXPECT_GT(refused, 0u);
    // Sweeping and queueing need no memory.
    EXPECT_EQ(collector.collect_and_run(2), attached);
    EXPECT_EQ(calls, attached);
    EXPECT_EQ(collector.cleanups_and_finalizers(), 0u);
    allow();
    const std::vector<void**> more = allocate(3000);
    for (void** object : more)
        EXPECT_EQ(collector.finalizer.set_finalizer(object, count_finalizer, nullptr), Attached::ok);
}

TEST_F(FinalizeOutOfMemory, NoHandleIsLeakedByARefusal) {
    const std::vector<void**> objects = allocate(4000);
    refuse();
    use_up_metadata();
    WeakHandles& weak = collector.finalizer.weak();
    std::vector<WeakCell*> cells;
    std::size_t refused = 0;
    for (void** object : objects) {
        WeakCell* cell = weak.create(object);
        if (cell == nullptr) ++refused;
        else cells.push_back(cell);
    }
    EXPECT_GT(refused, 0u);
    EXPECT_EQ(weak.count(), cells.size());
    for (WeakCell* cell : cells) weak.release(cell);
    EXPECT_EQ(weak.count(), 0u);
}

TEST_F(FinalizeOutOfMemory, AMapKeepsWhatItHas) {
    Ephemerons& ephemerons = collector.finalizer.ephemerons();
    const std::vector<void**> objects = allocate(30000);
    EphemeronMap* map = ephemerons.create();
    ASSERT_NE(map, nullptr);
    std::size_t set = 0;
    for (; set < 1000; ++set) ASSERT_TRUE(ephemerons.set(*map, objects[set], objects[set]));
    refuse();
    use_up_metadata();
    std::vector<bool> has(objects.size());
    std::size_t refused = 0;
    for (std::size_t i = 0; i < objects.size(); ++i) {
        has[i] = ephemerons.set(*map, objects[i], objects[i]);
        refused += !has[i];
        EXPECT_TRUE(has[i] || i >= set) << "what is there can be replaced";
    }
    EXPECT_GT(refused, 0u);
    ephemerons.verify(*map);
    for (std::size_t i = 0; i < objects.size(); ++i) {
        void* value = nullptr;
        EXPECT_EQ(ephemerons.get(*map, objects[i], value), has[i]);
        if (has[i]) EXPECT_EQ(value, objects[i]);
    }
    while (ephemerons.create() != nullptr) {
    }
    allow();
    for (void** object : objects) EXPECT_TRUE(ephemerons.set(*map, object, object));
    ephemerons.verify(*map);
    ephemerons.destroy(map);
    EXPECT_EQ(collector.finalizer.weak().count(), 0u);
}

TEST_F(FinalizeOutOfMemory, VerificationGivesUpAndGivesEverythingBack) {
    std::vector<void*> roots;
    for (void** object : allocate(200000)) roots.push_back(object);
    collector.roots = roots;
    const auto enumerate = [](void* context, void (*visit)(void*, std::uintptr_t, std::uintptr_t, RootKind),
                              void* visitor) {
        const auto& words = *static_cast<std::vector<void*>*>(context);
        const auto low = reinterpret_cast<std::uintptr_t>(words.data());
        visit(visitor, low, low + words.size() * sizeof(void*), RootKind::range);
    };
    Verifier verifier(collector.heap, collector.finalizer, {&roots, enumerate});
    collector.begin_mark();
    collector.mark_roots();
    collector.at_end_of_marking = [&] {
        const std::uint64_t before = os::mapped_ready();
        for (const std::uint64_t nth : {1, 2, 3, 4, 5, 6}) {
            os::fake::fail(Move::alloc, nth, os::fake::for_ever);
            EXPECT_EQ(verifier.check_marks().reachable_objects, 0u) << nth;
            EXPECT_EQ(os::mapped_ready(), before);
            HolderPath path;
            EXPECT_FALSE(path.find(verifier, reinterpret_cast<std::uintptr_t>(roots.back()) + 1) && nth < 3);
            os::fake::fail(Move::alloc, 1, 0);
        }
        EXPECT_EQ(verifier.check_marks().reachable_objects, roots.size());
        EXPECT_EQ(os::mapped_ready(), before);
    };
    collector.end_mark();
    collector.sweep_all();
}

}  // namespace
}  // namespace cairn::gc
