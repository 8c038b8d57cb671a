// expect: cairn: double free of @P@ \(48-byte class\)
//
// Ten thousand other objects are freed in between, so the first free has long left the thread's cache.
// SPDX-License-Identifier: MIT
#include "misuse.h"

enum { count = 10000 };
static void* others[count];

int main(void) {
    void* p = malloc(48);
    for (int i = 0; i < count; ++i) others[i] = malloc(48);
    say_address('P', p);
    free(p);
    for (int i = 0; i < count; ++i) free(others[i]);
    free(hidden(p));
    return finish(48);
}
