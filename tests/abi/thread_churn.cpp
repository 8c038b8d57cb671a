// Thousands of short-lived threads: what a thread cached comes back when it ends, so memory does not grow.
//
// Each thread allocates, frees most of it, and leaves some blocks for main to free. Resident memory after 500
// threads is compared with that after all.
// run: timeout=120 args=4000
// SPDX-License-Identifier: MIT
#include "check.h"

#include <pthread.h>
#include <stdlib.h>

namespace {

constexpr int at_once = 8, left_behind = 16;

struct Worker {
    pthread_t thread;
    uint64_t seed;
    void* left[left_behind];
};

void* work(void* argument) {
    Worker& me = *static_cast<Worker*>(argument);
    constexpr int count = 300;
    void* blocks[count];
    size_t sizes[count];
    for (int i = 0; i < count; ++i) {
        sizes[i] = next_random(&me.seed) % (i % 20 == 0 ? 100'000 : 2000) + 1;
        blocks[i] = given(i % 5 == 0 ? calloc(1, sizes[i]) : malloc(sizes[i]), sizes[i]);
        fill_block(blocks[i], sizes[i], static_cast<unsigned>(i));
    }
    for (int i = 0; i < count; ++i)
        CHECK_AT(block_holds(blocks[i], sizes[i], static_cast<unsigned>(i)), sizes[i]);
    for (int i = 0; i < left_behind; ++i) me.left[i] = blocks[i];
    for (int i = left_behind; i < count; ++i) free(blocks[i]);
    return nullptr;
}

void one_wave(uint64_t seed) {
    static Worker workers[at_once];
    for (int i = 0; i < at_once; ++i) {
        workers[i].seed = seed * 1000 + static_cast<uint64_t>(i) + 1;
        const int failure = pthread_create(&workers[i].thread, nullptr, work, &workers[i]);
        if (!CHECK(failure == 0)) _exit(2);
    }
    for (Worker& w : workers) pthread_join(w.thread, nullptr);
    for (Worker& w : workers)
        for (void* p : w.left) free(p);
}

}  // namespace

int main(int argc, char** argv) {
    const int threads = argc > 1 ? atoi(argv[1]) : 4000;
    size_t early = 0;
    for (int done = 0; done < threads; done += at_once) {
        one_wave(static_cast<uint64_t>(done) + 1);
        if (done <= 500) early = rss_bytes();
    }
    const size_t late = rss_bytes();
    SAY(1, "RSS after 500 threads %zu KiB, after %d threads %zu KiB\n", early >> 10, threads, late >> 10);
    CHECK_AT(late < early + (size_t{12} << 20), late - early);
    return check_summary();
}
