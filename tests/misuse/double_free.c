// expect: cairn: double free of @P@ \(48-byte class\)
//
// A small object freed twice in a row, while it still lies in the thread's cache.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    void* p = malloc(48);
    say_address('P', p);
    free(p);
    free(hidden(p));
    return finish(48);
}
