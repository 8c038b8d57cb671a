/* Kinds with a mark procedure, typed objects, marks set from a callback.
   SPDX-License-Identifier: MIT */
#include "watched.h"
#include <gc/gc_inline.h>
#include <gc/gc_mark.h>
#include <gc/gc_typed.h>
#include <sys/mman.h>

/* An object that holds what lies in pages outside of the heap, which nobody watches. */
struct holder {
    void** hidden; /* complemented */
    void* ignored;
};
static void** pages;
static int runs;
static struct GC_ms_entry* mark(GC_word* object, struct GC_ms_entry* top, struct GC_ms_entry* limit,
                                GC_word environment) {
    struct holder* holder = (struct holder*)object;
    CHECK(environment == 5);
    ++runs;
    if (holder->hidden == NULL) return top;
    void** held = (void**)~(uintptr_t)holder->hidden;
    for (int i = 0; i < tries; ++i) top = GC_MARK_AND_PUSH(held[i], top, limit, &held[i]);
    return top;
}
static struct holder* holder;
static unsigned kind;
static void fill_pages(void) {
    for (int i = 0; i < tries; ++i) note(i, pages[i] = GC_MALLOC(16));
}

struct pair {
    void* strong;
    void* weak;
    long number;
};
static struct pair* typed[tries];
static GC_descr descriptor;
static void fill_strong(void) {
    for (int i = 0; i < tries; ++i) {
        typed[i] = GC_MALLOC_EXPLICITLY_TYPED(sizeof(struct pair), descriptor);
        CHECK(typed[i]->strong == NULL && typed[i]->weak == NULL);
        note(i, typed[i]->strong = GC_MALLOC(16));
    }
}
static void fill_weak(void) {
    for (int i = 0; i < tries; ++i) {
        typed[i]->strong = NULL;
        note(i, typed[i]->weak = GC_MALLOC(16));
    }
}
static struct pair* array;
static void fill_array(void) {
    array = GC_CALLOC_EXPLICITLY_TYPED(tries, sizeof(struct pair), descriptor);
    for (int i = 0; i < tries; ++i) note(i, array[i].strong = GC_MALLOC(16));
}
static void fill_array_weak(void) {
    for (int i = 0; i < tries; ++i) {
        array[i].strong = NULL;
        note(i, array[i].weak = GC_MALLOC(16));
    }
}
static int kept(void (*make)(void)) {
    make_and_forget(make);
    collect(2);
    const int count = live();
    return most(count) ? 1 : few(count) ? 0 : -count;
}

int main(void) {
    GC_INIT();
    pages = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const unsigned procedure = GC_new_proc(mark);
    void** list = GC_new_free_list();
    kind = GC_new_kind(list, GC_MAKE_PROC(procedure, 5), 0, 1);
    TELL("procedure %u kind %u", procedure, kind);
    holder = GC_generic_malloc(sizeof *holder, (int)kind);
    CHECK(holder->hidden == NULL && GC_get_kind_and_size(holder, NULL) == (int)kind);
    holder->hidden = (void**)~(uintptr_t)pages;
    TELL("by procedure %d", kept(fill_pages));
    CHECK(runs > 0);
    holder->hidden = NULL;
    collect(1);
    TELL("by procedure no more %d", few(live()));
    const GC_word bits[1] = {1};
    descriptor = GC_make_descriptor(bits, 3);
    TELL("second procedure %u", GC_new_proc(mark));
    TELL("typed strong %d", kept(fill_strong));
    TELL("typed weak %d", kept(fill_weak));
    TELL("array strong %d", kept(fill_array));
    TELL("array weak %d", kept(fill_array_weak));
    void* many = NULL;
    GC_generic_malloc_many(32, (int)kind, &many);
    CHECK(many != NULL);
    GC_reachable_here(holder);
    return 0;
}
