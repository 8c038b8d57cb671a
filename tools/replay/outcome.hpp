// What a player found out, in memory it shares with the process that started it.
//
// The player fills it as it goes: whatever ends it, what was measured before is there.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cairn::replay {

inline constexpr std::size_t most_samples = 1024;
inline constexpr std::size_t most_frames = 64;
inline constexpr std::size_t most_cells = 2048;
inline constexpr std::size_t most_gaps = 256;

enum class End : std::uint32_t {
    running,  // or it was killed
    complete,
    out_of_memory,  // the policy had no room left
    out_of_time,
    corrupted,   // an object did not hold what was written into it
    not_loaded,  // the library is not in the process, or its malloc is not the one that is called
    refused,     // the policy could not be set up
};

// A moment between two runs of events.
struct Moment {
    std::uint64_t event;            // events played before
    std::uint64_t ns;               // spent on them, without what measuring cost
    std::uint64_t live_bytes;       // asked for and not given back
    std::uint64_t footprint_bytes;  // memory the process has more than before the first event
    std::uint64_t visited;          // free blocks looked at so far; textbook policies only
};

// A moment at which every object was looked at.
struct Frame {
    std::uint64_t event;
    std::uint64_t live_bytes;
    std::uint64_t live_objects;
    std::uint64_t used_bytes;  // in blocks: at least what was asked for
    std::uint64_t footprint_bytes;
};

// Addresses without memory of the heap between two cells.
struct Gap {
    std::uint32_t before_cell;
    std::uint32_t unused;
    std::uint64_t bytes;
};

// How full a cell is in a frame, one byte.
inline constexpr std::uint8_t cell_absent = 0;  // no memory behind these addresses
inline constexpr std::uint8_t cell_empty = 1;   // memory, but nothing alive in it
inline constexpr std::uint8_t cell_full = 255;  // 2 and up: the share that is alive

struct Outcome {
    std::atomic<std::uint64_t> played;   // events so far
    std::atomic<std::uint32_t> moments;  // samples that are complete
    End end;
    char provider[256];   // the file whose malloc was called
    char complaint[256];  // what check() said, if anything

    std::uint64_t ns;
    std::uint64_t cpu_ns;
    std::uint64_t peak_footprint_bytes;
    std::uint64_t extent_bytes;  // textbook only, as all that follow
    std::uint64_t visited, most_visited, splits, merges, growths, operations;
    bool is_textbook;

    Moment moment[most_samples];
    std::uint32_t frames;
    Frame frame[most_frames];

    // The picture: cells in order of address, each `cell_bytes` of memory that the heap used at some time.
    std::uint32_t cells;
    std::uint32_t gaps;
    std::uint64_t cell_bytes;
    std::uint64_t cell_address[most_cells];
    Gap gap[most_gaps];
    std::uint8_t cell[most_frames][most_cells];
};

}  // namespace cairn::replay
