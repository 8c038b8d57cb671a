/* Old objects that come to hold the only pointer to new ones, in every place a pointer may lie: small
   objects, a large table, static data of many pages, a small variable, typed and uncollectable objects, what
   only a finalizer's record reaches. Cycles that mark only what is new must find all of it; objects freed by
   hand and links change meanwhile, and a child of a fork goes on by itself.
   SPDX-License-Identifier: MIT */
#include "check.h"
#include <gc/gc_typed.h>
#include <sys/wait.h>
#include <unistd.h>

enum { places = 30000, table_size = 200000, steps = 600000, static_size = 40000, links = 2000 };

struct node {
    long key;
    struct node* next;
    long check;
    struct node* other;
};
static struct node* static_table[static_size]; /* 320 KB: watched by pages */
static struct node* single;
static unsigned long state = 88172645463325252u;
static GC_descr typed;

static unsigned long chance(unsigned long below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}
static struct node* fresh(long key, struct node* next) {
    struct node* made = GC_NEW(struct node);
    CHECK(made->key == 0 && made->next == NULL && made->check == 0 && made->other == NULL);
    made->key = key;
    made->check = ~key;
    made->next = next;
    return made;
}
static void check(const struct node* at, int depth) {
    for (; at != NULL && depth > 0; at = at->next, --depth) {
        CHECK(at->check == ~at->key);
        if (at->other != NULL) CHECK(at->other->check == ~at->other->key);
    }
}

struct world {
    struct node** table;        /* large */
    struct node** small;        /* places objects of one pointer each */
    struct node** typed[100];   /* the third word of four is a pointer */
    struct node** uncollectable;
};

static void make(struct world* world) {
    world->table = GC_MALLOC(table_size * sizeof(void*));
    world->small = GC_MALLOC(places * sizeof(void*));
    for (int i = 0; i < places; ++i) world->small[i] = GC_MALLOC(16);
    for (int i = 0; i < 100; ++i) world->typed[i] = GC_MALLOC_EXPLICITLY_TYPED(32, typed);
    world->uncollectable = GC_MALLOC_UNCOLLECTABLE(100 * sizeof(void*));
}
static void step(struct world* world, long i) {
    struct node* made = fresh(i, NULL);
    made->other = fresh(-i, NULL);
    switch (chance(8)) {
    case 0: made->next = world->table[chance(table_size)]; world->table[chance(table_size)] = made; break;
    case 1: *(struct node**)world->small[chance(places)] = made; break;
    case 2: static_table[chance(static_size)] = made; break;
    case 3: single = made; break;
    case 4: world->typed[chance(100)][2] = made; break;
    case 5: world->uncollectable[chance(100)] = made; break;
    case 6: /* deep in an old chain */
        for (struct node* at = world->table[chance(table_size)]; at != NULL; at = at->next)
            if (at->next == NULL || chance(4) == 0) {
                at->next = made;
                break;
            }
        break;
    default: { /* freed by hand; its memory is somebody's at once */
        struct node** place = (struct node**)world->small[chance(places)];
        struct node* was = *place;
        *place = NULL;
        if (was != NULL && was->next == NULL) {
            GC_FREE(was);
            *place = fresh(i + 1, NULL);
        }
    }
    }
    /* chains do not grow for ever */
    if (i % 64 == 0) world->table[chance(table_size)] = NULL;
}
static void check_all(struct world* world) {
    for (int i = 0; i < table_size; ++i) check(world->table[i], 50);
    for (int i = 0; i < places; ++i) check(*(struct node**)world->small[i], 50);
    for (int i = 0; i < static_size; ++i) check(static_table[i], 50);
    for (int i = 0; i < 100; ++i) check(world->typed[i][2], 50), check(world->uncollectable[i], 50);
    check(single, 50);
}

/* Links into an old array, to objects that an old table keeps or does not. */
static struct node** kept;
static void** weak;
static void make_links(void) {
    kept = GC_MALLOC(links * sizeof(void*));
    weak = GC_MALLOC_ATOMIC(links * sizeof(void*));
    memset(weak, 0, links * sizeof(void*));
}
static void change_link(long i) {
    const long place = (long)chance(links);
    GC_unregister_disappearing_link(&weak[place]);
    struct node* made = fresh(i, NULL);
    kept[place] = chance(2) != 0 ? made : NULL;
    weak[place] = made;
    GC_general_register_disappearing_link(&weak[place], made);
}
static void* look_at_links(void* unused) {
    for (int i = 0; i < links; ++i) {
        const struct node* there = weak[i];
        if (there != NULL) CHECK(there->check == ~there->key);
        if (kept[i] != NULL) CHECK(there == kept[i]);
    }
    return unused;
}

/* Resurrected once, with what it was given meanwhile. */
static int finalized;
static void finalize(void* object, void* unused) {
    const struct node* at = object;
    CHECK(at->check == ~at->key && at->next != NULL && at->next->check == ~at->next->key);
    ++finalized;
    (void)unused;
}
static void add_finalizer(long i) {
    struct node* made = fresh(i, NULL);
    GC_REGISTER_FINALIZER(made, finalize, NULL, NULL, NULL);
    made->next = fresh(i + 1, NULL);
}

static void run(struct world* world, long count) {
    for (long i = 0; i < count; ++i) {
        step(world, i);
        if (i % 16 == 0) change_link(i);
        if (i % 100 == 0) add_finalizer(i);
        if (i % 5000 == 0) GC_call_with_alloc_lock(look_at_links, NULL);
        if (i % 100000 == 0) check_all(world);
    }
    check_all(world);
    GC_call_with_alloc_lock(look_at_links, NULL);
}

int main(void) {
    GC_INIT();
    GC_word bits = 4; /* the third word */
    typed = GC_make_descriptor(&bits, 4);
    struct world* world = GC_MALLOC_UNCOLLECTABLE(sizeof *world);
    make(world);
    make_links();
    run(world, steps);
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        run(world, steps / 4);
        _exit(7);
    }
    run(world, steps / 4);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
    collect(3);
    GC_invoke_finalizers();
    CHECK(finalized > steps / 200);
    CHECK(GC_get_gc_no() > 5);
    puts("all there");
    return 0;
}
