// expect: cairn: free of interior pointer @P@ \(48-byte class, object at @O@\)
//
// The eighth byte of a small object.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    char* p = malloc(48);
    say_address('O', p);
    say_address('P', p + 8);
    free(hidden(p + 8));
    free(p);
    return finish(48);
}
