// A recording: a folder where recorded processes leave their rings, and the thread that empties them.
//
// The first process to come is the program; its trace is FILE. When it becomes another program (exec), as
// wrapper scripts do, FILE is of the last one. All others, and what it was before, go to FILE.PID. A fork
// without exec is not recorded.
// SPDX-License-Identifier: MIT
#pragma once

#include <cairn/record.hpp>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "trace/process_stream.hpp"

namespace cairn::trace {

class Recording {
public:
    Recording() = default;
    ~Recording();
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

    // Makes the folder, and sees that FILE can be written. False: error() says why not.
    [[nodiscard]] bool prepare(const std::string& file, bool with_sites);
    // Starts the thread, with all signals blocked.
    void start();
    // Ends all traces; `status` is how the program ended.
    void stop(int status);

    // For the program's environment.
    [[nodiscard]] std::string setting() const { return std::string(record::folder_variable) + "=" + folder_; }
    [[nodiscard]] const std::string& error() const { return error_; }

    struct Result {
        std::string trace;
        std::string program;
        std::uint64_t events;
        std::string error;  // empty: whole
    };
    // After stop(): one a process, the program's own first; empty when nothing came.
    [[nodiscard]] const std::vector<Result>& results() const { return results_; }

private:
    void work();
    void show_life();
    std::uint64_t round();
    void welcome();
    void bury();
    void finish(std::unique_ptr<ProcessStream>& stream, int status, const std::string& note);
    [[nodiscard]] std::string name_for(std::uint32_t pid);
    [[nodiscard]] bool make_folder();
    void remove_folder();

    std::string file_;
    bool with_sites_ = false;
    std::string folder_;
    std::string error_;
    record::Control* control_ = nullptr;
    std::uint32_t arrivals_ = 0;
    std::uint64_t looked_ticks_ = 0;
    std::thread thread_;
    std::atomic<bool> is_over_{false};  // [atomic]
    TickClock clock_;
    std::vector<std::unique_ptr<ProcessStream>> streams_;
    std::set<std::string> names_;       // of traces given out
    std::uint32_t main_pid_ = 0;
    std::vector<Result> results_;
};

}  // namespace cairn::trace
