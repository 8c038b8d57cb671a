// Recording: what a program on libcairn-record.so and `cairn run --record` share, a file of rings in memory.
//
//   folder/control        one page, made by the recorder: Control
//   folder/PID-ticks.maps its /proc/PID/maps when it began, when call sites are wanted
//   folder/PID-ticks      one a process, made by the process, sparse:
//
//     | ProcessHead, a page | RingHead 0 | RingHead 1 | ... | ring 0, 1 MiB | ring 1 | ...
//
// A thread owns a ring and writes a record a call into it; the recorder takes records out, puts all rings in
// order and compresses. Ring 0 is for threads that found no ring of their own: a lock guards it, and each of
// its records follows one that names the thread.
//
// Order. A call that makes an object is stamped and published before malloc returns; one that ends an object
// before the heap gets it back. So whoever can know an address publishes later than who had it before, with a
// larger stamp. The recorder reads the clock, then the heads of all rings, and takes what is stamped earlier:
// what such a record follows on is then taken too, in this round or before it.
//
// A full ring: the thread rings the doorbell and sleeps until there is room; when the recorder is gone, it
// goes on without recording. Nothing here is part of any interface that lasts: both sides are of one build.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cairn::record {

inline constexpr std::uint64_t control_magic = 0x314c525443435243;  // "CRCCTRL1"
inline constexpr std::uint64_t process_magic = 0x31434f5250435243;  // "CRCPROC1"

inline constexpr std::size_t ring_bytes = std::size_t{1} << 20;
inline constexpr std::size_t ring_limit = 1024;
inline constexpr const char* folder_variable = "CAIRN_RECORD";

// A clock all processors agree on; the unit is the recorder's business. Waits for what stands before it.
inline std::uint64_t ticks() {
#if defined(__x86_64__)
    unsigned processor = 0;
    return __builtin_ia32_rdtscp(&processor);
#else
    std::uint64_t value = 0;
    asm volatile("isb; mrs %0, cntvct_el0" : "=r"(value)::"memory");
    return value;
#endif
}

enum class What : std::uint8_t {
    allocate,
    allocate_zero,
    allocate_align,
    resize,    // realloc that left the object where it was
    move_from, // realloc that moved: the old address, then ...
    move_to,   // ... the new one, published together
    release,
    fail,
    thread,    // the records that follow (ring 0: the next one) are of thread `size`
};

struct Record {
    std::uint64_t ticks;
    std::uint64_t place;  // address; bits 48-55 log2 of the alignment; bits 56-63 What
    std::uint64_t size;
    std::uint64_t site;   // return address of the call, 0 when not asked for
};
inline constexpr std::uint64_t ring_records = ring_bytes / sizeof(Record);
static_assert(sizeof(Record) == 32);

constexpr std::uint64_t place_of(What what, std::uint64_t address, unsigned align_shift) {
    return address | std::uint64_t{align_shift} << 48 | static_cast<std::uint64_t>(what) << 56;
}
constexpr What what_of(std::uint64_t place) { return static_cast<What>(place >> 56); }
constexpr unsigned align_shift_of(std::uint64_t place) { return place >> 48 & 0xff; }
constexpr std::uint64_t address_of(std::uint64_t place) { return place & ((std::uint64_t{1} << 48) - 1); }

struct Control {
    std::uint64_t magic;                      // [fixed]
    std::uint32_t wants_sites;                // [fixed]
    std::uint32_t rings;                      // [fixed] so many a process at most: the folder has room
    std::atomic<std::uint32_t> is_over;       // [atomic] 1: record no more
    std::atomic<std::uint32_t> bell;          // [atomic] changes when the recorder is needed; it waits here
    std::atomic<std::uint32_t> is_asleep;     // [atomic] 1: the recorder may be waiting, ring the bell
    std::atomic<std::uint32_t> arrivals;      // [atomic] process files complete so far
    // [atomic] a robust pthread mutex that the recorder holds as long as it lives: the kernel itself marks
    // its first word when the holder is gone, however that came
    alignas(64) std::atomic<std::uint32_t> holder;
    unsigned char rest_of_mutex[60];
};
inline constexpr std::uint32_t holder_died = 0x4000'0000;  // FUTEX_OWNER_DIED

struct ProcessHead {
    std::atomic<std::uint64_t> magic;         // [atomic] written last
    std::uint32_t pid;                        // [fixed]
    std::uint32_t rings;                      // [fixed] the file has room for
    std::uint64_t start_ticks;                // [fixed]
    std::atomic<std::uint32_t> rings_used;    // [atomic] rings 0 .. rings_used - 1 ever had an owner
    std::uint32_t command_bytes;              // [fixed]
    char command[2048];                       // [fixed] its words, each ended by 0; cut where it is too long
};

struct alignas(128) RingHead {
    std::atomic<std::uint64_t> written;       // [atomic] by its thread: records so far
    std::atomic<std::uint32_t> thread;        // [atomic] its owner; 0: none yet
    alignas(64) std::atomic<std::uint64_t> taken;  // [atomic] by the recorder
    std::atomic<std::uint32_t> is_waiting;    // [atomic] 1: its thread sleeps here for room
};
static_assert(sizeof(RingHead) == 128);

inline constexpr std::size_t control_bytes = 4096;
inline constexpr std::size_t maps_bytes = std::size_t{1} << 20;
inline constexpr std::size_t heads_offset = 4096;
constexpr std::size_t rings_offset(std::size_t rings) {
    return (heads_offset + rings * sizeof(RingHead) + ring_bytes - 1) / ring_bytes * ring_bytes;
}
constexpr std::size_t process_bytes(std::size_t rings) { return rings_offset(rings) + rings * ring_bytes; }

}  // namespace cairn::record
