// Blocks: how events lie in a trace file, and what a file says about itself.
//
//   CAIRNTRC | u16 version | u16 0 | u32 bytes | JSON: the program, and this format in words
//   block... : u32 kind | u32 stored bytes | u32 raw bytes | u32 events | a zstd frame with its checksum
//   u64 offset of the DONE block | CAIRNEND            only in a trace that was finished
//
//   EVNT   up to 65,536 events       SITE   JSON: call sites, used from the next EVNT on
//   DONE   JSON: the sums            any other kind is skipped
//
// An EVNT block begins with the running values (time, next object, thread), so it can be read without those
// before it; then come the lengths of six columns, and the columns. Numbers are little-endian, varints are
// LEB128. Columns of one kind of number compress better than mixed records, and faster.
//
//   ops      a byte an event: Op in bits 0-2, bit 7 when the thread changes
//   threads  varint, for events with bit 7
//   times    varint: ns since the event before
//   sizes    varint, where has_size()
//   objects  varint, where names_object(): next object - object, 0 for none: small for the short-lived
//   extras   log2 of align (1 byte) where aligned; site (varint) where has_site() and the trace has sites
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "trace/event.hpp"

namespace cairn::trace {

inline constexpr std::string_view file_magic = "CAIRNTRC";
inline constexpr std::string_view end_magic = "CAIRNEND";
inline constexpr std::uint16_t file_version = 1;
inline constexpr std::size_t file_head_bytes = 16;
inline constexpr std::size_t file_tail_bytes = 16;
inline constexpr std::size_t block_head_bytes = 16;
inline constexpr std::uint32_t header_limit = 4u << 20;
inline constexpr std::uint32_t block_limit = 16u << 20;
inline constexpr std::uint32_t events_limit = 65536;
inline constexpr std::uint32_t sites_limit = 1u << 20;

constexpr std::uint32_t kind_of(std::string_view name) {
    std::uint32_t kind = 0;
    for (unsigned i = 0; i < 4; ++i)
        kind |= static_cast<std::uint32_t>(static_cast<unsigned char>(name[i])) << 8 * i;
    return kind;
}
inline constexpr std::uint32_t kind_events = kind_of("EVNT");
inline constexpr std::uint32_t kind_sites = kind_of("SITE");
inline constexpr std::uint32_t kind_done = kind_of("DONE");

template <class Number>
Number load(const unsigned char* from) {
    Number number;
    std::memcpy(&number, from, sizeof number);
    return number;
}
template <class Number>
void store(unsigned char* to, Number number) {
    std::memcpy(to, &number, sizeof number);
}

inline constexpr unsigned column_count = 6;
enum Column : unsigned { ops, threads, times, sizes, objects, extras };

// What is carried from event to event, and from block to block.
struct Running {
    std::uint64_t time_ns = 0;
    std::uint64_t next_id = 1;
    std::uint32_t thread = 0;
};

// first running values: time, next id, thread; then the column lengths
inline constexpr std::size_t events_head_bytes = 8 + 8 + 4 + 4 * column_count;

// Collects events into columns. Every event has been checked by who adds it.
class BlockBuilder {
public:
    explicit BlockBuilder(bool has_sites);

    void begin(const Running& running);
    // Needs: room, that is fewer than events_limit since begin(). Moves `running` on.
    void add(const Event& event, Running& running);
    [[nodiscard]] std::uint32_t events() const { return events_; }
    // The block before compression.
    [[nodiscard]] std::vector<unsigned char>& finish();

private:
    void put(unsigned column, std::uint64_t number) {
        unsigned char* at = ends_[column];
        while (number >= 0x80) {
            *at++ = static_cast<unsigned char>(number | 0x80);
            number >>= 7;
        }
        *at++ = static_cast<unsigned char>(number);
        ends_[column] = at;
    }

    bool has_sites_;
    std::uint32_t events_ = 0;
    Running first_;
    std::array<std::vector<unsigned char>, column_count> columns_;
    std::array<unsigned char*, column_count> ends_;
    std::vector<unsigned char> raw_;
};

// Takes events out of a block. Any bytes may be given: what is not right is refused.
class BlockView {
public:
    // False when the block is not what the running values expect or its parts do not fit together.
    [[nodiscard]] bool begin(std::span<const unsigned char> raw, std::uint32_t events, bool has_sites,
                             std::size_t sites, const Running& running);
    [[nodiscard]] bool is_empty() const { return left_ == 0; }
    // False when the bytes make no event; nothing more can be read then.
    [[nodiscard]] bool next(Event& event, Running& running);
    // After the last event: every column must be used up.
    [[nodiscard]] bool is_used_up() const;

private:
    [[nodiscard]] bool take(unsigned column, std::uint64_t& number);
    [[nodiscard]] bool take_extras(Event& event);

    std::array<std::span<const unsigned char>, column_count> columns_;
    std::uint32_t left_ = 0;
    bool has_sites_ = false;
    std::size_t sites_ = 0;
};

}  // namespace cairn::trace
