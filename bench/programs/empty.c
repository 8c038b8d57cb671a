// The empty program: allocates once, as every program does, and ends; with an argument prints its RSS in KiB.
//
// What an allocator costs before it has done anything is this program's time and memory over its plain run.
// Reads smaps_rollup, which is exact; statm may be wrong by 32 pages a processor.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_resident(void) {
    char text[4096];
    const int fd = open("/proc/self/smaps_rollup", O_RDONLY);
    const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0) _exit(1);
    text[n] = 0;
    const char* rss = strstr(text, "Rss:");
    if (rss == NULL) _exit(1);
    rss += 4 + strspn(rss + 4, " ");
    const size_t digits = strspn(rss, "0123456789");
    if (write(1, rss, digits) != (ssize_t)digits || write(1, "\n", 1) != 1) _exit(1);
}

int main(int argc, char** argv) {
    (void)argv;
    char* volatile p = malloc(64);
    if (p == NULL) return 1;
    p[0] = 1;
    free(p);
    if (argc > 1) print_resident();
    return 0;
}
