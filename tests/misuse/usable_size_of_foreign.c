// expect: cairn: usable size of foreign pointer @P@
//
// malloc_usable_size of static data.
// SPDX-License-Identifier: MIT
#include "misuse.h"

static char data[64];

int main(void) {
    say_address('P', data);
    if (malloc_usable_size(hidden(data)) != 0) return 7;
    return finish(48);
}
