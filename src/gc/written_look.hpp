// Written look: asks the kernel which pages of conservative spans were written, all markers at it.
//
// To ask about a GiB in which nothing was written takes one CPU two milliseconds, most of a stop. The kernel
// answers several at once, so the heap is cut into chunks that markers claim like any other work: a marker
// that has nothing else to do asks about the next one and scans what was written there.
//
// A look begins where the last one ended, and goes around once. What was claimed is asked about, whatever
// happens meanwhile; so once it is closed, and those who claimed are idle, what is before its end is known.
// Who asks still when it is closed may hear of writes that were made since the world goes on. More than
// scanning may be due for those: the chunk is disarmed, and the next look hears of all of it.
//
// Where much was written one asks and the others scan: to arm pages again interrupts all CPUs, and what was
// heard of and is not scanned when the stop's time is over is scanned beside the program, which writes faster
// than that. So the leader always asks, the others where the last chunk was nearly clean.
//
// A look that is to be the last one arms nothing: nobody runs, and if it turns out not to be the last, the
// next one hears of the same pages again. That spares most of the time where little was written.
//
// Memory that nobody watches is reported as written, a chunk at a time (os/dirty_pages.hpp). To watch it here
// would hold up whoever is asking beside us.
//
// Floor: gc. Lock: leaf, over a few loads.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/lock.hpp"
#include "base/telemetry.hpp"
#include "gc/conservative_runs.hpp"
#include "gc/work_pool.hpp"
#include "os/dirty_pages.hpp"

namespace cairn::gc {

class WrittenLook {
public:
    // Where nothing was written a chunk takes five microseconds; where all was, a quarter of a millisecond.
    static constexpr std::size_t chunk_bytes = std::size_t{2} << 20;
    // Of a last look, in which little was written.
    static constexpr std::size_t last_chunk_bytes = std::size_t{8} << 20;

    enum class Kind : std::uint8_t { watches_on, last };

    constexpr WrittenLook() = default;

    // Opens a look that begins at `start`. The caller asks until ask_next() says no, others as the pool says.
    void open(const pages::ObjectMap& objects, os::DirtyTracker& tracker, WorkPool& pool,
              std::uintptr_t start, Kind kind = Kind::watches_on);
    // Returns where the next look is to begin. Needs: it was opened.
    std::uintptr_t close();

    // Asks about a chunk, and calls visit(low, high) for the runs of pages written there.
    // False: there is none left. Adds to `bytes` what was reported.
    template <class Visit>
    bool ask_next(Visit visit, std::uint64_t& bytes);
    // Of the look opened last.
    [[nodiscard]] Kind kind() const { return kind_; }
    // Since the last call.
    struct Seen {
        std::uint64_t pages = 0;  // of the OS, reported
        std::uint64_t bytes = 0;  // of heap that was asked about
    };
    [[nodiscard]] Seen take_seen() {
        const Seen seen{written_.value() / 4096, asked_.value()};
        written_.subtract(written_.value());
        asked_.subtract(asked_.value());
        return seen;
    }

    // None is open: forks wait for the end of a cycle.
    void reset_lock_after_fork() { lock_.reset_after_fork(); }

private:
    struct Chunk {
        std::uintptr_t low = 0;
        std::uintptr_t high = 0;
        Kind kind = Kind::watches_on;
    };
    // low == high: there is none.
    [[nodiscard]] Chunk claim();
    void note(const Chunk& chunk, std::uint64_t reported);

    // Needs: the lock.
    [[nodiscard]] bool is_left() const { return at_ < end_ || first_ != start_; }

    base::RankedLock<base::Rank::leaf> lock_;
    const pages::ObjectMap* objects_ = nullptr;  // [fixed] when it is first opened
    os::DirtyTracker* tracker_ = nullptr;        // [fixed] likewise
    WorkPool* pool_ = nullptr;                   // [fixed] likewise
    std::uintptr_t at_ = 0;                      // [lock] where the next chunk begins
    std::uintptr_t end_ = 0;                     // [lock] of this half of the way round
    std::uintptr_t first_ = 0;                   // [lock] where the other half begins, up to start_
    std::uintptr_t start_ = 0;                   // [lock]
    Kind kind_ = Kind::watches_on;               // [lock] changed by open()
    std::atomic<bool> is_open_{false};           // [atomic] written under the lock
    base::Counter written_;                      // [atomic] bytes reported
    base::Counter asked_;                        // [atomic] bytes asked about
};

template <class Visit>
bool WrittenLook::ask_next(Visit visit, std::uint64_t& bytes) {
    const Chunk chunk = claim();
    if (chunk.low == chunk.high) return false;
    os::DirtyTracker& tracker = *tracker_;
    std::uint64_t reported = 0;
    const auto visit_counted = [&](std::uintptr_t low, std::uintptr_t high) {
        reported += high - low;
        visit(low, high);
    };
    const bool is_rearmed = chunk.kind == Kind::watches_on;
    const auto ask = [&](std::uintptr_t base, std::size_t length) {
        tracker.collect(base, length, is_rearmed, visit_counted);
        // acquire: what the kernel saw written came after close()
        const bool is_open = is_open_.load(std::memory_order_acquire);
        if (is_rearmed && !is_open) tracker.disarm(base, length);
        return true;
    };
    (void)for_each_conservative_run(*objects_, chunk.low, chunk.high, ask);
    note(chunk, reported);
    bytes += reported;
    return true;
}

}  // namespace cairn::gc
