/* Threads made through the library and registered by themselves, blocked regions, results, fork.
   SPDX-License-Identifier: MIT */
#define GC_NO_THREAD_REDIRECTS 1
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { threads = 6, length = 2000, rounds = 60 };

#include "chains.h"

static void* work(void* argument) {
    struct link* mine = chain(0);
    CHECK(sum(argument) == wanted);
    for (int i = 0; i < rounds; ++i) {
        struct link* other = chain(0);
        CHECK(sum(other) == wanted && sum(mine) == wanted);
        if (i % 20 == 7) GC_gcollect();
        mine = other;
    }
    return mine;
}
static void* in_blocked(void* data) {
    usleep(2000);
    return data;
}
static void* in_active(void* data) {
    struct link* made = chain(0);
    CHECK(sum(made) == wanted);
    return data;
}
static void* block_and_come_back(void* data) {
    usleep(1000);
    return GC_call_with_gc_active(in_active, data);
}
static void* registered(void* argument) {
    struct GC_stack_base base;
    CHECK(GC_get_stack_base(&base) == GC_SUCCESS && base.mem_base != NULL);
    CHECK(GC_register_my_thread(&base) == GC_SUCCESS);
    CHECK(GC_register_my_thread(&base) == GC_DUPLICATE);
    struct link* mine = chain(0);
    for (int i = 0; i < 50; ++i) {
        CHECK(GC_do_blocking(in_blocked, &base) == &base);
        CHECK(GC_do_blocking(block_and_come_back, &base) == &base);
        CHECK(sum(mine) == wanted);
    }
    CHECK(GC_unregister_my_thread() == GC_SUCCESS);
    return argument;
}
static void* count_up(void* counter) { return (void*)++*(long*)counter; }
static long counter;
static void* count(void* argument) {
    for (int i = 0; i < 100000; ++i) GC_call_with_alloc_lock(count_up, &counter);
    return argument;
}
static void* leave(void* argument) {
    (void)argument;
    GC_pthread_exit(chain(0));
}
static void* with_base(struct GC_stack_base* base, void* data) {
    CHECK(base->mem_base != NULL);
    return data;
}

static void in_child(void) {
    const pid_t child = fork();
    if (child == 0) {
        struct link* mine = chain(0);
        for (int i = 0; i < 30; ++i) CHECK(sum(chain(0)) == wanted);
        GC_gcollect();
        CHECK(sum(mine) == wanted);
        _exit(17);
    }
    int status = 0;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 17);
}

int main(void) {
    CHECK(GC_call_with_stack_base(with_base, &counter) == &counter);
    GC_INIT();
    GC_allow_register_threads();
    pthread_t ids[threads];
    for (int i = 0; i < threads; ++i) CHECK(GC_pthread_create(&ids[i], NULL, work, chain(0)) == 0);
    in_child();
    for (int i = 0; i < threads; ++i) {
        void* result = NULL;
        usleep(1000);
        CHECK(GC_pthread_join(ids[i], &result) == 0 && sum(result) == wanted);
    }
    TELL("created %s", "ok");
    for (int i = 0; i < threads; ++i) CHECK(pthread_create(&ids[i], NULL, registered, &ids[i]) == 0);
    for (int i = 0; i < 20; ++i) CHECK(sum(work(chain(0))) == wanted);
    for (int i = 0; i < threads; ++i) CHECK(pthread_join(ids[i], NULL) == 0);
    TELL("registered %s", "ok");
    for (int i = 0; i < threads; ++i) CHECK(GC_pthread_create(&ids[i], NULL, count, NULL) == 0);
    for (int i = 0; i < threads; ++i) CHECK(GC_pthread_join(ids[i], NULL) == 0);
    TELL("counted %ld", counter);
    pthread_t left;
    CHECK(GC_pthread_create(&left, NULL, leave, NULL) == 0);
    void* result = NULL; /* the original does not always keep what it points to */
    CHECK(GC_pthread_join(left, &result) == 0 && result != NULL);
    CHECK(GC_pthread_create(&left, NULL, work, chain(0)) == 0 && GC_pthread_detach(left) == 0);
    in_child();
    TELL("left %s", "ok");
    return 0;
}
