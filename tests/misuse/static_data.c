// expect: cairn: free of foreign pointer @P@
//
// An array of the program's data.
// SPDX-License-Identifier: MIT
#include "misuse.h"

static char data[64];

int main(void) {
    free(malloc(48));
    say_address('P', data);
    free(hidden(data));
    return finish(48);
}
