// expect: cairn: double free of @P@ \(8-byte class\)
//
// The smallest class: an object of 5 bytes.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    void* p = malloc(5);
    say_address('P', p);
    free(p);
    free(hidden(p));
    return finish(5);
}
