// expect: cairn: free of foreign pointer 0x10
//
// A small number taken for a pointer.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    free(malloc(48));
    free(hidden((void*)0x10));
    return finish(48);
}
