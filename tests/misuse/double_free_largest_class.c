// expect: cairn: double free of @P@ \(32768-byte class\)
//
// The largest class, one object a span.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    void* p = malloc(32768);
    void* q = malloc(32768);
    say_address('P', p);
    free(p);
    free(hidden(p));
    free(q);
    return finish(32768);
}
