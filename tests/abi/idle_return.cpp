// After a spike is freed and the program only sleeps, 90 % of it is back with the system within 10 s.
//
// Arguments: MiB of the spike, kind of blocks (small, large, mixed, threads). Nothing calls the allocator
// while it waits.
// run: timeout=120 args=1024,mixed only=cairn
// run: timeout=120 args=256,small only=cairn
// run: timeout=120 args=256,large only=cairn
// run: timeout=120 args=256,threads only=cairn
// SPDX-License-Identifier: MIT
#include "check.h"

#include <pthread.h>
#include <stdlib.h>

namespace {

struct Link {
    Link* next;
};

Link* make_spike(size_t bytes, const char* kind, uint64_t seed) {
    Link* chain = nullptr;
    uint64_t random = seed;
    for (size_t total = 0; total < bytes;) {
        const uint64_t r = next_random(&random);
        size_t each = 16 + r % 1000;
        if (strcmp(kind, "large") == 0 || (strcmp(kind, "mixed") == 0 && r % 100 == 0))
            each = 50'000 + r % 2'000'000;
        Link* link = static_cast<Link*>(given(malloc(each), each));
        memset(link, 1, each);
        link->next = chain;
        chain = link;
        total += each;
    }
    return chain;
}

void free_chain(Link* chain) {
    while (chain != nullptr) {
        Link* next = chain->next;
        free(chain);
        chain = next;
    }
}

struct Part {
    size_t bytes;
    uint64_t seed;
    Link* chain;
};
void* make_part(void* argument) {
    Part& part = *static_cast<Part*>(argument);
    part.chain = make_spike(part.bytes, "small", part.seed);
    return nullptr;
}

// Four threads make the spike and end; main frees it.
void spike_by_threads(size_t bytes, size_t* peak) {
    pthread_t threads[4];
    Part parts[4];
    for (int i = 0; i < 4; ++i) {
        parts[i] = {bytes / 4, static_cast<uint64_t>(i) + 1, nullptr};
        pthread_create(&threads[i], nullptr, make_part, &parts[i]);
    }
    for (pthread_t t : threads) pthread_join(t, nullptr);
    *peak = rss_bytes();
    for (Part& part : parts) free_chain(part.chain);
}

}  // namespace

int main(int argc, char** argv) {
    const size_t bytes = static_cast<size_t>(argc > 1 ? atoi(argv[1]) : 1024) << 20;
    const char* kind = argc > 2 ? argv[2] : "mixed";
    free_chain(make_spike(1 << 20, "mixed", 9));
    const size_t before = rss_bytes();
    size_t peak = 0;
    if (strcmp(kind, "threads") == 0) {
        spike_by_threads(bytes, &peak);
    } else {
        Link* spike = make_spike(bytes, kind, 5);
        peak = rss_bytes();
        free_chain(spike);
    }
    const size_t freed = rss_bytes();
    const double start = now_seconds();
    size_t now = freed;
    double needed = -1;
    while (now_seconds() - start < 10.0) {
        now = rss_bytes();
        if (now < before + bytes / 10) {
            needed = now_seconds() - start;
            break;
        }
        sleep_ms(100);
    }
    SAY(1, "RSS MiB: before %zu, peak %zu, freed %zu, idle %zu after %.1f s\n", before >> 20, peak >> 20,
        freed >> 20, now >> 20, needed < 0 ? 10.0 : needed);
    CHECK(needed >= 0);
    return check_summary();
}
