// expect: cairn: free of interior pointer @P@ \(96-byte class, object at @O@\)
//
// An odd address inside a live object.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    char* p = malloc(96);
    say_address('O', p);
    say_address('P', p + 1);
    free(hidden(p + 1));
    free(p);
    return finish(96);
}
