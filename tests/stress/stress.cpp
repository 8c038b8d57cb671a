// Threads allocate, resize, hand over and free blocks at random; each block carries a pattern that is
// checked on free.
//
// usage: stress [threads [seconds | OPERATIONSops [seed]]]      default: 4 threads, 5 seconds, a seed from
// the clock
//
// A block belongs to one thread: it lies in the thread's table, or in its inbox, a list that any thread may
// push to and only the owner empties. Every so often a thread ends and a new one takes its table over, so
// blocks outlive the threads that made them. The seed is printed; with `ops` the same seed gives each
// thread the same decisions. Runs on any malloc: preloaded, or linked with the library and a sanitizer.
// SPDX-License-Identifier: MIT
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace {

constexpr int max_threads = 64, table_slots = 1500;
constexpr size_t most_live_of_a_thread = size_t{24} << 20;

struct Random {
    uint64_t state;
    uint64_t next() {  // splitmix64
        uint64_t z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
    uint64_t below(uint64_t limit) { return next() % limit; }
};

struct Block {
    unsigned char* bytes;
    size_t size;
    uint64_t key;
};

// A block on its way: the record lies in the block itself, in front of the pattern.
struct Parcel {
    Parcel* next;
    size_t size;
    uint64_t key;
};

class Inbox {
public:
    void push(Parcel* parcel) {
        Parcel* first = first_.load(std::memory_order_relaxed);  // relaxed: only compared below
        do parcel->next = first;
        while (!first_.compare_exchange_weak(first, parcel,
                                             std::memory_order_release,    // release: publishes the block
                                             std::memory_order_relaxed));  // relaxed: tried again
    }
    Parcel* take_all() {
        return first_.exchange(nullptr, std::memory_order_acquire);
    }  // acquire: pairs with push

private:
    alignas(64) std::atomic<Parcel*> first_{nullptr};  // [atomic]
};

struct Worker {
    pthread_t thread;
    Random random;
    uint64_t operations_left;  // 0 when time decides
    uint64_t done;
    size_t live;
    Block table[table_slots];
    Inbox inbox;
};

Worker workers[max_threads];
int worker_count = 4;
std::atomic<bool> is_over{false};  // [atomic]
uint64_t seed;

[[noreturn]] void fail(const char* what, const Block& block) {
    printf("stress: %s: block %p of %zu bytes, seed %llu\n", what, static_cast<void*>(block.bytes),
           block.size, static_cast<unsigned long long>(seed));
    fflush(stdout);
    abort();
}

// Writes or checks the pattern: every byte up to 1 KiB, in larger blocks both ends and a byte of every 509.
template <class Visit>
void for_pattern(const Block& block, size_t from, Visit visit) {
    const auto byte_at = [&](size_t i) { return static_cast<unsigned char>(block.key + i * 31 + (i >> 8)); };
    const size_t near_end = block.size > 512 ? block.size - 512 : 0;
    for (size_t i = from; i < block.size;
         i += (i < 512 || i >= near_end) ? 1 : (i + 509 < near_end ? 509 : near_end - i))
        visit(i, byte_at(i));
}
void write_pattern(const Block& block, size_t from = 0) {
    for_pattern(block, from, [&](size_t i, unsigned char value) { block.bytes[i] = value; });
}
void check_pattern(const Block& block, size_t from = 0) {
    for_pattern(block, from, [&](size_t i, unsigned char value) {
        if (block.bytes[i] != value) fail("damaged", block);
    });
}

size_t pick_size(Random& random) {
    const uint64_t kind = random.below(1000);
    if (kind < 600) return random.below(257);
    if (kind < 900) return random.below(4097);
    if (kind < 980) return random.below(32'769);
    if (kind < 998) return random.below(400'000);
    return random.below(4'000'000);
}

Block allocate(Random& random) {
    Block block{nullptr, pick_size(random), random.next()};
    size_t alignment = 1;
    switch (random.below(8)) {
    case 0: block.bytes = static_cast<unsigned char*>(calloc(1, block.size)); break;
    case 1:
        alignment = size_t{1} << random.below(14);
        block.bytes = static_cast<unsigned char*>(memalign(alignment, block.size));
        break;
    case 2: block.bytes = static_cast<unsigned char*>(realloc(nullptr, block.size)); break;
    default: block.bytes = static_cast<unsigned char*>(malloc(block.size));
    }
    if (block.bytes == nullptr) fail("no memory", block);
    if (reinterpret_cast<uintptr_t>(block.bytes) % alignment != 0) fail("wrong alignment", block);
    if (malloc_usable_size(block.bytes) < block.size) fail("too small", block);
    write_pattern(block);
    return block;
}

void release(Worker& me, Block& block) {
    if (block.bytes == nullptr) return;
    check_pattern(block);
    me.live -= block.size;
    free(block.bytes);
    block.bytes = nullptr;
}

void keep(Worker& me, Block block) {
    Block& slot = me.table[me.random.below(table_slots)];
    release(me, slot);
    slot = block;
    me.live += block.size;
    while (me.live > most_live_of_a_thread) release(me, me.table[me.random.below(table_slots)]);
}

void resize(Worker& me, Block& block) {
    if (block.bytes == nullptr || block.size == 0) return;
    check_pattern(block);
    const size_t size = pick_size(me.random) + 1;
    auto* bytes = static_cast<unsigned char*>(realloc(block.bytes, size));
    if (bytes == nullptr) fail("no memory to resize", block);
    Block common{bytes, block.size < size ? block.size : size, block.key};
    const size_t plain = common.size < 512 ? common.size : 512;  // the start is dense in both patterns
    const Block start{bytes, plain, block.key};
    check_pattern(start);
    me.live = me.live - block.size + size;
    block = {bytes, size, block.key};
    write_pattern(block);
}

void send(Worker& me, Block& block) {
    if (block.bytes == nullptr || block.size < sizeof(Parcel) || worker_count == 1) return;
    auto* parcel = reinterpret_cast<Parcel*>(block.bytes);
    check_pattern(block);
    *parcel = {nullptr, block.size, block.key};
    me.live -= block.size;
    block.bytes = nullptr;
    workers[me.random.below(static_cast<uint64_t>(worker_count))].inbox.push(parcel);
}

void open_inbox(Worker& me) {
    for (Parcel* parcel = me.inbox.take_all(); parcel != nullptr;) {
        Parcel* next = parcel->next;
        Block block{reinterpret_cast<unsigned char*>(parcel), parcel->size, parcel->key};
        check_pattern(block, sizeof(Parcel));
        if (me.random.below(4) == 0) {
            write_pattern(block);
            keep(me, block);
        } else {
            free(block.bytes);
        }
        parcel = next;
    }
}

// Many equal blocks at once, freed in one of three orders: fills and empties caches and spans.
void burst(Worker& me) {
    constexpr size_t count = 400;
    Block blocks[count];
    const size_t size = pick_size(me.random) % 3000;
    for (Block& b : blocks) {
        b = {static_cast<unsigned char*>(malloc(size)), size, me.random.next()};
        if (b.bytes == nullptr) fail("no memory", b);
        write_pattern(b);
    }
    const uint64_t order = me.random.below(3);
    for (size_t i = 0; i < count; ++i) {
        Block& b = blocks[order == 0 ? i : order == 1 ? count - 1 - i : i * 173 % count];
        check_pattern(b);
        free(b.bytes);
    }
}

void one_operation(Worker& me) {
    Block& any = me.table[me.random.below(table_slots)];
    const uint64_t what = me.random.below(1000);
    if (what < 450) keep(me, allocate(me.random));
    else if (what < 700) release(me, any);
    else if (what < 780) resize(me, any);
    else if (what < 960) send(me, any);
    else if (what < 998) open_inbox(me);
    else burst(me);
    ++me.done;
}

constexpr uint64_t operations_of_a_life = 40'000;

// One life of a worker: the table stays when the thread ends.
void* live_once(void* argument) {
    Worker& me = *static_cast<Worker*>(argument);
    for (uint64_t i = 0; i < operations_of_a_life; ++i) {
        if (me.operations_left != 0 && --me.operations_left == 0) return nullptr;
        if (is_over.load(std::memory_order_relaxed)) return nullptr;  // relaxed: a flag
        one_operation(me);
    }
    return nullptr;
}

struct Shepherd {
    pthread_t thread;
    Worker* worker;
    bool counts;
};

void* shepherd(void* argument) {
    const auto& [thread, worker, counts] = *static_cast<Shepherd*>(argument);
    while (!is_over.load(std::memory_order_relaxed)) {  // relaxed: a flag
        if (pthread_create(&worker->thread, nullptr, live_once, worker) != 0) abort();
        pthread_join(worker->thread, nullptr);
        if (counts && worker->operations_left == 0) break;
    }
    return nullptr;
}

void sleep_seconds(double seconds) {
    timespec t{static_cast<time_t>(seconds),
               static_cast<long>((seconds - static_cast<double>(static_cast<time_t>(seconds))) * 1e9)};
    while (nanosleep(&t, &t) != 0) {
    }
}

}  // namespace

int main(int argc, char** argv) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    worker_count = argc > 1 ? atoi(argv[1]) : 4;
    const char* length = argc > 2 ? argv[2] : "5";
    seed = argc > 3 ? strtoull(argv[3], nullptr, 0)
                    : static_cast<uint64_t>(now.tv_nsec) ^ static_cast<uint64_t>(now.tv_sec) << 20;
    if (worker_count < 1 || worker_count > max_threads) {
        fprintf(stderr, "usage: stress [threads 1..%d [seconds | OPERATIONSops [seed]]]\n", max_threads);
        return 2;
    }
    const bool counts = strstr(length, "ops") != nullptr;
    printf("stress: %d threads, %s%s, seed %llu\n", worker_count, length, counts ? "" : " s",
           static_cast<unsigned long long>(seed));
    fflush(stdout);
    static Shepherd shepherds[max_threads];
    for (int i = 0; i < worker_count; ++i) {
        workers[i].random.state = seed * 1'000'003 + static_cast<uint64_t>(i);
        workers[i].operations_left = counts ? strtoull(length, nullptr, 0) + 1 : 0;
        shepherds[i] = {{}, &workers[i], counts};
        if (pthread_create(&shepherds[i].thread, nullptr, shepherd, &shepherds[i]) != 0) abort();
    }
    if (!counts) {
        sleep_seconds(atof(length));
        is_over.store(true, std::memory_order_relaxed);  // relaxed: join orders the rest
    }
    uint64_t done = 0;
    for (int i = 0; i < worker_count; ++i) pthread_join(shepherds[i].thread, nullptr);
    for (int i = 0; i < worker_count; ++i) {
        open_inbox(workers[i]);
        for (Block& block : workers[i].table) release(workers[i], block);
        done += workers[i].done;
    }
    printf("stress: %llu operations, every block intact\n", static_cast<unsigned long long>(done));
    return 0;
}
