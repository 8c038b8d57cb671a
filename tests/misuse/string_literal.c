// expect: cairn: free of foreign pointer @P@
//
// Read-only data of the program.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    const char* text = "a literal";
    free(malloc(48));
    say_address('P', text);
    free(hidden(text));
    return finish(48);
}
