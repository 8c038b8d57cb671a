// Forks of a process whose other threads are ending: their caches, half given back, do the child no harm.
//
// Each child takes enough blocks of all sizes to make it take in the caches of the threads it does not have.
// run: timeout=120
// SPDX-License-Identifier: MIT
#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <atomic>

namespace {

constexpr int forks = 1500, starter_count = 3, block_count = 300;
std::atomic<bool> is_over{false};  // [atomic]

void* live_briefly(void*) {
    void* blocks[70];
    for (int i = 0; i < 70; ++i) blocks[i] = given(malloc(16u << (i % 13)), 16u << (i % 13));
    for (void* block : blocks) free(block);
    return nullptr;
}

void* keep_starting(void*) {
    while (!is_over.load(std::memory_order_relaxed)) {  // relaxed: seen soon enough
        pthread_t threads[4];
        int started = 0;
        for (pthread_t& thread : threads) {
            if (pthread_create(&thread, nullptr, live_briefly, nullptr) != 0) break;
            ++started;
        }
        for (int i = 0; i < started; ++i) pthread_join(threads[i], nullptr);
    }
    return nullptr;
}

[[noreturn]] void be_child() {
    alarm(20);
    unsigned char* blocks[block_count];
    for (int i = 0; i < block_count; ++i) {
        const size_t bytes = 8 + static_cast<size_t>(i) * 137;
        blocks[i] = static_cast<unsigned char*>(given(malloc(bytes), bytes));
        fill_block(blocks[i], bytes, static_cast<unsigned>(i));
    }
    int wrong = 0;
    for (int i = 0; i < block_count; ++i) {
        wrong += !block_holds(blocks[i], 8 + static_cast<size_t>(i) * 137, static_cast<unsigned>(i));
        free(blocks[i]);
    }
    _exit(wrong == 0 ? 0 : 1);
}

}  // namespace

int main() {
    pthread_t starters[starter_count];
    for (pthread_t& starter : starters) CHECK(pthread_create(&starter, nullptr, keep_starting, nullptr) == 0);
    for (int i = 0; i < forks; ++i) {
        const pid_t child = fork();
        if (child == 0) be_child();
        int status = 0;
        CHECK_AT(child > 0 && waitpid(child, &status, 0) == child && status == 0, i);
    }
    is_over.store(true, std::memory_order_relaxed);  // relaxed: only to stop
    for (pthread_t starter : starters) pthread_join(starter, nullptr);
    return check_summary();
}
