// The two layouts on the real system: where ranges come from, what a look-up of any address answers.
// SPDX-License-Identifier: MIT
#include "pages/arena_layout.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "base/bits.hpp"
#include "os/memory.hpp"

namespace cairn::pages {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;

constexpr std::uintptr_t wild_addresses[] = {
    0,
    1,
    0xfff,
    0x400000,
    0x00c0'0000'0000 - 1,
    0x7fff'ffff'ffff,
    0x8000'0000'0000,
    0xffff'7fff'ffff'ffff,
    0xffff'8000'0000'0000,
    0xffff'ffff'ffff'ffff,
    0x0101'0101'0101'0101,
    0xdead'beef'dead'beef,
};

// Runs `body` in a child with nothing at the usual places of arenas, and with `bytes` of address space
// more than it has now; the child's answer is true.
template <class Body>
bool holds_with_address_space(std::size_t bytes, Body body) {
    const pid_t child = fork();
    if (child == 0) {
        for (std::uintptr_t i = 0; i < 64; ++i)  // what earlier tests left; programs lie above
            munmap(reinterpret_cast<void*>(i << 40 | 0xc0'0000'0000), std::size_t{1} << 40);
        FILE* file = fopen("/proc/self/statm", "r");
        unsigned long pages = 0;
        if (file == nullptr || fscanf(file, "%lu", &pages) != 1) _exit(2);
        const rlimit limit{pages * sysconf(_SC_PAGESIZE) + bytes, RLIM_INFINITY};
        if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
        _exit(body() ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(SparseLayout, KnowsNothingBeforeItIsMade) {
    static constinit SparseLayout layout;
    for (const std::uintptr_t address : wild_addresses) {
        EXPECT_EQ(layout.record_of(address), nullptr);
        EXPECT_EQ(layout.page_entry(address), 0);
        EXPECT_EQ(layout.span_of(address), nullptr);
        EXPECT_FALSE(layout.tables(address));
    }
}

TEST(SparseLayout, DescribesWhatItReserved) {
    Metadata metadata;
    SparseLayout layout;
    ASSERT_TRUE(layout.initialize(metadata));
    const AddressRange range = layout.reserve(base::chunk_bytes);
    ASSERT_EQ(range.bytes(), arena_bytes);
    EXPECT_TRUE(base::is_aligned(range.base, arena_bytes));
    EXPECT_EQ(layout.record_of(range.base), nullptr);
    ASSERT_TRUE(layout.describe(range));
    ASSERT_TRUE(layout.describe(range));
    EXPECT_EQ(layout.record_count(), 1u);

    const ArenaRecord* record = layout.record_of(range.base);
    ASSERT_NE(record, nullptr);
    EXPECT_EQ(record->base, range.base);
    EXPECT_EQ(layout.record_of(range.end - 1), record);
    EXPECT_EQ(layout.record_of(range.base - 1), nullptr);
    EXPECT_EQ(layout.record_of(range.end), nullptr);
    EXPECT_EQ(layout.first_record(), record);

    const PageTables tables = layout.tables(range.base + 5 * base::page_bytes + 17);
    EXPECT_EQ(tables.base, range.base);
    EXPECT_EQ(tables.end, range.end);
    EXPECT_EQ(tables.page_of(range.base + 5 * base::page_bytes + 17), 5u);
}

// 0xc000000000 is arena 2,109,440 of the 48-bit index, whose entry 2^21 stands for address 0.
TEST(SparseLayout, PutsTheFirstArenaWhereGoDoes) {
    if (base::sanitized_build) GTEST_SKIP() << "sanitizers own that place";
    static_assert(*arena_index(running_platform, 0xc0'0000'0000) == 2'109'440);
    const bool is_there = holds_with_address_space(std::size_t{1} << 30, [] {
        Metadata metadata;
        SparseLayout layout;
        if (!layout.initialize(metadata)) return false;
        const AddressRange first = layout.reserve(1);
        const AddressRange second = layout.reserve(1);
        return first.base == 0xc0'0000'0000 && second.base == first.end;
    });
    EXPECT_TRUE(is_there);
}

TEST(SparseLayout, AnswersNothingForWildAddresses) {
    Metadata metadata;
    SparseLayout layout;
    ASSERT_TRUE(layout.initialize(metadata));
    ASSERT_TRUE(layout.describe(layout.reserve(1)));
    for (const std::uintptr_t address : wild_addresses) {
        EXPECT_EQ(layout.page_entry(address), 0);
        EXPECT_EQ(layout.span_of(address), nullptr);
    }
}

TEST(SparseLayout, IndexCostsOnlyWhatIsTouched) {
    Metadata metadata;
    SparseLayout layout;
    ASSERT_TRUE(layout.initialize(metadata));
    EXPECT_EQ(layout.index_bytes(), 32 * mib);
    EXPECT_EQ(layout.untouched_index_bytes(), 32 * mib);
    ASSERT_TRUE(layout.describe(layout.reserve(1)));
    EXPECT_EQ(layout.untouched_index_bytes(), 32 * mib - os::page_bytes());
}

TEST(SparseLayout, ClimbsDownWhenAddressSpaceIsShort) {
    if (base::sanitized_build) GTEST_SKIP() << "sanitizers need address space themselves";
    const bool is_alone = holds_with_address_space(std::size_t{512} << 20, [] {
        return os::address_space_limit() < std::size_t{1} << 30;  // the layout's own idea of "short"
    });
    if (!is_alone) GTEST_SKIP() << "earlier tests' threads hold address space; runs alone under ctest";
    struct Case {
        const char* name;
        std::size_t room;
        std::size_t expected;
    };
    // Below 1 GiB of address space the index takes half a MiB; what remains goes to the heap.
    for (const Case& c : {Case{"plenty", 200 * mib, 64 * mib}, Case{"less than an arena", 60 * mib, 32 * mib},
                          Case{"half of that", 30 * mib, 16 * mib}, Case{"little", 15 * mib, 8 * mib},
                          Case{"one chunk", 6 * mib, 4 * mib}}) {
        EXPECT_TRUE(holds_with_address_space(c.room, [&c] {
            Metadata metadata;
            SparseLayout layout;
            if (!layout.initialize(metadata)) return false;
            const AddressRange range = layout.reserve(1);
            return range.bytes() == c.expected && layout.describe(range) &&
                   layout.record_of(range.base) != nullptr && layout.reserved_bytes() == c.expected;
        })) << c.name;
    }
}

TEST(SparseLayout, FailsCleanlyWithoutAnyAddressSpace) {
    if (base::sanitized_build) GTEST_SKIP() << "sanitizers need address space themselves";
    EXPECT_TRUE(holds_with_address_space(100 * 1024, [] {
        Metadata metadata;
        SparseLayout layout;
        return !layout.initialize(metadata) && layout.failure() == LayoutFailure::refused &&
               layout.record_of(0xc0'0000'0000) == nullptr;
    }));
}

TEST(LinearLayout, IsOneReservationWithArraysByOffset) {
    Metadata metadata;
    LinearLayout layout;
    if (!layout.initialize(metadata)) GTEST_SKIP() << "no 528.5 GiB of address space here";
    EXPECT_EQ(LinearLayout::total_bytes, (std::size_t{512} + 16 * 1024 + 512 * 1024) * mib);
    EXPECT_EQ(layout.reserved_bytes(), LinearLayout::total_bytes);
    const std::uintptr_t base = layout.arena_base();
    EXPECT_EQ(layout.described_end(), base);
    EXPECT_EQ(layout.span_of(base), nullptr);

    const AddressRange all = layout.reserve(1);
    EXPECT_EQ(all.base, base);
    EXPECT_EQ(all.bytes(), LinearLayout::heap_bytes);
    EXPECT_TRUE(layout.reserve(1).is_empty());

    ASSERT_TRUE(layout.describe({base, base + base::chunk_bytes}));
    EXPECT_EQ(layout.described_end(), base + base::chunk_bytes);
    const PageTables tables = layout.tables(base + 3 * base::page_bytes);
    ASSERT_TRUE(tables);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tables.spans), base - (16 * 1024 + 512) * mib);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tables.page_entry), base - 16 * 1024 * mib);
    EXPECT_FALSE(layout.tables(base + base::chunk_bytes));
    EXPECT_FALSE(layout.tables(base - 1));
    for (const std::uintptr_t address : wild_addresses) EXPECT_EQ(layout.page_entry(address), 0);
}

TEST(LinearLayout, SaysSoWhenItIsRefused) {
    if (base::sanitized_build) GTEST_SKIP() << "sanitizers need address space themselves";
    EXPECT_TRUE(holds_with_address_space(std::size_t{4} << 30, [] {
        Metadata metadata;
        LinearLayout layout;
        return !layout.initialize(metadata) && layout.failure() == LayoutFailure::refused &&
               layout.span_of(0xc0'0000'0000) == nullptr && layout.reserved_bytes() == 0;
    }));
}

}  // namespace
}  // namespace cairn::pages
