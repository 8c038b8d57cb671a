/* C: binary trees of GC_MALLOC by two threads, one tree of each lives to the end.
   SPDX-License-Identifier: MIT */
#include <gc.h>
#include <stdio.h>

struct node {
    struct node* left;
    struct node* right;
};
static struct node* tree(int depth) {
    struct node* made = GC_MALLOC(sizeof *made);
    if (depth > 0) {
        made->left = tree(depth - 1);
        made->right = tree(depth - 1);
    }
    return made;
}
static long count(const struct node* at) {
    return at == NULL ? 0 : 1 + count(at->left) + count(at->right);
}
static void* work(void* result) {
    struct node* kept = tree(18);
    long sum = 0;
    for (int i = 0; i < 120; ++i) sum += count(tree(14));
    *(long*)result = sum + count(kept);
    return NULL;
}

int main(void) {
    GC_INIT();
    long sums[2];
    pthread_t other;
    pthread_create(&other, NULL, work, &sums[1]);
    work(&sums[0]);
    pthread_join(other, NULL);
    printf("%ld\n", sums[0] + sums[1]);
    return 0;
}
