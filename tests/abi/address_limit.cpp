// Under RLIMIT_AS the heap ends early and cleanly: NULL with ENOMEM, and after freeing all works again.
//
// Without `child` the program sets the limit (MiB, first argument) and runs itself anew, so that the
// allocator starts under it. The second argument says what fills the heap: small, large or mixed blocks.
// run: timeout=60 args=256,small
// run: timeout=60 args=256,large
// run: timeout=60 args=256,mixed
// run: timeout=60 args=64,small
// run: timeout=60 args=64,mixed
// run: timeout=60 args=64,threads
// SPDX-License-Identifier: MIT
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

namespace {

struct Link {
    Link* next;
    size_t bytes;
};

size_t pick(const char* mix, uint64_t* random) {
    const uint64_t r = next_random(random);
    if (strcmp(mix, "large") == 0) return 40'000 + r % 1'500'000;
    if (strcmp(mix, "small") == 0) return 16 + r % 1000;
    return r % 20 == 0 ? 40'000 + r % 900'000 : 16 + r % 8000;
}

// Allocates until the heap says no; returns the bytes it gave.
size_t fill_the_heap(const char* mix, Link** chain, bool is_checking) {
    uint64_t random = 4711;
    size_t total = 0;
    for (;;) {
        const size_t bytes = pick(mix, &random);
        errno = 0;
        Link* link = static_cast<Link*>(random % 3 == 0 ? calloc(1, bytes) : malloc(bytes));
        if (link == nullptr) break;
        memset(link, 0x5A, bytes);
        *link = {*chain, bytes};
        *chain = link;
        total += bytes;
    }
    if (is_checking) CHECK(errno == ENOMEM);
    return total;
}

void free_all(Link** chain) {
    while (*chain != nullptr) {
        Link* link = *chain;
        *chain = link->next;
        const unsigned char* last = reinterpret_cast<unsigned char*>(link) + link->bytes - 1;
        CHECK_AT(link->bytes == sizeof(Link) || *last == 0x5A, link->bytes);
        free(link);
    }
}

void fill_again_and_again(const char* mix, size_t limit) {
    Link* chain = nullptr;
    const size_t first = fill_the_heap(mix, &chain, true);
    SAY(1, "limit %zu MiB: %zu MiB of %s blocks before the first NULL\n", limit >> 20, first >> 20, mix);
    CHECK_AT(first > limit * 4 / 10, first);
    void* too_much = malloc(limit);
    CHECK(too_much == nullptr && errno == ENOMEM);
    Link* grown = static_cast<Link*>(realloc(chain, limit));  // fails: the block stays
    CHECK(grown == nullptr && errno == ENOMEM);
    void* aligned = nullptr;
    CHECK(posix_memalign(&aligned, 4096, limit) == ENOMEM);
    free_all(&chain);
    for (int round = 0; round < 3; ++round) {
        const size_t again = fill_the_heap(mix, &chain, true);
        CHECK_AT(again > first * 9 / 10, again);
        free_all(&chain);
    }
    void* small = malloc(100);
    void* large = malloc(2 << 20);
    CHECK(small != nullptr && large != nullptr);
    free(small);
    free(large);
}

void* fill_and_free(void*) {
    Link* chain = nullptr;
    for (int round = 0; round < 5; ++round) {
        fill_the_heap("mixed", &chain, true);
        free_all(&chain);
    }
    return nullptr;
}

void threads_at_the_limit() {
    pthread_t threads[2];
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 256 << 10);
    for (pthread_t& t : threads) CHECK(pthread_create(&t, &attributes, fill_and_free, nullptr) == 0);
    for (pthread_t t : threads) pthread_join(t, nullptr);
    void* p = malloc(4 << 20);
    CHECK(p != nullptr);
    free(p);
}

}  // namespace

int main(int argc, char** argv) {
    const size_t limit = static_cast<size_t>(argc > 1 ? atoi(argv[1]) : 256) << 20;
    char* mix = argc > 2 ? argv[2] : const_cast<char*>("mixed");
    if (argc <= 3) {
        const rlimit bytes{limit, limit};
        char child[] = "child";
        char* const arguments[] = {argv[0], argc > 1 ? argv[1] : const_cast<char*>("256"), mix, child,
                                   nullptr};
        if (setrlimit(RLIMIT_AS, &bytes) != 0) return 2;
        execv("/proc/self/exe", arguments);
        return 2;
    }
    if (strcmp(mix, "threads") == 0) threads_at_the_limit();
    else fill_again_and_again(mix, limit);
    return check_summary();
}
