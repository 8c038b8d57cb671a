// Recorder: writes each call of malloc's family into a ring of the calling thread, for `cairn run --record`.
//
// Only libcairn-record.so records: it is the same library compiled with CAIRN_RECORDING. In the other one
// these functions are nothing, so malloc and free have not one instruction more. The protocol, and why the
// order of all threads can be found again, is in cairn/record.hpp.
//
//   made()      after an object was made            gone()    before it is given back
//   resized()   after realloc left it in its place  moved()   after realloc copied, before the old one goes
//
// A fork's child does not record (its rings would be its parent's): the channels lie in memory that the
// kernel wipes in the child, so its first call finds none and asks why. A program started by exec records
// anew.
// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "cairn/record.hpp"

namespace cairn::api {

#if defined(CAIRN_RECORDING)
inline constexpr bool is_recording = true;
#else
inline constexpr bool is_recording = false;
#endif

// Where a thread writes. Two kinds cannot be written to (next == limit == 0): blank, and those in a fork's
// child.
struct Channel {
    std::uint64_t next = 0;             // [owner] number of the next record
    std::uint64_t limit = 0;            // [owner] from here on write_slow() must look
    record::Record* records = nullptr;  // [fixed]
    record::RingHead* ring = nullptr;   // [fixed]
};

#if defined(CAIRN_RECORDING)
extern __thread Channel* channel __attribute__((tls_model("initial-exec")));
#endif

// Finds room, or a ring, or that there is nothing to record; stamps and writes. `count` is 1 or 2.
void write_slow(const record::Record* records, unsigned count);

[[gnu::always_inline]] inline void write(record::What what, const void* start, std::size_t bytes,
                                         const void* site, unsigned align_shift = 0) {
#if defined(CAIRN_RECORDING)
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    const record::Record made{0, record::place_of(what, address, align_shift), bytes,
                              reinterpret_cast<std::uintptr_t>(site)};
    Channel& to = *channel;
    const std::uint64_t next = to.next;
    if (next == to.limit) [[unlikely]] return write_slow(&made, 1);
    record::Record& place = to.records[next % record::ring_records];
    place.place = made.place;
    place.size = made.size;
    place.site = made.site;
    place.ticks = record::ticks();
    to.next = next + 1;
    to.ring->written.store(next + 1, std::memory_order_release);  // release: the record before its number
#else
    (void)what, (void)start, (void)bytes, (void)site, (void)align_shift;
#endif
}

[[gnu::always_inline]] inline void* made(void* start, std::size_t bytes, const void* site,
                                         record::What what = record::What::allocate) {
    if constexpr (is_recording) write(start != nullptr ? what : record::What::fail, start, bytes, site);
    return start;
}

[[gnu::always_inline]] inline void* made_aligned(void* start, std::size_t bytes, std::size_t alignment,
                                                 const void* site) {
    if constexpr (is_recording) {
        const auto what = start != nullptr ? record::What::allocate_align : record::What::fail;
        const auto shift = std::countr_zero(alignment | std::size_t{1} << 46);
        write(what, start, bytes, site, static_cast<unsigned>(shift));
    }
    return start;
}

[[gnu::always_inline]] inline void gone(void* start) {
    if constexpr (is_recording) {
        if (start != nullptr) write(record::What::release, start, 0, nullptr);
    }
}

[[gnu::always_inline]] inline void* resized(void* start, std::size_t bytes, const void* site) {
    if constexpr (is_recording) write(record::What::resize, start, bytes, site);
    return start;
}

inline void moved(void* from, void* to, std::size_t bytes, const void* site) {
    if constexpr (is_recording) {
        using record::place_of, record::What;
        const record::Record both[] = {
            {0, place_of(What::move_from, reinterpret_cast<std::uintptr_t>(from), 0), 0, 0},
            {0, place_of(What::move_to, reinterpret_cast<std::uintptr_t>(to), 0), bytes,
             reinterpret_cast<std::uintptr_t>(site)}};
        write_slow(both, 2);
    } else {
        (void)from, (void)to, (void)bytes, (void)site;
    }
}

}  // namespace cairn::api
