// Work pool: grey words nobody has looked at yet, in buffers that markers exchange.
//
// A word is anything that may be a pointer: what it leads to is found out by the marker that takes it. A
// marker fills and empties a buffer of its own like a stack; full ones go to the pool, an empty-handed marker
// takes one. 253 words in 2 KiB make the lock cheap.
//
// Large objects are scanned in pieces that any marker may claim, so one huge array keeps no marker alone.
//
// Written pages that are to be scanned again wait in buffers of their own, as words (PageRun).
//
// A marker without work says that it is hungry; one that has more than it needs at once then gives half of it
// away. A deep and narrow graph would otherwise never leave the marker that found its root.
//
// Jobs are numbers of somebody's: what is to be done for one is known to who takes it (root_jobs.hpp).
//
//   is_dry()  no full buffer, no unclaimed piece, page or job, nothing to ask for anybody
//             (written_look.hpp): with no marker at work, marking is complete
//
// Floor: gc. Locks: lock_ (leaf) over a few loads and stores. Memory is kept for the next cycle.
// Source: Go mgcwork.go (BSD-3).
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/lock.hpp"
#include "heap/span.hpp"
#include "pages/metadata.hpp"

namespace cairn::gc {

struct WorkBuffer {
    static constexpr std::size_t bytes = 2048;
    static constexpr unsigned capacity = bytes / sizeof(std::uintptr_t) - 2;

    WorkBuffer* next = nullptr;
    std::uint64_t count = 0;
    std::uintptr_t words[capacity];

    [[nodiscard]] bool is_full() const { return count == capacity; }
};
static_assert(sizeof(WorkBuffer) == WorkBuffer::bytes);

// Up to 16 pages of 4 KiB in a word.
struct PageRun {
    static constexpr std::size_t page_bytes = 4096;
    static constexpr std::size_t most_pages = 16;

    [[nodiscard]] static constexpr std::uintptr_t word_of(std::uintptr_t low, std::uintptr_t high) {
        return low | (high - low) / page_bytes;
    }
    [[nodiscard]] static constexpr std::uintptr_t low_of(std::uintptr_t word) {
        return word & ~(page_bytes - 1);
    }
    [[nodiscard]] static constexpr std::uintptr_t high_of(std::uintptr_t word) {
        return low_of(word) + (word & (page_bytes - 1)) * page_bytes;
    }
};

class WorkPool {
public:
    // A piece of a large object: short enough that a marker can be asked to stop soon.
    static constexpr std::size_t piece_bytes = std::size_t{32} << 10;

    constexpr WorkPool() = default;

    void initialize(pages::Metadata& metadata) { metadata_ = &metadata; }

    // An empty buffer; nullptr when the OS refuses.
    [[nodiscard]] WorkBuffer* take_empty();
    // A buffer with words; nullptr when there is none.
    [[nodiscard]] WorkBuffer* take_full();
    // Gives a buffer with words to whoever comes; an empty one goes back to the empty ones.
    void put(WorkBuffer* buffer);

    // Has a large object of a scanned kind be scanned from its start. False when memory for that is refused.
    [[nodiscard]] bool add_large(heap::Span& span);
    struct Piece {
        heap::Span* span = nullptr;
        std::uintptr_t from = 0;
        std::uintptr_t to = 0;
    };
    // Claims the next piece; span == nullptr: there is none.
    [[nodiscard]] Piece take_piece();

    // The same for buffers of page runs.
    [[nodiscard]] WorkBuffer* take_pages();
    void put_pages(WorkBuffer* buffer);

    // Jobs count - 1 down to 0. Needs: none is left.
    void offer_jobs(std::size_t count) {
        jobs_left_.store(count, std::memory_order_release);  // release: what they are, to take_job()
    }
    // False: there is none.
    [[nodiscard]] bool take_job(std::size_t& job) {
        std::size_t left = jobs_left_.load(std::memory_order_relaxed);  // relaxed: the exchange looks again
        while (left != 0) {
            // acquire: pairs with offer_jobs(); release: see is_dry(); relaxed: it is tried again
            if (jobs_left_.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel,
                                                 std::memory_order_relaxed)) {  // relaxed: as above
                job = left - 1;
                return true;
            }
        }
        return false;
    }

    [[nodiscard]] bool is_dry() const {
        // acquire: pairs with put() and add_large(); a hint unless no marker is at work
        return full_count_.load(std::memory_order_acquire) == 0 &&
               large_count_.load(std::memory_order_acquire) == 0 &&  // acquire: as above
               pages_count_.load(std::memory_order_acquire) == 0 &&  // acquire: as above
               jobs_left_.load(std::memory_order_acquire) == 0 &&    // acquire: as above
               !has_questions_.load(std::memory_order_acquire);      // acquire: pairs with set_questions()
    }
    // There is a look at written pages, and whoever has nothing else to do may ask.
    [[nodiscard]] bool has_questions() const {
        return has_questions_.load(std::memory_order_relaxed);  // relaxed: a hint
    }
    void set_questions(bool are_there) {
        has_questions_.store(are_there, std::memory_order_release);  // release: see is_dry()
    }
    // Some marker has nothing to do.
    [[nodiscard]] bool is_hungry() const {
        return hungry_.load(std::memory_order_relaxed) != 0;  // relaxed: a hint
    }
    void begin_hunger() { hungry_.fetch_add(1, std::memory_order_relaxed); }  // relaxed: a hint
    void end_hunger() { hungry_.fetch_sub(1, std::memory_order_relaxed); }    // relaxed: a hint
    [[nodiscard]] std::size_t full_count() const {
        return full_count_.load(std::memory_order_relaxed);  // relaxed: a hint
    }
    [[nodiscard]] std::size_t pages_count() const {
        return pages_count_.load(std::memory_order_relaxed);  // relaxed: a hint
    }
    // Memory ran out for buffers, and words were dropped: what is marked may not be all that is reachable.
    [[nodiscard]] bool has_overflowed() const {
        return has_overflowed_.load(std::memory_order_relaxed);  // relaxed: read with the world stopped
    }
    void note_overflow() { has_overflowed_.store(true, std::memory_order_relaxed); }   // relaxed: as above
    void clear_overflow() { has_overflowed_.store(false, std::memory_order_relaxed); }  // relaxed: as above

    void reset_lock_after_fork() {
        lock_.reset_after_fork();
        hungry_.store(0, std::memory_order_relaxed);  // relaxed: the child has one thread
    }

private:
    static constexpr std::size_t block_bytes = std::size_t{64} << 10;

    struct Large {
        Large* next;
        heap::Span* span;
        std::uintptr_t cursor;
    };

    [[nodiscard]] bool refill_locked();
    // The first of a list with its count; nullptr when it is empty. And the way back.
    [[nodiscard]] WorkBuffer* take(WorkBuffer*& list, std::atomic<std::size_t>& count);
    void put(WorkBuffer* buffer, WorkBuffer*& list, std::atomic<std::size_t>& count);

    base::RankedLock<base::Rank::metadata> lock_;
    WorkBuffer* full_ = nullptr;                // [lock]
    WorkBuffer* empty_ = nullptr;               // [lock]
    WorkBuffer* pages_ = nullptr;               // [lock] with page runs
    Large* large_ = nullptr;                    // [lock] those with pieces left
    Large* spare_large_ = nullptr;              // [lock]
    std::atomic<std::size_t> full_count_{0};    // [atomic] written under the lock
    std::atomic<std::size_t> large_count_{0};   // [atomic] written under the lock
    std::atomic<std::size_t> pages_count_{0};   // [atomic] written under the lock
    std::atomic<std::size_t> jobs_left_{0};     // [atomic]
    std::atomic<bool> has_questions_{false};    // [atomic]
    std::atomic<unsigned> hungry_{0};           // [atomic] markers that look for work
    std::atomic<bool> has_overflowed_{false};   // [atomic]
    pages::Metadata* metadata_ = nullptr;       // [fixed]
};

}  // namespace cairn::gc
