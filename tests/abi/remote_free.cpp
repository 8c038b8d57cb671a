// One thread allocates, another frees: blocks come home, contents survive the journey, memory stays bounded.
//
// A ring of fixed length joins producer and consumer, so live data is bounded and all growth is the
// allocator's. With `both` two pairs run in opposite directions; with `fan` three consumers share one
// producer.
// run: timeout=60
// run: timeout=60 args=both
// run: timeout=60 args=fan
// SPDX-License-Identifier: MIT
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include <atomic>

namespace {

struct Item {
    void* block;
    size_t bytes;
};

// One producer, one consumer.
class Ring {
public:
    void push(Item item) {
        const size_t at = tail_.load(std::memory_order_relaxed);  // relaxed: only the producer writes it
        while (at - head_.load(std::memory_order_acquire) == length) sched_yield();  // acquire: slot was read
        items_[at % length] = item;
        tail_.store(at + 1, std::memory_order_release);  // release: publishes the item to pop()
    }
    Item pop() {
        const size_t at = head_.load(std::memory_order_relaxed);  // relaxed: only the consumer writes it
        while (tail_.load(std::memory_order_acquire) == at) sched_yield();  // acquire: pairs with push()
        const Item item = items_[at % length];
        head_.store(at + 1, std::memory_order_release);  // release: gives the slot back to push()
        return item;
    }

private:
    static constexpr size_t length = 512;
    alignas(64) std::atomic<size_t> head_{0};  // [atomic]
    alignas(64) std::atomic<size_t> tail_{0};  // [atomic]
    Item items_[length];                       // [owner] of the slot: producer, then consumer
};

struct Producer {
    Ring* rings;
    int ring_count;
    uint64_t seed;
};

constexpr int items = 1'500'000;

void* produce(void* argument) {
    Producer& me = *static_cast<Producer*>(argument);
    for (int i = 0; i < items; ++i) {
        const size_t bytes = next_random(&me.seed) % (i % 64 == 0 ? 60'000 : 700) + 1;
        void* block = given(malloc(bytes), bytes);
        fill_block(block, bytes, static_cast<unsigned>(bytes));
        me.rings[i % me.ring_count].push({block, bytes});
    }
    for (int r = 0; r < me.ring_count; ++r) me.rings[r].push({nullptr, 0});
    return nullptr;
}

void* consume(void* ring) {
    size_t half_way = 0, count = 0;
    for (;;) {
        const Item item = static_cast<Ring*>(ring)->pop();
        if (item.block == nullptr) break;
        CHECK_AT(block_holds(item.block, item.bytes, static_cast<unsigned>(item.bytes)), item.bytes);
        free(item.block);
        if (++count == 50'000) half_way = rss_bytes();
    }
    const size_t late = rss_bytes();
    if (half_way != 0) CHECK_AT(late < half_way + (size_t{24} << 20), late - half_way);
    return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
    const char* mode = argc > 1 ? argv[1] : "";
    static Ring rings[4];
    static Producer producers[2];
    pthread_t threads[8];
    int count = 0;
    const auto start = [&](void* (*body)(void*), void* argument) {
        CHECK(pthread_create(&threads[count++], nullptr, body, argument) == 0);
    };
    const int pairs = strcmp(mode, "both") == 0 ? 2 : 1;
    const int fan = strcmp(mode, "fan") == 0 ? 3 : 1;
    for (int i = 0; i < pairs; ++i) {
        producers[i] = {&rings[i], fan, static_cast<uint64_t>(i) + 77};
        start(produce, &producers[i]);
        for (int f = 0; f < fan; ++f) start(consume, &rings[i + f]);
    }
    for (int i = 0; i < count; ++i) pthread_join(threads[i], nullptr);
    SAY(1, "RSS at the end %zu KiB\n", rss_bytes() >> 10);
    return check_summary();
}
