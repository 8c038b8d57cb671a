// Signals arrive at any instruction of the allocator: a timer storm, and kills from another thread.
//
// Handlers do not allocate (no allocator allows that); they count, change errno and put it back.
// Interrupted system calls inside the allocator must not show: no request fails, no block is damaged, errno
// stays put in free.
// run: timeout=60
// SPDX-License-Identifier: MIT
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/time.h>

#include <atomic>

namespace {

std::atomic<long> alarms{0}, kills{0};  // [atomic]
std::atomic<bool> is_over{false};       // [atomic]

void on_alarm(int) {
    const int kept = errno;
    errno = EINTR;
    alarms.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    errno = kept;
}
void on_kill(int, siginfo_t*, void*) {
    kills.fetch_add(1, std::memory_order_relaxed);
}  // relaxed: a count

void catch_signals() {
    stack_t stack{};
    stack.ss_size = 64 << 10;
    stack.ss_sp = malloc(stack.ss_size);
    CHECK(sigaltstack(&stack, nullptr) == 0);
    struct sigaction action {};
    action.sa_handler = on_alarm;  // no SA_RESTART: system calls return EINTR
    CHECK(sigaction(SIGALRM, &action, nullptr) == 0);
    action.sa_sigaction = on_kill;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    CHECK(sigaction(SIGUSR1, &action, nullptr) == 0);
    const itimerval storm{{0, 300}, {0, 300}};
    CHECK(setitimer(ITIMER_REAL, &storm, nullptr) == 0);
}

void* keep_killing(void* target) {
    while (!is_over.load(std::memory_order_relaxed)) {  // relaxed: a flag
        pthread_kill(*static_cast<pthread_t*>(target), SIGUSR1);
        usleep(200);
    }
    return nullptr;
}

void allocate_for(double seconds) {
    constexpr int count = 512;
    static void* blocks[count];
    static size_t sizes[count];
    uint64_t random = 2024;
    const double end = now_seconds() + seconds;
    for (unsigned long i = 0; i % 1024 != 0 || now_seconds() < end; ++i) {
        const size_t at = next_random(&random) % count;
        CHECK_AT(block_holds(blocks[at], sizes[at], static_cast<unsigned>(at)), sizes[at]);
        errno = 4321;
        free(blocks[at]);
        CHECK_AT(errno == 4321, errno);
        sizes[at] = next_random(&random) % (i % 200 == 0 ? 3'000'000 : 2000) + 1;
        blocks[at] = i % 3 == 0 ? calloc(1, sizes[at]) : malloc(sizes[at]);
        if (!CHECK_AT(blocks[at] != nullptr, sizes[at])) sizes[at] = 0;
        fill_block(blocks[at], sizes[at], static_cast<unsigned>(at));
    }
    for (void* p : blocks) free(p);
}

void blocked_signals_stay_blocked() {
    sigset_t mine, now;
    sigemptyset(&mine);
    sigaddset(&mine, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &mine, nullptr);
    for (size_t i = 1; i < 2000; ++i) free(opaque(malloc(i * 100)));
    pthread_sigmask(SIG_SETMASK, nullptr, &now);
    CHECK(sigismember(&now, SIGUSR2) == 1 && sigismember(&now, SIGALRM) == 0 &&
          sigismember(&now, SIGUSR1) == 0);
}

}  // namespace

int main() {
    catch_signals();
    pthread_t self = pthread_self(), killer;
    CHECK(pthread_create(&killer, nullptr, keep_killing, &self) == 0);
    allocate_for(2.0);
    is_over.store(true, std::memory_order_relaxed);  // relaxed: join orders the rest
    pthread_join(killer, nullptr);
    const itimerval calm{};
    setitimer(ITIMER_REAL, &calm, nullptr);
    blocked_signals_stay_blocked();
    const long alarms_seen = alarms.load(std::memory_order_relaxed);  // relaxed: counts, all writers are done
    const long kills_seen = kills.load(std::memory_order_relaxed);    // relaxed: as above
    SAY(1, "%ld alarms, %ld kills\n", alarms_seen, kills_seen);
    CHECK(alarms_seen > 50 && kills_seen > 50);
    return check_summary();
}
