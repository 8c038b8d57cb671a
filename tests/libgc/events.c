/* What a program is told as a cycle goes on: events in their order, each with the threads it stops, while
   many threads allocate and in a child; a heap that grows, objects that become ready for their finalizers, a
   function that wants no cycle.
   SPDX-License-Identifier: MIT */
#include "check.h"
#include <gc/gc_mark.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { spinners = 3, most_events = 100000 };

/* ---- the order: one cycle is  START { stop } END , marked within its stops */

static volatile int is_open, is_stopping, is_stopped, is_marked, is_marking, is_reclaiming;
static volatile int cycles, stops, suspended, unsuspended, calls;
static volatile GC_word number_at_start;
static pthread_t spinning[spinners], blocked;
static volatile int spinners_suspended, blocked_suspended;
static volatile unsigned long turns[spinners];
static volatile int is_ending;

static void stay_still(void) {
    unsigned long before[spinners];
    for (int i = 0; i < spinners; ++i) before[i] = turns[i];
    for (volatile int i = 0; i < 100000; ++i) {
    }
    for (int i = 0; i < spinners; ++i) CHECK(turns[i] == before[i]);
}
static void on_event(GC_EventType event) {
    ++calls;
    CHECK(GC_get_heap_size() < 1ul << 40 && GC_get_total_bytes() < 1ul << 40); /* may be asked */
    switch (event) {
    case GC_EVENT_START:
        CHECK(!is_open && !is_stopping && !is_stopped);
        is_open = 1;
        is_marked = 0;
        number_at_start = GC_get_gc_no();
        return;
    case GC_EVENT_PRE_STOP_WORLD:
        CHECK(is_open && !is_stopping && !is_stopped && !is_reclaiming);
        is_stopping = 1;
        suspended = unsuspended = 0;
        return;
    case GC_EVENT_POST_STOP_WORLD:
        CHECK(is_stopping && !is_stopped);
        is_stopping = 0;
        is_stopped = 1;
        return;
    case GC_EVENT_MARK_START:
        CHECK(is_stopped && !is_marking && !is_marked);
        is_marking = 1;
        return;
    case GC_EVENT_MARK_END:
        CHECK(is_stopped && is_marking);
        stay_still();
        is_marking = 0;
        is_marked = 1;
        return;
    case GC_EVENT_PRE_START_WORLD:
        CHECK(is_stopped);
        is_stopped = 0;
        is_stopping = 1;
        return;
    case GC_EVENT_POST_START_WORLD:
        CHECK(!is_stopped && is_stopping);
        CHECK(suspended == unsuspended);
        is_stopping = 0;
        ++stops;
        return;
    case GC_EVENT_RECLAIM_START:
        CHECK(is_open && is_marked && !is_stopped);
        is_reclaiming = 1;
        return;
    case GC_EVENT_RECLAIM_END:
        CHECK(is_reclaiming);
        is_reclaiming = 0;
        return;
    case GC_EVENT_END:
        CHECK(is_open && is_marked && !is_marking && !is_reclaiming && GC_get_gc_no() > number_at_start);
        is_open = 0;
        ++cycles;
        return;
    default: CHECK(!"an event of a cycle");
    }
}
static void on_thread(GC_EventType event, void* thread) {
    CHECK(is_stopping);
    CHECK(!pthread_equal((pthread_t)thread, pthread_self()));
    if (event == GC_EVENT_THREAD_SUSPENDED) {
        ++suspended;
        for (int i = 0; i < spinners; ++i)
            spinners_suspended += pthread_equal((pthread_t)thread, spinning[i]) != 0;
        blocked_suspended += pthread_equal((pthread_t)thread, blocked) != 0;
    } else {
        CHECK(event == GC_EVENT_THREAD_UNSUSPENDED);
        ++unsuspended;
    }
}

/* ---- threads */

static void* spin(void* number) {
    while (!is_ending) ++turns[(long)number];
    return NULL;
}
static void* rest(void* unused) {
    while (!is_ending) usleep(1000);
    return NULL;
}
static void* be_blocked(void* unused) { return GC_do_blocking(rest, NULL); }

static void* grow(void* unused) {
    void** kept = GC_MALLOC(20000 * sizeof(void*));
    for (int round = 0; round < 60; ++round)
        for (int i = 0; i < 20000; ++i) {
            void** made = GC_MALLOC(64);
            made[0] = kept[(i * 7919) % 20000];
            ((void**)made)[1] = NULL;
            kept[i] = round % 8 == 0 ? made : kept[i];
        }
    return NULL;
}

/* ---- the rest */

static volatile int starts;
static void on_start(void) { ++starts; }

static volatile GC_word last_size, sizes_told;
static void on_size(GC_word bytes) {
    CHECK(bytes > 0);
    last_size = bytes;
    ++sizes_told;
}

static volatile int ready, finalized;
static void on_ready(void* object) {
    CHECK(*(int*)object == 77);
    ++ready;
}
static void finalize(void* object, void* data) {
    CHECK(ready > finalized); /* told before */
    ++finalized;
}
static void make_finalized(void) {
    for (int i = 0; i < tries; ++i) {
        int* made = GC_MALLOC_ATOMIC(16);
        *made = 77;
        GC_REGISTER_FINALIZER_NO_ORDER(made, finalize, NULL, NULL, NULL);
    }
}

static volatile int asked;
static int want_none(void) { return ++asked; }

/* Another may have begun right after the one that was asked for. */
static int is_over(void) {
    for (int i = 0; i < 10000 && is_open; ++i) usleep(1000);
    return !is_open;
}

static void in_child(void) {
    const int before = cycles;
    GC_gcollect();
    CHECK(cycles > before && is_over());
    for (int i = 0; i < 100000; ++i) CHECK(GC_MALLOC(100) != NULL);
    GC_gcollect();
    CHECK(cycles > before + 1 && is_over());
    _exit(0);
}

static void fork_and_decline(void) {
    const pid_t child = fork();
    if (child == 0) in_child();
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    TELL("in a child %d", status);

    const GC_stop_func usual = GC_get_stop_func();
    GC_set_stop_func(want_none);
    CHECK(is_over());
    const int none = cycles;
    GC_gcollect();
    for (int i = 0; i < 100000; ++i) CHECK(GC_MALLOC(100) != NULL);
    TELL("none wanted %d %d, %d", cycles - none, asked > 0, GC_try_to_collect(want_none));
    GC_gcollect_and_unmap();
    CHECK(cycles > none);
    GC_set_stop_func(usual);

}

static void resize_and_finalize(void) {
    GC_set_on_heap_resize(on_size);
    CHECK(GC_get_on_heap_resize() == on_size);
    void** kept = GC_MALLOC(64 * sizeof(void*));
    for (int i = 0; i < 64; ++i) kept[i] = GC_MALLOC_ATOMIC(1 << 20);
    CHECK(kept[63] != NULL);
    TELL("larger %d %d", last_size >= 64 << 20, sizes_told >= 1);
    const GC_word size = GC_get_heap_size();
    CHECK(GC_expand_hp(32 << 20) == 1);
    TELL("expanded %d %d", last_size >= size + (32 << 20), GC_get_heap_size() >= size + (32 << 20));
    GC_set_on_heap_resize(NULL);

    GC_set_await_finalize_proc(on_ready);
    CHECK(GC_get_await_finalize_proc() == on_ready);
    make_and_forget(make_finalized);
    collect(3);
    TELL("ready %d, finalized %d", most(ready), ready == finalized);
}

int main(void) {
    GC_INIT();
    for (long i = 0; i < spinners; ++i) CHECK(pthread_create(&spinning[i], NULL, spin, (void*)i) == 0);
    CHECK(pthread_create(&blocked, NULL, be_blocked, NULL) == 0);
    usleep(100000);
    GC_gcollect(); /* what was begun before is over */
    CHECK(GC_get_on_collection_event() == NULL && GC_get_on_thread_event() == NULL);
    GC_set_on_collection_event(on_event);
    GC_set_on_thread_event(on_thread);
    GC_set_start_callback(on_start);
    CHECK(GC_get_on_collection_event() == on_event && GC_get_on_thread_event() == on_thread);
    for (int i = 1; i <= 5; ++i) {
        const int before = cycles;
        GC_gcollect();
        CHECK(cycles > before && stops >= cycles && starts >= i);
    }
    TELL("asked for: spinners %d, blocked %d", spinners_suspended >= spinners * 5, blocked_suspended);

    pthread_t growing[2];
    const int before = cycles;
    for (int i = 0; i < 2; ++i) CHECK(pthread_create(&growing[i], NULL, grow, NULL) == 0);
    for (int i = 0; i < 2; ++i) CHECK(pthread_join(growing[i], NULL) == 0);
    GC_gcollect();
    TELL("by themselves %d, blocked %d", cycles > before + 2 && is_over(), blocked_suspended);

    fork_and_decline();
    CHECK(is_over());
    GC_set_on_collection_event(NULL);
    GC_set_on_thread_event(NULL);
    const int told = calls;
    GC_gcollect();
    TELL("silent %d", calls == told);
    is_ending = 1;

    resize_and_finalize();
    return 0;
}
