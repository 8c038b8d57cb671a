// An LRU cache server with threads: workers look up, insert and evict; evicted entries free themselves while
// readers may still hold them.
//
// Without a collector this takes hazard pointers or reference counts on the hot path. Here a reader takes a
// plain pointer out of a shard and goes on using it after the lock is gone.
// SPDX-License-Identifier: MIT
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "cairn/cairn.hpp"

struct Entry {
    cairn::Ptr<Entry> newer, older;  // the order of use
    cairn::Ptr<Entry> next_in_bucket;
    cairn::Ptr<char> body;  // noscan memory
    std::uint64_t key = 0;
    std::uint32_t size = 0;
    static constexpr auto cairn_pointers =
        cairn::pointers(&Entry::newer, &Entry::older, &Entry::next_in_bucket, &Entry::body);
};

// A part of the cache with a lock of its own; lives on the collected heap itself.
class Shard {
public:
    static constexpr std::size_t buckets = 1024, capacity = 2000;

    Entry* find(std::uint64_t key) {
        const std::lock_guard guard(lock_);
        Entry* entry = bucket(key);
        while (entry != nullptr && entry->key != key) entry = entry->next_in_bucket;
        if (entry != nullptr && entry != newest_) {
            unlink(entry);
            link_newest(entry);
        }
        return entry;
    }
    void insert(Entry* entry) {
        const std::lock_guard guard(lock_);
        entry->next_in_bucket = bucket(entry->key);
        bucket(entry->key) = entry;
        link_newest(entry);
        if (++count_ > capacity) evict();
    }
    [[nodiscard]] std::size_t count() const { return count_; }

private:
    cairn::Ptr<Entry>& bucket(std::uint64_t key) { return table_[key % buckets]; }
    void link_newest(Entry* entry) {
        entry->newer = nullptr;
        entry->older = newest_;
        if (newest_) newest_->newer = entry;
        newest_ = entry;
        if (!oldest_) oldest_ = entry;
    }
    void unlink(Entry* entry) {
        (entry->newer ? entry->newer->older : newest_) = entry->older;
        (entry->older ? entry->older->newer : oldest_) = entry->newer;
    }
    void evict() {
        Entry* entry = oldest_;
        unlink(entry);
        cairn::Ptr<Entry>* link = &bucket(entry->key);
        while (*link != entry) link = &(*link)->next_in_bucket;
        *link = entry->next_in_bucket;
        --count_;
        // No delete: a reader may be in the middle of it.
    }

    std::mutex lock_;
    std::size_t count_ = 0;
    cairn::Ptr<Entry> newest_, oldest_;
    std::array<cairn::Ptr<Entry>, buckets> table_;

public:
    static constexpr auto cairn_pointers = cairn::pointers(&Shard::newest_, &Shard::oldest_, &Shard::table_);
};

struct Cache {
    static constexpr std::size_t shard_count = 16;
    Shard shards[shard_count];
    Shard& shard(std::uint64_t key) { return shards[key / Shard::buckets % shard_count]; }
    static constexpr auto cairn_pointers = cairn::pointers(&Cache::shards);
};

char byte_of(std::uint64_t key) {
    return static_cast<char>('a' + key % 26);
}

Entry* make_entry(std::uint64_t key) {
    Entry* entry = cairn::make<Entry>();
    entry->key = key;
    entry->size = static_cast<std::uint32_t>(200 + key % 1000);
    entry->body = static_cast<char*>(cairn_alloc_noscan(entry->size));
    if (!entry->body) cairn::out_of_memory();
    std::memset(entry->body, byte_of(key), entry->size);
    return entry;
}

std::atomic<std::uint64_t> hits{0}, misses{0}, wrong{0};

void serve(Cache& cache, std::uint64_t seed, int requests) {
    std::uint64_t random = seed;
    for (int i = 0; i < requests; ++i) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const std::uint64_t draw = random >> 33;
        const std::uint64_t key = draw % 4 == 0 ? draw % 200'000 : draw % 20'000;  // some are asked for often
        Entry* entry = cache.shard(key).find(key);
        (entry != nullptr ? hits : misses).fetch_add(1, std::memory_order_relaxed);
        if (entry == nullptr) {
            entry = make_entry(key);
            cache.shard(key).insert(entry);
        }
        // Used outside of the lock: another worker may be evicting it.
        if (entry->body[0] != byte_of(key) || entry->body[entry->size - 1] != byte_of(key))
            wrong.fetch_add(1, std::memory_order_relaxed);
    }
}

int main() {
    constexpr int workers = 4, requests = 200'000;
    cairn::Root<Cache> cache = cairn::make<Cache>();
    std::vector<std::thread> threads;
    for (int i = 0; i < workers; ++i)
        threads.emplace_back([&cache, i] { serve(*cache, static_cast<std::uint64_t>(i + 1), requests); });
    for (std::thread& thread : threads) thread.join();

    std::size_t entries = 0;
    for (const Shard& shard : cache->shards) entries += shard.count();
    cairn::collect();
    const cairn::Stats stats = cairn::stats();
    std::printf("%d workers: %llu hits, %llu misses, %zu entries\n", workers,
                static_cast<unsigned long long>(hits.load()), static_cast<unsigned long long>(misses.load()),
                entries);
    std::printf("%.0f MB allocated, %.0f MB live, %llu cycles, stops: p99 %.0f us, longest %.0f us\n",
                static_cast<double>(stats.allocated_bytes) / 1e6,
                static_cast<double>(stats.heap_live_bytes) / 1e6,
                static_cast<unsigned long long>(stats.cycles), static_cast<double>(stats.stop_p99_ns) / 1e3,
                static_cast<double>(stats.stop_max_ns) / 1e3);
    const bool is_right = wrong == 0 && hits + misses == std::uint64_t{workers} * requests &&
                          entries <= Cache::shard_count * Shard::capacity;
    return is_right ? 0 : 1;
}
