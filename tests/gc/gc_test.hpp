// What the programs of tests/gc share: claims that end the program, random numbers with a printed seed, work
// scaled by the command line, and cases that run in a process of their own.
//
// A program is called `NAME [--scale N]`: 1 is what ctest runs, some seconds on a slow machine; larger by
// hand. How the collector runs comes from the environment (CAIRN_GC, CAIRN_LAYOUT, CAIRN_GC_PERCENT,
// CAIRN_POISON).
// SPDX-License-Identifier: MIT
#pragma once

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/cairn.h"

namespace gc_test {

[[noreturn]] inline void fail(const char* claim, const char* file, int line, unsigned long detail) {
    std::fprintf(stderr, "%s:%d: not so: %s [%lu]\n", file, line, claim, detail);
    std::abort();
}
#define REQUIRE_AT(claim, detail) \
    ((claim) ? (void)0 : gc_test::fail(#claim, __FILE__, __LINE__, (unsigned long)(detail)))
#define REQUIRE(claim) REQUIRE_AT(claim, 0)

// Under a sanitizer everything is ten times slower.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool is_sanitized = true;
#else
inline constexpr bool is_sanitized = false;
#endif

struct Random {
    std::uint64_t state;

    explicit Random(std::uint64_t seed) : state(seed * 0x9e37'79b9'7f4a'7c15 + 1) {}
    std::uint64_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state * 0x2545'f491'4f6c'dd1d >> 11;
    }
    std::uint64_t below(std::uint64_t limit) { return next() % limit; }
    bool one_in(std::uint64_t count) { return below(count) == 0; }
};

// CAIRN_TEST_SEED, else a new one; printed, so that a failure can be had again.
inline std::uint64_t seed() {
    static const std::uint64_t value = [] {
        const char* given = std::getenv("CAIRN_TEST_SEED");
        const std::uint64_t chosen =
            given != nullptr ? std::strtoull(given, nullptr, 0) : static_cast<std::uint64_t>(getpid());
        std::fprintf(stderr, "CAIRN_TEST_SEED=%lu\n", static_cast<unsigned long>(chosen));
        return chosen;
    }();
    return value;
}

struct Arguments {
    double scale = is_sanitized ? 0.1 : 1;
    std::string only;  // the case to run, "" for all

    Arguments(int count, char** words) {
        for (int i = 1; i < count; ++i) {
            if (std::string_view(words[i]) == "--scale" && i + 1 < count) scale = std::atof(words[++i]);
            else only = words[i];
        }
    }
    [[nodiscard]] long scaled(long amount) const {
        const long scaled = static_cast<long>(static_cast<double>(amount) * scale);
        return scaled < 1 ? 1 : scaled;
    }
};

inline cairn_stats_t stats() {
    cairn_stats_t now{};
    now.size = sizeof now;
    cairn_stats(&now);
    return now;
}

// Overwrites what calls that have returned left on the stack.
[[gnu::noinline]] inline void wipe_stack() {
    volatile char room[32768];
    for (volatile char& byte : room) byte = 0;
}
template <class Function>
[[gnu::noinline]] void apart(Function function) {
    wipe_stack();
    function();
    wipe_stack();
}

// ---- cases in processes of their own

struct Outcome {
    int status = 0;    // as of waitpid
    std::string text;  // stdout and stderr

    [[nodiscard]] bool is_ok() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
    [[nodiscard]] bool is_killed_by(int signal) const {
        return WIFSIGNALED(status) && WTERMSIG(status) == signal;
    }
    [[nodiscard]] bool says(std::string_view part) const { return text.find(part) != std::string::npos; }
};

// Reads what a child says to its end. After a minute of silence it is ended by SIGALRM; time counts in
// slices, so that it does not run on while all of us are halted, as alarm() would.
inline std::string hear_out(int from, pid_t child) {
    constexpr int slice_ms = 100, most_slices = (is_sanitized ? 300 : 60) * 1000 / slice_ms;
    std::string text;
    char room[4096];
    pollfd end{from, POLLIN, 0};
    for (int slices = 0;;) {
        const int ready = poll(&end, 1, slice_ms);
        if (ready < 0) continue;  // halted and gone on
        if (ready == 0) {
            if (++slices == most_slices) kill(child, SIGALRM);
            continue;
        }
        const ssize_t got = read(from, room, sizeof room);
        if (got <= 0) return text;
        text.append(room, static_cast<std::size_t>(got));
    }
}

// Runs this program again as `NAME CASE`, with NAME=VALUE settings added to the environment.
inline Outcome run_case(const char* name, const std::vector<const char*>& settings = {}) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        for (const char* setting : settings) putenv(const_cast<char*>(setting));
        execl("/proc/self/exe", "/proc/self/exe", name, static_cast<char*>(nullptr));
        _exit(127);
    }
    close(ends[1]);
    Outcome outcome;
    outcome.text = hear_out(ends[0], child);
    close(ends[0]);
    REQUIRE(waitpid(child, &outcome.status, 0) == child);
    return outcome;
}

struct Case {
    const char* name;
    void (*run)();
    int signal;           // that ends it; 0: it exits with 0
    const char* message;  // "" for none
    std::vector<const char*> settings = {};
};

// main() of a program of cases: all of them, or in the child the one that is named.
inline int run_cases(const std::vector<Case>& cases, const Arguments& arguments) {
    for (const Case& one : cases) {
        if (arguments.only != one.name) continue;
        one.run();
        return 0;
    }
    int failures = 0;
    for (const Case& one : cases) {
        const Outcome outcome = run_case(one.name, one.settings);
        const bool is_end_right = one.signal == 0 ? outcome.is_ok() : outcome.is_killed_by(one.signal);
        if (is_end_right && outcome.says(one.message)) continue;
        ++failures;
        std::fprintf(stderr, "%s: status %x, expected signal %d and \"%s\"; it said:\n%s\n", one.name,
                     static_cast<unsigned>(outcome.status), one.signal, one.message, outcome.text.c_str());
    }
    std::printf("%zu cases, %d failed\n", cases.size(), failures);
    return failures == 0 ? 0 : 1;
}

}  // namespace gc_test
