// expect: cairn: usable size of freed pointer @P@ \(48-byte class\)
//
// malloc_usable_size of a small object that was freed. Reported only, it gives 0.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    void* p = malloc(48);
    say_address('P', p);
    free(p);
    if (malloc_usable_size(hidden(p)) != 0) return 7;
    return finish(48);
}
