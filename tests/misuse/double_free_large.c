// expect: cairn: (double free of @P@ \(large, 1048576 bytes\)|free of foreign pointer @P@)
//
// A large block freed twice. When its span is already forgotten, the second free finds nothing there.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    void* p = malloc(1048576);
    say_address('P', p);
    free(p);
    free(hidden(p));
    return finish(100);
}
