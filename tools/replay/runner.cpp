// Starts players, waits for them with an eye on the clock, keeps the fastest outcome.
// SPDX-License-Identifier: MIT
#include "replay/runner.hpp"

#include <fmt/core.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

extern char** environ;

namespace cairn::replay {

namespace {

using Clock = std::chrono::steady_clock;

// Beyond the limit that the player itself keeps between runs of events, until it is killed.
constexpr double grace_seconds = 30;
constexpr double enough_seconds = 2;  // no further run after so long

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Ours without what would put another malloc under the player, or make it write reports of its own.
std::vector<std::string> environment_for(const Policy& policy) {
    static constexpr std::string_view dropped[] = {
        "LD_PRELOAD=",  "CAIRN_LAYOUT=",  "CAIRN_REPORT=",  "CAIRN_RECORD=",
        "CAIRN_TRACE=", "CAIRN_PROFILE=", "MALLOC_CHECK_=", "CAIRN_REPORT_PID="};
    std::vector<std::string> settings = policy.settings;
    if (!policy.library.empty()) settings.push_back("LD_PRELOAD=" + policy.library);
    for (char** at = environ; *at != nullptr; ++at) {
        const std::string_view setting = *at;
        const auto is_prefix = [&](std::string_view name) { return setting.starts_with(name); };
        if (std::none_of(std::begin(dropped), std::end(dropped), is_prefix)) settings.emplace_back(setting);
    }
    return settings;
}

std::vector<std::string> words_for(const Plan& plan, const Policy& policy, const Limits& limits,
                                   const SharedMemory& outcome) {
    const std::string played = policy.kind == Kind::textbook       ? policy.name
                               : policy.kind == Kind::player_alone ? "none"
                                                                   : "malloc";
    std::vector<std::string> words{"cairn", "replay", "--play", played};
    const auto add = [&](const char* name, const std::string& value) {
        words.insert(words.end(), {name, value});
    };
    add("--plan-file", std::to_string(plan.file()));
    add("--outcome-file", std::to_string(outcome.file()));
    add("--region-bytes", std::to_string(limits.region_bytes));
    add("--most-seconds", fmt::format("{}", limits.most_seconds));
    if (!policy.library.empty()) add("--library", policy.library);
    return words;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> list;
    for (std::string& word : words) list.push_back(word.data());
    list.push_back(nullptr);
    return list;
}

// Starts this command anew as a player. Returns its process id, or -1.
pid_t start(std::vector<std::string> words, std::vector<std::string> settings) {
    const std::vector<char*> arguments = pointers(words);
    const std::vector<char*> environment = pointers(settings);
    const pid_t child = fork();
    if (child != 0) return child;
    execve("/proc/self/exe", arguments.data(), environment.data());
    _exit(127);
}

// Waits for the player's end. Returns its status as wait() gives it.
int watch_over(pid_t child, const Policy& policy, const Outcome& outcome, double most_seconds,
               const Watch& watch) {
    const Clock::time_point start = Clock::now();
    auto pause = std::chrono::milliseconds(1);
    bool is_killed = false;
    for (;;) {
        int status = 0;
        const pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child) return status;
        if (ended < 0 && errno != EINTR) return W_EXITCODE(127, 0);
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, std::chrono::milliseconds(20));
        // relaxed: for the eye only
        watch(policy, outcome.played.load(std::memory_order_relaxed));
        if (!is_killed && seconds_since(start) > most_seconds + grace_seconds) {
            kill(child, SIGKILL);
            is_killed = true;
        }
    }
}

// One run of the policy.
Result run_once(const Plan& plan, const Policy& policy, const Limits& limits, const Watch& watch) {
    Result result;
    result.policy = policy;
    result.runs = 1;
    result.memory = SharedMemory::create(sizeof(Outcome));
    const pid_t child = start(words_for(plan, policy, limits, result.memory), environment_for(policy));
    if (child < 0) {
        result.trouble = fmt::format("no new process: {}", std::strerror(errno));
        return result;
    }
    const int status = watch_over(child, policy, result.outcome(), limits.most_seconds, watch);
    if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
    else if (result.outcome().end == End::running)
        result.trouble = fmt::format("its process ended with exit code {}", WEXITSTATUS(status));
    return result;
}

std::string at_event(const Outcome& outcome, const Plan& plan) {
    // acquire: the last complete sample
    const std::uint32_t moments = outcome.moments.load(std::memory_order_acquire);
    const std::uint64_t event = moments == 0 ? 0 : outcome.moment[moments - 1].event;
    return fmt::format("at event {} ({:.0f} %)", event,
                       100.0 * static_cast<double>(event) / static_cast<double>(plan.head().events));
}

}  // namespace

std::string Result::ending(const Plan& plan) const {
    const Outcome& found = outcome();
    if (!trouble.empty()) return trouble;
    if (signal == SIGKILL && found.end == End::running) return "killed " + at_event(found, plan);
    if (signal != 0)
        return fmt::format("killed by signal {} ({}) {}", signal, strsignal(signal), at_event(found, plan));
    switch (found.end) {
    case End::complete: return found.complaint[0] != 0 ? found.complaint : "complete";
    case End::out_of_memory:
        return (policy.kind == Kind::textbook ? "out of its region " : "out of memory ") +
               at_event(found, plan);
    case End::out_of_time: return "out of time " + at_event(found, plan);
    case End::corrupted: return "gave out memory twice, found " + at_event(found, plan);
    case End::not_loaded:
        return fmt::format("not loaded: malloc is that of {}", static_cast<const char*>(found.provider));
    case End::refused: return "the system refused a region of that size";
    case End::running: break;
    }
    return "ended " + at_event(found, plan);
}

Result run_policy(const Plan& plan, const Policy& policy, const Limits& limits, const Watch& watch) {
    const Clock::time_point start = Clock::now();
    Result best = run_once(plan, policy, limits, watch);
    unsigned runs = 1;
    while (best.is_complete() && runs < limits.most_runs && seconds_since(start) < enough_seconds) {
        Result next = run_once(plan, policy, limits, watch);
        ++runs;
        if (!next.is_complete() || next.outcome().ns < best.outcome().ns) best = std::move(next);
    }
    best.runs = runs;
    return best;
}

}  // namespace cairn::replay
