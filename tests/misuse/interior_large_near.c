// expect: cairn: free of interior pointer @P@ \(large, object at @O@\)
//
// Sixteen bytes into a large block, in its first page: what a header in front of the data leads to.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    char* p = malloc(200000);
    say_address('O', p);
    say_address('P', p + 16);
    free(hidden(p + 16));
    free(p);
    return finish(100);
}
