/* Options, variables, counters, callbacks, limits.
   SPDX-License-Identifier: MIT */
#include "check.h"
#include <gc/gc_mark.h>
#include <time.h>

static int starts;
static void on_start(void) { ++starts; }
static void* none_left(size_t bytes) {
    CHECK(bytes > 0);
    static int calls;
    TELL("out of memory %d", ++calls);
    return NULL;
}
static int always(void) { return 1; }
static int never(void) { return 0; }
static void on_warning(char* format, GC_word argument) { (void)format, (void)argument; }

static void variables(void) {
#define SAME(get, variable, value) \
    do { \
        GC_set_##get(value); \
        CHECK(GC_get_##get() == (value) && variable == (value)); \
    } while (0)
    SAME(find_leak, GC_find_leak, 0);
    SAME(java_finalization, GC_java_finalization, 1);
    SAME(finalize_on_demand, GC_finalize_on_demand, 0);
    SAME(dont_expand, GC_dont_expand, 0);
    SAME(full_freq, GC_full_freq, 19);
    SAME(non_gc_bytes, GC_non_gc_bytes, 0);
    SAME(no_dls, GC_no_dls, 0);
    SAME(free_space_divisor, GC_free_space_divisor, 3);
    SAME(max_retries, GC_max_retries, 0);
    SAME(dont_precollect, GC_dont_precollect, 0);
    SAME(time_limit, GC_time_limit, 20);
    CHECK(GC_get_parallel() >= 0 && GC_get_rate() > 0);
    GC_set_warn_proc(on_warning);
    CHECK(GC_get_warn_proc() == on_warning);
    CHECK(GC_stackbottom != NULL && (char*)&starts != GC_stackbottom);
}

static void* all[1000];
int main(void) {
    CHECK(GC_get_all_interior_pointers() == 1);
    GC_INIT();
    CHECK(GC_is_init_called());
    variables();
    GC_set_start_callback(on_start);
    CHECK(GC_get_start_callback() == on_start);
    const GC_word before = GC_get_gc_no();
    GC_gcollect();
    CHECK(GC_get_gc_no() > before && GC_gc_no == GC_get_gc_no() && starts >= 1);

    GC_disable();
    GC_disable();
    GC_enable();
    CHECK(GC_is_disabled() && GC_dont_gc == 1);
    const GC_word still = GC_get_gc_no();
    for (int i = 0; i < 300000; ++i) all[i % 1000] = GC_MALLOC(64);
    GC_gcollect();
    CHECK(GC_get_gc_no() == still);
    GC_enable();
    CHECK(!GC_is_disabled());
    GC_gcollect();
    CHECK(GC_get_gc_no() > still);
    CHECK(GC_try_to_collect(never) == 1);

    /* The variable alone, as GC_DONT_GC has it: no cycle, and nobody waits for one. */
    GC_dont_gc = 1;
    const GC_word since_then = GC_get_gc_no();
    const clock_t start = clock();
    struct timespec first, last;
    clock_gettime(CLOCK_MONOTONIC, &first);
    for (int i = 0; i < 1000000; ++i) all[i % 1000] = GC_MALLOC(200);
    clock_gettime(CLOCK_MONOTONIC, &last);
    CHECK(GC_get_gc_no() == since_then && clock() - start < 10 * CLOCKS_PER_SEC);
    CHECK(last.tv_sec - first.tv_sec < 10);
    GC_dont_gc = 0;
    GC_gcollect();
    CHECK(GC_get_gc_no() > since_then);

    const size_t total = GC_get_total_bytes();
    for (int i = 0; i < 100000; ++i) all[i % 1000] = GC_MALLOC(100);
    CHECK(GC_get_total_bytes() > total + 5000000);
    GC_word heap = 0, unused = 0, unmapped = 0, since = 0, sum = 0;
    GC_get_heap_usage_safe(&heap, &unused, &unmapped, &since, &sum);
    CHECK(heap > 0 && unused <= heap && sum >= total);
    CHECK(GC_get_heap_size() > 0 && GC_get_free_bytes() <= heap);
    struct GC_prof_stats_s stats;
    CHECK(GC_get_prof_stats(&stats, sizeof stats) == sizeof stats && stats.gc_no == GC_get_gc_no());
    CHECK(GC_expand_hp(1 << 20) == 1);
    (void)GC_collect_a_little();
    GC_gcollect_and_unmap();

    GC_set_oom_fn(none_left);
    CHECK(GC_get_oom_fn() == none_left && GC_oom_fn == none_left);
    CHECK(GC_MALLOC(SIZE_MAX / 2) == NULL);
    GC_set_max_heap_size(64 << 20);
    CHECK(GC_MALLOC_ATOMIC(256 << 20) == NULL);
    CHECK(GC_MALLOC(1000) != NULL);
    (void)always;
    TELL("settings %s", "ok");
    return 0;
}
