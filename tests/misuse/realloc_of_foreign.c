// expect: cairn: realloc of foreign pointer @P@
//
// realloc of static data.
// SPDX-License-Identifier: MIT
#include "misuse.h"

static char data[64];

int main(void) {
    say_address('P', data);
    if (realloc(hidden(data), 100) != NULL) return 7;
    return finish(48);
}
