// expect: cairn: double free of @P@ \(.*\)
//
// An aligned block freed twice.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    void* p = aligned_alloc(256, 700);
    say_address('P', p);
    free(p);
    free(hidden(p));
    return finish(100);
}
