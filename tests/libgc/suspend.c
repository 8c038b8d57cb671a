/* Threads that are suspended by others or by themselves: they stand still, are roots, and go on; the world
   stopped from outside.
   SPDX-License-Identifier: MIT */
#define GC_NO_THREAD_REDIRECTS 1
#define GC_SUSPEND_THREAD_ID pthread_t
#include <pthread.h>
#include "check.h"
#include <gc/javaxfc.h>
#include <gc/gc_mark.h>
#include <unistd.h>

enum { workers = 4, length = 1000 };

#include "chains.h"

struct worker {
    pthread_t id;
    volatile long rounds;
    volatile int state; /* 1: in a blocked region; 2: behind it; 3: suspends itself; 4: and is back */
    volatile int leaves;
    volatile int ends;
};
static struct worker all[workers];

static void wait_for(volatile long* rounds) {
    const long before = *rounds;
    while (*rounds == before) usleep(100);
}
static void* count(void* data) { return (void*)(uintptr_t)++*(volatile long*)data; }

/* By allocation, by calculation alone, under the lock, with all of it. */
static void* work(void* argument) {
    struct worker* me = argument;
    struct link* mine = chain(0); /* known to this stack alone */
    volatile long inside = 0;
    while (!me->ends) {
        ++me->rounds;
        switch ((me - all) % workers) {
        case 0: CHECK(sum(chain(0)) == wanted); break;
        case 1: break;
        case 2: GC_call_with_alloc_lock(count, (void*)&inside); break;
        case 3:
            CHECK(sum(mine) == wanted);
            mine = chain(0);
            GC_call_with_alloc_lock(count, (void*)&inside);
            break;
        }
    }
    CHECK(sum(mine) == wanted);
    return NULL;
}
static void start(void* (*function)(void*)) {
    for (int i = 0; i < workers; ++i) {
        all[i] = (struct worker){0};
        CHECK(GC_pthread_create(&all[i].id, NULL, function, &all[i]) == 0);
    }
}
static void end(void) {
    for (int i = 0; i < workers; ++i) all[i].ends = 1;
    for (int i = 0; i < workers; ++i) CHECK(GC_pthread_join(all[i].id, NULL) == 0);
}

static void test_one_by_one(void) {
    start(work);
    for (int i = 0; i < workers; ++i) wait_for(&all[i].rounds);
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < workers; ++i) {
            CHECK(GC_is_thread_suspended(all[i].id) == 0);
            GC_suspend_thread(all[i].id);
            GC_suspend_thread(all[i].id);
            CHECK(GC_is_thread_suspended(all[i].id) == 1);
            const long before = all[i].rounds;
            for (int j = 0; j < 3; ++j) {
                GC_gcollect();
                CHECK(sum(chain(0)) == wanted);
            }
            wait_for(&all[(i + 1) % workers].rounds);
            CHECK(all[i].rounds == before);
            GC_resume_thread(all[i].id);
            CHECK(GC_is_thread_suspended(all[i].id) == 0);
            wait_for(&all[i].rounds);
            GC_resume_thread(all[i].id);
        }
    }
    TELL("one by one %s", "ok");
}

static void test_all(void) {
    long before[workers];
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < workers; ++i) GC_suspend_thread(all[i].id);
        for (int i = 0; i < workers; ++i) before[i] = all[i].rounds;
        for (int j = 0; j < 20; ++j) CHECK(sum(chain(0)) == wanted);
        GC_gcollect();
        for (int i = 0; i < workers; ++i) CHECK(all[i].rounds == before[i]);
        for (int i = 0; i < workers; ++i) GC_resume_thread(all[i].id);
        for (int i = 0; i < workers; ++i) wait_for(&all[i].rounds);
    }
    end();
    TELL("all %s", "ok");
}

static void* in_blocked(void* data) {
    struct worker* me = data;
    me->state = 1;
    while (!me->leaves) {
        ++me->rounds;
        usleep(100);
    }
    return NULL;
}
static void* block(void* argument) {
    struct worker* me = argument;
    struct link* mine = chain(0);
    GC_do_blocking(in_blocked, me);
    me->state = 2;
    CHECK(sum(mine) == wanted);
    while (me->state != 3) usleep(100);
    GC_suspend_thread(pthread_self());
    CHECK(sum(mine) == wanted && GC_is_thread_suspended(pthread_self()) == 0);
    me->state = 4;
    return NULL;
}
static void test_blocked_and_self(void) {
    start(block);
    for (int i = 0; i < workers; ++i) {
        while (all[i].state != 1) usleep(100);
        GC_suspend_thread(all[i].id);
        CHECK(GC_is_thread_suspended(all[i].id) == 1);
        wait_for(&all[i].rounds); /* the region goes on */
        all[i].leaves = 1;
    }
    usleep(20000);
    GC_gcollect();
    for (int i = 0; i < workers; ++i) CHECK(all[i].state == 1);
    for (int i = 0; i < workers; ++i) GC_resume_thread(all[i].id);
    for (int i = 0; i < workers; ++i) {
        while (all[i].state != 2) usleep(100);
        all[i].state = 3;
        while (!GC_is_thread_suspended(all[i].id)) usleep(100);
    }
    usleep(10000);
    GC_gcollect();
    for (int i = 0; i < workers; ++i) CHECK(all[i].state == 3);
    for (int i = 0; i < workers; ++i) GC_resume_thread(all[i].id);
    end();
    for (int i = 0; i < workers; ++i) CHECK(all[i].state == 4);
    TELL("blocked and by itself %s", "ok");
}

static void* unknown(void* argument) {
    while (!*(volatile int*)argument) usleep(100);
    return NULL;
}
static void test_unknown(void) {
    volatile int ends = 0;
    pthread_t id;
    CHECK(pthread_create(&id, NULL, unknown, (void*)&ends) == 0);
    GC_suspend_thread(id);
    CHECK(GC_is_thread_suspended(id) == 0);
    GC_resume_thread(id);
    ends = 1;
    pthread_join(id, NULL);
    TELL("unknown %s", "ok");
}

static void test_world(void) {
    start(work);
    for (int i = 0; i < workers; ++i) wait_for(&all[i].rounds);
    for (int round = 0; round < 50; ++round) {
        long before[workers];
        GC_stop_world_external();
        for (int i = 0; i < workers; ++i) before[i] = all[i].rounds;
        usleep(500);
        for (int i = 0; i < workers; ++i) CHECK(all[i].rounds == before[i]);
        GC_start_world_external();
        for (int i = 0; i < workers; ++i) wait_for(&all[i].rounds);
    }
    end();
    TELL("stopped from outside %s", "ok");
}

int main(void) {
    GC_INIT();
    test_one_by_one();
    test_all();
    test_blocked_and_self();
    test_unknown();
    test_world();
    return 0;
}
