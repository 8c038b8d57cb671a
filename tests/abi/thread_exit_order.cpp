// The end of a thread: thread_local destructors, four rounds of key destructors, libc's own frees.
//
// Every destructor allocates, frees what the thread or another one made, and arms its key again while
// rounds are left.
// run: timeout=60
// SPDX-License-Identifier: MIT
#include "check.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int key_count = 40;  // more than the 32 that fit without a second-level block
pthread_key_t keys[key_count];
long destructor_runs;

struct Payload {
    int key;
    int rounds_left;
    void* blocks[8];
};

void destroy_payload(void* argument) {
    Payload* payload = static_cast<Payload*>(argument);
    __atomic_fetch_add(&destructor_runs, 1, __ATOMIC_RELAXED);  // relaxed: read after the threads are joined
    for (void*& p : payload->blocks) {
        free(p);
        p = malloc(static_cast<size_t>(payload->key) * 100 + 1);
        fill_block(p, static_cast<size_t>(payload->key) * 100 + 1, 5);
    }
    if (payload->rounds_left-- > 1) {
        pthread_setspecific(keys[payload->key], payload);
        return;
    }
    for (void* p : payload->blocks) free(p);
    free(payload);
}

struct FreesAtThreadExit {
    std::vector<std::string> texts;
    std::unique_ptr<char[]> raw{new char[30'000]};
    ~FreesAtThreadExit() {
        texts.emplace_back(5000, 'd');
        void* p = calloc(1, 70'000);
        CHECK(is_all_zero(p, 70'000));
        free(p);
    }
};
thread_local FreesAtThreadExit per_thread;

void thread_body(int seed) {
    per_thread.texts.assign(100, std::string(static_cast<size_t>(seed % 500), 's'));
    for (int k = 0; k < key_count; ++k) {
        auto* payload = static_cast<Payload*>(calloc(1, sizeof(Payload)));
        payload->key = k;
        payload->rounds_left = k % 4 + 1;
        pthread_setspecific(keys[k], payload);
    }
}

// A key whose destructor is the first thing in its thread that touches the heap.
pthread_key_t late_key;
void first_touch_in_destructor(void*) {
    void* p = malloc(123);
    fill_block(p, 123, 1);
    free(p);
    free(opaque(malloc(200'000)));
}
void* touch_nothing(void*) {
    pthread_setspecific(late_key, &late_key);
    return nullptr;
}

void* exits_by_pthread_exit(void*) {
    std::string text(1000, 'x');
    free(opaque(malloc(50)));
    pthread_exit(nullptr);
}

void* sleeps_until_cancelled(void*) {
    void* p = malloc(100);
    pthread_cleanup_push(free, p);
    for (;;) sleep_ms(1000);
    pthread_cleanup_pop(1);
    return nullptr;
}

void other_ways_to_end() {
    for (int i = 0; i < 100; ++i) {
        pthread_t a, b, c;
        CHECK(pthread_create(&a, nullptr, exits_by_pthread_exit, nullptr) == 0);
        CHECK(pthread_create(&b, nullptr, sleeps_until_cancelled, nullptr) == 0);
        CHECK(pthread_create(&c, nullptr, touch_nothing, nullptr) == 0);
        pthread_cancel(b);
        pthread_join(a, nullptr);
        pthread_join(b, nullptr);
        pthread_detach(c);
    }
}

}  // namespace

int main() {
    for (pthread_key_t& key : keys) CHECK(pthread_key_create(&key, destroy_payload) == 0);
    CHECK(pthread_key_create(&late_key, first_touch_in_destructor) == 0);
    constexpr int waves = 100, at_once = 4;
    size_t early = 0;
    for (int wave = 0; wave < waves; ++wave) {
        std::vector<std::thread> threads;
        for (int i = 0; i < at_once; ++i) threads.emplace_back(thread_body, wave * 7 + i);
        for (auto& t : threads) t.join();
        if (wave == 10) early = rss_bytes();
    }
    CHECK_AT(destructor_runs == waves * at_once * key_count / 4 * (1 + 2 + 3 + 4), destructor_runs);
    other_ways_to_end();
    const size_t late = rss_bytes();
    CHECK_AT(late < early + (size_t{8} << 20), late - early);
    return check_summary();
}
