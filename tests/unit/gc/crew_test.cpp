// The crew: a session that is ended early loses no work, and the next one goes on with it.
// SPDX-License-Identifier: MIT
#include "gc/crew.hpp"

#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

// Chains that one helper follows for some milliseconds. Sessions are dismissed while it is at work, unless
// we lose our CPU for so long.
TEST(CrewTest, WhatADismissedHelperHadIsLeftForTheNextSession) {
    constexpr std::size_t chains = 64, links = 10'000;
    SmallCollector& collector = SmallCollector::make();
    static constinit Crew crew;  // its helpers stay
    crew.initialize(collector.space);
    crew.hire(1);
    EXPECT_FALSE(crew.is_open());
    crew.dismiss();  // of no session: nothing
    EXPECT_EQ(crew.close().marked_objects, 0u);
    std::vector<void**> roots;
    for (std::size_t i = 0; i < chains; ++i) {
        void** first = nullptr;
        for (std::size_t k = 0; k < links; ++k) {
            void** object = collector.allocate();
            object[0] = first;
            first = object;
        }
        roots.push_back(first);
    }
    Marker leader(collector.space);
    for (void** root : roots) leader.push(reinterpret_cast<std::uintptr_t>(root));
    leader.flush();
    std::uint64_t marked = 0;
    unsigned sessions = 0;
    for (; !collector.space.pool->is_dry() && sessions < 100'000; ++sessions) {
        crew.open(1);
        while (crew.is_idle() && !collector.space.pool->is_dry()) std::this_thread::yield();
        crew.dismiss();
        EXPECT_TRUE(crew.is_open());  // until it is closed
        crew.dismiss();               // twice is once
        if (crew.await_helpers(sessions % 2 == 0 ? 0 : 100'000)) {
            EXPECT_TRUE(crew.is_idle());
        }
        marked += crew.close().marked_objects;
        EXPECT_FALSE(crew.is_open());
        EXPECT_TRUE(crew.is_idle());
    }
    EXPECT_EQ(marked, chains * links);
}

}  // namespace
}  // namespace cairn::gc
