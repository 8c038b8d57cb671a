// The heap against a model: random malloc, calloc, realloc, aligned and free over several threads' caches, on
// both layouts, first in one thread and then in many that hand objects to each other.
//
// The model knows where every live object is, how long, and what was written into it. A failure prints its
// seed; CAIRN_TEST_SEED=N runs that one again.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "unit/heap/malloc_heap.hpp"

namespace cairn::heap {
namespace {

constexpr unsigned cache_count = 4;

std::vector<unsigned> seeds() {
    if (const char* given = std::getenv("CAIRN_TEST_SEED")) {
        return {static_cast<unsigned>(std::strtoul(given, nullptr, 10))};
    }
    return {1, 2, 3, std::random_device()()};
}

// Sizes as programs ask for them: mostly small, some at the borders of classes, few large.
std::size_t random_bytes(std::mt19937& random) {
    const unsigned what = random() % 100;
    if (what < 60) return random() % 256;
    if (what < 80) return random() % 4096;
    if (what < 90) return size_classes[1 + random() % (size_class_count - 1)].object_bytes + random() % 3 - 1;
    if (what < 98) return random() % (64 * kib);
    return random() % (2 * mib);
}

// Contents that tell one object from every other.
class Filled {
public:
    Filled(void* start, std::size_t bytes, unsigned mark)
        : start_(static_cast<unsigned char*>(start)), bytes_(bytes), mark_(mark) {
        each([](unsigned char& byte, unsigned char want) { byte = want; });
    }
    // Of the first `bytes` only.
    [[nodiscard]] bool is_intact(std::size_t bytes) const {
        bool is_same = true;
        Filled part = *this;
        part.bytes_ = std::min(bytes, bytes_);
        part.each([&is_same](unsigned char& byte, unsigned char want) { is_same = is_same && byte == want; });
        return is_same;
    }
    [[nodiscard]] bool is_intact() const { return is_intact(bytes_); }
    [[nodiscard]] void* start() const { return start_; }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }
    void move_to(void* start) { start_ = static_cast<unsigned char*>(start); }

private:
    // Small objects whole, large ones here and there; what a byte should hold depends on its offset only.
    template <class Visit>
    void each(Visit visit) {
        const std::size_t step = bytes_ <= 512 ? 1 : 61;
        const std::size_t dense = std::min<std::size_t>(bytes_, 512);
        for (std::size_t i = 0; i < dense; ++i) visit(start_[i], value(i));
        for (std::size_t i = 512; step > 1 && i < bytes_; i += 1021) visit(start_[i], value(i));
    }
    [[nodiscard]] unsigned char value(std::size_t offset) const {
        return static_cast<unsigned char>(mark_ * 31 + offset * 7 + 1);
    }

    unsigned char* start_;
    std::size_t bytes_;
    unsigned mark_;
};

class Model {
public:
    Model(pages::LayoutModel layout, unsigned seed) : random_(seed) {
        Heap::Settings settings;
        settings.spans.layout = layout;
        settings.verify_often = seed % 2 == 0;
        EXPECT_TRUE(heap_.start(settings));
        for (ThreadCache*& cache : caches_) cache = heap_->attach();
    }
    ~Model() { unmap(heap_->spans()); }

    void step() {
        const unsigned what = random_() % 1000;
        ThreadCache& cache = *caches_[random_() % cache_count];
        // Waves: the heap grows for a while, then shrinks.
        const unsigned share = steps_++ / 4096 % 2 == 0 ? 550 : 380;
        if (what < share) allocate(cache);
        else if (what < 900) drop(cache);
        else if (what < 985) resize(cache);
        else if (what < 990) heap_->flush(cache);
        else if (what < 994) heap_->drain(what % 2 == 0);
        else if (what < 996) (void)heap_->spans().scavenge(random_() % (4 * mib), what % 2 == 0);
        else if (what < 998) heap_->spans().advance_generation();
        else end_a_thread();
    }
    void check() {
        heap_->verify();
        for (const auto& [address, object] : live_) ASSERT_TRUE(object.is_intact()) << "at " << address;
        std::uint64_t small = 0;
        for (unsigned c = 1; c < size_class_count; ++c) small += heap_->usage_of(c).live;
        const Heap::LargeUsage large = heap_->large_usage();
        EXPECT_EQ(small + large.allocations - large.frees, live_.size());
    }
    void finish() {
        while (!live_.empty()) drop(*caches_[random_() % cache_count]);
        for (ThreadCache* cache : caches_) heap_->detach(cache);
        heap_.expect_empty();
    }

private:
    void add(void* start, std::size_t bytes) {
        ASSERT_NE(start, nullptr);
        const std::uintptr_t from = address_of(start);
        const auto next = live_.lower_bound(from);
        if (next != live_.end()) ASSERT_LE(from + bytes, next->first) << "overlaps the next object";
        if (next != live_.begin()) {
            const Filled& before = std::prev(next)->second;
            ASSERT_LE(address_of(before.start()) + before.bytes(), from) << "overlaps the one before";
        }
        ASSERT_EQ(from % (bytes > 8 ? malloc_align : 8), 0u);
        live_.emplace(from, Filled(start, bytes, random_()));
    }
    void allocate(ThreadCache& cache) {
        const std::size_t bytes = random_bytes(random_);
        const unsigned how = random_() % 16;
        if (how == 0) {
            const std::size_t alignment = std::size_t{1} << (3 + random_() % 18);
            void* start = heap_.allocate_aligned(cache, bytes, alignment);
            ASSERT_EQ(address_of(start) % alignment, 0u);
            add(start, std::max<std::size_t>(bytes, 1));
        } else if (how < 4) {
            void* start = heap_.allocate_zeroed(cache, bytes);
            const auto* byte = static_cast<const unsigned char*>(start);
            ASSERT_TRUE(std::all_of(byte, byte + bytes, [](unsigned char b) { return b == 0; }))
                << "not zero";
            add(start, std::max<std::size_t>(bytes, 1));
        } else {
            void* start = heap_.allocate(cache, bytes);
            const std::size_t usable = heap_.usable(cache, start);
            ASSERT_GE(usable, bytes);
            add(start, how < 8 ? usable : std::max<std::size_t>(bytes, 1));
        }
    }
    std::map<std::uintptr_t, Filled>::iterator any() {
        const std::uintptr_t low = live_.begin()->first;
        const std::uintptr_t high = std::prev(live_.end())->first;
        return live_.lower_bound(low + (high - low) / 1024 * (random_() % 1024));
    }
    void drop(ThreadCache& cache) {
        if (live_.empty()) return;
        const auto found = any();
        ASSERT_TRUE(found->second.is_intact());
        void* start = found->second.start();
        live_.erase(found);
        heap_.free(cache, start);
    }
    void resize(ThreadCache& cache) {
        if (live_.empty()) return;
        const auto found = any();
        const Filled old = found->second;
        live_.erase(found);
        const std::size_t bytes = std::max<std::size_t>(random_bytes(random_), 1);
        void* start = heap_.reallocate(cache, old.start(), bytes);
        Filled moved = old;
        moved.move_to(start);
        ASSERT_TRUE(moved.is_intact(bytes)) << "realloc lost contents";
        add(start, bytes);
    }
    void end_a_thread() {
        ThreadCache*& cache = caches_[random_() % cache_count];
        heap_->detach(cache);
        cache = heap_->attach();
    }

    MallocHeap heap_;
    ThreadCache* caches_[cache_count] = {};
    std::map<std::uintptr_t, Filled> live_;
    std::mt19937 random_;
    unsigned steps_ = 0;
};

class HeapProperty : public testing::TestWithParam<pages::LayoutModel> {};

TEST_P(HeapProperty, OneThreadManyCaches) {
    constexpr int batches = base::sanitized_build ? 6 : 30;
    for (const unsigned seed : seeds()) {
        SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed));
        Model model(GetParam(), seed);
        for (int batch = 0; batch < batches; ++batch) {
            for (int i = 0; i < 1000 && !testing::Test::HasFailure(); ++i) model.step();
            model.check();
            if (testing::Test::HasFailure()) return;
        }
        model.finish();
    }
}

// Objects on their way from one thread to another.
class Queue {
public:
    void put(const Filled& object) {
        std::lock_guard guard(mutex_);
        objects_.push_back(object);
    }
    bool take(std::vector<Filled>& out) {
        std::lock_guard guard(mutex_);
        if (objects_.empty()) return false;
        out.push_back(objects_.front());
        objects_.pop_front();
        return true;
    }

private:
    std::mutex mutex_;
    std::deque<Filled> objects_;
};

struct Workers {
    MallocHeap heap;
    Queue queues[cache_count];
    std::atomic<unsigned> broken{0};

    void work(unsigned number, unsigned seed, int steps) {
        std::mt19937 random(seed * cache_count + number);
        ThreadCache* cache = heap->attach();
        std::vector<Filled> mine;
        for (int i = 0; i < steps; ++i) {
            const unsigned what = random() % 1000;
            if (what < 500) {
                const std::size_t bytes = std::max<std::size_t>(random_bytes(random), 1);
                void* start = what < 30    ? heap.allocate_aligned(*cache, bytes, std::size_t{64} << what % 8)
                              : what < 100 ? heap.allocate_zeroed(*cache, bytes)
                                           : heap.allocate(*cache, bytes);
                mine.emplace_back(start, bytes, random());
            } else if (what < 600) {
                (void)queues[number].take(mine);
            } else if (what < 992 && !mine.empty()) {
                std::swap(mine[random() % mine.size()], mine.back());
                if (what % 3 == 0) queues[random() % cache_count].put(mine.back());
                else drop(*cache, mine.back());
                mine.pop_back();
            } else if (what == 992) {
                heap->detach(cache);
                cache = heap->attach();
            } else if (what == 993) {
                heap->drain(i % 2 == 0);
            } else if (what == 994) {
                (void)heap->spans().scavenge(mib, i % 2 == 0);
            }
        }
        for (const Filled& object : mine) drop(*cache, object);
        heap->detach(cache);
    }
    void drop(ThreadCache& cache, const Filled& object) {
        if (!object.is_intact()) broken.fetch_add(1, std::memory_order_relaxed);  // relaxed: read after join
        heap.free(cache, object.start());
    }
};

TEST_P(HeapProperty, ManyThreadsHandObjectsOn) {
    constexpr int steps = base::sanitized_build ? 4000 : 40000;
    for (const unsigned seed : seeds()) {
        SCOPED_TRACE("CAIRN_TEST_SEED=" + std::to_string(seed));
        Workers workers;
        Heap::Settings settings;
        settings.spans.layout = GetParam();
        ASSERT_TRUE(workers.heap.start(settings));
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < cache_count; ++i)
            threads.emplace_back([&workers, i, seed] { workers.work(i, seed, steps); });
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(workers.broken.load(std::memory_order_relaxed), 0u);  // relaxed: after join
        workers.heap->verify();
        ThreadCache* last = workers.heap->attach();
        std::vector<Filled> left;
        for (Queue& queue : workers.queues) {
            while (queue.take(left)) {
            }
        }
        std::uint64_t live = 0;
        for (unsigned c = 1; c < size_class_count; ++c) live += workers.heap->usage_of(c).live;
        const Heap::LargeUsage large = workers.heap->large_usage();
        EXPECT_EQ(live + large.allocations - large.frees, left.size());
        for (const Filled& object : left) workers.drop(*last, object);
        workers.heap->detach(last);
        workers.heap.expect_empty();
        unmap(workers.heap->spans());
    }
}

CAIRN_ON_BOTH_LAYOUTS(HeapProperty);

}  // namespace
}  // namespace cairn::heap
