// The root set when the OS refuses memory, and with modules that a test invents.
// SPDX-License-Identifier: MIT
#include "gc/roots.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <vector>

#include "os/fake.hpp"
#include "os/fake_dirty_pages.hpp"
#include "os/fake_modules.hpp"
#include "os/memory.hpp"

namespace cairn::gc {
namespace {

using os::fake::Move;

constexpr std::uintptr_t mark = 0xC0DE'0000'0000'0000;

std::uintptr_t address_of(const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer);
}

class FakeRoots : public testing::Test {
protected:
    FakeRoots() {
        os::fake::reset();
        os::fake::set_modules(nullptr, 0);
        os::fake::allow_dirty_tracking(true);
        roots_.initialize(metadata_);
        for (std::size_t i = 0; i < word_count; ++i) words_[i] = mark | i;
    }
    ~FakeRoots() override {
        os::fake::allow_dirty_tracking(false);
        os::fake::set_modules(nullptr, 0);
        os::fake::reset();
    }

    using Numbers = std::set<std::uintptr_t>;
    static void look(void* context, std::uintptr_t low, std::uintptr_t high) {
        for (; low < high; low += 8) {
            const std::uintptr_t word = *reinterpret_cast<const std::uintptr_t*>(low);
            if ((word & mark) == mark) static_cast<Numbers*>(context)->insert(word & ~mark);
        }
    }
    Numbers visit(Reading reading = Reading::while_stopped) {
        roots_.prepare_jobs();
        Numbers numbers;
        for (std::size_t job = 0; job < roots_.job_count(); ++job)
            roots_.visit_job(job, reading, nullptr, look, &numbers);
        return numbers;
    }
    Numbers visit_changed(os::DirtyTracker& tracker) {
        Numbers numbers;
        for (std::size_t job = 0; job < roots_.job_count(); ++job)
            roots_.visit_changed(job, Reading::while_stopped, &tracker, true, look, &numbers);
        return numbers;
    }
    // Words [first, last) as a segment of a module that covers `module_words` words from `module_first` on.
    os::ModuleSegment segment(std::size_t first, std::size_t last, std::size_t module_first,
                              std::size_t module_words) const {
        const std::uintptr_t base = address_of(words_);
        return {base + first * 8, base + last * 8, base + module_first * 8,
                base + (module_first + module_words) * 8, false};
    }

    static constexpr std::size_t word_count = 20 * 4096 / 8;
    alignas(4096) std::uintptr_t words_[word_count];
    pages::Metadata metadata_;
    RootSet roots_;
};

TEST_F(FakeRoots, ARefusalChangesNothing) {
    ASSERT_TRUE(roots_.add_range(address_of(words_), address_of(words_ + 4)));
    const Numbers before = visit();
    EXPECT_EQ(before, (Numbers{0, 1, 2, 3}));
    os::fake::fail(Move::alloc, 1, os::fake::for_ever);
    // What memory is left serves a few; then the refusals come, and none of them loses or invents a root.
    std::size_t added = 0;
    while (added < word_count / 4 - 2 &&
           roots_.add_range(address_of(words_ + 8 + 4 * added), address_of(words_ + 9 + 4 * added)))
        ++added;
    ASSERT_LT(added, word_count / 4 - 2) << "refusals were ordered";
    EXPECT_FALSE(roots_.exclude_range(address_of(words_), address_of(words_ + 1)));
    EXPECT_FALSE(roots_.remove_range(address_of(words_ + 1), address_of(words_ + 2)));
    EXPECT_EQ(visit().size(), 4 + added);
    os::fake::fail(Move::alloc, 1, 0);
    EXPECT_TRUE(roots_.remove_range(address_of(words_ + 1), address_of(words_ + 2)));
    EXPECT_EQ(visit().size(), 3 + added);
    EXPECT_TRUE(roots_.add_range(address_of(words_ + 9), address_of(words_ + 10)));
}

TEST_F(FakeRoots, CellsRunOutAndComeBack) {
    os::fake::fail(Move::alloc, 1, os::fake::for_ever);
    CellCache cache;
    EXPECT_EQ(roots_.cells().allocate(), nullptr);
    EXPECT_EQ(roots_.cells().allocate(cache), nullptr);
    os::fake::fail(Move::alloc, 1, 0);
    EXPECT_NE(roots_.cells().allocate(cache), nullptr);
}

TEST_F(FakeRoots, ModulesWithoutMemoryAreNotForgotten) {
    roots_.add_all_modules();
    std::vector<os::ModuleSegment> segments;
    for (std::size_t i = 0; i < os::fake::segments_max; ++i)
        segments.push_back(segment(10 * i, 10 * i + 2, 10 * i, 10));
    os::fake::set_modules(segments.data(), segments.size());
    os::fake::fail(Move::alloc, 1, os::fake::for_ever);
    EXPECT_FALSE(roots_.refresh());
    EXPECT_FALSE(roots_.is_current());
    EXPECT_EQ(visit(), Numbers{});
    for (unsigned allowed = 1; allowed < 8; ++allowed) {
        os::fake::fail(Move::alloc, allowed + 1, os::fake::for_ever);
        if (roots_.refresh()) break;
        EXPECT_FALSE(roots_.is_current());
        (void)visit();
    }
    os::fake::fail(Move::alloc, 1, 0);
    ASSERT_TRUE(roots_.refresh() && roots_.is_current());
    EXPECT_EQ(visit().size(), 2 * os::fake::segments_max);
}

TEST_F(FakeRoots, ChosenModulesComeAndGo) {
    const os::ModuleSegment first = segment(0, 4, 0, 100), other = segment(110, 114, 100, 100);
    const os::ModuleSegment both[] = {first, segment(50, 52, 0, 100), other};
    os::fake::set_modules(both, 3);
    ASSERT_TRUE(roots_.add_module(address_of(words_ + 99)));
    ASSERT_TRUE(roots_.refresh());
    EXPECT_EQ(visit(), (Numbers{0, 1, 2, 3, 50, 51}));
    os::fake::set_modules(&other, 1);
    EXPECT_FALSE(roots_.is_current());
    ASSERT_TRUE(roots_.refresh() && roots_.is_current());
    EXPECT_EQ(visit(), Numbers{});
    ASSERT_TRUE(roots_.add_module(address_of(words_ + 100)) && roots_.refresh());
    EXPECT_EQ(visit(Reading::beside_program), (Numbers{110, 111, 112, 113}));
    ASSERT_TRUE(roots_.exclude_range(address_of(words_ + 111), address_of(words_ + 113)));
    EXPECT_EQ(visit(), (Numbers{110, 113}));
    ASSERT_TRUE(roots_.exclude_module(address_of(words_ + 150)) && roots_.refresh());
    EXPECT_EQ(visit(), Numbers{});
}

TEST_F(FakeRoots, ALostTrackerShowsAllOfIt) {
    os::DirtyTracker tracker;
    ASSERT_TRUE(tracker.start());
    ASSERT_TRUE(roots_.add_range(address_of(words_ + 1), address_of(words_ + word_count - 1)));
    roots_.prepare_jobs();
    roots_.watch_parts(tracker);
    EXPECT_EQ(visit_changed(tracker), Numbers{});
    words_[5000] = mark | 70'000;
    EXPECT_EQ(visit_changed(tracker).count(70'000), 1u);
    os::fake::lose_dirty_tracking();
    EXPECT_EQ(visit_changed(tracker).size(), word_count - 2);
    EXPECT_EQ(visit_changed(tracker), Numbers{});
}

}  // namespace
}  // namespace cairn::gc
