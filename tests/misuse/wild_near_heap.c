// expect: cairn: free of (foreign|interior) pointer @P@.*
//
// Beyond a live block by 1 GiB: close to the heap, but most likely nothing is there.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    char* p = malloc(48);
    say_address('P', p + (1 << 30) + 8);
    free(hidden(p + (1 << 30) + 8));
    free(p);
    return finish(48);
}
