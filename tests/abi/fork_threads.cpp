// Sixty forks of a process whose other threads are in the allocator: every child allocates, none hangs.
//
// A child checks blocks of the parent, frees some of them, starts a thread of its own, and one in ten forks
// again. An alarm ends whoever hangs. The parent's threads also hand blocks to each other, so remote frees
// are in flight.
// run: timeout=120
// run: timeout=120 args=exit
// SPDX-License-Identifier: MIT
#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <atomic>

namespace {

constexpr int forks = 60, thread_count = 4, slot_count = 256, parent_blocks = 400;
std::atomic<void*> slots[slot_count];  // [atomic] blocks on their way from thread to thread
std::atomic<bool> is_over{false};      // [atomic]
std::atomic<long> operations{0};       // [atomic]

void* keep_allocating(void* argument) {
    uint64_t random = reinterpret_cast<uintptr_t>(argument) + 1;
    while (!is_over.load(std::memory_order_relaxed)) {  // relaxed: seen soon enough
        const size_t bytes = next_random(&random) % (random % 50 == 0 ? 200'000 : 1500) + 1;
        void* block = given(malloc(bytes), bytes);
        *static_cast<char*>(block) = 1;
        void* other = slots[next_random(&random) % slot_count].exchange(
            block, std::memory_order_acq_rel);  // acq_rel: hands the block over, takes one
        if (next_random(&random) % 4 == 0) other = realloc(other, bytes / 2 + 1);
        free(other);
        operations.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    }
    return nullptr;
}

void* thread_of_child(void*) {
    for (size_t i = 0; i < 2000; ++i) free(opaque(malloc(i * 3)));
    return nullptr;
}

// Allocates in every way; returns false when a block of this process was damaged.
bool use_heap(uint64_t seed) {
    constexpr int count = 2000;
    static unsigned char* blocks[count];
    static size_t sizes[count];
    uint64_t random = seed + 1;
    bool is_good = true;
    for (int i = 0; i < count; ++i) {
        sizes[i] = next_random(&random) % (i % 100 == 0 ? 300'000 : 2000) + 1;
        blocks[i] = static_cast<unsigned char*>(i % 3 ? malloc(sizes[i]) : calloc(1, sizes[i]));
        if (blocks[i] == nullptr) return false;
        fill_block(blocks[i], sizes[i], static_cast<unsigned>(i));
    }
    for (int i = 0; i < count; ++i) {
        is_good &= block_holds(blocks[i], sizes[i], static_cast<unsigned>(i)) != 0;
        free(blocks[i]);
    }
    return is_good;
}

int child(int number, void** from_parent, bool may_fork) {
    alarm(20);
    bool is_good = use_heap(static_cast<uint64_t>(number));
    for (int i = 0; i < parent_blocks; ++i) {
        is_good &= block_holds(from_parent[i], static_cast<size_t>(i) * 5 + 1, static_cast<unsigned>(i)) != 0;
        if (i % 2 == 0) free(from_parent[i]);
    }
    for (auto& slot : slots)
        free(slot.exchange(nullptr, std::memory_order_relaxed));  // relaxed: one thread is left
    pthread_t thread;
    is_good &=
        pthread_create(&thread, nullptr, thread_of_child, nullptr) == 0 && pthread_join(thread, nullptr) == 0;
    if (may_fork && number % 10 == 0) {
        const pid_t grandchild = fork();
        if (grandchild == 0) _exit(use_heap(99) ? 0 : 5);
        int status = 0;
        is_good &= waitpid(grandchild, &status, 0) == grandchild && status == 0;
    }
    return is_good ? 0 : 4;
}

}  // namespace

int main(int argc, char** argv) {
    const bool leaves_by_exit = argc > 1 && strcmp(argv[1], "exit") == 0;
    alarm(100);
    static void* own[parent_blocks];
    for (int i = 0; i < parent_blocks; ++i) {
        own[i] = malloc(static_cast<size_t>(i) * 5 + 1);
        fill_block(own[i], static_cast<size_t>(i) * 5 + 1, static_cast<unsigned>(i));
    }
    pthread_t threads[thread_count];
    for (long t = 0; t < thread_count; ++t)
        CHECK(pthread_create(&threads[t], nullptr, keep_allocating, reinterpret_cast<void*>(t)) == 0);
    while (operations.load(std::memory_order_relaxed) < 1000) sleep_ms(1);  // relaxed: a count
    for (int i = 0; i < forks; ++i) {
        const pid_t pid = fork();
        if (pid == 0) {
            const int code = child(i, own, true);
            if (leaves_by_exit) exit(code);
            _exit(code);
        }
        CHECK(pid > 0);
        int status = -1;
        CHECK_AT(waitpid(pid, &status, 0) == pid, i);
        CHECK_AT(WIFEXITED(status) && WEXITSTATUS(status) == 0, status);
        CHECK_AT(use_heap(static_cast<uint64_t>(i)), i);
    }
    is_over.store(true, std::memory_order_relaxed);  // relaxed: join orders the rest
    for (pthread_t t : threads) pthread_join(t, nullptr);
    for (int i = 0; i < parent_blocks; ++i) {
        CHECK_AT(block_holds(own[i], static_cast<size_t>(i) * 5 + 1, static_cast<unsigned>(i)), i);
        free(own[i]);
    }
    return check_summary();
}
