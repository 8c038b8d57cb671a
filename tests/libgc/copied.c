/* A program that is not position-independent: the library's variables lie in the program, by copy relocation,
   and either side must see what the other writes; the addresses of its functions are the program's stubs.
   flags: -no-pie -fno-pie
   SPDX-License-Identifier: MIT */
#include "watched.h"
#include <gc/gc_mark.h>

extern GC_push_other_roots_proc GC_push_other_roots; /* in no header, written by ECL */
static char some_data;

/* Roots in the program's own data, at low addresses. */
static void* initialised[tries] = {&some_data};
static void* zeroed[tries];
static void fill_static(void) {
    for (int i = 0; i < tries; ++i) note(i, (i % 2 ? initialised : zeroed)[i] = GC_MALLOC(20));
}
static void fill_nothing(void) {
    for (int i = 0; i < tries; ++i) note(i, GC_MALLOC(20));
}

/* Roots told by a callback whose address the program writes. */
static uintptr_t hidden[tries];
static int pushes;
static void push(void) {
    ++pushes;
    for (int i = 0; i < tries; ++i) {
        void* shown = (void*)~hidden[i];
        if (hidden[i] != 0) GC_push_all_eager(&shown, &shown + 1);
    }
}
static void fill_hidden(void) {
    for (int i = 0; i < tries; ++i) note(i, (void*)~(hidden[i] = ~(uintptr_t)GC_MALLOC(20)));
}

static int finalized, notified;
static void finalize(void* object, void* data) { ++finalized; }
static void notify(void) { ++notified; }
static void make_finalized(void) {
    for (int i = 0; i < tries; ++i) GC_REGISTER_FINALIZER_NO_ORDER(GC_MALLOC(20), finalize, NULL, NULL, NULL);
}
static int failures;
static void* no_memory(size_t bytes) {
    ++failures;
    return &failures;
}
static void warn(char* text, GC_word number) {}

int main(void) {
    GC_all_interior_pointers = 0;
    GC_free_space_divisor = 4;
    GC_INIT();
    TELL("interior %d %d, divisor %lu", GC_get_all_interior_pointers(), GC_all_interior_pointers,
         (unsigned long)GC_get_free_space_divisor());
    TELL("size %d", (int)GC_size(GC_MALLOC(64)) == 64);
    CHECK(GC_stackbottom != NULL && (char*)GC_stackbottom > (char*)&failures);
    void* object = GC_MALLOC(16);
    CHECK(object >= GC_least_plausible_heap_addr && object < GC_greatest_plausible_heap_addr);

    make_and_forget(fill_nothing);
    collect(2);
    TELL("dropped %d", few(live()));
    make_and_forget(fill_static);
    collect(2);
    TELL("static data %d", live() >= tries - 4);

    GC_push_other_roots = push;
    make_and_forget(fill_hidden);
    collect(2);
    TELL("callback %d %d", live() >= tries - 4, pushes >= 2);
    CHECK(GC_get_push_other_roots() == push);

    GC_finalize_on_demand = 1;
    GC_finalizer_notifier = notify;
    make_and_forget(make_finalized);
    collect(2);
    TELL("on demand %d %d %d", finalized, notified >= 1, GC_should_invoke_finalizers());
    GC_invoke_finalizers();
    TELL("invoked %d", most(finalized));
    GC_java_finalization = 0;
    TELL("java %d", GC_get_java_finalization());

    const GC_word cycles = GC_gc_no;
    GC_gcollect();
    TELL("cycles %d %d", GC_gc_no > cycles, GC_get_gc_no() == GC_gc_no);
    GC_dont_gc = 1;
    const GC_word before = GC_gc_no;
    GC_gcollect();
    TELL("off %d", GC_gc_no == before);
    GC_dont_gc = 0;
    GC_oom_fn = no_memory;
    GC_set_warn_proc(warn);
    void* (*volatile allocate)(size_t) = GC_malloc;
    void* volatile refused = allocate((size_t)1 << 60);
    TELL("oom %d %d", refused == (void*)&failures, failures);
    CHECK(allocate == GC_malloc && GC_base(allocate(100)) != NULL);
    GC_set_oom_fn(GC_get_oom_fn());
    CHECK(GC_oom_fn == no_memory);
    return 0;
}
