// Launcher: runs a program with an allocator preloaded and says what it cost; small, not to spoil the answer.
//
// Linux counts into a child's peak RSS the pages its parent had when it forked: started from Python, every
// program seems to need 15 MiB. This process has one, and is never preloaded itself.
//
//   launch [-r REPEAT] [-p PRELOAD] [-i STDIN] [-o STDOUT] [-e STDERR] [-t SECONDS] -- PROGRAM ARGUMENT...
//
// Prints a line a run: wall_ns user_us system_us peak_rss_kib wait_status
// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct order {
    int repeat;
    unsigned seconds;
    const char *preload, *in, *out, *err;
    char** program;
};

static void redirect(const char* path, int flags, int to) {
    if (path == NULL) return;
    int fd = open(path, flags, 0644);
    if (fd < 0 || dup2(fd, to) < 0) _exit(125);
    if (fd != to) close(fd);
}

static void become(const struct order* o) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a server must not outlive the benchmark
    redirect(o->in, O_RDONLY, 0);
    redirect(o->out, O_WRONLY | O_CREAT | O_TRUNC, 1);
    redirect(o->err, O_WRONLY | O_CREAT | O_TRUNC, 2);
    if (o->preload != NULL && setenv("LD_PRELOAD", o->preload, 1) != 0) _exit(125);
    alarm(o->seconds);  // survives the exec
    execvp(o->program[0], o->program);
    _exit(errno == ENOENT ? 127 : 126);
}

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static long long us(struct timeval t) {
    return t.tv_sec * 1000000ll + t.tv_usec;
}

static int run_once(const struct order* o) {
    struct rusage used;
    int status;
    const long long start = now_ns();
    const pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) become(o);
    while (wait4(child, &status, 0, &used) < 0) {
        if (errno != EINTR) return 1;
    }
    const long long wall = now_ns() - start;
    char line[160];
    const int n = snprintf(line, sizeof line, "%lld %lld %lld %ld %d\n", wall, us(used.ru_utime),
                           us(used.ru_stime), used.ru_maxrss, status);
    return write(1, line, (size_t)n) == n ? 0 : 1;
}

int main(int argc, char** argv) {
    struct order o = {1, 0, NULL, NULL, NULL, NULL, NULL};
    int c;
    while ((c = getopt(argc, argv, "+r:p:i:o:e:t:")) != -1) {
        switch (c) {
        case 'r': o.repeat = atoi(optarg); break;
        case 'p': o.preload = optarg; break;
        case 'i': o.in = optarg; break;
        case 'o': o.out = optarg; break;
        case 'e': o.err = optarg; break;
        case 't': o.seconds = (unsigned)atoi(optarg); break;
        default: return 2;
        }
    }
    o.program = argv + optind;
    if (o.program[0] == NULL) return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < o.repeat; ++i) {
        if (run_once(&o) != 0) return 1;
    }
    return 0;
}
