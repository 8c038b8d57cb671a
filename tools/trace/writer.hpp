// Writes a trace as a stream: a block each 65,536 events, and the sums at the end.
//
// What is on disk is good at any moment up to the last whole block; without finish() a reader says that the
// end is missing.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "trace/block.hpp"
#include "trace/event.hpp"

namespace cairn::trace {

class Writer {
public:
    Writer();
    ~Writer();  // closes without an end when finish() was not called
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    // Creates the file, or empties it. False: error() says why.
    [[nodiscard]] bool open(const std::string& path, const Header& header);
    // Needs: the event obeys the bounds of event.hpp, its object exists (id of a new one: next_id()), its
    // time is not before the last one's.
    void add(const Event& event) {
        if (block_->events() == events_limit) flush();
        block_->add(event, running_);
        count(event);
    }
    // Names one more call site; its number for Event::site. 0 when there are too many.
    [[nodiscard]] std::uint32_t add_site(const Site& site);
    // Writes what is there as a block, so that it survives us.
    void flush();
    // Ends the trace; all of the summary but status and note is filled in here. False when something could
    // not be written.
    [[nodiscard]] bool finish(Summary summary);

    [[nodiscard]] std::uint64_t next_id() const { return running_.next_id; }
    [[nodiscard]] const Summary& sums() const { return sums_; }
    // Empty while all could be written.
    [[nodiscard]] const std::string& error() const { return error_; }

private:
    struct Packer;

    void count(const Event& event) {
        ++sums_.events;
        sums_.allocations += makes_object(event.op);
        sums_.frees += event.op == Op::release;
        if (event.thread >= sums_.threads) sums_.threads = event.thread + 1;
        sums_.duration_ns = event.time_ns;
    }
    void write_block(std::uint32_t kind, std::uint32_t events, const unsigned char* raw, std::size_t bytes);
    void write(const void* from, std::size_t bytes);
    void write_sites();
    void fail(std::string_view what);

    int file_ = -1;
    std::uint64_t written_ = 0;
    std::unique_ptr<Packer> packer_;
    std::unique_ptr<BlockBuilder> block_;
    Running running_;
    Summary sums_;
    std::vector<Site> new_sites_;
    std::uint32_t site_count_ = 0;
    std::string error_;
};

}  // namespace cairn::trace
