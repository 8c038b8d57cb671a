// expect: cairn: realloc of stack pointer @P@
//
// realloc of a variable of main.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    char local[64];
    say_address('P', local);
    if (realloc(hidden(local), 100) != NULL) return 7;
    return finish(48);
}
