/* Allocation: what is zero, how large and how aligned objects are, realloc, free, lists, questions.
   SPDX-License-Identifier: MIT */
#include "check.h"
#include <errno.h>
#include <gc/gc_inline.h>
#include <gc/gc_mark.h>
#include <gc/gc_typed.h>

static int is_zero(const char* at, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i)
        if (at[i] != 0) return 0;
    return 1;
}

static void sizes(void) {
    for (size_t bytes = 0; bytes < 200000; bytes += bytes / 7 + 1) {
        for (int again = 0; again < 3; ++again) {
            char* object = GC_MALLOC(bytes);
            CHECK(object != NULL && ((uintptr_t)object & 15) == 0);
            CHECK(GC_size(object) >= bytes && GC_base(object) == object && GC_is_heap_ptr(object));
            CHECK(is_zero(object, bytes));
            memset(object, 0xa5, bytes);
            if (bytes > 1) CHECK(GC_base(object + bytes - 1) == object);
            if (bytes > 1) CHECK(GC_base(object + bytes / 2) == object);
            if (again == 1) GC_FREE(object);
            char* atomic = GC_MALLOC_ATOMIC(bytes);
            CHECK(atomic != NULL && ((uintptr_t)atomic & 15) == 0 && GC_size(atomic) >= bytes);
            memset(atomic, 0x5a, bytes);
            if (again == 2) GC_FREE(atomic);
        }
    }
    GC_FREE(NULL);
    int local = 0;
    CHECK(GC_base(&local) == NULL && GC_base(NULL) == NULL);
    void* foreign = malloc(100);
    CHECK(GC_base(foreign) == NULL && !GC_is_heap_ptr(foreign));
    free(foreign);
}

static void reallocs(void) {
    char* object = GC_REALLOC(NULL, 10);
    strcpy(object, "123456789");
    for (size_t bytes = 10; bytes < 1000000; bytes = bytes * 3 / 2 + 1) {
        char* larger = GC_REALLOC(object, bytes);
        CHECK(strcmp(larger, "123456789") == 0);
        CHECK(is_zero(larger + 10, bytes - 10));
        object = larger;
    }
    object = GC_REALLOC(object, 20);
    CHECK(strcmp(object, "123456789") == 0);
    CHECK(GC_REALLOC(object, 0) == NULL);
    size_t bytes = 0;
    char* atomic = GC_MALLOC_ATOMIC(100);
    atomic = GC_REALLOC(atomic, 5000);
    CHECK(GC_get_kind_and_size(atomic, &bytes) == 0 && bytes >= 5000);
    CHECK(GC_get_kind_and_size(GC_MALLOC(100), &bytes) == 1 && bytes >= 100);
    CHECK(GC_get_kind_and_size(GC_MALLOC_UNCOLLECTABLE(100), &bytes) == 2);
    CHECK(GC_get_kind_and_size(GC_MALLOC_ATOMIC_UNCOLLECTABLE(100), &bytes) == 3);
}

static void others(void) {
    CHECK(strcmp(GC_STRDUP("cairn"), "cairn") == 0 && strcmp(GC_STRNDUP("cairn", 3), "cai") == 0);
    for (size_t alignment = 16; alignment <= 4096; alignment *= 2)
        for (size_t bytes = 1; bytes < 20000; bytes = bytes * 5 + 1)
            CHECK(((uintptr_t)GC_memalign(alignment, bytes) & (alignment - 1)) == 0);
    void* object = NULL;
    CHECK(GC_posix_memalign(&object, 64, 100) == 0 && ((uintptr_t)object & 63) == 0);
    CHECK(GC_posix_memalign(&object, 3, 100) == EINVAL);
    CHECK(GC_get_version() == 0x80202);
}

/* Lists: each object zero but for its link, all of them apart, all of them kept while the list is. */
static void* list_now;
static void lists(void) {
    for (int kind = 0; kind < 2; ++kind) {
        for (size_t bytes = 16; bytes <= 512; bytes *= 2) {
            GC_generic_malloc_many(bytes, kind, &list_now);
            int count = 0;
            for (char* at = list_now; at != NULL; at = GC_NEXT(at)) {
                CHECK(((uintptr_t)at & 15) == 0 && GC_base(at) == at);
                if (kind == 1) CHECK(is_zero(at + sizeof(void*), bytes - sizeof(void*)));
                ++count;
            }
            CHECK(count >= 1);
            if (kind == 0) continue;
            GC_gcollect();
            int kept = 0;
            for (char* at = list_now; at != NULL; at = GC_NEXT(at)) kept += GC_base(at) == at;
            CHECK(kept == count);
        }
    }
    void* many = GC_malloc_many(48);
    CHECK(many != NULL);
    list_now = NULL;
}

/* What is freed is used again at once: the heap does not grow, and hardly a cycle runs. Nothing that is still
   in use changes meanwhile. */
static unsigned char* held[1000];
static void frees(void) {
    static size_t sizes_of[1000];
    const GC_word before = GC_get_gc_no();
    unsigned random = 1;
    for (int i = 0; i < 2000000; ++i) {
        random = random * 1664525 + 1013904223;
        const unsigned at = random >> 16 & 511;
        const unsigned char mark = (unsigned char)at | 1;
        if (held[at] != NULL) {
            CHECK(held[at][0] == mark && held[at][sizes_of[at] - 1] == mark);
            GC_FREE(held[at]);
        }
        sizes_of[at] = 1 + (random >> 8) % 200;
        const int is_atomic = i & 1;
        held[at] = is_atomic ? GC_MALLOC_ATOMIC(sizes_of[at]) : GC_MALLOC(sizes_of[at]);
        CHECK(is_atomic || is_zero((char*)held[at], sizes_of[at]));
        memset(held[at], mark, sizes_of[at]);
        if (i == 1000000) GC_gcollect();
    }
    CHECK(GC_get_gc_no() - before <= 20);
    memset(held, 0, sizeof held);
}

int main(void) {
    GC_INIT();
    sizes();
    reallocs();
    others();
    lists();
    frees();
    TELL("alloc %s", "ok");
    return 0;
}
