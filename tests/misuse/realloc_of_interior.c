// expect: cairn: realloc of interior pointer @P@ \(64-byte class, object at @O@\)
//
// realloc of an address inside a live object; the object stays as it was.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    char* p = malloc(64);
    memset(p, 'x', 64);
    say_address('O', p);
    say_address('P', p + 32);
    if (realloc(hidden(p + 32), 100) != NULL) return 7;
    if (p[0] != 'x' || p[63] != 'x') return 8;
    free(p);
    return finish(64);
}
