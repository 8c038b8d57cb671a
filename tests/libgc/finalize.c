/* Finalizers: the four orders, cycles, what is returned, calls on demand.
   SPDX-License-Identifier: MIT */
#include "check.h"
#include <gc/javaxfc.h>

struct node {
    struct node* next;
    long number;
};
static int calls[3];
typedef void (*registrar)(void*, GC_finalization_proc, void*, GC_finalization_proc*, void**);
static registrar attach;

static void on_end(void* object, void* data) {
    CHECK(((struct node*)object)->number == (long)data);
    ++calls[(long)data];
}
static struct node* make(long number, struct node* next) {
    struct node* made = GC_MALLOC(sizeof *made);
    made->number = number;
    made->next = next;
    attach(made, on_end, (void*)number, NULL, NULL);
    return made;
}
static void chains(void) {
    for (int i = 0; i < tries; ++i) (void)make(0, make(1, make(2, NULL)));
}
static void selves(void) {
    for (int i = 0; i < tries; ++i) {
        struct node* made = make(0, NULL);
        made->next = made;
    }
}
static void pairs(void) {
    for (int i = 0; i < tries; ++i) {
        struct node* first = make(0, NULL);
        first->next = make(1, first);
    }
}

static int total(void) { return calls[0] + calls[1] + calls[2]; }

static void order(const char* name, registrar with) {
    attach = with;
    memset(calls, 0, sizeof calls);
    make_and_forget(chains);
    int seen[3];
    for (int i = 0; i < 3; ++i) {
        const int before = total();
        collect(1);
        GC_invoke_finalizers();
        seen[i] = (total() - before + tries / 2) / tries;
    }
    TELL("%s: chain %d %d %d", name, seen[0], seen[1], seen[2]);
    memset(calls, 0, sizeof calls);
    make_and_forget(selves);
    collect(3);
    GC_invoke_finalizers();
    TELL("%s: itself %d", name, most(calls[0]) ? 1 : few(calls[0]) ? 0 : calls[0]);
    memset(calls, 0, sizeof calls);
    make_and_forget(pairs);
    collect(3);
    GC_invoke_finalizers();
    TELL("%s: pair %d", name, most(total() / 2) ? 1 : few(total()) ? 0 : total());
}

static void first_call(void* object, void* data) { (void)object, (void)data; }
static void second_call(void* object, void* data) { (void)object, (void)data; }
static void replacing(void) {
    void* object = GC_MALLOC(32);
    GC_finalization_proc old = second_call;
    void* data = &old;
    GC_REGISTER_FINALIZER(object, first_call, (void*)7, &old, &data);
    CHECK(old == NULL && data == NULL);
    GC_REGISTER_FINALIZER(object, second_call, (void*)8, &old, &data);
    CHECK(old == first_call && data == (void*)7);
    GC_REGISTER_FINALIZER(object, NULL, NULL, &old, &data);
    CHECK(old == second_call && data == (void*)8);
    int local = 0;
    GC_REGISTER_FINALIZER(&local, first_call, NULL, &old, &data);
    CHECK(old == NULL && data == NULL);
}

/* Comes back twice; the data of a finalizer is a root. */
static int returns;
static void come_back(void* object, void* data) {
    CHECK(*(int*)data == 4711);
    if (++returns % 2 == 1) GC_REGISTER_FINALIZER_NO_ORDER(object, come_back, data, NULL, NULL);
}
static void returners(void) {
    for (int i = 0; i < tries; ++i) {
        int* data = GC_MALLOC_ATOMIC(sizeof *data);
        *data = 4711;
        GC_REGISTER_FINALIZER_NO_ORDER(GC_MALLOC(16), come_back, data, NULL, NULL);
    }
}

static int notices;
static void on_notice(void) { ++notices; }
static void on_demand(void) {
    GC_set_finalize_on_demand(1);
    GC_set_finalizer_notifier(on_notice);
    attach = GC_register_finalizer_no_order;
    memset(calls, 0, sizeof calls);
    make_and_forget(chains);
    collect(1);
    CHECK(total() == 0 && notices >= 1 && GC_should_invoke_finalizers());
    const int made = GC_invoke_finalizers();
    CHECK(made >= total() && most(total() / 3) && !GC_should_invoke_finalizers());
    GC_set_finalize_on_demand(0);
    GC_set_finalizer_notifier(NULL);
}

static void quiet(char* format, GC_word argument) { (void)format, (void)argument; }

int main(void) {
    GC_set_warn_proc(quiet);
    GC_INIT();
    order("normal", GC_register_finalizer);
    order("ignore_self", GC_register_finalizer_ignore_self);
    order("no_order", GC_register_finalizer_no_order);
    order("unreachable", GC_register_finalizer_unreachable);
    replacing();
    make_and_forget(returners);
    collect(4);
    TELL("came back %d", most(returns / 2));
    on_demand();
    void* kept = GC_MALLOC(sizeof(struct node));
    memset(calls, 0, sizeof calls);
    attach = GC_register_finalizer;
    struct node* last = make(0, kept);
    GC_finalize_all();
    TELL("at the end %d %d", calls[0] >= 1, last->next == kept);
    return 0;
}
