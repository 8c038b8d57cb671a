// expect: cairn: free of foreign pointer 0xdeadbeefdeadbeef
//
// A pattern, not an address: no processor could follow it.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    free(malloc(48));
    free(hidden((void*)0xdeadbeefdeadbeef));
    return finish(48);
}
