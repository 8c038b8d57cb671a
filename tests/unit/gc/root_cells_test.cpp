// Root cells: allocation by many threads, scanning, and what counts as changed.
// SPDX-License-Identifier: MIT
#include "gc/root_cells.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <set>
#include <thread>
#include <vector>

#include "base/config.hpp"

namespace cairn::gc {
namespace {

void* value_of(std::uintptr_t number) {
    return reinterpret_cast<void*>(number);
}

class Cells : public testing::Test {
protected:
    Cells() { cells_.initialize(metadata_); }

    // The words below `limit` that are not null, in order; addresses of other cells are above it.
    std::vector<std::uintptr_t> values(bool is_changed_only = false) {
        std::vector<std::uintptr_t> found;
        const auto note = [](void* context, std::uintptr_t low, std::uintptr_t high) {
            for (; low < high; low += sizeof(void*)) {
                const auto word = reinterpret_cast<std::uintptr_t>(
                    reinterpret_cast<RootCell*>(low)->load(std::memory_order_relaxed));
                if (word != 0 && word < limit)
                    static_cast<std::vector<std::uintptr_t>*>(context)->push_back(word);
            }
        };
        for (std::size_t slab = 0; slab < cells_.slab_count(); ++slab)
            cells_.visit_slab(slab, is_changed_only, note, &found);
        return found;
    }

    static constexpr std::uintptr_t limit = 1 << 24;
    pages::Metadata metadata_;
    RootCells cells_;
};

using Values = std::vector<std::uintptr_t>;

TEST_F(Cells, HoldNullUntilTheyAreSet) {
    RootCell* cell = cells_.allocate();
    EXPECT_EQ(RootCells::get(cell), nullptr);
    cells_.set(cell, value_of(7));
    EXPECT_EQ(RootCells::get(cell), value_of(7));
    EXPECT_EQ(values(), Values{7});
    cells_.free(cell);
    EXPECT_EQ(values(), Values{}) << "a freed cell is no root";
    CellCache cache;
    EXPECT_EQ(cells_.allocate(cache)->load(), nullptr) << "whatever its last owner left";
}

TEST_F(Cells, AreScannedAcrossSlabs) {
    std::vector<RootCell*> owned;
    CellCache cache;
    for (std::uintptr_t i = 1; i <= 20'000; ++i) {
        owned.push_back(i % 2 == 0 ? cells_.allocate(cache) : cells_.allocate());
        ASSERT_NE(owned.back(), nullptr);
        cells_.set(owned.back(), value_of(i));
    }
    EXPECT_EQ(cells_.slab_count(), 3u) << "8176 cells each";
    const Values found = values();
    EXPECT_EQ(std::set<std::uintptr_t>(found.begin(), found.end()).size(), 20'000u);
    for (RootCell* cell : owned) cells_.free(cache, cell);
    EXPECT_LE(cache.count, 64u);
    cells_.flush(cache);
    EXPECT_EQ(cache.count, 0u);
    EXPECT_EQ(values(), Values{});
    for (RootCell*& cell : owned) cell = cells_.allocate(cache);
    EXPECT_EQ(cells_.slab_count(), 3u) << "all used again";
}

TEST_F(Cells, ChangedOnesAreKnownByBlock) {
    std::vector<RootCell*> owned;
    for (std::uintptr_t i = 1; i <= 2'000; ++i) {
        owned.push_back(cells_.allocate());
        cells_.set(owned.back(), value_of(i));
    }
    EXPECT_EQ(values(true).size(), 2'000u);
    cells_.begin_epoch();
    EXPECT_EQ(values(true), Values{});
    cells_.set(owned[700], value_of(9'000));
    const Values changed = values(true);
    EXPECT_EQ(changed.size(), 511u) << "its block and no other";
    EXPECT_NE(std::find(changed.begin(), changed.end(), 9'000u), changed.end());
    cells_.begin_epoch();
    EXPECT_EQ(values(true), Values{});
    EXPECT_EQ(values().size(), 2'000u);
}

TEST_F(Cells, ThreadsShareThem) {
    constexpr unsigned thread_count = 4;
    std::vector<std::thread> threads;
    std::vector<RootCell*> kept[thread_count];
    std::atomic<bool> is_over{false};
    for (unsigned t = 0; t < thread_count; ++t) {
        threads.emplace_back([&, t] {
            CellCache cache;
            std::vector<RootCell*> owned;
            std::uint64_t state = t + 1;
            for (unsigned step = 0; step < 60'000; ++step) {
                state = state * 6364136223846793005 + 1442695040888963407;
                if (owned.size() < 500 && (state >> 60) < 9) {
                    RootCell* cell = cells_.allocate(cache);
                    ASSERT_EQ(RootCells::get(cell), nullptr) << "somebody else has it too";
                    cells_.set(cell, value_of(t + 1));
                    owned.push_back(cell);
                } else if (!owned.empty()) {
                    std::swap(owned[state % owned.size()], owned.back());
                    ASSERT_EQ(RootCells::get(owned.back()), value_of(t + 1));
                    cells_.free(cache, owned.back());
                    owned.pop_back();
                }
            }
            cells_.flush(cache);
            kept[t] = owned;
        });
    }
    std::thread scanner([&] {
        while (!is_over) {
            for (const std::uintptr_t value : values()) ASSERT_LE(value, thread_count);
        }
    });
    for (std::thread& thread : threads) thread.join();
    is_over = true;
    scanner.join();
    std::size_t count = 0;
    std::set<RootCell*> distinct;
    for (const auto& owned : kept) {
        count += owned.size();
        distinct.insert(owned.begin(), owned.end());
    }
    EXPECT_EQ(distinct.size(), count);
    EXPECT_EQ(values().size(), count);
    EXPECT_LE(cells_.slab_count(), 2u);
}

TEST_F(Cells, CostOfAMillion) {
    if (base::sanitized_build) GTEST_SKIP() << "figures of an uninstrumented build";
    constexpr unsigned count = 1'000'000;
    CellCache cache;
    std::vector<RootCell*> owned(count);
    const auto now = [] { return std::chrono::steady_clock::now(); };
    const auto start = now();
    for (unsigned i = 0; i < count; ++i) {
        owned[i] = cells_.allocate(cache);
        cells_.set(owned[i], value_of(i));
    }
    const auto allocated = now();
    std::uintptr_t sum = 0;
    const auto add_up = [](void* context, std::uintptr_t low, std::uintptr_t high) {
        std::uintptr_t part = 0;
        for (; low < high; low += sizeof(void*))
            part += *reinterpret_cast<const volatile std::uintptr_t*>(low);
        *static_cast<std::uintptr_t*>(context) += part;
    };
    for (std::size_t slab = 0; slab < cells_.slab_count(); ++slab)
        cells_.visit_slab(slab, false, add_up, &sum);
    const auto scanned = now();
    cells_.begin_epoch();
    for (std::size_t slab = 0; slab < cells_.slab_count(); ++slab)
        cells_.visit_slab(slab, true, add_up, &sum);
    const auto unchanged = now();
    for (RootCell* cell : owned) cells_.free(cache, cell);
    const auto freed = now();
    const auto ns = [](auto took) { return std::chrono::duration<double, std::nano>(took).count(); };
    std::printf(
        "[   COST   ] root cells: allocate and set %.1f ns, free %.1f ns; 1,000,000 scanned in %.0f us, "
        "unchanged ones skipped in %.0f us\n",
        ns(allocated - start) / count, ns(freed - unchanged) / count, ns(scanned - allocated) / 1000,
        ns(unchanged - scanned) / 1000);
    EXPECT_GT(sum, 0u);
}

}  // namespace
}  // namespace cairn::gc
