// One class's central list: what the depot keeps, when slots go home, which spans return to the page heap.
// SPDX-License-Identifier: MIT
#include "heap/explicit_central.hpp"

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "unit/heap/malloc_heap.hpp"

namespace cairn::heap {
namespace {

constexpr unsigned class_8 = 1;
constexpr unsigned class_48 = 5;      // 170 slots in a page
constexpr unsigned class_1024 = 32;   // 8 slots in a page, a depot of 256
constexpr unsigned class_32768 = 67;  // 1 slot in four pages, a depot of 16

struct Parts {
    explicit Parts(unsigned size_class, bool misuse_is_fatal = true) : size_class(size_class) {
        EXPECT_TRUE(spans.initialize({}, MallocHeap::no_hooks));
        arrays.initialize(spans.metadata());
        misuse.is_fatal = misuse_is_fatal;
        central.initialize(size_class, spans, arrays, misuse);
    }
    ~Parts() { unmap(spans); }
    std::vector<void*> take(unsigned count) {
        std::vector<void*> slots(count);
        unsigned got = 0;
        while (got < count) {
            const unsigned more = central.take(slots.data() + got, count - got, nullptr);
            EXPECT_NE(more, 0u);
            if (more == 0) break;
            got += more;
        }
        return slots;
    }
    void put(const std::vector<void*>& slots) {
        for (std::size_t i = 0; i < slots.size(); i += 16)
            central.put(slots.data() + i, static_cast<unsigned>(std::min<std::size_t>(16, slots.size() - i)));
    }
    const SizeClass& row() const { return size_classes[size_class]; }

    unsigned size_class;
    SpanAlloc spans;
    PointerArrays arrays;
    Misuse misuse;
    ExplicitCentral central;
};

TEST(ExplicitCentral, TheLowestSlotIsUsedFirst) {
    Parts parts(class_48);
    void* slots[10];
    ASSERT_EQ(parts.central.take(slots, 10, nullptr), 10u);
    const Span* span = parts.spans.span_of(address_of(slots[9]));
    for (unsigned i = 0; i < 10; ++i) EXPECT_EQ(address_of(slots[9 - i]), span->slot_address(i));
    EXPECT_EQ(span->alloc_count, 10);
}

TEST(ExplicitCentral, ASpanGivesWhatItHasAndNoMore) {
    Parts parts(class_1024);
    void* slots[100];
    EXPECT_EQ(parts.central.take(slots, 100, nullptr), parts.row().objects);
    EXPECT_EQ(parts.central.usage().spans, 1u);
    EXPECT_EQ(parts.central.take(slots, 3, nullptr), 3u);
    EXPECT_EQ(parts.central.usage().spans, 2u);
    parts.central.verify();
}

TEST(ExplicitCentral, TheDepotPassesSlotsOnWithoutTouchingSpans) {
    Parts parts(class_48);
    const std::vector<void*> slots = parts.take(40);
    const Span* span = parts.spans.span_of(address_of(slots[0]));
    parts.put(slots);
    EXPECT_EQ(parts.central.usage().slots_depot, 40u);
    EXPECT_EQ(span->alloc_count, 40) << "the span still counts them";
    void* again[40];
    ASSERT_EQ(parts.central.take(again, 24, nullptr), 24u);
    EXPECT_TRUE(std::equal(again, again + 24, slots.begin() + 16)) << "the last in are the first out";
    ASSERT_EQ(parts.central.take(again, 40, nullptr), 16u) << "no more than the depot has";
    EXPECT_TRUE(std::equal(again, again + 16, slots.begin()));
    parts.central.verify();
}

TEST(ExplicitCentral, AFullDepotSendsBatchesHome) {
    Parts parts(class_1024);
    constexpr unsigned depot_slots = 256;  // 256 KiB
    const std::vector<void*> slots = parts.take(depot_slots + 32);
    parts.put(slots);
    const ExplicitCentral::Usage usage = parts.central.usage();
    EXPECT_EQ(usage.slots_depot, depot_slots);
    EXPECT_EQ(usage.slots_out, depot_slots);
    // Four whole spans came home; one of them stays in reserve.
    EXPECT_EQ(usage.spans, depot_slots / 8u + 1);
    EXPECT_EQ(parts.spans.usage().in_use_spans, usage.spans);
    parts.central.verify();
}

TEST(ExplicitCentral, ABatchLargerThanTheDepotGoesHome) {
    Parts parts(class_32768);
    const std::vector<void*> slots = parts.take(20);
    parts.central.put(slots.data(), 20);
    const ExplicitCentral::Usage usage = parts.central.usage();
    EXPECT_EQ(usage.slots_depot, 0u);
    EXPECT_EQ(usage.slots_out, 0u);
    EXPECT_EQ(usage.spans, 1u) << "one empty span is kept";
    parts.central.verify();
}

TEST(ExplicitCentral, DrainSendsHomeWhatWasNotNeeded) {
    Parts parts(class_48);
    const std::vector<void*> slots = parts.take(170 * 2);
    parts.put(slots);
    EXPECT_EQ(parts.central.drain(false), 0u) << "the depot was empty a moment ago";
    parts.put(parts.take(100));  // 100 of 340 were in motion
    EXPECT_EQ(parts.central.drain(false), 240u);
    EXPECT_EQ(parts.central.usage().slots_depot, 100u);
    EXPECT_EQ(parts.central.drain(false), 100u) << "nobody came";
    EXPECT_EQ(parts.central.usage().spans, 0u);
    EXPECT_EQ(parts.spans.usage().in_use_bytes, 0u);
    parts.spans.verify();
}

TEST(ExplicitCentral, DrainAllTakesTheReserveToo) {
    Parts parts(class_32768);
    const std::vector<void*> slots = parts.take(20);
    parts.central.put(slots.data(), 20);
    EXPECT_EQ(parts.central.drain(true), 0u);
    EXPECT_EQ(parts.central.usage().spans, 0u);
    EXPECT_EQ(parts.spans.usage().in_use_bytes, 0u);
}

TEST(ExplicitCentral, EveryClassTakesAllAndGivesAllBack) {
    for (unsigned c = 1; c < size_class_count; ++c) {
        SCOPED_TRACE("class " + std::to_string(c));
        Parts parts(c);
        const unsigned count = parts.row().objects * 2u + 1;
        std::vector<void*> slots = parts.take(count);
        for (std::size_t i = 0; i < slots.size(); ++i) {
            const Span* span = parts.spans.span_of(address_of(slots[i]));
            ASSERT_NE(span, nullptr);
            EXPECT_EQ(span->size_class, c);
            EXPECT_EQ(span->slot_address(span->slot_of(address_of(slots[i]))), address_of(slots[i]));
        }
        std::sort(slots.begin(), slots.end());
        EXPECT_EQ(std::adjacent_find(slots.begin(), slots.end()), slots.end()) << "a slot was given twice";
        EXPECT_EQ(parts.central.usage().spans, 3u);
        EXPECT_EQ(parts.central.usage().peak_slots_out, count);
        parts.put(slots);
        parts.central.verify();
        (void)parts.central.drain(true);
        const ExplicitCentral::Usage usage = parts.central.usage();
        EXPECT_EQ(usage.spans + usage.slots_out + usage.slots_depot, 0u);
        EXPECT_EQ(usage.peak_slots_out, count);
        EXPECT_EQ(parts.spans.usage().in_use_bytes, 0u);
        parts.spans.verify();
    }
}

TEST(ExplicitCentral, HoldsExactlyTheFreeSlots) {
    Parts parts(class_48);
    const std::vector<void*> slots = parts.take(20);
    EXPECT_FALSE(parts.central.holds(slots[0]));
    parts.put({slots.begin(), slots.begin() + 5});
    EXPECT_TRUE(parts.central.holds(slots[4])) << "in the depot";
    EXPECT_FALSE(parts.central.holds(slots[5]));
    (void)parts.central.drain(true);
    EXPECT_TRUE(parts.central.holds(slots[4])) << "free in its span";
    EXPECT_FALSE(parts.central.holds(slots[5]));
    int local = 0;
    EXPECT_TRUE(parts.central.holds(&local)) << "of no span: whoever frees it frees something gone";
}

struct Mistake {
    const char* name;
    std::ptrdiff_t offset;  // from the slot that is given back, in bytes
    const char* message;
};

TEST(ExplicitCentral, MistakesAreFoundWhenSlotsGoHomeAndCostNothing) {
    constexpr Mistake mistakes[] = {
        {"already free", 0, "double free of 0x"},
        {"inside a slot", 16, "free of interior pointer 0x"},
        {"not of this class", std::ptrdiff_t{1} << 30, "double free of 0x"},
    };
    for (const Mistake& mistake : mistakes) {
        SCOPED_TRACE(mistake.name);
        Parts parts(class_48, false);
        const std::vector<void*> slots = parts.take(170);
        parts.put({slots.begin(), slots.begin() + 10});
        (void)parts.central.drain(true);
        void* wrong = at_offset(slots[3], mistake.offset);
        testing::internal::CaptureStderr();
        parts.central.put(&wrong, 1);
        (void)parts.central.drain(true);
        const std::string said = testing::internal::GetCapturedStderr();
        EXPECT_NE(said.find(mistake.message), std::string::npos) << said;
        EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
        EXPECT_EQ(parts.central.usage().slots_out, 160u);
        parts.central.verify();
        parts.put({slots.begin() + 10, slots.end()});
        (void)parts.central.drain(true);
        EXPECT_EQ(parts.spans.usage().in_use_bytes, 0u);
    }
}

TEST(ExplicitCentral, ThreadsShareOneList) {
    Parts parts(class_8);
    constexpr int rounds = base::sanitized_build ? 300 : 3000;
    std::mutex mutex;
    std::set<void*> out;
    const auto work = [&](unsigned seed) {
        std::vector<void*> mine;
        for (int round = 0; round < rounds; ++round) {
            seed = seed * 1664525 + 1013904223;
            const unsigned count = 1 + seed / 65536 % 64;
            if (seed / 8192 % 2 == 0 || mine.size() < count) {
                void* slots[64];
                const unsigned got = parts.central.take(slots, count, nullptr);
                std::lock_guard guard(mutex);
                for (unsigned i = 0; i < got; ++i) {
                    EXPECT_TRUE(out.insert(slots[i]).second) << "given to two";
                    mine.push_back(slots[i]);
                }
            } else {
                std::unique_lock guard(mutex);
                for (unsigned i = 0; i < count; ++i) out.erase(mine[mine.size() - 1 - i]);
                guard.unlock();
                parts.central.put(mine.data() + mine.size() - count, count);
                mine.resize(mine.size() - count);
            }
            if (round % 256 == 0) (void)parts.central.drain(round % 512 == 0);
        }
        {
            std::lock_guard guard(mutex);
            for (void* slot : mine) out.erase(slot);
        }
        parts.put(mine);
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i) threads.emplace_back(work, i + 1);
    for (std::thread& thread : threads) thread.join();
    parts.central.verify();
    (void)parts.central.drain(true);
    EXPECT_EQ(parts.central.usage().slots_out, 0u);
    EXPECT_EQ(parts.spans.usage().in_use_bytes, 0u);
    parts.spans.verify();
}

}  // namespace
}  // namespace cairn::heap
