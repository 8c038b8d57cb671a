/* Disappearing links: short before finalizers, long after; codes; moving; links that die themselves.
   SPDX-License-Identifier: MIT */
#include "check.h"

static void* cells[3][tries];
static int finalized;
static void on_end(void* object, void* data) { (void)object, (void)data, ++finalized; }

static void name_them(void) {
    for (int i = 0; i < tries; ++i) {
        void* object = GC_MALLOC(24);
        GC_REGISTER_FINALIZER_NO_ORDER(object, on_end, NULL, NULL, NULL);
        /* Hidden places: static data would keep what they name. */
        for (int kind = 0; kind < 3; ++kind) {
            cells[kind][i] = GC_MALLOC_ATOMIC(sizeof(void*));
            *(void**)cells[kind][i] = object;
        }
        CHECK(GC_GENERAL_REGISTER_DISAPPEARING_LINK((void**)cells[0][i], object) == GC_SUCCESS);
        CHECK(GC_REGISTER_LONG_LINK((void**)cells[1][i], object) == GC_SUCCESS);
    }
}
static int cleared(int kind) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += *(void**)cells[kind][i] == NULL;
    return count;
}

static void codes(void) {
    void** cell = GC_MALLOC_ATOMIC(sizeof(void*));
    void** other = GC_MALLOC_ATOMIC(sizeof(void*));
    void* object = GC_MALLOC(16);
    *cell = *other = object;
    CHECK(GC_GENERAL_REGISTER_DISAPPEARING_LINK(cell, object) == GC_SUCCESS);
    CHECK(GC_GENERAL_REGISTER_DISAPPEARING_LINK(cell, object) == GC_DUPLICATE);
    CHECK(GC_move_disappearing_link(other, cell) == GC_NOT_FOUND);
    CHECK(GC_move_disappearing_link(cell, other) == GC_SUCCESS);
    CHECK(GC_unregister_disappearing_link(cell) == 0 && GC_unregister_disappearing_link(other) == 1);
    CHECK(GC_unregister_disappearing_link(other) == 0);
    CHECK(GC_REGISTER_LONG_LINK(cell, object) == GC_SUCCESS);
    CHECK(GC_move_long_link(cell, other) == GC_SUCCESS && GC_unregister_long_link(other) == 1);
    collect(1);
    CHECK(*cell == object && GC_base(object) == object);
}

/* Links in objects that die, and ones whose objects live. */
static void* alive[1000];
static void many(void) {
    for (int i = 0; i < 1000; ++i) alive[i] = GC_MALLOC(16);
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 1000; ++i) {
            void** cell = GC_MALLOC_ATOMIC(sizeof(void*));
            *cell = alive[i];
            CHECK(GC_GENERAL_REGISTER_DISAPPEARING_LINK(cell, alive[i]) == GC_SUCCESS);
            if (i % 3 == 0) CHECK(GC_unregister_disappearing_link(cell) == 1);
        }
        if (round % 5 == 0) collect(1);
    }
    for (int i = 0; i < 1000; ++i) CHECK(GC_base(alive[i]) == alive[i]);
}

static void* reveal(void* cell) { return *(void**)cell; }

int main(void) {
    GC_INIT();
    codes();
    make_and_forget(name_them);
    GC_set_finalize_on_demand(1);
    collect(1);
    TELL("first: short %d long %d", most(cleared(0)), most(cleared(1)));
    GC_invoke_finalizers();
    collect(2);
    TELL("then: short %d long %d finalized %d", most(cleared(0)), most(cleared(1)), most(finalized));
    many();
    void** cell = GC_MALLOC_ATOMIC(sizeof(void*));
    void* object = GC_MALLOC(16);
    *cell = object;
    (void)GC_GENERAL_REGISTER_DISAPPEARING_LINK(cell, object);
    collect(1);
    TELL("held %d", GC_call_with_alloc_lock(reveal, cell) == object);
    GC_reachable_here(object);
    return 0;
}
