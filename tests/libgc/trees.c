/* Trees under change by several threads while cycles go on: every node holds what it should, the heap stays
   bounded, and interior pointers alone keep nodes.
   SPDX-License-Identifier: MIT */
#include "check.h"

enum { threads = 3, depth = 12, changes = 200000 };

struct node {
    long key;
    struct node* child[2];
    long check;
};
static struct node* grow(int levels, long key) {
    if (levels == 0) return NULL;
    struct node* made = GC_NEW(struct node);
    CHECK(made->key == 0 && made->child[0] == NULL && made->check == 0);
    made->key = key;
    made->check = ~key;
    for (int i = 0; i < 2; ++i) {
        struct node* child = grow(levels - 1, 2 * key + i);
        made->child[i] = child;
    }
    return made;
}
static long weigh(const struct node* at) {
    if (at == NULL) return 0;
    CHECK(at->check == ~at->key);
    return 1 + weigh(at->child[0]) + weigh(at->child[1]);
}
static struct node* root_of(long* inside) {
    return (struct node*)((char*)inside - offsetof(struct node, check));
}
/* Replaces a random path's end; the tree keeps its shape, and its old part is garbage. */
static void* change(void* seed) {
    unsigned long state = (unsigned long)seed * 2654435761u + 1;
    struct node* root = grow(depth, 1);
    const long weight = weigh(root);
    long* inside = &root->check;
    root = NULL;
    for (int i = 0; i < changes; ++i) {
        struct node* at = root_of(inside);
        state = state * 6364136223846793005u + 1442695040888963407u;
        const int levels = 1 + (int)(state >> 33) % (depth - 2);
        for (int level = 0; level < levels - 1; ++level) at = at->child[state >> (34 + level) & 1];
        const int side = (int)(state >> 60 & 1);
        if (levels < depth - 4) {
            struct node* was = at->child[side];
            struct node* copy = GC_NEW(struct node);
            *copy = *was;
            at->child[side] = copy;
        } else {
            struct node* was = at->child[side];
            at->child[side] = grow(depth - levels, was->key);
        }
        if (i % 20000 == 0) CHECK(weigh(root_of(inside)) == weight);
    }
    CHECK(weigh(root_of(inside)) == weight);
    return NULL;
}

int main(void) {
    GC_INIT();
    pthread_t ids[threads];
    for (long i = 0; i < threads; ++i) CHECK(pthread_create(&ids[i], NULL, change, (void*)(i + 1)) == 0);
    for (int i = 0; i < threads; ++i) CHECK(pthread_join(ids[i], NULL) == 0);
    TELL("trees ok, collected %d, bounded %d", GC_get_gc_no() > 3, GC_get_heap_size() < 64u << 20);
    return 0;
}
