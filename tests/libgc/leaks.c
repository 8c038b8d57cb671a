/* The leak finder: what is unreachable and was not freed is reported once and freed, by where it was
   allocated where that is known; what is reachable, freed or uncollectable is not. Also at exit.
   SPDX-License-Identifier: MIT */
#define GC_THREADS 1
#include <gc/leak_detector.h>
#include <gc/gc_mark.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

enum { length = 20, rounds = 20000 };
struct link {
    struct link* next;
    char rest[48];
};
static struct link* kept;
static char* text;
static int report; /* the file that stderr is */

static __attribute__((noinline)) struct link* chain(void) {
    struct link* first = NULL;
    for (int i = 0; i < length; ++i) {
        struct link* made = malloc(sizeof *made);
        memset(made->rest, i, sizeof made->rest);
        made->next = first;
        first = made;
    }
    return first;
}

/* What was reported since the last time: how many of `word`. */
static char said[1 << 20];
static size_t read_report(void) {
    const ssize_t bytes = pread(report, said, sizeof said - 1, 0);
    CHECK(bytes >= 0 && ftruncate(report, 0) == 0 && lseek(report, 0, SEEK_SET) == 0);
    said[bytes] = 0;
    return (size_t)bytes;
}
static int count(const char* word) {
    int found = 0;
    for (const char* at = said; (at = strstr(at, word)) != NULL; at += strlen(word)) ++found;
    return found;
}
/* How many objects of struct link are told of, and how many in all; a word that was left somewhere may keep
   some until the next time. */
static int links, all;
static void look(void) {
    links = all = 0;
    for (int i = 0; i < 3; ++i) {
        clear_below();
        CHECK_LEAKS();
        read_report();
        links += count("sz= 56, NORMAL)");
        all += count("sz= ") + count("object at ");
    }
}
static int about(int count, int wanted) { return count <= wanted && count + 3 >= wanted; }

static __attribute__((noinline)) void lose(void) {
    kept = NULL;
    void* volatile lost = malloc(300);
    lost = GC_malloc(100);
    lost = GC_malloc_atomic(70);
    lost = GC_MALLOC_ATOMIC(90);
    lost = strdup("a copy");
    lost = malloc(2000000); /* large */
    (void)lost;
}
static __attribute__((noinline)) void free_all(struct link* at) {
    while (at != NULL) {
        struct link* next = at->next;
        free(at);
        at = next;
    }
}

/* Threads that free all they take, while cycles run. */
static void* churn(void* unused) {
    for (int i = 0; i < rounds; ++i) {
        struct link* made = malloc(sizeof *made);
        struct link* other = realloc(malloc(20), 500);
        made->next = other;
        CHECK(GC_size(GC_base(other)) >= 500);
        free(made->next);
        free(made);
    }
    return NULL;
}

static void in_child(void) {
    struct link* volatile lost = chain();
    lost = NULL;
    kept = chain();
    exit(0); /* tells of what was lost */
}

static void fork_and_end(void) {
    const pid_t child = fork();
    if (child == 0) in_child();
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    read_report();
    TELL("at exit %d: %d", status, about(count("sz= 56,"), length));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0); /* nothing told is told again by a child */
    GC_set_find_leak(1);
    GC_INIT();
    CHECK(GC_get_find_leak() == 1);
    char name[] = "leaks-XXXXXX";
    report = mkstemp(name);
    CHECK(report >= 0 && unlink(name) == 0 && dup2(report, 2) == 2);

    kept = chain();
    text = strdup("kept");
    void* const rooted = GC_MALLOC_UNCOLLECTABLE(500);
    CHECK(rooted != NULL);
    look();
    TELL("nothing lost: %d", all);
    lose();
    clear_below();
    CHECK_LEAKS();
    read_report();
    const int told = count("sz= 56, NORMAL)");
    TELL("lost: links %d, others %d", about(told, length), about(count("\n"), length + 7));
    TELL("large %d, unscanned %d", count("leaks.c:") > length && count("sz= 2000000, NORMAL)") <= 1,
         count("PTRFREE") <= 2);
    look();
    TELL("not again %d", all <= 3 && told + links <= length);
    kept = chain();
    free_all(kept);
    kept = NULL;
    look();
    TELL("freed: %d", all);
    kept = chain();
    for (int i = 0; i < length / 2; ++i) kept = kept->next;
    look();
    TELL("half: %d", about(links, length / 2));
    free_all(kept);
    kept = NULL;
    CHECK(strcmp(text, "kept") == 0);

    pthread_t threads[2];
    for (int i = 0; i < 2; ++i) CHECK(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    for (int i = 0; i < 5; ++i) GC_gcollect();
    for (int i = 0; i < 2; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
    look();
    TELL("freed by threads: %d", all <= 3);

    void* volatile last = malloc(16);
    GC_finalization_proc before = (GC_finalization_proc)1;
    GC_register_finalizer(GC_base(last), (GC_finalization_proc)in_child, NULL, &before, NULL);
    void* volatile link = NULL;
    TELL("no links %d, no finalizers %d", GC_general_register_disappearing_link((void**)&link, GC_base(last)),
         before == (GC_finalization_proc)1);
    free(last);

    fork_and_end();
    GC_set_find_leak(0);
    return 0;
}
