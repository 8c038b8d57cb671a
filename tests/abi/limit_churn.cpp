// A program that churns under a soft memory limit stays within 10 % of it while its live data fits.
//
// Live data goes up to 150 MiB and down to 15 in phases; each phase has its own block sizes, so memory that
// one phase freed must be given back or reused for the next. What survives a phase lies together. The limit
// comes from CAIRN_MEMORY_LIMIT (256 MiB in the run line); a thread samples resident memory all the time.
// run: timeout=120 env=CAIRN_MEMORY_LIMIT=256MiB only=cairn
// run: timeout=120 args=threads env=CAIRN_MEMORY_LIMIT=256MiB only=cairn
// SPDX-License-Identifier: MIT
#include "check.h"

#include <pthread.h>
#include <stdlib.h>

#include <atomic>

namespace {

constexpr size_t mib = 1 << 20, limit = 256 * mib, most_live = 150 * mib;
std::atomic<bool> is_over{false};  // [atomic]
std::atomic<size_t> peak{0};       // [atomic]

void* sample(void*) {
    while (!is_over.load(std::memory_order_relaxed)) {  // relaxed: a flag
        const size_t now = rss_bytes();
        if (now > peak.load(std::memory_order_relaxed))
            peak.store(now, std::memory_order_relaxed);  // relaxed: own
        sleep_ms(2);
    }
    return nullptr;
}

struct Link {
    Link* next;
    size_t bytes;
};

struct Churner {
    size_t most_live;
    uint64_t random;
    Link* first;  // oldest
    Link* last;
    size_t live;

    void add(size_t bytes) {
        Link* link = static_cast<Link*>(given(malloc(bytes), bytes));
        memset(link, 1, bytes);
        *link = {nullptr, bytes};
        if (last != nullptr) last->next = link;
        else first = link;
        last = link;
        live += bytes;
    }
    void drop_oldest() {
        Link* link = first;
        first = link->next;
        if (first == nullptr) last = nullptr;
        live -= link->bytes;
        free(link);
    }
    // Fills up, turns everything over once, goes down to a tenth.
    void phase(size_t smallest, size_t largest) {
        const auto next = [&] { return smallest + next_random(&random) % (largest - smallest + 1); };
        while (live + largest < most_live) add(next());
        for (size_t turned = 0; turned < most_live;) {
            const size_t bytes = next();
            while (live + bytes > most_live) drop_oldest();
            add(bytes);
            turned += bytes;
        }
        while (live > most_live / 10) drop_oldest();
    }
};

constexpr struct {
    size_t smallest, largest;
} phases[] = {{16, 100},         {100'000, 4'000'000}, {200, 1000},  {9000, 32'000},
              {33'000, 200'000}, {16, 8000},           {2000, 3000}, {1'000'000, 8'000'000},
              {40, 60},          {16, 500'000}};

void* churn(void* argument) {
    Churner& churner = *static_cast<Churner*>(argument);
    for (int round = 0; round < 2; ++round)
        for (const auto& p : phases) churner.phase(p.smallest, p.largest);
    while (churner.first != nullptr) churner.drop_oldest();
    return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
    pthread_t sampler;
    CHECK(pthread_create(&sampler, nullptr, sample, nullptr) == 0);
    if (argc > 1 && strcmp(argv[1], "threads") == 0) {
        pthread_t threads[3];
        Churner churners[3];
        for (int i = 0; i < 3; ++i) {
            churners[i] = {most_live / 3, static_cast<uint64_t>(i) + 31, nullptr, nullptr, 0};
            CHECK(pthread_create(&threads[i], nullptr, churn, &churners[i]) == 0);
        }
        for (pthread_t t : threads) pthread_join(t, nullptr);
    } else {
        Churner churner{most_live, 17, nullptr, nullptr, 0};
        churn(&churner);
    }
    is_over.store(true, std::memory_order_relaxed);  // relaxed: join orders the rest
    pthread_join(sampler, nullptr);
    const size_t highest = peak.load(std::memory_order_relaxed);  // relaxed: the writer is joined
    SAY(1, "highest RSS %zu MiB, limit %zu MiB\n", highest / mib, limit / mib);
    CHECK_AT(highest <= limit + limit / 10, highest);
    return check_summary();
}
