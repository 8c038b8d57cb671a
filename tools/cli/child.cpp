// Starts, waits for and ends like a child; see child.hpp.
// SPDX-License-Identifier: MIT
#include "child.hpp"

#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "verb.hpp"

namespace cairn::cli {

namespace {

// What people and supervisors send to a process to make it end or do something.
constexpr std::array forwarded{SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGUSR1,
                               SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

void set(const std::string& setting) {
    const std::size_t equals = setting.find('=');
    setenv(setting.substr(0, equals).c_str(), setting.c_str() + equals + 1, 1);
}

// A signal of the keyboard went to the whole group, so the child has it already.
bool came_from_a_process(const siginfo_t& info) {
    return info.si_code == SI_USER || info.si_code == SI_QUEUE;
}

// Passes signals on until the child has ended.
int wait_and_forward(pid_t child, const sigset_t& watched, rusage& used) {
    int status = 0;
    for (;;) {
        const pid_t ended = wait4(child, &status, WNOHANG, &used);
        if (ended == child) return status;
        if (ended < 0 && errno != EINTR) return W_EXITCODE(exit_cairn, 0);
        siginfo_t info{};
        const int signal = sigwaitinfo(&watched, &info);
        if (signal > 0 && signal != SIGCHLD && came_from_a_process(info)) kill(child, signal);
    }
}

}  // namespace

int become(const ChildPlan& plan) {
    for (const std::string& setting : plan.settings) set(setting);
    set(fmt::format("{}={}", plan.pid_variable, getpid()));
    std::vector<char*> words;
    for (const std::string& word : plan.words) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    execv(plan.path.c_str(), words.data());
    if (errno == ENOEXEC) {  // a script without a first line: a shell runs it, as execvp and shells do
        words[0] = const_cast<char*>(plan.path.c_str());
        words.insert(words.begin(), const_cast<char*>("sh"));
        execv("/bin/sh", words.data());
    }
    const int code = errno == ENOENT ? exit_not_found : exit_not_executable;
    return fail(code, fmt::format("{}: {}", plan.path, std::strerror(errno)));
}

ChildEnd run_and_wait(const ChildPlan& plan) {
    sigset_t watched, before;
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    for (const int signal : forwarded) sigaddset(&watched, signal);
    struct sigaction standard {
    }, inherited{};
    standard.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &standard, &inherited);  // ignored, it would take the child's end away from us
    sigprocmask(SIG_BLOCK, &watched, &before);

    const auto start = std::chrono::steady_clock::now();
    const pid_t child = fork();
    if (child == 0) {
        sigaction(SIGCHLD, &inherited, nullptr);
        sigprocmask(SIG_SETMASK, &before, nullptr);
        _exit(become(plan));
    }
    ChildEnd end;
    if (child < 0) {
        end.error = errno;
        return end;
    }
    rusage used{};
    end.status = wait_and_forward(child, watched, used);
    end.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    sigprocmask(SIG_SETMASK, &before, nullptr);
    end.user_seconds = seconds(used.ru_utime);
    end.system_seconds = seconds(used.ru_stime);
    end.peak_bytes = static_cast<std::uint64_t>(used.ru_maxrss) * 1024;
    return end;
}

int end_like(int status) {
    if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
    const int signal = WTERMSIG(status);
    const rlimit no_core{0, 0};  // the child has left one, if any was wanted
    setrlimit(RLIMIT_CORE, &no_core);
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, nullptr);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal);
    sigprocmask(SIG_UNBLOCK, &one, nullptr);
    raise(signal);
    return 128 + signal;
}

}  // namespace cairn::cli
