/* Threads that use malloc and the collector at once: a table of each holds objects, and they malloc'ed texts.
   SPDX-License-Identifier: MIT */
#define GC_THREADS 1
#include <gc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
enum { slots = 500, rounds = 60000, workers = 4 };
struct cell { char* text; struct cell* next; long number; };
static void* work(void* seed) {
    struct cell** table = GC_MALLOC(slots * sizeof *table); /* on the stack of this thread alone */
    unsigned long random = (unsigned long)seed;
    for (long i = 0; i < rounds; ++i) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const unsigned slot = (random >> 33) % slots;
        if (table[slot] != NULL) {
            if (strlen(table[slot]->text) != (size_t)(table[slot]->number % 300)) abort();
            free(table[slot]->text);
        }
        struct cell* made = GC_MALLOC(sizeof *made);
        made->number = (random >> 20) % 10000;
        made->text = malloc(made->number % 300 + 1);
        memset(made->text, 'x', made->number % 300);
        made->text[made->number % 300] = 0;
        made->next = table[(slot + 1) % slots];
        if (made->next != NULL && i % 7 == 0) made->next = NULL;
        if (made->next != NULL) made->next->next = NULL;
        table[slot] = made;
        if (i % 9000 == 8999) GC_gcollect();
    }
    for (int i = 0; i < slots; ++i)
        if (table[i] != NULL) free(table[i]->text);
    return NULL;
}
int main(void) {
    GC_INIT();
    pthread_t ids[workers];
    for (long i = 0; i < workers; ++i)
        if (pthread_create(&ids[i], NULL, work, (void*)i) != 0) return 1;
    for (int i = 0; i < workers; ++i) pthread_join(ids[i], NULL);
    puts("done");
    return GC_get_gc_no() == 0;
}
