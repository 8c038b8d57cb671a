/* What the program freed by itself since the last collection, what the system got back, and who is asked
   before a collection.
   SPDX-License-Identifier: MIT */
#include "check.h"

void GC_incr_bytes_freed(size_t bytes); /* in no header of the original's */

enum { objects = 500, blocks = 64, block_bytes = 1 << 20 };
static void* held[objects];
static void* volatile big[blocks];

static struct GC_prof_stats_s stats(void) {
    struct GC_prof_stats_s now;
    CHECK(GC_get_prof_stats(&now, sizeof now) == sizeof now);
    return now;
}
static int is_about(size_t value, size_t expected) { return value >= expected && value <= expected * 3 / 2; }

/* ---- explicit frees */

static void make(void* allocate(size_t), size_t bytes) {
    for (int i = 0; i < objects; ++i) held[i] = allocate(bytes);
}
static void* free_all(void* unused) {
    for (int i = 0; i < objects; ++i) {
        GC_free(held[i]);
        held[i] = NULL;
    }
    return unused;
}
static size_t freed_by(void* allocate(size_t), size_t bytes) {
    make(allocate, bytes);
    const size_t before = GC_get_expl_freed_bytes_since_gc();
    free_all(NULL);
    return GC_get_expl_freed_bytes_since_gc() - before;
}

static void count_frees(void) {
    GC_gcollect();
    CHECK(GC_get_expl_freed_bytes_since_gc() == 0 && stats().expl_freed_bytes_since_gc == 0);
    GC_disable(); /* no collection in between */
    CHECK(is_about(freed_by(GC_malloc, 100), objects * 100));
    CHECK(is_about(freed_by(GC_malloc, 100), objects * 100));
    CHECK(is_about(freed_by(GC_malloc_atomic, 1000), objects * 1000));
    CHECK(is_about(freed_by(GC_malloc_uncollectable, 40), objects * 40));
    CHECK(is_about(freed_by(GC_malloc, 50000), objects * 50000));
    CHECK(freed_by(GC_malloc, 0) > 0);
    const size_t before = GC_get_expl_freed_bytes_since_gc();
    GC_free(NULL);
    CHECK(GC_get_expl_freed_bytes_since_gc() == before);
    GC_incr_bytes_freed(12345);
    CHECK(GC_get_expl_freed_bytes_since_gc() == before + 12345);
    void* text = GC_malloc_atomic(1000);
    text = GC_realloc(text, 5000);
    CHECK(is_about(GC_get_expl_freed_bytes_since_gc() - before - 12345, 1000));
    CHECK(stats().expl_freed_bytes_since_gc == GC_get_expl_freed_bytes_since_gc());
    GC_free(text);
    GC_enable();
    GC_gcollect();
    CHECK(GC_get_expl_freed_bytes_since_gc() == 0);
}

/* By a thread that allocates nothing and ends. */
static void count_frees_of_others(void) {
    make(GC_malloc, 200);
    GC_disable();
    const size_t before = GC_get_expl_freed_bytes_since_gc();
    pthread_t other;
    CHECK(pthread_create(&other, NULL, free_all, NULL) == 0 && pthread_join(other, NULL) == 0);
    CHECK(is_about(GC_get_expl_freed_bytes_since_gc() - before, objects * 200));
    GC_enable();
    GC_gcollect();
    CHECK(GC_get_expl_freed_bytes_since_gc() == 0);
}

/* ---- memory that the system got back */

static void fill_big(void) {
    for (int i = 0; i < blocks; ++i) {
        big[i] = GC_malloc_atomic(block_bytes);
        memset(big[i], i, block_bytes);
    }
}

static void give_back(void) {
    make_and_forget(fill_big);
    const size_t heap = GC_get_heap_size();
    const size_t unmapped = GC_get_unmapped_bytes();
    CHECK(heap >= (size_t)blocks * block_bytes && unmapped < (size_t)blocks * block_bytes / 4);
    for (int i = 0; i < blocks; ++i) big[i] = NULL;
    collect(2);
    GC_gcollect_and_unmap();
    GC_gcollect_and_unmap();
    const size_t given_back = GC_get_unmapped_bytes();
    CHECK(given_back >= (size_t)blocks * block_bytes * 3 / 4 && GC_get_heap_size() < heap / 2);
    const struct GC_prof_stats_s now = stats();
    CHECK(now.unmapped_bytes >= (size_t)blocks * block_bytes * 3 / 4);
    CHECK(now.heapsize_full >= now.unmapped_bytes && now.free_bytes_full >= now.unmapped_bytes);
    CHECK(now.heapsize_full - now.unmapped_bytes < heap / 2);
    GC_word usage[5];
    GC_get_heap_usage_safe(&usage[0], &usage[1], &usage[2], &usage[3], &usage[4]);
    CHECK(usage[0] < heap / 2 && usage[1] <= usage[0] && usage[2] >= (size_t)blocks * block_bytes * 3 / 4);
    make_and_forget(fill_big);
    CHECK(GC_get_unmapped_bytes() < given_back / 2); /* taken again */
    for (int i = 0; i < blocks; ++i) CHECK(((unsigned char*)big[i])[block_bytes / 2] == i);
}

/* ---- who is asked */

static int asked, answer;
static int ask(void) {
    ++asked;
    return answer;
}
static int cycles(void collect_now(void)) {
    asked = 0;
    const GC_word before = GC_get_gc_no();
    collect_now();
    return (int)(GC_get_gc_no() - before);
}

static void ask_before_cycles(void) {
    GC_set_stop_func(ask);
    answer = 0;
    CHECK(cycles(GC_gcollect) == 1 && asked > 0);
    CHECK(cycles(GC_gcollect_and_unmap) == 1 && asked == 0);
    answer = 1;
    CHECK(cycles(GC_gcollect) == 0 && asked > 0);
    CHECK(cycles(GC_gcollect_and_unmap) == 1 && asked == 0);
    GC_disable();
    CHECK(cycles(GC_gcollect_and_unmap) == 0);
    GC_enable();
    answer = 0;
}

int main(void) {
    GC_INIT();
    count_frees();
    count_frees_of_others();
    give_back();
    ask_before_cycles();
    TELL("freed %s", "ok");
    return 0;
}
