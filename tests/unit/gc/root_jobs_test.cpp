// Root jobs in the work pool: each is taken once, by whomever, and the pool is not dry before that.
// SPDX-License-Identifier: MIT
#include "gc/root_jobs.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

TEST(RootJobs, EachIsTakenOnceByAnyOfManyThreads) {
    constexpr std::size_t jobs = 20'000;
    constexpr unsigned threads = 4;
    WorkPool pool;
    for (int round = 0; round < 5; ++round) {
        std::vector<std::atomic<int>> taken(jobs);
        EXPECT_TRUE(pool.is_dry());
        pool.offer_jobs(jobs);
        EXPECT_FALSE(pool.is_dry());
        std::vector<std::thread> takers;
        for (unsigned i = 0; i < threads; ++i)
            takers.emplace_back([&] {
                for (std::size_t job = 0; pool.take_job(job);) taken[job].fetch_add(1);
            });
        for (std::thread& taker : takers) taker.join();
        EXPECT_TRUE(pool.is_dry());
        for (std::size_t job = 0; job < jobs; ++job) ASSERT_EQ(taken[job].load(), 1) << job;
    }
}

// Words in several shards, each the only pointer to an object; a marker that begins empty-handed finds all.
TEST(RootJobs, AMarkerThatHasNothingElseScansThem) {
    SmallCollector& collector = SmallCollector::make();
    std::vector<void*> words(3 * RootSet::shard_bytes / sizeof(void*));
    std::vector<void**> objects;
    for (std::size_t i = 0; i < words.size(); i += 1000) {
        objects.push_back(collector.allocate());
        words[i] = objects.back();
    }
    RootSet roots;
    roots.initialize(collector.spans.metadata());
    const auto low = reinterpret_cast<std::uintptr_t>(words.data());
    ASSERT_TRUE(roots.add_range(low, low + words.size() * sizeof(void*)));
    ASSERT_TRUE(roots.refresh());
    roots.prepare_jobs();
    ASSERT_GE(roots.job_count(), 3u);
    RootJobs jobs;
    jobs.initialize(roots);
    MarkSpace space = collector.space;
    space.roots = &jobs;
    jobs.offer(collector.pool, nullptr, false);
    Marker marker(space);
    EXPECT_TRUE(marker.drain(UINT64_MAX / 2));
    marker.flush();
    EXPECT_TRUE(collector.pool.is_dry());
    for (void** object : objects)
        EXPECT_TRUE(collector.spans.objects().is_marked(reinterpret_cast<std::uintptr_t>(object)));
}

}  // namespace
}  // namespace cairn::gc
