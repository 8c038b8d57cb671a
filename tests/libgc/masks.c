/* Threads that block every signal, by libc's functions and not the collector's: their stacks are scanned.
   alone: the original waits for ever, or its signal is taken by sigwait()
   SPDX-License-Identifier: MIT */
#define GC_NO_THREAD_REDIRECTS 1
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

enum { length = 2000, kinds = 5 };

#include "chains.h"

static volatile int ends;
static volatile long rounds[kinds];
static sigset_t all;
static int received;

static void in_handler(int signal) {
    struct link* mine = chain(0);
    while (!ends) ++rounds[3];
    check(mine);
}
static void* work(void* argument) {
    const long kind = (long)argument;
    struct link* mine = chain(0); /* known to this stack alone */
    sigset_t none;
    sigemptyset(&none);
    switch (kind) {
    case 0: /* deaf, and never calls us */
        CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
        while (!ends) ++rounds[kind];
        break;
    case 1: /* deaf, and allocates */
        CHECK(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
        for (; !ends; ++rounds[kind]) check(chain(0));
        break;
    case 2: /* now and then, for a moment */
        for (; !ends; ++rounds[kind]) {
            CHECK(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
            check(mine);
            mine = chain(0);
            CHECK(pthread_sigmask(SIG_SETMASK, &none, NULL) == 0);
        }
        break;
    case 3: { /* in a handler that blocks all */
        struct sigaction action = {.sa_handler = in_handler, .sa_mask = all};
        CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
        pthread_kill(pthread_self(), SIGUSR1);
        break;
    }
    case 4: { /* waits for signals, deaf from the start, and must not be given ours */
        int signal = 0;
        do {
            CHECK(sigwait(&all, &signal) == 0);
            CHECK(signal == SIGUSR2);
            ++received;
            ++rounds[kind];
        } while (!ends);
        break;
    }
    }
    check(mine);
    return NULL;
}

int main(void) {
    GC_INIT();
    sigfillset(&all);
    pthread_t ids[kinds];
    sigset_t before;
    CHECK(sigprocmask(SIG_SETMASK, &all, &before) == 0);
    CHECK(GC_pthread_create(&ids[4], NULL, work, (void*)4) == 0);
    CHECK(sigprocmask(SIG_SETMASK, &before, NULL) == 0);
    for (long i = 0; i < 4; ++i) CHECK(GC_pthread_create(&ids[i], NULL, work, (void*)i) == 0);
    for (int i = 0; i < 60; ++i) {
        for (int j = 0; j < 10; ++j) check(chain(0));
        GC_gcollect();
        pthread_kill(ids[4], SIGUSR2);
        CHECK(setuid(getuid()) == 0); /* reaches all threads by a signal of libc's own */
        for (int kind = 0; kind < kinds; ++kind)
            for (const long seen = rounds[kind]; rounds[kind] == seen;) {
                if (kind == 4) pthread_kill(ids[4], SIGUSR2);
                usleep(100);
            }
    }
    CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0); /* this one, too */
    for (int i = 0; i < 20; ++i) {
        check(chain(0));
        GC_gcollect();
    }
    ends = 1;
    pthread_kill(ids[4], SIGUSR2);
    for (int i = 0; i < kinds; ++i) CHECK(GC_pthread_join(ids[i], NULL) == 0);
    CHECK(received > 0);
    puts("ok");
    return 0;
}
