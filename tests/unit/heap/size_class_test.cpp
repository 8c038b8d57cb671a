// Size classes: the worked vectors, every request against a plain search, every offset against a division.
// SPDX-License-Identifier: MIT
#include "heap/size_class.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace cairn::heap {
namespace {

struct RequestCase {
    std::size_t bytes;
    unsigned class_index;
    std::uint32_t slot_bytes;
};

constexpr RequestCase request_cases[] = {
    {1, 1, 8},          {8, 1, 8},          {9, 2, 16},         {16, 2, 16},        {17, 3, 24},
    {25, 4, 32},        {32, 4, 32},        {33, 5, 48},        {48, 5, 48},        {49, 6, 64},
    {1016, 32, 1024},   {1017, 32, 1024},   {1024, 32, 1024},   {1025, 33, 1152},   {1152, 33, 1152},
    {1153, 34, 1280},   {2048, 38, 2048},   {2049, 39, 2304},   {3073, 42, 3200},   {6785, 50, 6912},
    {8192, 51, 8192},   {8193, 52, 9472},   {9473, 53, 9728},   {16384, 59, 16384}, {16385, 60, 18432},
    {28672, 66, 28672}, {28673, 67, 32768}, {32768, 67, 32768}, {32769, 0, 0},      {SIZE_MAX, 0, 0},
};

TEST(SizeClass, RequestsFindTheClassesOfTheWorkedVectors) {
    for (const RequestCase& wanted : request_cases) {
        EXPECT_EQ(size_class_of(wanted.bytes), wanted.class_index) << wanted.bytes;
        EXPECT_EQ(size_classes[size_class_of(wanted.bytes)].object_bytes, wanted.slot_bytes) << wanted.bytes;
    }
}

TEST(SizeClass, MagicNumbersAreThoseOfTheWorkedVectors) {
    struct {
        std::uint32_t bytes, magic;
    } constexpr cases[] = {{24, 178956971}, {48, 89478486}, {1152, 3728271}, {6784, 633103}};
    for (const auto& wanted : cases) EXPECT_EQ(size_classes[size_class_of(wanted.bytes)].magic, wanted.magic);
    EXPECT_EQ(size_classes[0].magic, 0U);
}

// The obviously right search: the first class that holds `bytes` with slots aligned to `align`.
unsigned search(std::size_t bytes, std::size_t align) {
    for (unsigned c = 1; c < size_class_count; ++c)
        if (size_classes[c].object_bytes >= bytes && size_classes[c].object_bytes % align == 0) return c;
    return 0;
}

TEST(SizeClass, EveryRequestGetsTheSmallestClassThatHoldsIt) {
    EXPECT_EQ(size_class_of(0), 0U);
    for (std::size_t bytes = 1; bytes <= max_small_bytes + 1000; ++bytes)
        ASSERT_EQ(size_class_of(bytes), search(bytes, 1)) << bytes;
}

TEST(SizeClass, MallocAlignsTo16FromNineBytesUp) {
    for (std::size_t bytes = 0; bytes <= 8; ++bytes) EXPECT_EQ(malloc_class_of(bytes), 1U) << bytes;
    for (std::size_t bytes = 9; bytes <= max_small_bytes + 1000; ++bytes)
        ASSERT_EQ(malloc_class_of(bytes), search(bytes, 16)) << bytes;
    EXPECT_EQ(size_classes[malloc_class_of(20)].object_bytes, 32U)
        << "the 24-byte class is only 8-byte aligned";
}

TEST(SizeClass, NamedAlignmentsGetTheSmallestClassSoAligned) {
    for (std::size_t align = 1; align <= max_slot_align; align *= 2)
        for (std::size_t bytes = 1; bytes <= max_small_bytes + 1; bytes += bytes < 1100 ? 1 : 37)
            ASSERT_EQ(aligned_class_of(bytes, align), search(bytes, align))
                << bytes << " aligned to " << align;
    EXPECT_EQ(aligned_class_of(0, 64), search(1, 64));
    EXPECT_EQ(aligned_class_of(1, 2 * max_slot_align), 0U);
    EXPECT_EQ(aligned_class_of(SIZE_MAX, 8), 0U);
}

TEST(SizeClass, SlotNumbersAreExactAtEveryOffset) {
    for (unsigned c = 1; c < size_class_count; ++c)
        for (std::uint32_t offset = 0; offset <= size_classes[c].span_bytes; ++offset)
            ASSERT_EQ(object_index(c, offset), offset / size_classes[c].object_bytes)
                << c << " at " << offset;
    EXPECT_EQ(object_index(0, 123456), 0U) << "a large object is slot 0 throughout";
}

TEST(SizeClass, WasteIsThatOfTheSourceNotes) {
    EXPECT_EQ(smallest_request(5), 33U);
    EXPECT_EQ(max_waste(5).part, (48U - 33U) * 170U + 32U);
    EXPECT_EQ(max_waste(5).whole, 8192U);
    EXPECT_NEAR(max_waste(5).value(), 0.31518, 0.00001);
    EXPECT_EQ(max_waste(1).percent_hundredths(), 8750U);
    EXPECT_EQ(max_waste(67).percent_hundredths(), 1250U);
    EXPECT_EQ(smallest_request(67), 28673U);
}

TEST(SizeClass, NoSpanLosesMoreThanAnEighthToItsTail) {
    for (unsigned c = 1; c < size_class_count; ++c)
        EXPECT_LE(std::uint64_t{tail_waste(c)} * 8, size_classes[c].span_bytes) << c;
}

// From the size on the right, every class has the alignment on the left.
TEST(SizeClass, AlignmentsHoldForAllLargerClassesFromTheKnownSizes) {
    struct {
        std::uint32_t align, from_bytes;
    } constexpr cases[] = {{8, 8}, {16, 32}, {32, 256}, {64, 512}, {128, 768}, {4096, 28672}, {8192, 32768}};
    for (const auto& wanted : cases) {
        std::uint32_t from = 0;
        for (unsigned c = size_class_count - 1; c > 0 && min_align(c) >= wanted.align; --c)
            from = size_classes[c].object_bytes;
        EXPECT_EQ(from, wanted.from_bytes) << wanted.align;
    }
    EXPECT_EQ(min_align(67), max_slot_align) << "32768 divides further, but spans start at any page";
}

}  // namespace
}  // namespace cairn::heap
