// A large block made small where it stands gives its pages back to the system while the program sleeps.
//
// run: timeout=60 only=cairn
// SPDX-License-Identifier: MIT
#include "check.h"

#include <stdlib.h>

int main(void) {
    const size_t bytes = (size_t)256 << 20;
    char* block = given(malloc(bytes), bytes);
    memset(block, 1, bytes);
    const size_t full = rss_bytes();
    block = realloc(block, (size_t)1 << 20);
    CHECK(block != NULL && block_holds(block, 0, 0) && block[0] == 1 && block[(1 << 20) - 1] == 1);
    for (int i = 0; i < 150 && rss_bytes() > full / 8; ++i) sleep_ms(100);
    CHECK_AT(rss_bytes() <= full / 8, rss_bytes() >> 20);
    free(block);
    return check_summary();
}
