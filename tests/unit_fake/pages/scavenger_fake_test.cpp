// The scavenger over a strict system: only ready memory is returned, in whole OS pages; commits stay exact.
// SPDX-License-Identifier: MIT
#include "pages/scavenger.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "base/bits.hpp"
#include "os/fake.hpp"
#include "os/memory.hpp"
#include "pages/address_space.hpp"
#include "pages/page_alloc.hpp"

namespace cairn::pages {
namespace {

using os::fake::Move;
using os::fake::State;

constexpr std::size_t mib = std::size_t{1} << 20;

void* pointer(std::uintptr_t address) { return reinterpret_cast<void*>(address); }

class ScavengerFake : public testing::Test {
protected:
    void SetUp() override { os::fake::reset(); }

    void make(std::size_t pages) {
        ASSERT_TRUE(space_.initialize(LayoutModel::sparse, metadata_));
        pages_.initialize(metadata_);
        AddressSpace::Grown leftover;
        const AddressSpace::Grown grown = space_.grow(pages, leftover);
        ASSERT_NE(grown.bytes, 0u);
        ASSERT_TRUE(pages_.grow(grown.base, grown.bytes));
        base_ = grown.base;
        bytes_ = grown.bytes;
    }
    // As a span would: commits exactly what was scavenged. OS pages are no larger than ours here.
    PageRun take(std::size_t pages) {
        const PageRun run = pages_.allocate(pages);
        if (run) os::used(pointer(run.base), pages * base::page_bytes, run.scavenged_bytes);
        return run;
    }

    Metadata metadata_;
    AddressSpace space_;
    PageAlloc pages_;
    Scavenger::HeapLock lock_;
    Scavenger scavenger_;
    std::uintptr_t base_ = 0;
    std::size_t bytes_ = 0;
};

TEST_F(ScavengerFake, FreshMemoryNeedsNoRelease) {
    make(1024);
    EXPECT_EQ(scavenger_.release(pages_, lock_, SIZE_MAX, true), 0u);
    EXPECT_EQ(os::fake::calls(Move::unused), 0u);
}

TEST_F(ScavengerFake, RandomUseAndReleaseKeepsTheBooksExact) {
    const unsigned seed = 20240608;
    RecordProperty("seed", static_cast<int>(seed));
    std::mt19937 random(seed);
    make(2048);
    struct Held {
        std::uintptr_t base;
        std::size_t pages;
        unsigned char mark;
    };
    std::vector<Held> held;
    for (int i = 0; i < 3000; ++i) {
        const unsigned choice = random() % 16;
        if (choice < 8) {
            const std::size_t pages = 1 + random() % (choice == 0 ? 300 : 20);
            const PageRun run = take(pages);
            if (!run) continue;
            held.push_back({run.base, pages, static_cast<unsigned char>(i)});
            *static_cast<unsigned char*>(pointer(run.base + pages * base::page_bytes - 1)) = held.back().mark;
        } else if (choice < 15 && !held.empty()) {
            std::swap(held[random() % held.size()], held.back());
            const Held gone = held.back();
            held.pop_back();
            const std::uintptr_t last = gone.base + gone.pages * base::page_bytes - 1;
            ASSERT_EQ(*static_cast<unsigned char*>(pointer(last)), gone.mark);
            pages_.free(gone.base, gone.pages);
        } else if (choice == 15) {
            (void)scavenger_.release(pages_, lock_, random() % (2 * mib), random() % 2 == 0);
        }
        if (i % 100 == 0) pages_.verify();
        if (i % 50 == 0) pages_.advance_generation();
        ASSERT_EQ(os::fake::bytes_in(State::prepared), pages_.scavenged_pages() * base::page_bytes) << i;
    }
    for (const Held& one : held) pages_.free(one.base, one.pages);
    (void)scavenger_.release(pages_, lock_, SIZE_MAX, true);
    EXPECT_TRUE(os::fake::is_all(pointer(base_), bytes_, State::prepared));
    EXPECT_FALSE(lock_.is_held());
}

TEST_F(ScavengerFake, ReturnsWholeOsPagesWhenTheyAreLargerThanOurs) {
    os::fake::set_page_bytes(64 * 1024, 0);
    make(512);
    const PageRun all = pages_.allocate(512);
    os::used(pointer(all.base), bytes_, all.scavenged_bytes);
    pages_.free(all.base + 3 * base::page_bytes, 500);
    const std::size_t released = scavenger_.release(pages_, lock_, SIZE_MAX, true);
    EXPECT_EQ(released, 61u * 64 * 1024) << "pages 8 to 495 of 3 to 502";
    EXPECT_TRUE(os::fake::is_all(pointer(all.base), 64 * 1024, State::ready));
}

TEST_F(ScavengerFake, BackgroundLoopReturnsASpikeInTime) {
    constexpr std::uint64_t ms = 1'000'000;
    make(16 * 1024);
    const PageRun all = take(16 * 1024);
    os::fake::set_cost(Move::unused, 5 * 1000);  // 64 KiB of small pages
    RetainGoal goal;
    ScavengePacer pacer;
    std::uint64_t now = 1'000 * ms;
    std::uint64_t last_end = now;
    std::uint64_t worked = 0;
    (void)goal.update(bytes_, now);
    pages_.free(all.base, 16 * 1024);
    const std::uint64_t end = now + 10'000 * ms;
    while (now < end) {
        const std::uint64_t backed = (pages_.free_pages() - pages_.scavenged_pages()) * base::page_bytes;
        const std::uint64_t backlog = scavenge_backlog({goal.update(0, now), no_goal}, backed, 0);
        pages_.advance_generation();
        ScavengePacer::Batch batch;
        while (!ScavengePacer::is_batch_done(batch.worked_ns, 0) && batch.released_bytes < backlog) {
            const std::uint64_t before = os::fake::calls(Move::unused);
            const std::size_t got = scavenger_.release(pages_, lock_, ScavengePacer::quantum_bytes, false);
            if (got == 0) break;
            batch.released_bytes += got;
            batch.worked_ns += (os::fake::calls(Move::unused) - before) * 5000;
        }
        if (batch.released_bytes == 0) {
            pacer.rest();
            now += 100 * ms;
            last_end = now;
            continue;
        }
        now += batch.worked_ns;
        worked += batch.worked_ns;
        batch.elapsed_ns = now - last_end;
        batch.backlog_bytes = backlog > batch.released_bytes ? backlog - batch.released_bytes : 0;
        last_end = now;
        now += pacer.sleep_after(batch);
    }
    EXPECT_GE(pages_.scavenged_pages(), 16 * 1024 * 9 / 10u);
    EXPECT_LE(worked, 200 * ms);
    pages_.verify();
}

}  // namespace
}  // namespace cairn::pages
