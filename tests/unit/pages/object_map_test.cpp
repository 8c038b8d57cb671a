// The object map against a model that keeps a bit a slot; windows small and large.
// SPDX-License-Identifier: MIT
#include "pages/object_map.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "pages/arena_layout.hpp"

namespace cairn::pages {
namespace {

// Nothing of the memory that is described is touched, so any address will do.
constexpr std::uintptr_t arena = std::uintptr_t{0x00c0'0000'0000};

std::unique_ptr<ObjectMap> make_map(std::uintptr_t base = arena, std::size_t bytes = arena_bytes) {
    auto map = std::make_unique<ObjectMap>();
    EXPECT_TRUE(map->prepare(base, bytes));
    return map;
}

TEST(ObjectMap, BoundsGrowByArenasAndWhatLiesBetweenIsEmpty) {
    const auto map = make_map(arena + 1234 * 8192, 8192);
    EXPECT_EQ(map->bounds().low, arena);
    EXPECT_EQ(map->bounds().extent, arena_bytes);
    EXPECT_TRUE(map->is_prepared(arena, arena_bytes));
    EXPECT_FALSE(map->is_prepared(arena, arena_bytes + 1));
    EXPECT_FALSE(map->is_prepared(arena - 1, 2));
    ASSERT_TRUE(map->prepare(arena + 10 * arena_bytes, arena_bytes + 1));
    EXPECT_EQ(map->bounds().low, arena);
    EXPECT_EQ(map->bounds().extent, 12 * arena_bytes);
    EXPECT_FALSE(map->bounds().holds(arena - 1));
    EXPECT_TRUE(map->bounds().holds(arena));
    EXPECT_FALSE(map->bounds().holds(arena + 12 * arena_bytes));
    EXPECT_FALSE(map->bounds().holds(0));
    for (std::uintptr_t at = arena; at < arena + 12 * arena_bytes; at += 100 * 8192)
        ASSERT_EQ(map->entry(at), 0) << "a stray word finds nothing";
    ASSERT_TRUE(map->prepare(arena - arena_bytes, 1));
    EXPECT_EQ(map->bounds().low, arena - arena_bytes);
    EXPECT_EQ(map->bounds().extent, 13 * arena_bytes);
}

TEST(ObjectMap, EntriesTellShapeAndPageUntilTheyAreCleared) {
    const auto map = make_map();
    for (unsigned shape : {0u, 1u, 300u, max_shape_ids - 1}) {
        map->set_entries(arena + 8192, 10, shape, false);
        EXPECT_EQ(map->entry(arena), 0);
        EXPECT_EQ(map->entry(arena + 11 * 8192), 0);
        for (unsigned page = 0; page < 10; ++page) {
            for (const std::uintptr_t offset : {0u, 1u, 8191u}) {
                const std::uint16_t entry = map->entry(arena + 8192 * (page + 1) + offset);
                ASSERT_NE(entry & object_entry_present, 0);
                ASSERT_EQ(object_entry_shape(entry), shape);
                ASSERT_EQ(entry & object_entry_page_mask, page);
            }
        }
        map->set_entries(arena + 8192, 10, shape, true);
        for (unsigned page = 0; page < 10; ++page)
            ASSERT_EQ(map->entry(arena + 8192 * (page + 1)) & object_entry_page_mask, object_entry_large);
        map->clear_entries(arena + 8192, 10);
        for (unsigned page = 0; page < 12; ++page) ASSERT_EQ(map->entry(arena + 8192 * page), 0);
    }
}

// The bits of two words side by side, by granule.
struct Model {
    std::set<std::uintptr_t> allocated, marked;

    void check(const ObjectMap& map, std::uintptr_t low, std::uintptr_t high) const {
        for (std::uintptr_t at = low; at < high; at += granule_bytes) {
            ASSERT_EQ(map.is_allocated(at), allocated.count(at) != 0) << std::hex << at;
            ASSERT_EQ(map.is_marked(at), marked.count(at) != 0) << std::hex << at;
        }
    }
};

TEST(ObjectMap, RunsSetTheBitsOfTheirSlotsAndNoOthers) {
    const auto map = make_map();
    std::mt19937_64 random(20240601);
    constexpr std::size_t strides[] = {16,  32,   48,   64,   80,   112,  144,
                                       208, 1024, 1040, 1152, 3200, 8192, 10880};
    Model model;
    const std::uintptr_t low = arena + 3 * 8192;
    const std::uintptr_t high = low + 10 * 8192;
    for (int round = 0; round < 3000; ++round) {
        const std::size_t stride = strides[random() % std::size(strides)];
        const std::size_t slots = (high - low) / stride;
        const std::size_t first = random() % slots;
        const std::size_t count = random() % (slots - first + 1);
        const std::uintptr_t start = low + first * stride;
        const unsigned what = static_cast<unsigned>(random() % 5);
        if (what == 0) map->set_run(start, count, stride, false);
        if (what == 1) map->set_run(start, count, stride, true);
        if (what == 2) map->mark_run(start, count, stride);
        if (what == 3) map->clear_run(start, count, stride);
        if (what == 4) map->unmark_run(start, count, stride);
        for (std::size_t i = 0; i < count; ++i) {
            const std::uintptr_t slot = start + i * stride;
            if (what <= 1) model.allocated.insert(slot);
            if (what == 1 || what == 2) model.marked.insert(slot);
            if (what == 3) model.allocated.erase(slot);
            if (what >= 3) model.marked.erase(slot);
        }
        if (round % 50 == 0) model.check(*map, low - 8192, high + 8192);
    }
    model.check(*map, low - 8192, high + 8192);
}

TEST(ObjectMap, ClearsTheMarksOfAllPagesInUse) {
    const auto map = make_map();
    Model model;
    map->set_entries(arena, 3, 9, false);
    map->set_entries(arena + 100 * 8192, 1, 9, true);
    for (const std::uintptr_t slot : {arena, arena + 3 * 8192 - 16, arena + 100 * 8192})
        map->set_run(slot, 1, 16, true), model.allocated.insert(slot);
    map->clear_marks();
    model.check(*map, arena, arena + 101 * 8192);
}

TEST(ObjectMap, AMarkIsSetByOneOfManyThreads) {
    const auto map = make_map();
    constexpr std::size_t slots = 20'000;
    std::atomic<std::size_t> won{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            std::size_t mine = 0;
            for (std::size_t slot = 0; slot < slots; ++slot) {
                const std::size_t at = i % 2 == 0 ? slot : slots - 1 - slot;
                mine += map->try_mark(arena + at * granule_bytes);
            }
            won += mine;
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(won, slots);
    for (std::size_t slot = 0; slot < slots; ++slot)
        ASSERT_TRUE(map->is_marked(arena + slot * granule_bytes));
    EXPECT_FALSE(map->is_marked(arena + slots * granule_bytes));
    EXPECT_FALSE(map->is_allocated(arena));
}

// Where the address space is bounded the window is small and lies around the first arena.
int with_little_address_space(std::uint64_t more) {
    std::uint64_t pages = 0;  // maps of earlier tests count as well
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr || std::fscanf(file, "%lu", &pages) != 1) return 11;
    std::fclose(file);
    const rlimit limit{pages * 4096 + more, pages * 4096 + more};
    if (setrlimit(RLIMIT_AS, &limit) != 0) return 1;
    static ObjectMap map;
    if (!map.prepare(arena, arena_bytes)) return 2;
    if (map.window_bytes() >= std::uintptr_t{1} << 47) return 3;
    if (map.bounds().low != arena || map.bounds().extent != arena_bytes) return 4;
    map.set_entries(arena, 5, 77, false);
    map.set_run(arena + 160, 10, 160, true);
    if (object_entry_shape(map.entry(arena + 8192)) != 77) return 5;
    if (!map.is_marked(arena + 320) || map.is_marked(arena + 336)) return 6;
    // What is too far is refused, and nothing of it is believed.
    if (map.prepare(arena + (std::uintptr_t{1} << 46), arena_bytes)) return 7;
    if (map.prepare(arena_bytes, arena_bytes)) return 8;
    if (map.bounds().extent != arena_bytes) return 9;
    // Neighbours upward fit.
    if (!map.prepare(arena + arena_bytes, 3 * arena_bytes)) return 10;
    return map.bounds().extent == 4 * arena_bytes ? 0 : 12;
}

TEST(ObjectMap, SmallWindowsServeASmallAddressSpace) {
    if (base::sanitized_build) GTEST_SKIP() << "a sanitizer takes terabytes of addresses";
    for (const unsigned bits : {30, 33, 36}) {
        const std::uint64_t bytes = std::uint64_t{1} << bits;
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) _exit(with_little_address_space(bytes));
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0) << "limit " << bytes << ", step " << WEXITSTATUS(status);
    }
}

}  // namespace
}  // namespace cairn::pages
