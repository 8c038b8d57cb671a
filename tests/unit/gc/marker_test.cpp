// The marker against brute force: every address of every slot of every class, pointer maps of every form,
// words that lead nowhere, large objects in pieces, memory written again.
// SPDX-License-Identifier: MIT
#include "gc/marker.hpp"

#include <cstring>
#include <map>
#include <random>

#include "base/bits.hpp"
#include "gc/client_marking.hpp"
#include "gc/deferred_objects.hpp"
#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

using heap::ObjectKind;
using heap::ShapeId;

class MarkerTest : public testing::Test {
protected:
    MarkerTest() : collector(SmallCollector::make()) {}

    Marker make_marker() { return Marker(collector.space); }
    static void finish(Marker& marker) {
        while (!marker.drain(1 << 20)) {
        }
        marker.flush();
    }
    void* allocate(ShapeId shape) { return collector.cache.allocate_shape(shape); }
    void* allocate_large(std::size_t bytes, ShapeId shape) {
        heap::Span* span = collector.heap.make_large(bytes, 16, shape, nullptr);
        return collector.heap.publish_large(span);
    }
    [[nodiscard]] bool is_marked(const void* object) const {
        return collector.spans.objects().is_marked(reinterpret_cast<std::uintptr_t>(object));
    }
    void unmark(const void* object) {
        const auto start = reinterpret_cast<std::uintptr_t>(object);
        collector.spans.objects().pair(start).marked.fetch_and(~pages::ObjectMap::bit(start));
    }
    ShapeId intern(unsigned size_class, std::vector<std::uint64_t> bits, std::size_t words, bool is_tiled) {
        return collector.heap.centrals().intern(
            size_class, {bits.data(), static_cast<std::uint32_t>(words), is_tiled, "a test's"});
    }

    SmallCollector& collector;
};

std::uintptr_t word_of(const void* object) { return reinterpret_cast<std::uintptr_t>(object); }

TEST_F(MarkerTest, EveryAddressInsideASlotIsTheSlot) {
    for (unsigned c = 1; c < heap::size_class_count; ++c) {
        if (!heap::has_granular_slots(c)) continue;
        const ShapeId shape = heap::shape_of_class(c, ObjectKind::conservative);
        // Up to the end of a span and into the next, so that all of its slots are there.
        std::vector<std::uintptr_t> slots;
        for (std::size_t i = 0; i < heap::size_classes[c].objects + 2u; ++i)
            slots.push_back(word_of(allocate(shape)));
        const std::size_t bytes = heap::size_classes[c].object_bytes;
        const std::size_t step = bytes <= 512 ? 1 : 61;
        for (const std::uintptr_t slot : slots) {
            for (std::size_t offset = 0; offset < bytes; offset += step) {
                const Slot found = Marker::resolve(collector.space, slot + offset);
                ASSERT_EQ(found.start, slot) << "class " << c << " offset " << offset;
                ASSERT_EQ(found.shape, shape);
            }
            ASSERT_EQ(Marker::resolve(collector.space, slot + bytes - 1).start, slot);
        }
    }
}

// Everything else there is: tails of spans, free slots, pages without objects, addresses outside.
TEST_F(MarkerTest, WordsThatAreNoObjectMarkNothing) {
    const unsigned c = heap::swept_class_of(1152);  // 7 slots and a tail of 128 bytes
    ASSERT_EQ(heap::tail_waste(c), 128u);
    void* object = allocate(heap::shape_of_class(c, ObjectKind::conservative));
    collector.cache.release_all();  // the rest of the run is free
    void* large = collector.allocate_large(100'000);
    const std::uintptr_t span = base::align_down(word_of(object), std::uintptr_t{8192});
    Marker marker = make_marker();
    for (std::uintptr_t at = span; at < span + 8192; ++at)
        if (at - word_of(object) >= 1152) marker.push(at);
    const pages::ObjectMap::Bounds bounds = collector.spans.objects().bounds();
    const std::uintptr_t high = bounds.low + bounds.extent + (1 << 20);
    for (std::uintptr_t at = bounds.low - (1 << 20); at < high; at += 4096 + 8) {
        const bool is_small = at - span < 8192;
        const bool is_large = at - word_of(large) < base::align_up(std::size_t{100'000}, std::size_t{8192});
        if (!is_small && !is_large) marker.push(at);
    }
    constexpr std::uintptr_t wild[] = {
        0, 1, 0xdead'beef'dead'beef, ~std::uintptr_t{0}, std::uintptr_t{1} << 47, std::uintptr_t{1} << 63};
    for (const std::uintptr_t word : wild) marker.push(word);
    finish(marker);
    EXPECT_EQ(marker.count.marked_objects, 0u);
    EXPECT_FALSE(is_marked(object));
    EXPECT_FALSE(is_marked(large));
}

// One past the end counts on stacks, for what may be an array.
TEST_F(MarkerTest, RootsOnePastTheEndCountForArrays) {
    const unsigned c = heap::swept_class_of(64);
    const ShapeId noscan = heap::shape_of_class(c, ObjectKind::noscan);
    const ShapeId array = intern(c, {0b11}, 2, true);
    const ShapeId single = intern(c, {0b11}, 8, false);
    for (const ShapeId shape : {noscan, array, single}) {
        void* objects[3] = {allocate(shape), allocate(shape), allocate(shape)};
        const std::uintptr_t root = word_of(objects[0]) + 64;
        ASSERT_EQ(root, word_of(objects[1])) << "slots of a fresh span lie side by side";
        Marker marker = make_marker();
        marker.push_roots(word_of(&root), word_of(&root + 1));
        finish(marker);
        EXPECT_EQ(is_marked(objects[0]), shape != single);
        EXPECT_TRUE(is_marked(objects[1]));
        EXPECT_FALSE(is_marked(objects[2]));
    }
    // Of conservative ones the tiny are hardly ever arrays, but what lies before them may lead anywhere.
    for (const std::size_t bytes : {64, 128}) {
        const ShapeId shape = heap::shape_of_class(heap::swept_class_of(bytes), ObjectKind::conservative);
        void* objects[2] = {allocate(shape), allocate(shape)};
        for (const std::uintptr_t root : {word_of(objects[0]) + bytes, word_of(objects[1]) + bytes}) {
            Marker marker = make_marker();
            marker.push_roots(word_of(&root), word_of(&root + 1));
            finish(marker);
            if (root == word_of(objects[1])) EXPECT_EQ(is_marked(objects[0]), bytes == 128);
            else EXPECT_TRUE(is_marked(objects[1])) << "nothing begins there";
        }
    }
    // Behind a large one there may be nothing at all, not even heap.
    void* large = collector.allocate_large(1 << 20, ObjectKind::noscan);
    const std::uintptr_t root = word_of(large) + (1 << 20);
    Marker marker = make_marker();
    marker.push_roots(word_of(&root), word_of(&root + 1));
    finish(marker);
    EXPECT_TRUE(is_marked(large));
}

TEST_F(MarkerTest, TheLastByteOfTheHeapIsAnObjectToo) {
    const pages::ObjectMap& objects = collector.spans.objects();
    void* last = nullptr;
    // Until an object ends where the known heap does.
    for (int i = 0; i < 200 && last == nullptr; ++i) {
        void* large = collector.allocate_large(std::size_t{1} << 20, ObjectKind::noscan);
        collector.roots.push_back(large);
        const pages::ObjectMap::Bounds bounds = objects.bounds();
        if (word_of(large) + (1 << 20) == bounds.low + bounds.extent) last = large;
    }
    ASSERT_NE(last, nullptr);
    const std::uintptr_t root = word_of(last) + (1 << 20);
    ASSERT_FALSE(objects.bounds().holds(root));
    Marker marker = make_marker();
    marker.push_roots(word_of(&root), word_of(&root + 1));
    finish(marker);
    EXPECT_TRUE(is_marked(last));
}

// ---- pointer maps

// An object full of pointers, each to a target of its own: those that get marked are the map's.
class PointerMaps : public MarkerTest {
protected:
    void check(ShapeId shape, std::size_t words, bool is_large, const std::vector<bool>& expected) {
        void* object = is_large ? allocate_large(words * 8, shape) : allocate(shape);
        ASSERT_NE(object, nullptr);
        const ShapeId leaf = heap::shape_of_class(heap::swept_class_of(16), ObjectKind::noscan);
        std::vector<void*> targets(words);
        for (std::size_t i = 0; i < words; ++i) {
            targets[i] = allocate(leaf);
            static_cast<void**>(object)[i] = targets[i];
        }
        Marker marker = make_marker();
        marker.push(word_of(object) + words * 4);
        finish(marker);
        for (std::size_t i = 0; i < words; ++i) ASSERT_EQ(is_marked(targets[i]), expected[i]) << "word " << i;
        for (void* target : targets) unmark(target);
        unmark(object);
    }
};

TEST_F(PointerMaps, AreFollowedExactly) {
    std::mt19937_64 random(11);
    constexpr std::size_t sizes[] = {16, 48, 64, 512, 576, 1024, 3200, 10240, 32768, 40960, 200'000 / 8 * 8};
    for (int round = 0; round < 150; ++round) {
        const std::size_t bytes = sizes[random() % std::size(sizes)];
        const unsigned c = heap::swept_class_of(bytes);
        const std::size_t words = bytes / 8;
        const bool is_tiled = random() % 2 == 0;
        const std::size_t period = 1 + random() % std::min<std::size_t>(words, round % 2 == 0 ? 300 : 20);
        std::vector<std::uint64_t> bits((period + 63) / 64);
        for (std::size_t i = 0; i < period; ++i)
            if (random() % 3 == 0) bits[i / 64] |= std::uint64_t{1} << (i % 64);
        std::vector<bool> expected(words);
        for (std::size_t i = 0; i < words; ++i)
            expected[i] = (is_tiled || i < period) && (bits[i % period / 64] >> (i % period % 64) & 1) != 0;
        SCOPED_TRACE(testing::Message()
                     << bytes << " bytes, period " << period << (is_tiled ? " tiled" : ""));
        check(intern(c, bits, period, is_tiled), words, c == 0, expected);
        if (HasFatalFailure()) return;
    }
}

TEST_F(PointerMaps, AllWordsOrNoneWithoutOne) {
    for (const std::size_t bytes : {std::size_t{48}, std::size_t{8192}, std::size_t{300'000}}) {
        const unsigned c = heap::swept_class_of(bytes);
        const std::size_t words = bytes / 8;
        for (const ObjectKind kind : {ObjectKind::typed, ObjectKind::conservative})
            check(heap::shape_of_class(c, kind), words, c == 0, std::vector<bool>(words, true));
        check(heap::shape_of_class(c, ObjectKind::noscan), words, c == 0, std::vector<bool>(words, false));
    }
}

// Of which the front end tells: the first words, a map in one word or in more, nothing, or that it is
// deferred.
class Described : public PointerMaps {
protected:
    using Form = Description::Form;
    Described() {
        client.describe = [](std::uintptr_t, std::size_t bytes, unsigned told) {
            EXPECT_EQ(told, tag);
            EXPECT_GE(bytes, 16u);
            return told_now;
        };
        deferred.initialize(collector.spans.metadata());
        collector.space.client = &client;
        collector.space.deferred = &deferred;
    }
    ShapeId make_shape(unsigned size_class) {
        return collector.heap.centrals().shapes().make_told(size_class, heap::ScanRule::described, tag);
    }

    static constexpr std::uint8_t tag = 9;
    static inline Description told_now;
    ClientMarking client;
    DeferredObjects deferred;
};

TEST_F(Described, AreScannedAsTheFrontEndSays) {
    std::vector<std::uint64_t> bits(1000);
    for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = i * 0x9e37'79b9'7f4a'7c15;
    for (const std::size_t bytes : {std::size_t{48}, std::size_t{8192}, std::size_t{300'000}}) {
        SCOPED_TRACE(bytes);
        const unsigned c = heap::swept_class_of(bytes);
        const ShapeId shape = make_shape(c);
        const std::size_t words = bytes / 8;
        const auto expect = [&](auto is_pointer) {
            std::vector<bool> expected(words);
            for (std::size_t i = 0; i < words; ++i) expected[i] = is_pointer(i);
            check(shape, words, c == 0, expected);
        };
        told_now = {};
        expect([](std::size_t) { return false; });
        told_now = {Form::every_word, 5};
        expect([](std::size_t i) { return i < 5; });
        told_now = {Form::every_word, UINT64_MAX};
        expect([](std::size_t) { return true; });
        told_now = {Form::map, 62, nullptr, 0x15};
        expect([](std::size_t i) { return i == 0 || i == 2 || i == 4; });
        told_now = {Form::map, 64 * bits.size(), bits.data()};
        expect([&](std::size_t i) { return i < 64 * bits.size() && (bits[i / 64] >> (i % 64) & 1) != 0; });
        EXPECT_EQ(deferred.count(), 0u);
        told_now = {Form::deferred};
        expect([](std::size_t) { return false; });
        EXPECT_GE(deferred.count(), 1u);
        deferred.drop_repeated();
        EXPECT_EQ(deferred.count(), 1u) << "whatever pieces it has";
        deferred.drop_first(1);
    }
}

// What says where the pointers are may lie in another page than they do.
TEST_F(Described, ARescanOfAPartIsOfTheWhole) {
    const std::size_t words = 2000;
    void** object = static_cast<void**>(allocate(make_shape(heap::swept_class_of(words * 8))));
    told_now = {};
    Marker marker = make_marker();
    marker.push(word_of(object));
    finish(marker);
    object[words - 1] = collector.allocate();
    told_now = {Form::every_word, words};
    marker.rescan(word_of(object), word_of(object) + 8);
    finish(marker);
    EXPECT_TRUE(is_marked(object[words - 1]));
}

// One that was allocated marked was never looked at.
TEST_F(Described, AWrittenDeferredObjectIsNotedAgain) {
    const unsigned c = heap::swept_class_of(64);
    const ShapeId shape = collector.heap.centrals().shapes().make_told(c, heap::ScanRule::deferred, tag);
    void* const object = allocate(shape);
    Marker marker = make_marker();
    marker.mark_only(word_of(object));
    finish(marker);
    EXPECT_EQ(deferred.count(), 0u);
    marker.rescan(word_of(object), word_of(object) + 8);
    ASSERT_EQ(deferred.count(), 1u);
    EXPECT_EQ(deferred.at(0), word_of(object));
    marker.flush();
}

TEST_F(Described, DeferredObjectsAreKeptOnce) {
    std::mt19937_64 random(3);
    std::map<std::uintptr_t, unsigned> wanted;
    for (unsigned round = 0; round < 40; ++round) {
        const std::size_t added = random() % (round % 4 == 0 ? 5000 : 50);
        for (std::size_t i = 0; i < added; ++i) {
            const std::uintptr_t object = 16 * (1 + random() % 20'000);
            ++wanted[object];
            deferred.add(object);
        }
        deferred.drop_repeated();
        ASSERT_EQ(deferred.count(), wanted.size());
        if (round % 10 == 9) {  // the first of them are forgotten, as between two cycles
            const std::size_t forgotten = deferred.count() / 2;
            for (std::size_t i = 0; i < forgotten; ++i) wanted.erase(deferred.at(i));
            deferred.drop_first(forgotten);
        }
        for (std::size_t i = 0; i < deferred.count(); ++i) ASSERT_TRUE(wanted.contains(deferred.at(i)));
    }
}

// ---- graphs

TEST_F(MarkerTest, AGraphIsMarkedAsFarAsItIsReached) {
    std::mt19937_64 random(5);
    std::vector<void**> objects;
    std::vector<std::size_t> words;
    for (int i = 0; i < 20'000; ++i) {
        const bool is_large = random() % 500 == 0;
        words.push_back(is_large ? 5000 + random() % 20'000 : 2 + random() % 100);
        const std::size_t count = words.back();
        objects.push_back(is_large ? collector.allocate_large(count * 8) : collector.allocate(count));
    }
    for (std::size_t i = 0; i < objects.size(); ++i) {
        for (std::uint64_t n = random() % 3; n > 0; --n) {
            const std::size_t to = random() % objects.size();
            char* inside = reinterpret_cast<char*>(objects[to]) + random() % (words[to] * 8);
            objects[i][random() % words[i]] = inside;
        }
    }
    std::map<std::uintptr_t, std::size_t> by_start;
    for (std::size_t i = 0; i < objects.size(); ++i) by_start[word_of(objects[i])] = i;
    std::vector<bool> is_reached(objects.size());
    std::vector<std::size_t> left;
    const auto reach = [&](std::uintptr_t word) {
        auto after = by_start.upper_bound(word);
        if (word == 0 || after == by_start.begin()) return;
        const std::size_t i = std::prev(after)->second;
        if (!is_reached[i]) left.push_back(i);
        is_reached[i] = true;
    };
    Marker marker = make_marker();
    for (int i = 0; i < 50; ++i) {
        void* root = objects[random() % objects.size()];
        reach(word_of(root));
        marker.push(word_of(root));
    }
    while (!left.empty()) {
        const std::size_t i = left.back();
        left.pop_back();
        for (std::size_t at = 0; at < words[i]; ++at) reach(word_of(objects[i][at]));
    }
    finish(marker);
    std::size_t reached = 0;
    for (std::size_t i = 0; i < objects.size(); ++i) {
        ASSERT_EQ(is_marked(objects[i]), is_reached[i]) << i;
        reached += is_reached[i];
    }
    EXPECT_GT(reached, 100u);
    EXPECT_LT(reached, objects.size());
    EXPECT_EQ(marker.count.marked_objects, reached);
    EXPECT_TRUE(collector.pool.is_dry());
}

// What was written into marked objects since is found by a rescan of those bytes, and of no others.
TEST_F(MarkerTest, ARescanSeesWhatWasWrittenInTheRange) {
    for (const std::size_t words : {std::size_t{6}, std::size_t{500}, std::size_t{50'000}}) {
        const bool is_large = words * 8 > heap::max_small_bytes;
        void** object = is_large ? collector.allocate_large(words * 8) : collector.allocate(words);
        void** unmarked = is_large ? collector.allocate_large(words * 8) : collector.allocate(words);
        Marker marker = make_marker();
        marker.push(word_of(object));
        finish(marker);
        void* inside = collector.allocate();
        void* outside = collector.allocate();
        void* in_unmarked = collector.allocate();
        object[words / 2] = inside;
        object[words - 1] = outside;
        unmarked[words / 2] = in_unmarked;
        const std::uintptr_t at = word_of(object + words / 2);
        marker.rescan(at, at + 8);
        marker.rescan(word_of(unmarked), word_of(unmarked + words));
        finish(marker);
        EXPECT_TRUE(is_marked(inside));
        EXPECT_FALSE(is_marked(outside)) << words;
        EXPECT_FALSE(is_marked(in_unmarked));
        marker.rescan(word_of(object), word_of(object + words));
        finish(marker);
        EXPECT_TRUE(is_marked(outside));
    }
}

// A stop looks at the clock between two calls: a call may not take a megabyte of written pages at once.
TEST_F(MarkerTest, WrittenPagesAreScannedAFewAtATime) {
    constexpr std::size_t bytes = 1 << 20;
    void** object = collector.allocate_large(bytes);
    Marker marker = make_marker();
    marker.push(word_of(object));
    finish(marker);
    void** last = &object[bytes / sizeof(void*) - 1];
    *last = collector.allocate();
    object[0] = collector.allocate();
    marker.add_written(word_of(object), word_of(object) + bytes);
    const std::uint64_t start = marker.count.scanned_bytes;
    unsigned calls = 0;
    for (std::uint64_t before = start; !marker.drain(1); before = marker.count.scanned_bytes) {
        EXPECT_LE(marker.count.scanned_bytes - before, std::uint64_t{256} << 10);
        ++calls;
    }
    EXPECT_GE(marker.count.scanned_bytes - start, bytes);
    EXPECT_GE(calls, 4u);
    EXPECT_TRUE(is_marked(object[0]));
    EXPECT_TRUE(is_marked(*last));
    marker.flush();
}

TEST_F(MarkerTest, FieldsAreScannedWithoutMarkingTheirObject) {
    void** object = collector.allocate(10);
    object[7] = collector.allocate();
    Marker marker = make_marker();
    marker.scan_fields(word_of(object) + 33);
    marker.scan_fields(12345);
    finish(marker);
    EXPECT_FALSE(is_marked(object));
    EXPECT_TRUE(is_marked(object[7]));
}

}  // namespace
}  // namespace cairn::gc
