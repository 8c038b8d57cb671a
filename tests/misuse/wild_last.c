// expect: cairn: free of foreign pointer 0xfffffffffffffff0
//
// The top of the address space, where index arithmetic would wrap.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    free(malloc(48));
    free(hidden((void*)0xfffffffffffffff0));
    return finish(48);
}
