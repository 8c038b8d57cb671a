// The way from events to a file.
// SPDX-License-Identifier: MIT
#include "trace/writer.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

namespace cairn::trace {

namespace {

using Json = nlohmann::json;

// Level 1: the recorder must keep up with a program that does nothing but allocate.
constexpr int level = 1;
constexpr std::size_t command_limit = 64u << 10;

// What a reader that knows nothing of us needs, in words.
Json description() {
    return {
        {"format", "cairn trace"},
        {"numbers", "little-endian; varint: LEB128"},
        {"block", "u32 kind, u32 stored bytes, u32 raw bytes, u32 events, zstd frame"},
        {"kinds", {{"EVNT", "events"}, {"SITE", "JSON: call sites 1, 2, ..."}, {"DONE", "JSON: sums"}}},
        {"EVNT", "u64 time, u64 next object, u32 thread, 6 x u32 column lengths, columns"},
        {"columns",
         {{"ops", "u8 an event: bits 0-2 op, bit 7 thread changes"},
          {"threads", "varint where bit 7 is set"},
          {"times", "varint: ns since the event before"},
          {"sizes", "varint of ops 0 1 2 3 5"},
          {"objects", "varint of ops 3 4: next object - object; 0: from before the recording"},
          {"extras", "u8 log2 of the alignment of op 2; with sites: varint of ops 0 1 2 3"}}},
        {"ops", {"malloc", "calloc", "aligned", "realloc", "free", "failed", "thread end"}},
        {"objects", "ops 0 1 2 make objects 1, 2, 3, ... in their order; realloc keeps the number"},
        {"clock", "ns since the recording began"},
    };
}

// Names may hold any bytes; JSON takes UTF-8 only.
std::string dump(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

struct Writer::Packer {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    std::vector<unsigned char> packed;
    Packer() {
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    }
    Packer(const Packer&) = delete;
    Packer& operator=(const Packer&) = delete;
    ~Packer() { ZSTD_freeCCtx(context); }
};

Writer::Writer() : packer_(std::make_unique<Packer>()) {}

Writer::~Writer() {
    if (file_ >= 0) {
        flush();
        ::close(file_);
    }
}

void Writer::fail(std::string_view what) {
    if (error_.empty()) error_ = what;
}

void Writer::write(const void* from, std::size_t bytes) {
    const char* at = static_cast<const char*>(from);
    while (bytes > 0 && error_.empty()) {
        const ssize_t done = ::write(file_, at, bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return fail(done == 0 ? "nothing could be written" : std::strerror(errno));
        at += done;
        bytes -= static_cast<std::size_t>(done);
        written_ += static_cast<std::uint64_t>(done);
    }
}

bool Writer::open(const std::string& path, const Header& header) {
    file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file_ < 0) {
        fail(std::strerror(errno));
        return false;
    }
    Json json = description();
    Json& command = json["command"] = Json::array();
    std::size_t length = 0;
    for (const std::string& word : header.command) {
        if ((length += word.size()) > command_limit) break;
        command.push_back(word);
    }
    json["pid"] = header.pid;
    json["started"] = header.started;
    json["sites"] = header.has_sites;
    const std::string text = dump(json);
    unsigned char head[file_head_bytes] = {};
    std::memcpy(head, file_magic.data(), file_magic.size());
    store(head + 8, file_version);
    store(head + 12, static_cast<std::uint32_t>(text.size()));
    write(head, sizeof head);
    write(text.data(), text.size());
    block_ = std::make_unique<BlockBuilder>(header.has_sites);
    return error_.empty();
}

void Writer::write_block(std::uint32_t kind, std::uint32_t events, const unsigned char* raw,
                         std::size_t bytes) {
    std::vector<unsigned char>& packed = packer_->packed;
    packed.resize(block_head_bytes + ZSTD_compressBound(bytes));
    const std::size_t size = ZSTD_compress2(packer_->context, packed.data() + block_head_bytes,
                                            packed.size() - block_head_bytes, raw, bytes);
    if (ZSTD_isError(size) != 0) return fail(ZSTD_getErrorName(size));
    store(packed.data(), kind);
    store(packed.data() + 4, static_cast<std::uint32_t>(size));
    store(packed.data() + 8, static_cast<std::uint32_t>(bytes));
    store(packed.data() + 12, events);
    write(packed.data(), block_head_bytes + size);
}

std::uint32_t Writer::add_site(const Site& site) {
    if (site_count_ == sites_limit) return 0;
    new_sites_.push_back(site);
    return ++site_count_;
}

void Writer::write_sites() {
    // A block of events may use any of them, so they come before it; long lists are cut into blocks.
    constexpr std::size_t most = 4096;
    for (std::size_t from = 0; from < new_sites_.size(); from += most) {
        Json rows = Json::array();
        for (std::size_t i = from; i < new_sites_.size() && i < from + most; ++i)
            rows.push_back({{"module", new_sites_[i].module}, {"offset", new_sites_[i].offset}});
        const std::string text = dump(rows);
        write_block(kind_sites, 0, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    }
    new_sites_.clear();
}

void Writer::flush() {
    if (!new_sites_.empty()) write_sites();
    if (block_ == nullptr || block_->events() == 0) return;
    const std::uint32_t events = block_->events();
    const std::vector<unsigned char>& raw = block_->finish();
    write_block(kind_events, events, raw.data(), raw.size());
    block_->begin(running_);
}

bool Writer::finish(Summary summary) {
    flush();
    const std::uint64_t start = written_;
    const Json json{{"events", sums_.events},   {"allocations", sums_.allocations},
                    {"frees", sums_.frees},     {"threads", sums_.threads},
                    {"status", summary.status}, {"duration_ns", sums_.duration_ns},
                    {"note", summary.note}};
    const std::string text = dump(json);
    write_block(kind_done, 0, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    unsigned char tail[file_tail_bytes];
    store(tail, start);
    std::memcpy(tail + 8, end_magic.data(), end_magic.size());
    write(tail, sizeof tail);
    if (::close(file_) != 0) fail(std::strerror(errno));
    file_ = -1;
    return error_.empty();
}

}  // namespace cairn::trace
