// Threads for tests of the world: attached while they live, told what to do, searched for words.
//
// A word that a test looks for is made by exclusive-or with a key at the place where it shall be, so that no
// other copy of it lies about.
// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "gc/world.hpp"
#include "os/process.hpp"

namespace cairn::gc {

inline constinit World world;

inline constexpr std::uintptr_t key = 0x5a5a'1234'9876'a5a5;
// Hidden words: the true one is `hidden ^ key`.
inline std::uintptr_t hidden_word(unsigned n) { return (0x00c0'ffee'0000'0000 + n * 0x1000) ^ key; }

// Makes a record that stays for ever, as the world asks.
template <class Record = ThreadRecord>
Record* make_record() {
    static std::mutex mutex;
    static auto* all = new std::deque<Record>;
    std::lock_guard guard(mutex);
    return &all->emplace_back();
}

// Runs everything it does inside our own code, as a collector would.
class Inside {
public:
    explicit Inside(ThreadRecord& thread) : thread_(thread) { World::enter_runtime(thread_); }
    ~Inside() { World::leave_runtime(thread_); }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

private:
    ThreadRecord& thread_;
};

__attribute__((no_sanitize("address", "thread"))) inline unsigned count_words(std::uintptr_t low,
                                                                              std::uintptr_t high,
                                                                              std::uintptr_t hidden) {
    unsigned count = 0;
    for (std::uintptr_t at = low; at + sizeof(void*) <= high; at += sizeof(void*))
        count += (*reinterpret_cast<const volatile std::uintptr_t*>(at) ^ key) == hidden;
    return count;
}

// How often the word is among the roots of a thread that stands still.
inline unsigned count_in_roots(const ThreadRecord& thread, std::uintptr_t hidden) {
    unsigned count = 0;
    World::for_each_root_range(thread, [&](std::uintptr_t low, std::uintptr_t high) {
        EXPECT_EQ(low % sizeof(void*), 0u);
        EXPECT_EQ(high % sizeof(void*), 0u);
        EXPECT_LE(low, high);
        count += count_words(low, high, hidden);
    });
    return count;
}

// A thread of the test's that is attached and runs `body`.
class AttachedThread {
public:
    using Body = std::function<void(AttachedThread&)>;

    explicit AttachedThread(Body body) : record_(make_record()) {
        thread_ = std::thread([this, body] {
            world.attach(*record_);
            body(*this);
            world.detach(*record_);
        });
    }
    ~AttachedThread() { end(); }
    void end() {
        is_told_.store(true);
        if (thread_.joinable()) thread_.join();
    }

    void announce() { is_ready_.store(true); }
    void wait_until_ready() const {
        while (!is_ready_.load()) os::yield_cpu();
    }
    bool is_told_to_end() const { return is_told_.load(std::memory_order_relaxed); }
    ThreadRecord& record() { return *record_; }
    std::thread& thread() { return thread_; }

    std::atomic<std::uint64_t> rounds{0};
    const std::atomic<bool>& told() const { return is_told_; }

private:
    ThreadRecord* record_;
    std::atomic<bool> is_ready_{false};
    std::atomic<bool> is_told_{false};
    std::thread thread_;
};

inline void spin(AttachedThread& self) {
    self.announce();
    while (!self.is_told_to_end()) self.rounds.fetch_add(1, std::memory_order_relaxed);
}

class WorldTest : public testing::Test {
protected:
    // The handler belongs to the process, and other suites take it for themselves.
    static void SetUpTestSuite() { ASSERT_TRUE(world.initialize()) << world.failure(); }
    void SetUp() override { world.attach(*self); }
    void TearDown() override { world.detach(*self); }

    // Runs `check` with the world stopped.
    template <class Check>
    void stopped(Check check) {
        ASSERT_TRUE(world.stop_all(self)) << world.failure();
        check();
        world.resume_all();
    }

    ThreadRecord* self = make_record();
};

}  // namespace cairn::gc
