// Cleanup ids: never twice, never believed when made up.
// SPDX-License-Identifier: MIT
#include "gc/cleanup_ids.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace cairn::gc {
namespace {

TEST(CleanupIdsTest, AgreesWithAModel) {
    static pages::Metadata metadata;
    static CleanupIds ids;
    ids.initialize(metadata);
    std::map<std::uint64_t, std::uintptr_t> model;
    std::set<std::uint64_t> ever;
    std::mt19937_64 random(11);
    for (int i = 0; i < 30000; ++i) {
        if (random() % 5 < 3 || model.empty()) {
            const std::uintptr_t address = random() | 1;
            const std::uint64_t id = ids.take(address);
            ASSERT_TRUE(id != 0 && ever.insert(id).second) << "a number is used once";
            model[id] = address;
        } else {
            const auto at = model.lower_bound(random() % *ever.rbegin());
            if (at == model.end()) continue;
            ASSERT_EQ(ids.find(at->first), at->second);
            ids.drop(at->first);
            ASSERT_EQ(ids.find(at->first), 0u);
            model.erase(at);
        }
        ASSERT_EQ(ids.find(random()), 0u) << "made up";
    }
    for (const std::uint64_t id : ever) {
        const auto known = model.find(id);
        ASSERT_EQ(ids.find(id), known == model.end() ? 0 : known->second);
    }
    EXPECT_EQ(ids.find(0), 0u);
}

}  // namespace
}  // namespace cairn::gc
