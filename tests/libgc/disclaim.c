/* Disclaim procedures: who is asked, when, and what an answer does; objects with a finalizer from birth; a
   table of equal values that holds its entries weakly, with threads.
   SPDX-License-Identifier: MIT */
#include "check.h"
#include <gc/gc_disclaim.h>
#include <gc/gc_mark.h>
#include <pthread.h>
#include <unistd.h>

/* The first word of an object that is in use is odd; of a piece that is free it is not. */
struct tagged {
    uintptr_t state; /* number << 1 | 1 */
    void* holds;
    long filler[2];
};
enum { most_tagged = 4096 };
static int asked[most_tagged];
static int refusals; /* how often each object refuses */
static long calls;
static int disclaim(void* object) {
    struct tagged* tagged = object;
    if ((tagged->state & 1) == 0) return 0;
    const unsigned number = tagged->state >> 1;
    CHECK(number < most_tagged && GC_base(object) == object);
    ++calls;
    return asked[number]++ < refusals;
}
static int kind;
static unsigned next_number;
static struct tagged* make(int of_kind, size_t bytes) {
    struct tagged* made = GC_generic_malloc(bytes, of_kind);
    CHECK(made->state == 0 && made->holds == NULL);
    made->state = (uintptr_t)next_number++ << 1 | 1;
    return made;
}
static int asked_of(unsigned from, int times) {
    int count = 0;
    for (unsigned i = from; i < from + tries; ++i) count += asked[i] == times;
    return most(count) ? 1 : few(count) ? 0 : -count;
}
static unsigned begin(int refused) {
    refusals = refused;
    return next_number;
}

static void make_plain(void) {
    for (int i = 0; i < tries; ++i) (void)make(kind, sizeof(struct tagged));
}
static void make_large(void) {
    for (int i = 0; i < tries; ++i) (void)make(kind, 9000 + i * 100);
}
static struct tagged* kept[tries];
static void make_kept(void) {
    for (int i = 0; i < tries; ++i) kept[i] = make(kind, sizeof(struct tagged));
}
static void make_freed(void) {
    for (int i = 0; i < tries; ++i) GC_free(make(kind, sizeof(struct tagged)));
    for (int i = 0; i < tries; ++i) GC_free(make(kind, 9000 + i * 100));
}

/* The original sweeps a block that is used in part when its kind and size are allocated next. */
static void sweep_up(void) {
    for (int i = 0; i < 400; ++i) (void)GC_generic_malloc(sizeof(struct tagged), kind);
}
static void settle(void) {
    for (int i = 0; i < 4; ++i) {
        collect(1);
        make_and_forget(sweep_up);
    }
}

/* Chains, of kinds that mark from all and that do not. */
static int all_kind;
static int chain_kind;
static void make_chains(void) {
    for (int i = 0; i < tries; ++i) {
        struct tagged* first = make(chain_kind, sizeof *first);
        first->holds = NULL;
        for (int j = 0; j < 2; ++j) {
            struct tagged* next = make(chain_kind, sizeof *next);
            next->holds = first;
            first = next;
        }
    }
}
static void make_rings(void) {
    for (int i = 0; i < tries; ++i) {
        struct tagged* first = make(chain_kind, sizeof *first);
        first->holds = make(chain_kind, sizeof *first);
        ((struct tagged*)first->holds)->holds = first;
    }
}
static long calls_of(int of_kind, void (*build)(void), int cycles) {
    chain_kind = of_kind;
    make_and_forget(build);
    const long before = calls;
    collect(cycles);
    return calls - before;
}

/* ---- finalized objects */

static int finalized, closure_data;
static void* last_string;
static void finalize(void* object, void* data) {
    CHECK(data == &closure_data);
    char** fields = object;
    CHECK(fields[1] == NULL || strcmp(fields[1], "a string on the heap") == 0);
    ++finalized;
}
static const struct GC_finalizer_closure closure = {finalize, &closure_data};
static void make_finalized(void) {
    for (int i = 0; i < tries; ++i) {
        char** object = GC_finalized_malloc(3 * sizeof(char*), &closure);
        CHECK(object[0] == NULL && object[1] == NULL && object[2] == NULL);
        object[1] = GC_STRDUP("a string on the heap");
    }
}
static char** kept_finalized[tries];
static void make_kept_finalized(void) {
    for (int i = 0; i < tries; ++i) {
        kept_finalized[i] = GC_finalized_malloc(3 * sizeof(char*), &closure);
        kept_finalized[i][1] = GC_STRDUP("a string on the heap");
    }
}

/* ---- a table that holds its entries weakly */

struct entry {
    uintptr_t key; /* odd */
    struct entry* next; /* hidden, in the table's list */
};
enum { buckets = 64, keys = 512, adders = 4, rounds = 40000 };
static uintptr_t table[buckets];
static int entry_kind;
static long entries;
static uintptr_t* bucket_of(uintptr_t key) { return &table[key / 2 % buckets]; }
static int drop_entry(void* object) {
    struct entry* entry = object;
    if ((entry->key & 1) == 0) return 0;
    for (uintptr_t* at = bucket_of(entry->key); *at != 0;) {
        struct entry* there = (struct entry*)~*at;
        if (there == entry) {
            *at = (uintptr_t)entry->next;
            entry->key = 0;
            --entries;
            return 0;
        }
        at = (uintptr_t*)&there->next;
    }
    CHECK(!"an entry that is reclaimed is in the table");
    return 0;
}
struct wish {
    uintptr_t key;
    struct entry* fresh;
    struct entry* found;
};
static void* look_up(void* data) { /* under the lock */
    struct wish* wish = data;
    for (uintptr_t at = *bucket_of(wish->key); at != 0; at = (uintptr_t)((struct entry*)~at)->next) {
        struct entry* there = (struct entry*)~at;
        if (there->key != wish->key) continue;
        GC_set_mark_bit(there); /* found in time: it stays */
        wish->found = there;
        return NULL;
    }
    wish->found = wish->fresh;
    wish->fresh->key = wish->key;
    wish->fresh->next = (struct entry*)*bucket_of(wish->key);
    *bucket_of(wish->key) = ~(uintptr_t)wish->fresh;
    ++entries;
    return NULL;
}
static void* add_entries(void* seed) {
    uintptr_t random = (uintptr_t)seed;
    struct entry* mine[16] = {0};
    for (int i = 0; i < rounds; ++i) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        struct wish wish = {(random >> 33) % keys * 2 + 1, NULL, NULL};
        wish.fresh = GC_generic_malloc(sizeof(struct entry), entry_kind);
        GC_call_with_alloc_lock(look_up, &wish);
        CHECK(wish.found->key == wish.key);
        mine[i % 16] = wish.found;
        for (int j = 0; j < 16; ++j) CHECK(mine[j] == NULL || (mine[j]->key & 1) == 1);
        for (int j = 0; j < 4; ++j) *(volatile int*)GC_MALLOC(64) = 1;
        if (i % 8192 == 77) GC_gcollect();
    }
    return NULL;
}

static int new_kind(GC_disclaim_proc procedure, int marks_from_all) {
    const int made = (int)GC_new_kind(GC_new_free_list(), GC_DS_LENGTH, 1, 1);
    GC_register_disclaim_proc(made, procedure, marks_from_all);
    return made;
}
static void* new_kind_inside(void* data) {
    return (void*)(uintptr_t)GC_new_kind_inner(GC_new_free_list_inner(), 0, 0, 1);
}

static void test_answers(void) {
    unsigned from = begin(0);
    make_and_forget(make_plain);
    settle();
    TELL("dropped: once %d", asked_of(from, 1));
    from = begin(0);
    make_and_forget(make_large);
    settle();
    TELL("large: once %d", asked_of(from, 1));
    from = begin(0);
    make_and_forget(make_kept);
    settle();
    TELL("reachable: never %d", asked_of(from, 0));
    for (int i = 0; i < tries; ++i) CHECK(GC_is_marked(kept[i]) && GC_base(&kept[i]->filler[1]) == kept[i]);
    size_t bytes = 0;
    TELL("kind %d", GC_get_kind_and_size(kept[0], &bytes) - kind);
    CHECK(bytes >= sizeof(struct tagged));
    memset(kept, 0, sizeof kept);
    settle();
    TELL("then dropped: once %d", asked_of(from, 1));
    from = begin(0);
    make_and_forget(make_freed);
    settle();
    TELL("freed: never %d %d", asked_of(from, 0), asked_of(from + tries, 0));
    from = begin(1);
    make_and_forget(make_plain);
    settle();
    TELL("refused once: twice %d", asked_of(from, 2));
    from = begin(1);
    make_and_forget(make_large);
    settle();
    TELL("large, refused once: twice %d", asked_of(from, 2));
}

static void test_chains(void) {
    begin(0);
    const long direct = calls_of(kind, make_chains, 2);
    TELL("chains at once %d", direct >= 3 * (tries - 4));
    collect(4);
    const long slow = calls_of(all_kind, make_chains, 1);
    TELL("chains that mark from all: not at once %d", slow <= tries);
    const long before = calls;
    collect(6);
    TELL("but in the end %d", calls - before + slow >= 3 * (tries - 4));
    TELL("rings %d", calls_of(kind, make_rings, 3) >= 2 * (tries - 4));
    TELL("rings that mark from all %d", calls_of(all_kind, make_rings, 3) <= 4);
}

static void test_finalized(void) {
    GC_init_finalized_malloc();
    GC_init_finalized_malloc();
    TELL("next kind %u", GC_new_kind(GC_new_free_list(), 0, 0, 1));
    make_and_forget(make_finalized);
    collect(4);
    TELL("finalized %d", most(finalized));
    finalized = 0;
    make_and_forget(make_kept_finalized);
    collect(4);
    TELL("not finalized %d", finalized == 0);
    CHECK((char*)GC_base(kept_finalized[0]) == (char*)kept_finalized[0] - sizeof(void*));
    for (int i = 0; i < tries; ++i) CHECK(strcmp(kept_finalized[i][1], "a string on the heap") == 0);
    memset(kept_finalized, 0, sizeof kept_finalized);
    collect(4);
    TELL("then finalized %d", most(finalized));
}

static void test_table(void) {
    pthread_t ids[adders];
    for (long i = 0; i < adders; ++i)
        CHECK(GC_pthread_create(&ids[i], NULL, add_entries, (void*)(i * 77 + 5)) == 0);
    for (int i = 0; i < adders; ++i) CHECK(GC_pthread_join(ids[i], NULL) == 0);
    collect(4);
    TELL("entries left %d", entries >= 0 && entries < keys / 4);
}

int main(void) {
    GC_INIT();
    kind = new_kind(disclaim, 0);
    all_kind = new_kind(disclaim, 1);
    entry_kind = new_kind(drop_entry, 0);
    TELL("kinds %d %d %d %d", kind, all_kind, entry_kind,
         (int)(uintptr_t)GC_call_with_alloc_lock(new_kind_inside, NULL));
    test_answers();
    test_chains();
    test_finalized();
    test_table();
    return 0;
}
