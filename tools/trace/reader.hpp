// Reads a trace from its beginning, event by event; any file may be given.
//
// What it hands out obeys the bounds of event.hpp, names only objects that were made before, and never goes
// back in time. Whether a released object was still there is not checked: who keeps a table of objects sees.
// Memory: two blocks, whatever the file says. A trace whose end is missing is good up to there.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trace/block.hpp"
#include "trace/event.hpp"

namespace cairn::trace {

enum class Ending : std::uint8_t {
    reading,    // there may be more
    complete,   // the recorder finished it
    truncated,  // the recorder, or the disk, ended first: what was read is good
    corrupt,    // from here on the bytes make no sense
};

class Reader {
public:
    Reader();
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    // False when this is no trace we can read; error() says why, in words that follow the file's name.
    [[nodiscard]] bool open(const std::string& path);
    // False at the end; ending() then says which.
    [[nodiscard]] bool next(Event& event);
    // Reads from the first event again.
    [[nodiscard]] bool rewind();

    [[nodiscard]] Ending ending() const { return ending_; }
    [[nodiscard]] const std::string& error() const { return error_; }
    [[nodiscard]] const Header& header() const { return header_; }
    // Read ahead from the end of the file, when it has one.
    [[nodiscard]] const std::optional<Summary>& summary() const { return summary_; }
    // Grows as blocks come; an event's site is always in it.
    [[nodiscard]] const std::vector<Site>& sites() const { return sites_; }
    [[nodiscard]] std::uint64_t events_read() const { return events_read_; }
    [[nodiscard]] std::uint64_t allocations_read() const { return running_.next_id - 1; }
    [[nodiscard]] std::uint64_t file_bytes() const { return file_bytes_; }
    [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }

private:
    struct Unpacker;

    [[nodiscard]] bool read_head();
    void read_tail();
    [[nodiscard]] bool next_block();
    [[nodiscard]] bool read_block(std::uint32_t& kind, std::uint32_t& events);
    [[nodiscard]] bool take_sites();
    [[nodiscard]] bool read(void* to, std::size_t bytes);
    bool stop(Ending ending, std::string why);

    std::FILE* file_ = nullptr;
    std::unique_ptr<Unpacker> unpacker_;
    std::vector<unsigned char> stored_;
    std::vector<unsigned char> raw_;
    BlockView block_;
    Running running_;
    Ending ending_ = Ending::reading;
    std::string error_;
    Header header_;
    std::optional<Summary> summary_;
    std::vector<Site> sites_;
    std::uint64_t events_read_ = 0;
    std::uint64_t file_bytes_ = 0;
    std::uint64_t bytes_read_ = 0;
    std::uint64_t first_block_ = 0;
};

}  // namespace cairn::trace
