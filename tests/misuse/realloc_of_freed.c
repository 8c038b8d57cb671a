// expect: cairn: realloc of freed pointer @P@ \(48-byte class\)
//
// realloc of a small object that was freed. Reported only, it gives NULL.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    void* p = malloc(48);
    say_address('P', p);
    free(p);
    void* q = realloc(hidden(p), 100);
    if (q != NULL) return 7;
    return finish(48);
}
