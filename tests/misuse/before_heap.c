// expect: cairn: free of foreign pointer @P@
//
// The first call of the allocator in this process is a wrong free, before main and before any constructor
// of libc.
// SPDX-License-Identifier: MIT
#include "misuse.h"

static char data[64];

static void first_call(void) {
    say_address('P', data);
    free(hidden(data));
}
__attribute__((section(".preinit_array"), used)) static void (*const before_all)(void) = first_call;

int main(void) {
    return finish(48);
}
