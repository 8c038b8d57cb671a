// Each wrong pointer and each call with it: the exact line, and that a heap told to go on is as before.
// SPDX-License-Identifier: MIT
#include "heap/misuse.hpp"

#include <cstdio>
#include <thread>
#include <vector>

#include "unit/heap/malloc_heap.hpp"

namespace cairn::heap {
namespace {

std::string hex(const void* pointer) {
    char text[32];
    std::snprintf(text, sizeof text, "0x%zx", address_of(pointer));
    return text;
}

class MisuseTest : public HeapOnLayout {
protected:
    void SetUp() override {
        Heap::Settings settings;
        settings.misuse_is_fatal = false;
        start(settings);
    }
    template <class Action>
    static std::string said_by(Action action) {
        testing::internal::CaptureStderr();
        action();
        return testing::internal::GetCapturedStderr();
    }
    // free() of `pointer` says exactly `line` and changes no count.
    void expect_free_says(void* pointer, const std::string& line) {
        const auto in_use = heap->spans().in_use_bytes();
        const Heap::ClassUsage before = heap->usage_of(5);
        EXPECT_EQ(said_by([&] { free(pointer); }), "cairn: " + line + "\n");
        const Heap::ClassUsage after = heap->usage_of(5);
        EXPECT_EQ(after.frees, before.frees);
        EXPECT_EQ(after.cached, before.cached);
        EXPECT_EQ(heap->spans().in_use_bytes(), in_use);
        heap->verify();
    }
};

TEST_P(MisuseTest, DoubleFreeIsFoundWhereverTheSlotIs) {
    struct Case {
        const char* name;
        void (*hide)(MisuseTest& test, void* slot);
    };
    constexpr Case cases[] = {
        {"in the magazine, last", [](MisuseTest& t, void* slot) { t.free(slot); }},
        {"in the magazine, under others",
         [](MisuseTest& t, void* slot) {
             void* more[3] = {t.allocate(48), t.allocate(48), t.allocate(48)};
             t.free(slot);
             for (void* each : more) t.free(each);
         }},
        {"in another thread's magazine", [](MisuseTest& t, void* slot) { t.heap.free(*t.other, slot); }},
        {"in the depot",
         [](MisuseTest& t, void* slot) {
             t.free(slot);
             t.heap->flush(*t.cache);
         }},
        {"home in its span",
         [](MisuseTest& t, void* slot) {
             t.free(slot);
             t.heap->flush(*t.cache);
             t.heap->drain(true);
         }},
    };
    for (const Case& each : cases) {
        SCOPED_TRACE(each.name);
        void* slot = allocate(48);
        void* keeps_the_span = allocate(48);
        each.hide(*this, slot);
        expect_free_says(slot, "double free of " + hex(slot) + " (48-byte class)");
        free(keeps_the_span);
    }
    end();
}

TEST_P(MisuseTest, AnObjectThatHoldsTheKeyIsNoDoubleFree) {
    auto* word = static_cast<std::uint64_t*>(allocate(48));
    *word = heap->key();
    EXPECT_EQ(said_by([&] { free(word); }), "");
    auto* again = static_cast<std::uint64_t*>(allocate(48));
    *again = heap->key();
    EXPECT_EQ(heap.usable(*cache, again), 48u);
    free(again);
    EXPECT_EQ(heap->usage_of(5).live, 0u);
    end();
}

TEST_P(MisuseTest, AnOverwrittenKeyIsMissedByTheThreadAndFoundAtHome) {
    void* slot = allocate(48);
    void* keeps_the_span = allocate(48);
    free(slot);
    heap->flush(*cache);
    heap->drain(true);
    *static_cast<std::uint64_t*>(slot) = 0;  // a write after free
    EXPECT_EQ(said_by([&] { free(slot); }), "") << "the hint is gone";
    const std::string said = said_by([&] {
        heap->flush(*cache);
        heap->drain(true);
    });
    EXPECT_EQ(said, "cairn: double free of " + hex(slot) + " (48-byte class)\n");
    heap->verify();
    free(keeps_the_span);
}

TEST_P(MisuseTest, InteriorPointersNameTheirObject) {
    void* small = allocate(48);
    for (const std::ptrdiff_t offset : {1, 8, 16, 32, 47}) {
        expect_free_says(at_offset(small, offset), "free of interior pointer " +
                                                       hex(at_offset(small, offset)) +
                                                       " (48-byte class, object at " + hex(small) + ")");
    }
    void* tall = allocate(9472);  // spans of 7 pages
    void* inside = at_offset(tall, 9000);
    expect_free_says(inside, "free of interior pointer " + hex(inside) + " (9472-byte class, object at " +
                                 hex(tall) + ")");
    void* large = allocate(mib);
    for (const std::ptrdiff_t offset : {8, 8192, 1048575}) {
        expect_free_says(at_offset(large, offset), "free of interior pointer " +
                                                       hex(at_offset(large, offset)) + " (large, object at " +
                                                       hex(large) + ")");
    }
    for (void* each : {small, tall, large}) free(each);
    end();
}

TEST_P(MisuseTest, LargeObjectsFreedTwice) {
    void* parked = allocate(mib);
    free(parked);
    expect_free_says(parked, "double free of " + hex(parked) + " (large, 1048576 bytes)");
    EXPECT_EQ(said_by([&] { heap.free(*other, parked); }),
              "cairn: double free of " + hex(parked) + " (large, 1048576 bytes)\n");
    heap->flush(*cache);
    expect_free_says(parked, "double free of " + hex(parked) + " (large, 1048576 bytes)");
    end();
}

TEST_P(MisuseTest, AddressesOfOthers) {
    static char data[64];
    char local[64];
    const auto freed_span = allocate(48);
    free(freed_span);
    heap->flush(*cache);
    heap->drain(true);
    expect_free_says(data, "free of foreign pointer " + hex(data));
    if (!base::sanitized_build) expect_free_says(local, "free of stack pointer " + hex(local));
    expect_free_says(freed_span, "free of foreign pointer " + hex(freed_span));
    for (const std::uintptr_t wild : {std::uintptr_t{8}, std::uintptr_t{1} << 46, ~std::uintptr_t{7},
                                      std::uintptr_t{1} << 63, (std::uintptr_t{1} << 47) - 8}) {
        expect_free_says(reinterpret_cast<void*>(wild),
                         "free of foreign pointer " + hex(reinterpret_cast<void*>(wild)));
    }
    // Behind and before the heap's memory, within its arena, and where its next arena would be.
    for (const std::ptrdiff_t offset :
         {std::ptrdiff_t(40 * mib), std::ptrdiff_t(1024 * mib), -std::ptrdiff_t(mib)}) {
        void* wild = at_offset(freed_span, offset);
        expect_free_says(wild, "free of foreign pointer " + hex(wild));
    }
    free(nullptr);
    end();
}

TEST_P(MisuseTest, OtherCallsSayTheirName) {
    void* small = allocate(48);
    void* freed = allocate(48);
    void* large = allocate(mib);
    free(freed);
    static char data[8];
    const auto asks = [&](Call call, void* pointer) {
        return said_by([&] { EXPECT_EQ(heap->usable_size(*cache, pointer, call), 0u); });
    };
    void* inside = at_offset(small, 16);
    void* inside_large = at_offset(large, 16);
    EXPECT_EQ(asks(Call::realloc, inside), "cairn: realloc of interior pointer " + hex(inside) +
                                               " (48-byte class, object at " + hex(small) + ")\n");
    EXPECT_EQ(asks(Call::usable_size, inside_large), "cairn: usable size of interior pointer " +
                                                         hex(inside_large) + " (large, object at " +
                                                         hex(large) + ")\n");
    EXPECT_EQ(asks(Call::realloc, data), "cairn: realloc of foreign pointer " + hex(data) + "\n");
    EXPECT_EQ(asks(Call::usable_size, freed),
              "cairn: usable size of freed pointer " + hex(freed) + " (48-byte class)\n");
    EXPECT_EQ(heap.usable(*cache, small), 48u) << "and the good ones are good";
    EXPECT_EQ(heap.usable(*cache, large), mib);
}

TEST_P(MisuseTest, WithoutACacheTheAnswersAreTheSame) {
    ThreadCache blank;
    blank.key = 0;
    void* slot = heap->allocate_slow(blank, 5, 48);
    void* keeps_the_span = heap->allocate_slow(blank, 5, 48);
    heap->free_slow(blank, slot);
    EXPECT_EQ(said_by([&] { heap->free_slow(blank, slot); }),
              "cairn: double free of " + hex(slot) + " (48-byte class)\n");
    void* inside = at_offset(keeps_the_span, 8);
    EXPECT_EQ(said_by([&] { heap->free_slow(blank, inside); }),
              "cairn: free of interior pointer " + hex(inside) + " (48-byte class, object at " +
                  hex(keeps_the_span) + ")\n");
    heap->verify();
}

TEST_P(MisuseTest, EndsTheProgramUnlessToldOtherwise) {
    testing::GTEST_FLAG(death_test_style) = "fast";
    ASSERT_NO_FATAL_FAILURE(start({}));
    if (cache == nullptr) return;  // skipped
    void* slot = allocate(48);
    free(slot);
    EXPECT_EXIT(free(slot), testing::KilledBySignal(SIGABRT),
                "^cairn: double free of 0x[0-9a-f]+ .48-byte class.\n$");
    void* large = allocate(mib);
    EXPECT_EXIT(free(at_offset(large, 64)), testing::KilledBySignal(SIGABRT),
                "^cairn: free of interior pointer 0x[0-9a-f]+ .large, object at 0x[0-9a-f]+.\n$");
    EXPECT_EXIT(free(reinterpret_cast<void*>(64)), testing::KilledBySignal(SIGABRT),
                "^cairn: free of foreign pointer 0x40\n$");
}

CAIRN_ON_BOTH_LAYOUTS(MisuseTest);

}  // namespace
}  // namespace cairn::heap
