// expect: cairn: double free of @P@ \(64-byte class\)
//
// A small object freed again after another of its class was freed: the last free is not the one repeated.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    void* p = malloc(64);
    void* q = malloc(64);
    say_address('P', p);
    free(p);
    free(q);
    free(hidden(p));
    return finish(64);
}
