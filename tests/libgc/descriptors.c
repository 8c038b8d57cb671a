/* Objects that say themselves where they hold pointers: by their type (gcj), by a word of their own; lengths,
   bitmaps, made descriptors and procedures. And such objects made, changed and emptied while cycles run,
   which may come to hold the only pointer to what an older object held.
   SPDX-License-Identifier: MIT */
#include "check.h"
#include <gc/gc_gcj.h>
#include <gc/gc_mark.h>
#include <gc/gc_typed.h>
#include <pthread.h>

enum { words = 6, most_watched = words * tries };
struct type {
    void* unused;
    GC_word descriptor;
};
static struct type types[8];
static void** held[tries];  /* the objects */
static GC_word* watched;    /* the word of each: is it alive? */
static int calls;
static GC_word environments;

/* Marks the third word. */
static struct GC_ms_entry* mark_third(GC_word* object, struct GC_ms_entry* top, struct GC_ms_entry* limit,
                                      GC_word environment) {
    ++calls;
    environments |= 1ul << environment;
    return GC_MARK_AND_PUSH((void*)object[2], top, limit, (void**)&object[2]);
}

/* ---- which words count: told as a row of 0 and 1 */

static int kind; /* -1: by type, else a kind of ours */
static struct type* type;
static int descriptor_at; /* the word that is the descriptor, 0: none */
static GC_word descriptor;
static void make(void) {
    for (int i = 0; i < tries; ++i) {
        held[i] = kind < 0 ? GC_GCJ_MALLOC(words * 8, type) : GC_generic_malloc(words * 8, kind);
        for (int w = 1; w < words; ++w) CHECK(held[i][w] == NULL);
        if (kind >= 0 && type != NULL) held[i][0] = type;
        if (descriptor_at != 0) held[i][descriptor_at] = (void*)descriptor;
        for (int w = 1; w < words; ++w) {
            void** link = (void**)&watched[i * words + w];
            if (w == descriptor_at) continue;
            held[i][w] = *link = GC_MALLOC(16);
            CHECK(GC_general_register_disappearing_link(link, held[i][w]) == GC_SUCCESS);
        }
    }
}
static void tell(const char* what) {
    memset(watched, 0, most_watched * sizeof *watched);
    make_and_forget(make);
    collect(3);
    printf("%s:", what);
    for (int w = 1; w < words; ++w) {
        int alive = 0;
        for (int i = 0; i < tries; ++i) alive += watched[i * words + w] != 0;
        printf(" %d", most(alive) ? 1 : few(alive) ? 0 : -alive);
    }
    printf("\n");
    for (int i = 0; i < tries; ++i)
        for (int w = 0; w < words; ++w) GC_unregister_disappearing_link((void**)&watched[i * words + w]);
}
static void by_type(const char* what, GC_word of_type) {
    static int next;
    kind = -1;
    type = &types[next++];
    type->descriptor = of_type;
    descriptor_at = 0;
    tell(what);
}
static void by_own(const char* what, int of_kind, GC_word own) {
    kind = of_kind;
    type = NULL;
    descriptor_at = 2;
    descriptor = own;
    tell(what);
}
static void by_kind(const char* what, GC_word of_kind, int adds_size) {
    kind = (int)GC_new_kind(GC_new_free_list(), of_kind, adds_size, 1);
    type = NULL;
    descriptor_at = 0;
    tell(what);
}

/* ---- while cycles run: what an object holds goes on to a new one of another sort, and back */

enum { slots = 60000, rounds = 8, sorts = 5, ballast = 900000 };
static void** heavy; /* a heap that is not marked in a moment */
struct value {
    long number;
    long check;
};
static unsigned third_kind;
static struct type third_types[sorts];
static void** fresh(int sort) {
    switch (sort) {
    case 0: return GC_MALLOC(words * 8);
    case 1: return GC_generic_malloc(words * 8, (int)third_kind);
    default: return GC_GCJ_MALLOC(words * 8, &third_types[sort]);
    }
}
static void* move(void* seed) {
    unsigned state = (unsigned)(uintptr_t)seed;
    void*** table = GC_MALLOC(slots * sizeof(void*));
    for (int i = 0; i < slots; ++i) {
        table[i] = fresh(i % sorts);
        struct value* value = table[i][2] = GC_MALLOC_ATOMIC(sizeof *value);
        value->number = i;
        value->check = ~i;
    }
    for (int step = 0; step < slots * rounds; ++step) {
        state = state * 1664525 + 1013904223;
        const int i = (int)((state >> 8) % slots);
        void** old = table[i];
        void** made = fresh((state >> 4) % sorts);
        made[2] = old[2];
        old[2] = NULL;
        /* Only the plain ones keep it; it takes the place of a value that was lost. */
        struct value* other = made[1] = GC_MALLOC_ATOMIC(sizeof *other);
        other->number = other->check = -1;
        table[i] = made;
        const struct value* value = made[2];
        CHECK(value->number == i && value->check == ~(long)i);
    }
    for (int i = 0; i < slots; ++i) {
        const struct value* value = table[i][2];
        CHECK(value->number == i && value->check == ~(long)i);
    }
    return NULL;
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    GC_INIT();
    GC_init_gcj_malloc(GC_GCJ_RESERVED_MARK_PROC_INDEX, (void*)mark_third);
    watched = GC_MALLOC_ATOMIC(most_watched * sizeof *watched);
    TELL("kinds %d %d", GC_gcj_kind, GC_gcj_debug_kind);
    const GC_word map = 0x12, long_map[2] = {0x22, 1};
    by_type("type, length", 3 * 8);
    by_type("type, bitmap", (GC_word)5 << 61 | GC_DS_BITMAP);
    by_type("type, made", GC_make_descriptor(&map, 6));
    by_type("type, made for more", GC_make_descriptor(long_map, 65));
    by_type("type, procedure", GC_MAKE_PROC(GC_GCJ_RESERVED_MARK_PROC_INDEX, 7ul));
    by_type("type, nothing", 0);
    TELL("procedure %d, environment %d", calls > 0, environments == 1 << 7);
    const int by_word = (int)GC_new_kind(GC_new_free_list(), 2 * 8 | GC_DS_PER_OBJECT, 0, 1);
    TELL("kind %d", by_word);
    by_own("own, length", by_word, 4 * 8);
    by_own("own, bitmap", by_word, (GC_word)9 << 60 | GC_DS_BITMAP);
    by_own("own, nothing", by_word, 0);
    const GC_word through = (GC_word)(-(GC_signed_word)(8 + GC_INDIR_PER_OBJ_BIAS)) | GC_DS_PER_OBJECT;
    kind = (int)GC_new_kind(GC_new_free_list(), through, 0, 1);
    type = &types[1];
    descriptor_at = 0;
    tell("kind by type");
    type = NULL;
    tell("kind by type, none");
    by_kind("first words", 3 * 8, 0);
    by_kind("all words", 0, 1);
    by_kind("no words", 0, 0);
    by_kind("bitmap", (GC_word)3 << 60 | GC_DS_BITMAP, 0);

    calls = 0;
    environments = 0;
    void** const debugged = GC_debug_gcj_malloc(words * 8, &types[0], "file", 1);
    CHECK(debugged[0] == &types[0]);
    GC_gcollect();
    TELL("debug procedure %d, environment %d", calls > 0, (environments & ~(1ul << 7)) == 1 << 1);
    GC_reachable_here(debugged);

    third_kind = GC_new_kind(GC_new_free_list(), GC_MAKE_PROC(GC_new_proc(mark_third), 3), 0, 1);
    third_types[2].descriptor = (GC_word)1 << 61 | GC_DS_BITMAP;
    third_types[3].descriptor = GC_MAKE_PROC(GC_GCJ_RESERVED_MARK_PROC_INDEX, 2ul);
    third_types[4].descriptor = GC_make_descriptor((const GC_word[]){4}, 3);
    for (int i = 0; i < ballast; ++i) {
        void** made = GC_MALLOC(24);
        *made = heavy;
        heavy = made;
    }
    pthread_t threads[2];
    for (long i = 0; i < 2; ++i) CHECK(pthread_create(&threads[i], NULL, move, (void*)(i + 1)) == 0);
    for (int i = 0; i < 2; ++i) CHECK(pthread_join(threads[i], NULL) == 0);
    TELL("moved %d", GC_get_gc_no() > 5);
    return 0;
}
