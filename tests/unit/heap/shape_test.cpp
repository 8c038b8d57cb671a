// Shapes against brute force: which words of a slot are pointers, for every class and many periods.
// SPDX-License-Identifier: MIT
#include "heap/shape.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace cairn::heap {
namespace {

class ShapesTest : public testing::Test {
protected:
    ShapesTest() { EXPECT_TRUE(shapes.initialize(metadata)); }
    pages::Metadata metadata;
    Shapes shapes;
};

// Which words of a slot of this shape hold pointers, as the marker would scan them.
std::vector<bool> pointers_of(const Shape& shape, std::size_t words) {
    std::vector<bool> found(words);
    for (std::size_t i = 0; i < words; ++i) {
        switch (shape.rule) {
        case ScanRule::nothing:
        case ScanRule::deferred:
        case ScanRule::described: break;  // the front end tells
        case ScanRule::every_word: found[i] = true; break;
        case ScanRule::mask: found[i] = i < 64 && (shape.mask >> i & 1) != 0; break;
        case ScanRule::tiles: {
            if (!shape.is_tiled && i >= shape.period_words) break;
            const std::size_t at = i % shape.period_words;
            found[i] = (shape.map[at / 64] >> (at % 64) & 1) != 0;
            break;
        }
        }
    }
    return found;
}

TEST_F(ShapesTest, TheFixedOnesAreThereAtOnce) {
    EXPECT_EQ(shapes.count(), first_mapped_shape);
    for (unsigned c = 0; c < size_class_count; ++c) {
        for (const ObjectKind kind : {ObjectKind::noscan, ObjectKind::typed, ObjectKind::conservative}) {
            const Shape& shape = shapes[shape_of_class(c, kind)];
            EXPECT_EQ(shape.kind, kind);
            EXPECT_EQ(shape.size_class, c);
            EXPECT_EQ(shape.slot_bytes, c == 0 ? 0 : size_classes[c].object_bytes);
            EXPECT_EQ(shape.rule, kind == ObjectKind::noscan ? ScanRule::nothing : ScanRule::every_word);
            EXPECT_EQ(is_unzeroed_shape(shape_of_class(c, kind)), kind == ObjectKind::noscan);
        }
        EXPECT_EQ(shapes[zeroed_shape_of_class(c)].rule, ScanRule::nothing);
        EXPECT_FALSE(is_unzeroed_shape(zeroed_shape_of_class(c)));
    }
}

TEST_F(ShapesTest, AMapTellsTheSamePointersAsItsBits) {
    std::mt19937_64 random(7);
    for (int round = 0; round < 600; ++round) {
        const unsigned c = static_cast<unsigned>(random() % size_class_count);
        const std::size_t slot_words = c == 0 ? 5000 : size_classes[c].object_bytes / word_bytes;
        if (c != 0 && !has_granular_slots(c)) continue;
        const std::size_t period = 1 + random() % (round % 3 == 0 ? 400 : 70);
        std::vector<std::uint64_t> bits((period + 63) / 64);
        for (std::size_t i = 0; i < period; ++i)
            if (random() % 4 == 0) bits[i / 64] |= std::uint64_t{1} << (i % 64);
        const bool is_tiled = random() % 2 == 0;
        const ShapeId id =
            shapes.intern(c, {bits.data(), static_cast<std::uint32_t>(period), is_tiled, "a type"});
        const Shape& shape = shapes[id];
        ASSERT_EQ(shape.size_class, c);
        const std::vector<bool> found = pointers_of(shape, slot_words);
        for (std::size_t i = 0; i < slot_words; ++i) {
            const std::size_t at = i % period;
            const bool is_pointer = (is_tiled || i < period) && (bits[at / 64] >> (at % 64) & 1) != 0;
            // Where the table is full every word counts: too much, never too little.
            if (shape.rule == ScanRule::every_word) ASSERT_GE(found[i], is_pointer);
            else ASSERT_EQ(found[i], is_pointer) << "class " << c << ", period " << period << ", word " << i;
        }
    }
}

TEST_F(ShapesTest, EqualOnesShareAnId) {
    const std::uint64_t a[] = {5, 1};
    const std::uint64_t b[] = {5, 1};
    const std::uint64_t other[] = {5, 2};
    const ShapeId id = shapes.intern(10, {a, 70, true, "first"});
    EXPECT_GE(id, first_mapped_shape);
    EXPECT_EQ(shapes.intern(10, {b, 70, true, "second"}), id);
    EXPECT_STREQ(shapes[id].type_name, "first");
    EXPECT_NE(shapes.intern(10, {other, 70, true, ""}), id);
    EXPECT_NE(shapes.intern(10, {a, 70, false, ""}), id);
    EXPECT_NE(shapes.intern(10, {a, 71, true, ""}), id);
    EXPECT_NE(shapes.intern(11, {a, 70, true, ""}), id);
    EXPECT_NE(shapes.intern(0, {a, 70, true, ""}), id);
}

TEST_F(ShapesTest, NoPointersAreNoShapeOfTheirOwn) {
    const std::uint64_t none[] = {0, 0};
    EXPECT_EQ(shapes.intern(9, {none, 100, false, ""}), zeroed_shape_of_class(9));
    EXPECT_EQ(shapes.intern(9, {nullptr, 0, true, ""}), zeroed_shape_of_class(9));
    EXPECT_EQ(shapes.count(), first_mapped_shape);
}

TEST_F(ShapesTest, ATagMakesAShapeOfItsOwnThatIsOtherwiseTheSame) {
    const std::uint64_t bits = 0b101;
    for (const ShapeId like : {shape_of_class(5, ObjectKind::conservative), zeroed_shape_of_class(5),
                               shapes.intern(5, {&bits, 3, false, nullptr}, ObjectKind::conservative)}) {
        const ShapeId made = shapes.make_tagged(like, 7);
        EXPECT_GE(made, first_mapped_shape);
        EXPECT_NE(made, like);
        EXPECT_NE(made, shapes.make_tagged(like, 8));
        EXPECT_EQ(shapes[made].tag, 7);
        EXPECT_EQ(shapes[like].tag, 0);
        EXPECT_EQ(shapes[made].rule, shapes[like].rule);
        EXPECT_EQ(shapes[made].mask, shapes[like].mask);
        EXPECT_EQ(shapes[made].slot_bytes, shapes[like].slot_bytes);
        EXPECT_EQ(watched_shapes.holds(made), shapes[like].kind == ObjectKind::conservative)
            << "stores into it have no barrier";
    }
    for (const ScanRule rule : {ScanRule::deferred, ScanRule::described}) {
        const ShapeId told = shapes.make_told(5, rule, 7);
        EXPECT_EQ(shapes[told].rule, rule);
        EXPECT_EQ(shapes[told].tag, 7);
        EXPECT_EQ(shapes[told].mask, 0u) << "no short way past the front end";
        EXPECT_TRUE(watched_shapes.holds(told)) << "stores into it have no barrier";
    }
    while (shapes.make_tagged(zeroed_shape_of_class(1), 1) != 0) {}
    EXPECT_EQ(shapes.count(), max_shapes);
    EXPECT_EQ(shapes.make_told(5, ScanRule::deferred, 7), 0);
}

TEST_F(ShapesTest, TheTableEndsInShapesThatScanEveryWord) {
    unsigned refused = 0;
    for (std::uint64_t i = 1; i < 2000; ++i) {
        const ShapeId id = shapes.intern(20, {&i, 20, false, ""});
        if (id == shape_of_class(20, ObjectKind::typed)) ++refused;
        else ASSERT_EQ(pointers_of(shapes[id], 20)[static_cast<unsigned>(__builtin_ctzll(i))], true);
    }
    EXPECT_EQ(shapes.count(), max_shapes);
    EXPECT_EQ(refused, 1999 - (max_shapes - first_mapped_shape));
    const std::uint64_t known = 1;
    EXPECT_NE(shapes.intern(20, {&known, 20, false, ""}), shape_of_class(20, ObjectKind::typed));
}

TEST_F(ShapesTest, ThreadsThatAskAtOnceGetOneIdEach) {
    constexpr std::uint64_t maps = 200;
    std::vector<std::vector<ShapeId>> answers(4, std::vector<ShapeId>(maps + 1));
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            for (std::uint64_t map = 1; map <= maps; ++map) {
                const ShapeId id = shapes.intern(15, {&map, 12, true, ""});
                ASSERT_LT(id, shapes.count());
                ASSERT_EQ(shapes[id].map[0], map);
                answers[i][map] = id;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (unsigned i = 1; i < 4; ++i) EXPECT_EQ(answers[i], answers[0]);
    EXPECT_EQ(shapes.count(), first_mapped_shape + maps);
}

}  // namespace
}  // namespace cairn::heap
