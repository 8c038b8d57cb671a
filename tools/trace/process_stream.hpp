// One recorded process: takes the records of all its rings, in order, into one trace.
//
// See cairn/record.hpp for why reading the clock first and the rings after it finds an order in which every
// object is made before it is given back.
// SPDX-License-Identifier: MIT
#pragma once

#include <cairn/record.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "trace/call_sites.hpp"
#include "trace/object_table.hpp"
#include "trace/writer.hpp"

namespace cairn::trace {

// How long a tick is: measured against the system's clock all along, so that it is exact after a second.
class TickClock {
public:
    TickClock();
    void update();
    [[nodiscard]] std::uint64_t ns(std::uint64_t ticks) const {
        return static_cast<std::uint64_t>(static_cast<double>(ticks) * ns_per_tick_);
    }

private:
    std::uint64_t first_ticks_;
    std::uint64_t first_ns_;
    double ns_per_tick_ = 0;
};

class ProcessStream {
public:
    ProcessStream() = default;
    ~ProcessStream();
    ProcessStream(const ProcessStream&) = delete;
    ProcessStream& operator=(const ProcessStream&) = delete;

    // Maps the file of a process. False: it is not complete yet, or not there.
    [[nodiscard]] bool map(const std::string& file);
    // Begins the trace. False: error().
    [[nodiscard]] bool begin(const std::string& trace, bool with_sites);
    // Gives the trace another name.
    [[nodiscard]] bool rename(const std::string& trace);
    // Takes what is stamped before `until`. Returns how many records that was.
    std::uint64_t drain(std::uint64_t until, const TickClock& clock);
    // Takes the rest and ends the trace.
    void finish(const TickClock& clock, int status, const std::string& note);

    [[nodiscard]] std::uint32_t pid() const { return head_->pid; }
    // Looks in /proc; a process that only waits to be buried is no more.
    [[nodiscard]] bool has_ended() const;

    [[nodiscard]] const std::string& trace() const { return trace_; }
    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] std::uint64_t events() const { return writer_->sums().events; }
    [[nodiscard]] const std::string& error() const { return writer_->error(); }

private:
    struct Ring {
        record::RingHead* head = nullptr;
        const record::Record* records = nullptr;
        std::uint64_t taken = 0;
        std::uint64_t end = 0;         // of what this round may take
        std::uint64_t moved_from = 0;  // address of a realloc whose second half is still to come
        std::uint32_t thread = 0;
        bool has_thread = false;

        [[nodiscard]] const record::Record& next() const { return records[taken % record::ring_records]; }
    };
    struct Speaker {
        std::uint32_t thread;
        bool is_shared;
    };

    void look(Ring& ring, std::uint64_t until);
    void merge();
    void take_run(Ring& ring, std::uint64_t until);
    void take(Ring& ring, const record::Record& one);
    void make(const record::Record& one, Op op, Event& event);
    void release(std::uint64_t id, Event& event);
    void name_thread(Ring& ring, const record::Record& one);
    static void give_back(Ring& ring);

    record::ProcessHead* head_ = nullptr;
    std::size_t mapped_bytes_ = 0;
    std::vector<Ring> rings_;
    std::vector<Ring*> active_;
    std::unordered_map<std::uint32_t, Speaker> speakers_;
    std::uint32_t threads_ = 0;
    std::string trace_;
    std::string name_;
    std::string start_time_;
    std::string maps_;
    std::unique_ptr<Writer> writer_;
    std::optional<CallSites> sites_;
    ObjectTable objects_;
    const TickClock* clock_ = nullptr;
    std::uint64_t last_ns_ = 0;
};

}  // namespace cairn::trace
