/* Roots: static data, stacks, registered ranges, uncollectable objects, a callback; and what is none.
   Weak cells tell what lives.
   SPDX-License-Identifier: MIT */
#include "check.h"
#include <gc/gc_mark.h>
#include <sys/mman.h>

static void** watch[tries];
static void note(int i, void* object) {
    watch[i] = GC_MALLOC_ATOMIC(sizeof(void*));
    *watch[i] = object;
    CHECK(GC_GENERAL_REGISTER_DISAPPEARING_LINK(watch[i], object) == GC_SUCCESS);
}
static int live(void) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += *watch[i] != NULL;
    return count;
}
static const char* kept(void) {
    collect(2);
    const int count = live();
    return most(count) ? "kept" : few(count) ? "gone" : "some";
}

static void* in_data[tries] = {(void*)1};
static void** in_pages;
static void** in_malloc;
static void** uncollectable;
static void** atomic;
static void** place;
static void fill(void) {
    for (int i = 0; i < tries; ++i) note(i, place[i] = GC_MALLOC(16));
}
static void fill_inside(void) {
    for (int i = 0; i < tries; ++i) {
        char* object = GC_MALLOC(400);
        place[i] = object + 333;
        note(i, object);
    }
}
static void fill_uncollectable(void) {
    for (int i = 0; i < tries; ++i) note(i, GC_MALLOC_UNCOLLECTABLE(16));
}
static void try(const char* name, void** where, void (*make)(void)) {
    place = where;
    make_and_forget(make);
    TELL("%s: %s", name, kept());
    memset(where, 0, tries * sizeof(void*));
}

static void push(void) { GC_push_all(in_pages, in_pages + tries); }

int main(void) {
    GC_INIT();
    const size_t bytes = tries * sizeof(void*);
    in_pages = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    in_malloc = calloc(tries, sizeof(void*));
    try("static data", in_data, fill);
    try("static data, inside", in_data, fill_inside);
    try("pages", in_pages, fill);
    try("malloc", in_malloc, fill);
    GC_add_roots(in_pages, in_pages + tries);
    try("registered pages", in_pages, fill);
    try("registered pages, inside", in_pages, fill_inside);
    GC_remove_roots(in_pages, in_pages + tries);
    try("removed pages", in_pages, fill);
    const GC_push_other_roots_proc before = GC_get_push_other_roots();
    CHECK(before != NULL);
    GC_set_push_other_roots(push);
    try("pushed", in_pages, fill);
    GC_set_push_other_roots(before);
    try("pushed no more", in_pages, fill);
    uncollectable = GC_MALLOC_UNCOLLECTABLE(bytes);
    try("uncollectable", uncollectable, fill);
    GC_FREE(uncollectable);
    atomic = GC_MALLOC_ATOMIC_UNCOLLECTABLE(bytes);
    memset(atomic, 0, bytes);
    try("uncollectable atomic", atomic, fill);
    try("uncollectable themselves", in_pages, fill_uncollectable);
    void* on_stack[tries];
    try("stack", on_stack, fill);
    GC_exclude_static_roots(in_data, in_data + tries);
    try("excluded", in_data, fill);
    GC_clear_roots();
    GC_set_no_dls(1);
    static void* another[tries];
    TELL("%s", "cleared");
    GC_add_roots(watch, watch + tries);
    GC_add_roots(&in_pages, &in_pages + 1);
    try("static data, cleared", another, fill);
    GC_add_roots(another, another + tries);
    try("static data, registered", another, fill);
    GC_reachable_here(on_stack);
    return 0;
}
