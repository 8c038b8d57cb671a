// The real moves on real pages: what each does, what each counts, and how each is refused.
// SPDX-License-Identifier: MIT
#include "os/memory.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "base/bits.hpp"
#include "base/config.hpp"

namespace cairn::os {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t gib = std::size_t{1} << 30;
constexpr std::size_t range_bytes = 4 * mib;

bool is_resident(void* page) {
    unsigned char state = 0;
    return mincore(page, page_bytes(), &state) == 0 && (state & 1) != 0;
}

bool is_mapped(void* page) {
    unsigned char state = 0;
    return mincore(page, page_bytes(), &state) == 0;
}

std::size_t address_space_pages() {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    std::size_t pages = 0;
    if (std::fscanf(file, "%zu", &pages) != 1) pages = 0;
    std::fclose(file);
    return pages;
}

// Each test starts with what others left and compares with that.
class Memory : public testing::Test {
protected:
    void expect_counted(std::uint64_t ready, std::uint64_t stat) {
        EXPECT_EQ(mapped_ready() - ready_before_, ready);
        EXPECT_EQ(stat_.value(), stat);
    }

    Stat stat_;
    std::uint64_t ready_before_ = mapped_ready();
};

using MemoryDeathTest = Memory;

TEST_F(Memory, KnowsThePageSizes) {
    EXPECT_EQ(page_bytes(), static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
    const std::size_t huge = huge_page_bytes();
    EXPECT_TRUE(huge == 0 || (base::is_power_of_two(huge) && huge <= 4 * mib && huge > page_bytes())) << huge;
}

TEST_F(Memory, AllocGivesZeroedMemory) {
    auto* bytes = static_cast<unsigned char*>(alloc(range_bytes, stat_));
    ASSERT_NE(bytes, nullptr);
    expect_counted(range_bytes, range_bytes);
    for (std::size_t i = 0; i < range_bytes; i += 512) ASSERT_EQ(bytes[i], 0);
    std::memset(bytes, 1, range_bytes);
    free(bytes, range_bytes, stat_);
    expect_counted(0, 0);
    EXPECT_FALSE(is_mapped(bytes));
}

TEST_F(Memory, ARangeGoesThroughAllStates) {
    char* start = static_cast<char*>(reserve(nullptr, range_bytes));
    ASSERT_NE(start, nullptr);
    expect_counted(0, 0);
    ASSERT_TRUE(map(start, range_bytes, stat_));
    expect_counted(0, range_bytes);
    used(start, mib, mib);
    expect_counted(mib, range_bytes);
    used(start, 2 * mib, mib);  // half was ready already
    expect_counted(2 * mib, range_bytes);
    std::memset(start, 1, 2 * mib);
    EXPECT_TRUE(is_resident(start));
    unused(start, mib);
    expect_counted(mib, range_bytes);
    EXPECT_FALSE(is_resident(start));
    EXPECT_EQ(start[mib], 1);
    used(start, mib, mib);
    std::memset(start, 2, mib);
    fault(start, 2 * mib);
    expect_counted(0, range_bytes);
    EXPECT_FALSE(is_resident(start));
    release(start, range_bytes);
    EXPECT_FALSE(is_mapped(start));
}

TEST_F(Memory, AFaultedRangeCanBeMappedAgain) {
    char* start = static_cast<char*>(reserve(nullptr, range_bytes));
    ASSERT_TRUE(map(start, range_bytes, stat_));
    used(start, range_bytes, range_bytes);
    fault(start, range_bytes);
    Stat again;
    ASSERT_TRUE(map(start, range_bytes, again));
    used(start, range_bytes, range_bytes);
    start[range_bytes - 1] = 1;
    free(start, range_bytes, again);
    expect_counted(0, range_bytes);
}

TEST_F(Memory, AHintIsTakenWhereFree) {
    void* hole = reserve(nullptr, range_bytes);
    release(hole, range_bytes);
    EXPECT_EQ(reserve(hole, range_bytes), hole);
    release(hole, range_bytes);
}

TEST_F(Memory, AHintNeverTakesWhatIsThere) {
    char* taken = static_cast<char*>(alloc(range_bytes, stat_));
    std::memset(taken, 7, range_bytes);
    void* elsewhere = reserve(taken + mib, range_bytes);
    ASSERT_NE(elsewhere, nullptr);
    EXPECT_NE(elsewhere, taken + mib);
    EXPECT_EQ(taken[mib], 7);
    EXPECT_EQ(taken[range_bytes - 1], 7);
    release(elsewhere, range_bytes);
    free(taken, range_bytes, stat_);
}

TEST_F(Memory, AlignedReservationsKeepNothingElse) {
    for (std::size_t alignment : {page_bytes(), 64 * page_bytes(), 4 * mib, 64 * mib, gib}) {
        const std::size_t before = address_space_pages();
        void* start = reserve_aligned(range_bytes, alignment);
        ASSERT_NE(start, nullptr);
        EXPECT_TRUE(base::is_aligned(reinterpret_cast<std::uintptr_t>(start), alignment)) << alignment;
        if (!base::sanitized_build) {
            EXPECT_EQ(address_space_pages() - before, range_bytes / page_bytes());
        }
        release(start, range_bytes);
    }
    EXPECT_EQ(reserve_aligned(~std::size_t{0} - mib + 1, 4 * mib), nullptr);
}

TEST_F(Memory, ReservingCostsNothing) {
    void* start = reserve(nullptr, 256 * gib);
    ASSERT_NE(start, nullptr);
    EXPECT_FALSE(is_resident(start));
    release(start, 256 * gib);
}

TEST_F(Memory, TrimmingLeavesTheMiddle) {
    char* start = static_cast<char*>(reserve(nullptr, 3 * mib));
    release(start, mib);
    release(start + 2 * mib, mib);
    EXPECT_FALSE(is_mapped(start));
    EXPECT_TRUE(is_mapped(start + mib));
    EXPECT_FALSE(is_mapped(start + 2 * mib));
    release(start + mib, mib);
    expect_counted(0, 0);
}

// Giving back must work for programs that lock their memory.
TEST_F(Memory, UnusedWorksOnLockedMemory) {
    char* start = static_cast<char*>(alloc(page_bytes(), stat_));
    if (mlock(start, page_bytes()) != 0) GTEST_SKIP() << "may not lock memory";
    *start = 1;
    unused(start, page_bytes());
    expect_counted(0, page_bytes());
    used(start, page_bytes(), page_bytes());
    EXPECT_EQ(*start, 0);
    free(start, page_bytes(), stat_);
}

TEST_F(Memory, HintsAreHarmless) {
    char* start = static_cast<char*>(alloc(range_bytes, stat_));
    back(start, range_bytes);
    std::memset(start, 3, range_bytes);
    back(start, range_bytes / 2);
    want_huge_pages(start, range_bytes);
    refuse_huge_pages(start, range_bytes);
    EXPECT_EQ(start[range_bytes / 2], 3);
    free(start, range_bytes, stat_);
}

TEST_F(Memory, HugePagesBackAnAlignedRange) {
    if (huge_page_bytes() == 0) GTEST_SKIP() << "no huge pages here";
    char* start = static_cast<char*>(reserve_aligned(range_bytes, range_bytes));
    ASSERT_TRUE(map(start, range_bytes, stat_));
    used(start, range_bytes, range_bytes);
    want_huge_pages(start, range_bytes);
    *start = 1;
    // Memory may be too fragmented for a huge page, so nothing is demanded but that it can be used.
    EXPECT_TRUE(is_resident(start));
    free(start, range_bytes, stat_);
}

TEST_F(Memory, KeepsErrno) {
    const auto expect_kept = [](const char* call) {
        EXPECT_EQ(errno, 4321) << call;
        errno = 4321;
    };
    errno = 4321;
    char* start = static_cast<char*>(reserve(nullptr, range_bytes));
    expect_kept("reserve");
    EXPECT_EQ(reserve(nullptr, std::size_t{1} << 62), nullptr);
    expect_kept("reserve, refused");
    EXPECT_EQ(alloc(std::size_t{1} << 62, stat_), nullptr);
    expect_kept("alloc, refused");
    EXPECT_EQ(reserve_aligned(std::size_t{1} << 61, std::size_t{1} << 61), nullptr);
    expect_kept("reserve_aligned, refused");
    ASSERT_TRUE(map(start, range_bytes, stat_));
    used(start, range_bytes, range_bytes);
    back(start, range_bytes);
    back(start + 1, mib);
    want_huge_pages(start, range_bytes);
    refuse_huge_pages(start, range_bytes);
    unused(start, mib);
    fault(start + mib, mib);
    expect_kept("map to fault");
    release(start, range_bytes);
    EXPECT_FALSE(map(start, page_bytes(), stat_));
    expect_kept("map, refused");
    (void)huge_page_bytes();
    (void)page_bytes();
    expect_kept("sizes");
}

TEST_F(MemoryDeathTest, ReservedMemoryFaults) {
    char* start = static_cast<char*>(reserve(nullptr, range_bytes));
    EXPECT_DEATH(*static_cast<volatile char*>(start) = 1, "");
    ASSERT_TRUE(map(start, range_bytes, stat_));
    used(start, range_bytes, range_bytes);
    *start = 1;
    fault(start, range_bytes);
    EXPECT_DEATH((void)*static_cast<volatile char*>(start), "");
    release(start, range_bytes);
}

TEST_F(MemoryDeathTest, PartsOfAPageAreRefused) {
    char* start = static_cast<char*>(alloc(range_bytes, stat_));
    EXPECT_DEATH(unused(start + 1, page_bytes()), "internal check failed");
    EXPECT_DEATH(unused(start, page_bytes() + 1), "internal check failed");
    EXPECT_DEATH(fault(start, 1), "internal check failed");
    EXPECT_DEATH(release(start + 8, page_bytes()), "internal check failed");
    free(start, range_bytes, stat_);
}

// What a child may do to itself; exit code 0 says all was as expected.
void refuse_address_space() {
    rlimit limit{2 * gib, 2 * gib};
    if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
    Stat stat;
    const std::uint64_t before = mapped_ready();
    if (reserve(nullptr, 64 * gib) != nullptr) _exit(3);
    if (reserve_aligned(64 * gib, 64 * mib) != nullptr) _exit(4);
    if (alloc(64 * gib, stat) != nullptr) _exit(5);
    if (stat.value() != 0 || mapped_ready() != before) _exit(6);
    if (!base::sanitized_build && reserve(nullptr, mib) == nullptr) _exit(7);
    _exit(0);
}

TEST_F(MemoryDeathTest, AddressSpaceIsRefusedCleanly) {
    EXPECT_EXIT(refuse_address_space(), testing::ExitedWithCode(0), "");
}

// Every other page readable until the kernel has no mapping left; then all moves must still be sane.
void exhaust_mappings() {
    constexpr std::size_t pages = 200'000;
    const std::size_t page = page_bytes();
    Stat stat;
    char* start = static_cast<char*>(reserve(nullptr, pages * page));
    std::size_t islands = 0;
    while (2 * islands + 1 < pages && map(start + 2 * islands * page, page, stat)) ++islands;
    if (2 * islands + 1 >= pages) _exit(0);  // a kernel without a limit
    if (stat.value() != islands * page) _exit(2);
    char* island = start + 2 * (islands / 2) * page;
    used(island, page, page);
    *island = 1;
    unused(island, page);
    used(island, page, page);
    if (*island != 0) _exit(3);
    release(start + (2 * (islands / 2) + 1) * page, page);  // between islands: no new mapping needed
    char* wide = start + (2 * islands + 10) * page;
    release(wide, page);  // splits the rest: refused by the kernel, harmless
    fault(island, page);  // joins its neighbours
    _exit(0);
}

TEST_F(MemoryDeathTest, RunningOutOfMappingsIsSurvived) {
    EXPECT_EXIT(exhaust_mappings(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace cairn::os
