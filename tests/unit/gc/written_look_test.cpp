// The look at written pages that all markers share: each page once, all the way round, and what comes late.
// SPDX-License-Identifier: MIT
#include "gc/written_look.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "unit/gc/small_collector.hpp"

namespace cairn::gc {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t object_bytes = std::size_t{1} << 20;
constexpr unsigned object_count = 24;

class WrittenLookTest : public testing::Test {
protected:
    // Large objects all of whose pages are there and armed, and one without pointers between them.
    void SetUp() override {
        if (!tracker.start()) GTEST_SKIP() << tracker.unavailable_reason();
        for (unsigned i = 0; i < object_count; ++i) {
            const bool is_plain = i == object_count / 2;
            objects[i] = reinterpret_cast<char*>(collector.allocate_large(
                object_bytes, is_plain ? heap::ObjectKind::noscan : heap::ObjectKind::conservative));
            std::memset(objects[i], 1, object_bytes);
            if (is_plain) continue;
            const auto low = reinterpret_cast<std::uintptr_t>(objects[i]);
            ASSERT_TRUE(tracker.watch(low, object_bytes));
            ASSERT_TRUE(tracker.arm(low, object_bytes));
        }
    }

    const pages::ObjectMap& map() const { return collector.spans.objects(); }
    std::uintptr_t write(unsigned object, std::size_t page_index) {
        char* const at = objects[object] + page_index * page;
        *at = 2;
        return reinterpret_cast<std::uintptr_t>(at) & ~(page - 1);
    }
    // What `threads` hear, each page of it once.
    std::set<std::uintptr_t> ask_all(unsigned threads) {
        std::set<std::uintptr_t> heard;
        std::mutex lock;
        std::vector<std::thread> crowd;
        for (unsigned i = 0; i < threads; ++i) {
            crowd.emplace_back([&] {
                std::uint64_t bytes = 0;
                const auto hear = [&](std::uintptr_t low, std::uintptr_t high) {
                    const std::lock_guard guard(lock);
                    for (; low < high; low += page) EXPECT_TRUE(heard.insert(low).second) << "heard twice";
                };
                while (look.ask_next(hear, bytes)) {
                }
            });
        }
        for (std::thread& thread : crowd) thread.join();
        return heard;
    }

    SmallCollector& collector = SmallCollector::make();
    os::DirtyTracker tracker;
    WorkPool pool;
    WrittenLook look;
    char* objects[object_count] = {};
};

TEST_F(WrittenLookTest, TellsEachWrittenPageOnceWhereverItBegins) {
    std::uintptr_t start = 0;
    for (unsigned round = 0; round < 4; ++round) {
        std::set<std::uintptr_t> written;
        for (unsigned i = 0; i < object_count; ++i)
            if (i != object_count / 2) written.insert(write(i, (i * 7 + round) % (object_bytes / page)));
        (void)write(object_count / 2, 3);
        look.open(map(), tracker, pool, start);
        EXPECT_EQ(ask_all(1 + round), written) << "and nothing without pointers";
        EXPECT_EQ(look.take_seen().pages, written.size());
        EXPECT_EQ(look.take_seen().pages, 0u);
        (void)look.close();
        start = reinterpret_cast<std::uintptr_t>(objects[round * 5]) + round * page * 100;
    }
    look.open(map(), tracker, pool, start);
    EXPECT_TRUE(ask_all(2).empty()) << "armed again";
    (void)look.close();
}

TEST_F(WrittenLookTest, GoesOnWhereItWasClosed) {
    std::set<std::uintptr_t> written, heard;
    for (unsigned i = 0; i < object_count; ++i)
        if (i != object_count / 2) written.insert(write(i, 17));
    std::uint64_t bytes = 0;
    const auto hear = [&](std::uintptr_t low, std::uintptr_t) { heard.insert(low); };
    std::uintptr_t next = 0;
    unsigned looks = 0;
    for (; heard != written && looks < 1000; ++looks) {
        look.open(map(), tracker, pool, next);
        EXPECT_TRUE(look.ask_next(hear, bytes));
        next = look.close();
        EXPECT_FALSE(pool.has_questions());
    }
    EXPECT_EQ(heard, written);
    EXPECT_GE(looks, object_count * object_bytes / WrittenLook::chunk_bytes / 2);
    EXPECT_EQ(bytes, written.size() * page);
}

TEST_F(WrittenLookTest, AllMayAskWhereLittleWasWritten) {
    for (unsigned i = 0; i < object_count; ++i)
        for (std::size_t at = 0; at < object_bytes / page; ++at) (void)write(i, at);
    const auto ignore = [](std::uintptr_t, std::uintptr_t) {};
    std::uint64_t bytes = 0;
    look.open(map(), tracker, pool, 0);
    EXPECT_FALSE(pool.has_questions());
    EXPECT_TRUE(look.ask_next(ignore, bytes));
    while (look.ask_next(ignore, bytes) && bytes < 4 * object_bytes) EXPECT_FALSE(pool.has_questions());
    (void)look.close();
    look.open(map(), tracker, pool, 0);
    (void)ask_all(1);
    (void)look.close();
    look.open(map(), tracker, pool, 0);
    EXPECT_TRUE(look.ask_next(ignore, bytes));
    EXPECT_TRUE(pool.has_questions());
    EXPECT_FALSE(pool.is_dry());
    while (look.ask_next(ignore, bytes)) {
    }
    EXPECT_FALSE(pool.has_questions());
    EXPECT_TRUE(pool.is_dry());
    (void)look.close();
}

// One that is to be the last leaves the pages as they are, and all may ask from the start.
TEST_F(WrittenLookTest, ALastLookTakesNothingAway) {
    std::set<std::uintptr_t> written;
    for (unsigned i = 0; i < object_count; i += 5)
        if (i != object_count / 2) written.insert(write(i, i * 3));
    const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(objects[7]);
    for (unsigned threads = 1; threads <= 3; ++threads) {
        look.open(map(), tracker, pool, start, WrittenLook::Kind::last);
        EXPECT_TRUE(pool.has_questions());
        EXPECT_EQ(ask_all(threads), written);
        EXPECT_FALSE(pool.has_questions());
        const WrittenLook::Seen seen = look.take_seen();
        EXPECT_EQ(seen.pages, written.size());
        EXPECT_GE(seen.bytes, std::uint64_t{object_count} * object_bytes);
        EXPECT_LE(seen.bytes, map().bounds().extent);
        (void)look.close();
    }
    look.open(map(), tracker, pool, start);
    EXPECT_FALSE(pool.has_questions());
    EXPECT_EQ(ask_all(2), written) << "armed again by this one alone";
    (void)look.close();
    look.open(map(), tracker, pool, start, WrittenLook::Kind::last);
    EXPECT_TRUE(ask_all(2).empty());
    (void)look.close();
}

// The stop ends while a marker waits for the kernel's answer: that is not the whole truth any more.
TEST_F(WrittenLookTest, AnAnswerThatComesLateIsAskedForAgain) {
    const std::uintptr_t written = write(0, 5);
    std::uint64_t bytes = 0;
    look.open(map(), tracker, pool, written);
    bool was_heard = false;
    const auto close = [&](std::uintptr_t low, std::uintptr_t) {
        was_heard = low == written;
        (void)look.close();
    };
    EXPECT_TRUE(look.ask_next(close, bytes));
    EXPECT_TRUE(was_heard);
    look.open(map(), tracker, pool, 0);
    EXPECT_TRUE(ask_all(2).contains(written));
    (void)look.close();
}

}  // namespace
}  // namespace cairn::gc
