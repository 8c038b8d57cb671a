// expect: cairn: free of interior pointer @P@ \(large, object at @O@\)
//
// The middle of a large block, on a page boundary.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    char* p = malloc(1048576);
    say_address('O', p);
    say_address('P', p + 524288);
    free(hidden(p + 524288));
    free(p);
    return finish(100);
}
