// expect: cairn: free of stack pointer @P@
//
// A variable of main.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    char local[64];
    char* before = malloc(48);
    say_address('P', local);
    free(hidden(local));
    free(before);
    return finish(48);
}
