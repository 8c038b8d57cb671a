// A program that may not start threads (here by a seccomp filter): frees stay cheap, and memory still goes
// back.
//
// run: timeout=60 only=cairn
// SPDX-License-Identifier: MIT
#include "check.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { block_count = 4000, block_bytes = 40000, rounds = 20 };

static int forbid_threads(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void* blocks[block_count];

static void fill_all(void) {
    for (int i = 0; i < block_count; ++i) {
        blocks[i] = given(malloc(block_bytes), block_bytes);
        memset(blocks[i], 1, block_bytes);
    }
}

static void free_all(void) {
    for (int i = 0; i < block_count; ++i) free(blocks[i]);
}

int main(void) {
    if (!forbid_threads()) {
        SAY(1, "no seccomp here: skipped\n");
        return 0;
    }
    fill_all();
    const size_t full = rss_bytes();
    const double start = now_seconds();
    for (int round = 0; round < rounds; ++round) {
        free_all();
        fill_all();
    }
    CHECK_AT(now_seconds() - start < 20, (now_seconds() - start) * 1000);
    free_all();
    const size_t empty = rss_bytes();
    CHECK_AT(empty < full - full / 4, empty >> 20);
    return check_summary();
}
