// The way from a file to events; whatever the file claims is checked first.
// SPDX-License-Identifier: MIT
#include "trace/reader.hpp"

#include <sys/stat.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

namespace cairn::trace {

namespace {

using Json = nlohmann::json;

std::uint64_t number(const Json& from, const char* name) {
    const auto found = from.find(name);
    return found != from.end() && found->is_number_integer() ? found->get<std::uint64_t>() : 0;
}

std::string text(const Json& from, const char* name) {
    const auto found = from.find(name);
    return found != from.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

Summary summary_of(const Json& json) {
    Summary summary;
    summary.events = number(json, "events");
    summary.allocations = number(json, "allocations");
    summary.frees = number(json, "frees");
    summary.threads = static_cast<std::uint32_t>(number(json, "threads"));
    summary.duration_ns = number(json, "duration_ns");
    summary.status = static_cast<int>(number(json, "status"));
    summary.note = text(json, "note");
    return summary;
}

}  // namespace

struct Reader::Unpacker {
    ZSTD_DCtx* context = ZSTD_createDCtx();
    Unpacker() = default;
    Unpacker(const Unpacker&) = delete;
    Unpacker& operator=(const Unpacker&) = delete;
    ~Unpacker() { ZSTD_freeDCtx(context); }
};

Reader::Reader() : unpacker_(std::make_unique<Unpacker>()) {}

Reader::~Reader() {
    if (file_ != nullptr) std::fclose(file_);
}

bool Reader::stop(Ending ending, std::string why) {
    ending_ = ending;
    error_ = std::move(why);
    return false;
}

bool Reader::read(void* to, std::size_t bytes) {
    const std::size_t got = std::fread(to, 1, bytes, file_);
    bytes_read_ += got;
    return got == bytes;
}

bool Reader::open(const std::string& path) {
    if (file_ != nullptr) std::fclose(file_);
    file_ = std::fopen(path.c_str(), "rbe");
    if (file_ == nullptr) return stop(Ending::corrupt, std::strerror(errno));
    struct stat about {};
    if (fstat(fileno(file_), &about) != 0) return stop(Ending::corrupt, std::strerror(errno));
    if (S_ISDIR(about.st_mode)) return stop(Ending::corrupt, "is a directory");
    file_bytes_ = S_ISREG(about.st_mode) ? static_cast<std::uint64_t>(about.st_size) : 0;
    bytes_read_ = 0;
    running_ = {};
    events_read_ = 0;
    sites_.clear();
    summary_.reset();
    block_ = {};
    ending_ = Ending::reading;
    error_.clear();
    if (!read_head()) return false;
    if (file_bytes_ != 0) read_tail();
    return true;
}

bool Reader::read_head() {
    unsigned char head[file_head_bytes] = {};
    const bool has_head = read(head, sizeof head);
    if (bytes_read_ == 0) return stop(Ending::corrupt, "is empty, not a Cairn trace");
    if (std::memcmp(head, file_magic.data(), file_magic.size()) != 0)
        return stop(Ending::corrupt, "is not a Cairn trace");
    if (!has_head) return stop(Ending::truncated, "is a Cairn trace cut short inside its header");
    const auto version = load<std::uint16_t>(head + 8);
    if (version > file_version)
        return stop(Ending::corrupt, "is a trace of version " + std::to_string(version) +
                                         ", written by a newer Cairn; this one reads version " +
                                         std::to_string(file_version));
    const auto length = load<std::uint32_t>(head + 12);
    if (version == 0 || length > header_limit) return stop(Ending::corrupt, "has a damaged header");
    raw_.resize(length);
    if (!read(raw_.data(), length))
        return stop(Ending::truncated, "is a Cairn trace cut short inside its header");
    const Json json = Json::parse(raw_.begin(), raw_.end(), nullptr, false);
    if (!json.is_object()) return stop(Ending::corrupt, "has a damaged header");
    header_ = {};
    if (const auto command = json.find("command"); command != json.end() && command->is_array())
        for (const Json& word : *command)
            if (word.is_string()) header_.command.push_back(word.get<std::string>());
    header_.pid = static_cast<std::uint32_t>(number(json, "pid"));
    header_.started = text(json, "started");
    const auto sites = json.find("sites");
    header_.has_sites = sites != json.end() && sites->is_boolean() && sites->get<bool>();
    first_block_ = bytes_read_;
    return true;
}

// Looks for the sums at the end and comes back. What is wrong there is found again in its place.
void Reader::read_tail() {
    unsigned char tail[file_tail_bytes];
    std::uint32_t kind = 0;
    std::uint32_t events = 0;
    if (file_bytes_ >= first_block_ + file_tail_bytes &&
        std::fseek(file_, -static_cast<long>(file_tail_bytes), SEEK_END) == 0 && read(tail, sizeof tail) &&
        std::memcmp(tail + 8, end_magic.data(), end_magic.size()) == 0 &&
        load<std::uint64_t>(tail) < file_bytes_ &&
        std::fseek(file_, static_cast<long>(load<std::uint64_t>(tail)), SEEK_SET) == 0 &&
        read_block(kind, events) && kind == kind_done) {
        const Json json = Json::parse(raw_.begin(), raw_.end(), nullptr, false);
        if (json.is_object()) summary_ = summary_of(json);
    }
    ending_ = Ending::reading;
    error_.clear();
    bytes_read_ = first_block_;
    std::clearerr(file_);
    (void)std::fseek(file_, static_cast<long>(first_block_), SEEK_SET);
}

bool Reader::rewind() {
    if (file_ == nullptr || std::fseek(file_, static_cast<long>(first_block_), SEEK_SET) != 0) return false;
    std::clearerr(file_);
    bytes_read_ = first_block_;
    running_ = {};
    events_read_ = 0;
    sites_.clear();
    block_ = {};
    ending_ = Ending::reading;
    error_.clear();
    return true;
}

// Fills raw_ with the next block's contents. False: stopped.
bool Reader::read_block(std::uint32_t& kind, std::uint32_t& events) {
    unsigned char head[block_head_bytes];
    const std::uint64_t before = bytes_read_;
    if (!read(head, sizeof head))
        return stop(Ending::truncated, bytes_read_ == before ? "the end of the trace is missing"
                                                             : "the trace ends inside a block");
    kind = load<std::uint32_t>(head);
    const auto stored = load<std::uint32_t>(head + 4);
    const auto raw = load<std::uint32_t>(head + 8);
    events = load<std::uint32_t>(head + 12);
    if (stored > block_limit || raw > block_limit || events > events_limit)
        return stop(Ending::corrupt, "damaged at byte " + std::to_string(before));
    stored_.resize(stored);
    if (!read(stored_.data(), stored)) return stop(Ending::truncated, "the trace ends inside a block");
    raw_.resize(raw);
    const std::size_t got =
        ZSTD_decompressDCtx(unpacker_->context, raw_.data(), raw, stored_.data(), stored);
    if (ZSTD_isError(got) != 0 || got != raw)
        return stop(Ending::corrupt, "damaged at byte " + std::to_string(before));
    return true;
}

bool Reader::take_sites() {
    const Json json = Json::parse(raw_.begin(), raw_.end(), nullptr, false);
    if (!json.is_array() || json.size() > sites_limit - sites_.size()) return false;
    for (const Json& row : json) {
        if (!row.is_object()) return false;
        sites_.push_back({text(row, "module"), number(row, "offset")});
    }
    return true;
}

// Goes to the next block with events. False: stopped, or the end.
bool Reader::next_block() {
    for (;;) {
        std::uint32_t kind = 0;
        std::uint32_t events = 0;
        const std::uint64_t at = bytes_read_;
        if (!read_block(kind, events)) return false;
        const auto damaged = [&] { return stop(Ending::corrupt, "damaged at byte " + std::to_string(at)); };
        if (kind == kind_done) {
            const Json json = Json::parse(raw_.begin(), raw_.end(), nullptr, false);
            if (!json.is_object()) return damaged();
            summary_ = summary_of(json);
            if (summary_->events != events_read_) return damaged();
            ending_ = Ending::complete;
            return false;
        }
        if (kind == kind_sites && !take_sites()) return damaged();
        if (kind != kind_events) continue;
        if (!block_.begin(raw_, events, header_.has_sites, sites_.size(), running_)) return damaged();
        if (events != 0) return true;
    }
}

bool Reader::next(Event& event) {
    if (ending_ != Ending::reading) return false;
    if (block_.is_empty() && !next_block()) return false;
    if (!block_.next(event, running_) || (block_.is_empty() && !block_.is_used_up()))
        return stop(Ending::corrupt, "damaged in the block that ends at byte " + std::to_string(bytes_read_));
    ++events_read_;
    return true;
}

}  // namespace cairn::trace
