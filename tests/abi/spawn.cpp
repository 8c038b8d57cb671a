// Children that run no fork handlers: vfork, posix_spawn, system, popen, clone with shared memory, _Fork.
//
// vfork and CLONE_VM children share the parent's memory under another pid: an allocator that resets itself
// when the pid changes would throw the parent's heap away. What the child allocates there must stay good in
// the parent.
// run: timeout=60
// SPDX-License-Identifier: MIT
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <atomic>

extern char** environ;

namespace {

std::atomic<bool> is_over{false};  // [atomic]

void* keep_allocating(void* argument) {
    uint64_t random = reinterpret_cast<uintptr_t>(argument) + 1;
    while (!is_over.load(std::memory_order_relaxed))
        free(opaque(malloc(next_random(&random) % 4000)));  // relaxed: a flag
    return nullptr;
}

bool ends_well(pid_t pid) {
    int status = -1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void by_posix_spawn(int rounds) {
    char program[] = "/bin/sh", flag[] = "-c", command[] = "test \"$(echo ok)\" = ok";
    char* const arguments[] = {program, flag, command, nullptr};
    for (int i = 0; i < rounds; ++i) {
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0,
                                         0);  // keeps a copy of the path on the heap
        pid_t pid = -1;
        CHECK(posix_spawn(&pid, program, &actions, nullptr, arguments, environ) == 0);
        CHECK_AT(ends_well(pid), i);
        posix_spawn_file_actions_destroy(&actions);
    }
}

void by_system_and_popen(int rounds) {
    for (int i = 0; i < rounds; ++i) {
        CHECK(system("exit 0") == 0);
        FILE* out = popen("echo from a child", "r");
        char line[64] = "";
        CHECK(out != nullptr && fgets(line, sizeof line, out) != nullptr &&
              strcmp(line, "from a child\n") == 0);
        if (out != nullptr) CHECK(pclose(out) == 0);
    }
}

void by_vfork(int rounds) {
    for (int i = 0; i < rounds; ++i) {
        const pid_t pid = vfork();
        if (pid == 0) {
            execl("/bin/true", "true", nullptr);
            _exit(9);
        }
        CHECK_AT(ends_well(pid), i);
    }
}

constexpr int gift_count = 300;
void* gifts[gift_count];

int allocate_in_shared_memory(void*) {
    for (int i = 0; i < gift_count; ++i) {
        if (i % 2) free(gifts[i]);
        gifts[i] = malloc(static_cast<size_t>(i) * 70 + 1);
        if (gifts[i] == nullptr) return 3;
        fill_block(gifts[i], static_cast<size_t>(i) * 70 + 1, static_cast<unsigned>(i));
    }
    return 0;
}

// The child runs on the parent's memory and TLS while the parent sleeps, under a pid of its own.
void by_clone_with_shared_memory(int rounds) {
    constexpr size_t stack_bytes = 256 << 10;
    for (int i = 0; i < rounds; ++i) {
        for (int g = 0; g < gift_count; ++g) gifts[g] = g % 2 ? malloc(50) : nullptr;
        char* stack = static_cast<char*>(malloc(stack_bytes));
        void* kept = malloc(777);
        fill_block(kept, 777, 3);
        const pid_t pid =
            clone(allocate_in_shared_memory, stack + stack_bytes, CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr);
        CHECK_AT(ends_well(pid), i);
        free(stack);
        for (int g = 0; g < gift_count; ++g) {
            CHECK_AT(block_holds(gifts[g], static_cast<size_t>(g) * 70 + 1, static_cast<unsigned>(g)), g);
            free(gifts[g]);
        }
        CHECK(block_holds(kept, 777, 3));
        free(kept);
    }
}

int use_heap_in_child(void*) {
    for (size_t i = 0; i < 3000; ++i) free(opaque(calloc(1, i * 11)));
    void* p = realloc(nullptr, 100'000);
    free(p);
    return p != nullptr ? 0 : 6;
}

// Only this thread may be in the allocator here: no handler runs, so nobody could repair its locks.
void without_fork_handlers(int rounds) {
    constexpr size_t stack_bytes = 256 << 10;
    for (int i = 0; i < rounds; ++i) {
        const pid_t pid = _Fork();
        if (pid == 0) _exit(use_heap_in_child(nullptr));
        CHECK_AT(ends_well(pid), i);
        char* stack = static_cast<char*>(malloc(stack_bytes));
        CHECK_AT(ends_well(clone(use_heap_in_child, stack + stack_bytes, SIGCHLD, nullptr)), i);
        free(stack);
    }
}

}  // namespace

int main() {
    alarm(55);
    without_fork_handlers(20);
    pthread_t threads[2];
    for (long t = 0; t < 2; ++t)
        CHECK(pthread_create(&threads[t], nullptr, keep_allocating, reinterpret_cast<void*>(t)) == 0);
    by_posix_spawn(60);
    by_system_and_popen(30);
    by_vfork(60);
    is_over.store(true, std::memory_order_relaxed);  // relaxed: join orders the rest
    for (pthread_t t : threads) pthread_join(t, nullptr);
    by_clone_with_shared_memory(200);
    without_fork_handlers(20);
    return check_summary();
}
