// expect: cairn: free of interior pointer @P@ \(64-byte class, object at @O@\)
//
// Sixteen bytes into an object of 64: as well aligned as a real one.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    char* p = malloc(64);
    say_address('O', p);
    say_address('P', p + 16);
    free(hidden(p + 16));
    free(p);
    return finish(64);
}
