// expect: cairn: free of foreign pointer @P@
//
// Memory that the program mapped by itself.
// SPDX-License-Identifier: MIT
#include "misuse.h"

int main(void) {
    free(malloc(48));
    char* p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say_address('P', p + 4096);
    free(hidden(p + 4096));
    munmap(p, 1 << 20);
    return finish(48);
}
