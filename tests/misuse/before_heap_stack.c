// expect: cairn: free of stack pointer @P@
//
// A constructor frees a variable of its own before anything was allocated.
// SPDX-License-Identifier: MIT
#include "misuse.h"

__attribute__((constructor(101))) static void first_call(void) {
    char local[64];
    say_address('P', local);
    free(hidden(local));
}

int main(void) {
    return finish(48);
}
