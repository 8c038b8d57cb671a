/* Single calls of libgc's interface, timed: a case, a number of operations and of threads; prints what one
   operation took in the median repeat, in nanoseconds, and a sum that is the same on every library.

   Objects are written as they are handed out, in the first word and the last, and the last few of them are
   read again: two that overlap, or one that is not zero, change the sum.
   SPDX-License-Identifier: MIT */
#include <gc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { repeats = 5, kept = 16, live = 1024, most_threads = 64 };

struct task {
    size_t bytes;
    long count;
    char** all; /* objects that live, for questions about them */
};
typedef uint64_t (*body)(const struct task* of);

/* Object i: found as it must be, and written. */
static inline __attribute__((always_inline)) uint64_t* make(const struct task* of, void* allocate(size_t),
                                                            int is_zeroed, long i, uint64_t* sum) {
    const size_t end = of->bytes / 8 - 1;
    uint64_t* made = allocate(of->bytes);
    if (is_zeroed) *sum += made[0] | made[end];
    made[0] = made[end] = (uint64_t)i;
    return made;
}

/* ---- garbage: objects that nobody keeps, but for the last few */

static inline __attribute__((always_inline)) uint64_t garbage(const struct task* of, void* allocate(size_t),
                                                              int is_zeroed) {
    uint64_t* last[kept] = {0};
    const size_t end = of->bytes / 8 - 1;
    uint64_t sum = 0;
    for (long i = 0; i < of->count; ++i) last[i % kept] = make(of, allocate, is_zeroed, i, &sum);
    for (int i = 0; i < kept && i < of->count; ++i) sum = sum * 31 + last[i][0] + last[i][end];
    return sum;
}
static uint64_t scanned(const struct task* of) { return garbage(of, GC_malloc, 1); }
static uint64_t atomic(const struct task* of) { return garbage(of, GC_malloc_atomic, 0); }

static uint64_t many(const struct task* of) {
    uint64_t sum = 0;
    long made = 0;
    while (made < of->count) {
        void** next = NULL;
        for (void** at = GC_malloc_many(of->bytes); at != NULL && made < of->count; at = next, ++made) {
            next = at[0];
            sum += (uintptr_t)at[1];
            at[0] = NULL;
            at[1] = (void*)made;
        }
    }
    return sum + (uint64_t)made;
}

/* ---- pairs: what is allocated is freed */

static inline __attribute__((always_inline)) uint64_t pairs(const struct task* of, void* allocate(size_t),
                                                            int is_zeroed) {
    uint64_t sum = 0;
    for (long i = 0; i < of->count; ++i) GC_free(make(of, allocate, is_zeroed, i, &sum));
    return sum;
}
static uint64_t pair(const struct task* of) { return pairs(of, GC_malloc, 1); }
static uint64_t pair_atomic(const struct task* of) { return pairs(of, GC_malloc_atomic, 0); }
/* As many objects live as are freed later, in the order in which they were made. */
static uint64_t queue(const struct task* of) {
    uint64_t** waiting = GC_malloc(live * sizeof *waiting);
    uint64_t sum = 0;
    for (long i = 0; i < of->count; ++i) {
        uint64_t** const place = &waiting[i % live];
        if (*place != NULL) {
            sum += **place;
            GC_free(*place);
        }
        *place = GC_malloc(of->bytes);
        **place = (uint64_t)i;
    }
    return sum;
}
static uint64_t grow(const struct task* of) {
    uint64_t sum = 0;
    for (long i = 0; i < of->count;) {
        char* text = GC_malloc_atomic(16);
        memset(text, (char)i, 16);
        ++i;
        for (size_t room = 32; room <= of->bytes; room *= 2, ++i) {
            text = GC_realloc(text, room);
            memset(text + room / 2, text[0], room / 2);
        }
        sum += (unsigned char)text[of->bytes - 1];
        GC_free(text);
    }
    return sum;
}

/* ---- questions about objects that live; every other one is without pointers */

static char** make_live(size_t bytes) {
    char** all = GC_malloc(live * sizeof *all);
    for (size_t i = 0; i < live; ++i) {
        const size_t room = 16 + i * 37 % bytes;
        all[i] = i % 2 == 0 ? GC_malloc(room) : GC_malloc_atomic(room);
    }
    return all;
}
static uint64_t base(const struct task* of) {
    uint64_t sum = 0;
    for (long i = 0; i < of->count; ++i) {
        char* const object = of->all[i % live];
        sum += GC_base(object + i % 16) == object;
    }
    return sum;
}
static uint64_t size(const struct task* of) {
    uint64_t sum = 0;
    for (long i = 0; i < of->count; ++i) {
        const size_t at = (size_t)i % live;
        sum += GC_size(of->all[at]) >= 16 + at * 37 % of->bytes;
    }
    return sum;
}
static uint64_t is_heap(const struct task* of) {
    uint64_t sum = 0;
    for (long i = 0; i < of->count; ++i)
        sum += GC_is_heap_ptr(i % 8 == 0 ? (const char*)of : of->all[i % live]) != 0;
    return sum;
}

/* ---- what weak tables do */

static void* add_one(void* sum) {
    ++*(uint64_t*)sum;
    return sum;
}
static uint64_t locked(const struct task* of) {
    uint64_t sum = of->bytes;
    for (long i = 0; i < of->count; ++i) (void)GC_call_with_alloc_lock(add_one, &sum);
    return sum;
}
static uint64_t links(const struct task* of) {
    void** places = GC_malloc_atomic(live * sizeof *places);
    uint64_t sum = 0;
    for (long i = 0; i < of->count; ++i) {
        const size_t at = (size_t)i % live;
        places[at] = of->all[at];
        sum += GC_general_register_disappearing_link(&places[at], of->all[at]) == GC_SUCCESS;
        sum += GC_unregister_disappearing_link(&places[at]) == 1;
    }
    return sum;
}

static const struct {
    const char* name;
    body run;
    int needs_live;
} cases[] = {
    {"malloc", scanned, 0}, {"atomic", atomic, 0},           {"many", many, 0},         {"pair", pair, 0},
    {"base", base, 1},      {"atomic_pair", pair_atomic, 0}, {"alloc_lock", locked, 0}, {"queue", queue, 0},
    {"size", size, 1},      {"is_heap_ptr", is_heap, 1},     {"links", links, 1},       {"realloc", grow, 0},
};

/* ---- repeats, which all threads begin together */

static body run;
static int needs_live;
static size_t object_bytes;
static long operations;
static pthread_barrier_t line;
static double times_ns[repeats]; /* the first thread's */

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Timed from where all begin to where the last has ended. */
static void* work(void* is_first) {
    const struct task all = {object_bytes, operations, needs_live ? make_live(object_bytes) : NULL};
    const struct task warm = {object_bytes, operations / 16 + live, all.all};
    uint64_t sum = run(&warm);
    for (int i = 0; i < repeats; ++i) {
        pthread_barrier_wait(&line);
        const double start = now_ns();
        sum = sum * 31 + run(&all);
        pthread_barrier_wait(&line);
        if (is_first != NULL) times_ns[i] = (now_ns() - start) / (double)operations;
    }
    return (void*)(uintptr_t)sum;
}

static int by_value(const void* a, const void* b) {
    const double left = *(const double*)a, right = *(const double*)b;
    return (left > right) - (left < right);
}

int main(int count, char** words) {
    if (count != 5) return fprintf(stderr, "usage: calls CASE BYTES OPERATIONS THREADS\n"), 2;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        if (strcmp(cases[i].name, words[1]) != 0) continue;
        run = cases[i].run;
        needs_live = cases[i].needs_live;
    }
    object_bytes = strtoul(words[2], NULL, 10);
    operations = strtol(words[3], NULL, 10);
    const int threads = atoi(words[4]);
    if (run == NULL || object_bytes < 16 || operations < 1 || threads < 1 || threads > most_threads) return 2;
    GC_INIT();
    pthread_barrier_init(&line, NULL, (unsigned)threads);
    pthread_t others[most_threads];
    for (int i = 1; i < threads; ++i)
        if (pthread_create(&others[i], NULL, work, NULL) != 0) return 1;
    uint64_t sum = (uintptr_t)work(words);
    for (int i = 1; i < threads; ++i) {
        void* theirs = NULL;
        pthread_join(others[i], &theirs);
        sum += (uintptr_t)theirs;
    }
    qsort(times_ns, repeats, sizeof *times_ns, by_value);
    printf("%.3f %016llx\n", times_ns[repeats / 2], (unsigned long long)sum);
    return 0;
}
