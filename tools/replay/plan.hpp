// The plan of a replay: a trace turned into what costs least to play, in memory that all players share.
//
// Objects are numbered by slots that are used again, so the players' table of objects is as long as the most
// that were alive at once. What a player must not do is left out here: releasing what was never allocated,
// or twice. It is counted, so that the table can say it.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "replay/shared_memory.hpp"

namespace cairn::replay {

enum class Step : std::uint8_t { take, take_zeroed, resize, give };

struct PlannedEvent {
    std::uint32_t slot;
    Step step;
    std::uint8_t align_shift;  // 0: nothing asked
    std::uint16_t unused;
    std::uint64_t bytes;  // 0 for give
};
static_assert(sizeof(PlannedEvent) == 16);

// What is known of the trace; the head of the shared memory, before the events.
struct PlanHead {
    std::uint64_t events;
    std::uint64_t slots;
    std::uint64_t takes;
    std::uint64_t gives;
    std::uint64_t resizes;
    std::uint64_t taken_bytes;  // asked for, all together
    std::uint64_t peak_live_bytes;
    std::uint64_t peak_live_objects;
    std::uint64_t peak_event;  // at which live bytes were the most
    std::uint64_t largest_bytes;
    // not played
    std::uint64_t unknown_gives;   // of objects from before the recording
    std::uint64_t repeated_gives;  // of objects given back already: a trace that lies
    std::uint64_t unknown_resizes;
    std::uint64_t failures;  // requests that got no memory when recorded
};

class Plan {
public:
    // Called now and then with the share that is read, 0 to 1.
    using Progress = std::function<void(double)>;

    // Reads a trace. False: error() is a line that follows the file's name.
    [[nodiscard]] bool load(const std::string& path, const Progress& progress);
    // The plan that another process loaded and this one inherited.
    void attach(int file) { memory_ = SharedMemory::attach(file); }

    [[nodiscard]] const std::string& error() const { return error_; }
    // Not empty when the trace has no proper end: what is missing.
    [[nodiscard]] const std::string& warning() const { return warning_; }
    [[nodiscard]] const std::vector<std::string>& command() const { return command_; }
    [[nodiscard]] std::uint64_t recorded_ns() const { return recorded_ns_; }
    [[nodiscard]] std::uint32_t threads() const { return threads_; }
    [[nodiscard]] int file() const { return memory_.file(); }

    [[nodiscard]] const PlanHead& head() const { return *static_cast<const PlanHead*>(memory_.data()); }
    [[nodiscard]] const PlannedEvent* events() const {
        return reinterpret_cast<const PlannedEvent*>(&head() + 1);
    }

private:
    SharedMemory memory_;
    std::string error_;
    std::string warning_;
    std::vector<std::string> command_;
    std::uint64_t recorded_ns_ = 0;
    std::uint32_t threads_ = 0;
};

}  // namespace cairn::replay
