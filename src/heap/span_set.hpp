// Span set: a bag of spans that many threads fill and empty at once without a lock.
//
//   index_ = [ head : 32 | tail : 32 ]      positions; head: next to pop, tail: next to push; they only grow
//
//   spine_ ─▶ [ block 0 | block 1 | ... | block spine_length_-1 |   room   ]     doubled when full,
//                          │                                                     old ones leaked
//                          ▼  position p is entry p % 512 of block p / 512
//                       [ span | span | null | ... ]  popped: how many entries were taken out
//
// Push  1  the block of position `tail` is there, or is put there under the spine lock (the only step
//          that needs memory);
//       2  tail + 1 by compare-and-swap claims the position;
//       3  the span is stored in its entry.
// Pop   1  head + 1 by compare-and-swap claims the position, if head < tail;
//       2  waits until step 3 of that push is done, takes the span, leaves null;
//       3  whoever takes the last of a block's entries returns the block to the pool.
//
// Because the block is there before the position is claimed, a failed push has changed nothing, and a pop
// that claimed a position finds its block. A spine is never freed, so its readers need no lock; a block is
// not recycled before all its entries were taken, so whoever claimed one of its positions may use it.
//
// The algorithm is a template over its atomics, so that tests/litmus runs this very code through every
// interleaving.
//
// Floor: heap. Lock: Rank::span_set, to grow only. Nothing here survives a fork in the middle of a push: the
// collector, whose spans these are, lets no thread fork while another is inside. Source: Go mspanset.go
// (BSD-3); differs in claiming after the block is installed, so that running out of memory is an
// answer, not a crash.
// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "base/check.hpp"
#include "base/config.hpp"
#include "base/lock.hpp"
#include "os/process.hpp"
#include "pages/metadata.hpp"

namespace cairn::heap {

class Span;

// What the product runs on; tests/litmus has another.
struct SpanSetAtomics {
    template <class T>
    using Atomic = std::atomic<T>;
    using Lock = base::RankedLock<base::Rank::span_set>;
    using Memory = pages::Metadata;
    static constexpr std::uint32_t block_entries = 512;         // a block is 4 KiB of entries
    static constexpr std::uint32_t first_spine_capacity = 256;  // 131,072 spans before the first doubling
    // Between two looks at something another thread is about to do; `attempt` counts from 0.
    static void pause(unsigned attempt) {
        if (attempt < 64) base::cpu_pause();
        else os::yield_cpu();  // it lost its processor in the middle
    }
};

template <class Atomics>
struct alignas(base::cache_line_bytes) SpanBlock {
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;

    Atomic<SpanBlock*> next{nullptr};                    // [atomic] in the pool
    Atomic<std::uint32_t> popped{0};                     // [atomic]
    Atomic<Span*> entries[Atomics::block_entries] = {};  // [atomic] null: not yet stored, or taken
};

// Blocks nobody uses: a lock-free stack shared by all sets of a heap. Blocks are never freed.
//
// word_ = [ address : 41 | tag : 23 ]. The tag grows at every change, so a pop that slept while the same
// block was taken and returned fails (ABA). 23 bits: a thread would have to sleep through eight million
// changes.
template <class Atomics>
class BasicSpanBlockPool {
public:
    using Block = SpanBlock<Atomics>;

    constexpr BasicSpanBlockPool() = default;

    void initialize(typename Atomics::Memory& memory) { memory_ = &memory; }
    [[nodiscard]] typename Atomics::Memory& memory() { return *memory_; }

    // Takes a block whose entries are null and whose count is 0; nullptr when the OS refuses.
    [[nodiscard]] Block* allocate() {
        // acquire: pairs with free(), for block->next
        std::uint64_t seen = word_.load(std::memory_order_acquire);
        while (Block* block = block_of(seen)) {
            // relaxed: published with the block; a stale value is refused by the tag
            Block* next = block->next.load(std::memory_order_relaxed);
            // acquire on failure: as the load above; on success `seen` was acquired already, but a failure
            // may not ask for more
            if (word_.compare_exchange_strong(seen, word_of(next, seen + 1), std::memory_order_acquire,
                                              std::memory_order_acquire))
                return block;
        }
        void* fresh = memory_->allocate(sizeof(Block), alignof(Block));
        return fresh == nullptr ? nullptr : new (fresh) Block;
    }

    // Needs: the block is as allocate() gives it, and no thread uses it.
    void free(Block* block) {
        std::uint64_t seen = word_.load(std::memory_order_relaxed);  // relaxed: only its value is used
        do {
            // relaxed: published by the exchange below
            block->next.store(block_of(seen), std::memory_order_relaxed);
            // release: publishes next, the cleared entries and the count to allocate(); relaxed on failure:
            // as above
        } while (!word_.compare_exchange_strong(seen, word_of(block, seen + 1), std::memory_order_release,
                                                std::memory_order_relaxed));
    }

private:
    static constexpr unsigned tag_bits = 23;
    static constexpr std::uint64_t tag_mask = (std::uint64_t{1} << tag_bits) - 1;
    static constexpr unsigned address_shift = 17;  // 47-bit addresses, aligned to 64, leave 17 + 6 bits
    static_assert(alignof(Block) >= 64);

    static Block* block_of(std::uint64_t word) {
        return reinterpret_cast<Block*>(static_cast<std::uintptr_t>((word & ~tag_mask) >> address_shift));
    }
    static std::uint64_t word_of(Block* block, std::uint64_t tag) {
        const auto address = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(block));
        return address << address_shift | (tag & tag_mask);
    }

    typename Atomics::Memory* memory_ = nullptr;                // [fixed]
    typename Atomics::template Atomic<std::uint64_t> word_{0};  // [atomic]
};

template <class Atomics>
class BasicSpanSet {
public:
    using Pool = BasicSpanBlockPool<Atomics>;
    using Block = SpanBlock<Atomics>;
    static constexpr std::uint32_t block_entries = Atomics::block_entries;

    constexpr BasicSpanSet() = default;

    // Adds `span`. False when there is no memory for a block: nothing has changed.
    // Cost: a compare-and-swap; each 512th push of a set takes the spine lock.
    [[nodiscard]] bool push(Span* span, Pool& pool) {
        for (;;) {
            // relaxed: the exchange below refuses a stale value, and blocks are found through spine_length_
            std::uint64_t seen = index_.load(std::memory_order_relaxed);
            const std::uint32_t position = tail_of(seen);
            // 2^32 pushes without a reset: the collector would be broken
            CAIRN_CHECK(position != UINT32_MAX);
            const std::uint32_t top = position / block_entries;
            // acquire: pairs with add_block(), which stored the block first
            if (top >= spine_length_.load(std::memory_order_acquire)) {
                if (!add_block(top, pool)) return false;
                continue;
            }
            // Maybe recycled already when `seen` is stale; then the exchange fails and it is not touched.
            Block* block = block_at(top);
            // release: who pops from below this tail sees the block in the spine, and the span's fields;
            // relaxed on failure: tried afresh
            if (!index_.compare_exchange_strong(seen, seen + one_push, std::memory_order_release,
                                                std::memory_order_relaxed))
                continue;
            // relaxed: the span's fields were published with the claim, and pop() has acquired it
            block->entries[position % block_entries].store(span, std::memory_order_relaxed);
            return true;
        }
    }

    // Removes some span, nullptr when the set is empty. Waits for a push that has claimed its position only.
    [[nodiscard]] Span* pop(Pool& pool) {
        // relaxed: the exchange below acquires
        std::uint64_t seen = index_.load(std::memory_order_relaxed);
        do {
            if (head_of(seen) >= tail_of(seen)) return nullptr;
            // acquire: pairs with every push() below this tail (exchanges carry each other's releases on);
            // relaxed on failure: only the value is used
        } while (!index_.compare_exchange_strong(seen, seen + one_pop, std::memory_order_acquire,
                                                 std::memory_order_relaxed));
        const std::uint32_t position = head_of(seen);
        Block* block = block_at(position / block_entries);
        auto& entry = block->entries[position % block_entries];
        // relaxed: the exchange above has acquired what lies behind the pointer
        Span* span = entry.load(std::memory_order_relaxed);
        for (unsigned attempt = 0; span == nullptr; ++attempt) {
            Atomics::pause(attempt);
            span = entry.load(std::memory_order_relaxed);  // relaxed: the exchange has acquired
        }
        entry.store(nullptr, std::memory_order_relaxed);  // relaxed: published by the count below
        // release: our null comes before the count; acquire: the last one sees the nulls of all, and passes
        // them on
        if (block->popped.fetch_add(1, std::memory_order_acq_rel) + 1 == block_entries) {
            block->popped.store(0, std::memory_order_relaxed);  // relaxed: published by the pool
            pool.free(block);
        }
        return span;
    }

    // Starts again at position 0. Needs: the set is empty and no thread uses it (the world is stopped).
    void reset(Pool& pool) {
        const std::uint64_t seen = index_.load(std::memory_order_relaxed);  // relaxed: [stopped]
        CAIRN_CHECK(head_of(seen) == tail_of(seen));
        const std::uint32_t top = head_of(seen) / block_entries;
        if (top < spine_length_.load(std::memory_order_relaxed)) {  // relaxed: [stopped]
            Block* block = block_at(top);
            const std::uint32_t popped = block->popped.load(std::memory_order_relaxed);  // relaxed: [stopped]
            CAIRN_CHECK(popped == head_of(seen) % block_entries);
            block->popped.store(0, std::memory_order_relaxed);  // relaxed: published by the pool
            pool.free(block);
        }
        // relaxed: [stopped], starting the world publishes it
        index_.store(0, std::memory_order_relaxed);
        spine_length_.store(0, std::memory_order_relaxed);  // relaxed: as above
    }

    // Spans inside, as seen at some moment.
    [[nodiscard]] std::uint32_t count() const {
        const std::uint64_t seen = index_.load(std::memory_order_relaxed);  // relaxed: a statistic
        return tail_of(seen) - head_of(seen);
    }

    void reset_lock_after_fork() { spine_lock_.reset_after_fork(); }

    // Checks the invariants at the moment of the call. Needs: no thread inside.
    void verify() const {
        const std::uint64_t seen = index_.load(std::memory_order_relaxed);  // relaxed: nobody else is inside
        CAIRN_CHECK(head_of(seen) <= tail_of(seen));
        const std::uint32_t blocks = spine_length_.load(std::memory_order_relaxed);  // relaxed: as above
        CAIRN_CHECK(tail_of(seen) <= std::uint64_t{blocks} * block_entries);
        for (std::uint32_t top = head_of(seen) / block_entries; top < blocks; ++top) {
            const Block* block = block_at(top);
            const std::uint32_t first = top * block_entries;
            const std::uint32_t taken = head_of(seen) > first ? head_of(seen) - first : 0;
            CAIRN_CHECK(block->popped.load(std::memory_order_relaxed) == taken);  // relaxed: we are alone
            CAIRN_CHECK(taken < block_entries);
            for (std::uint32_t i = 0; i < block_entries; ++i) {
                const bool is_filled = i >= taken && first + i < tail_of(seen);
                const Span* entry = block->entries[i].load(std::memory_order_relaxed);  // relaxed: alone
                CAIRN_CHECK((entry != nullptr) == is_filled);
            }
        }
    }

private:
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;

    // A growable array of blocks: this header, then `capacity` slots.
    struct alignas(Atomic<Block*>) Spine {
        std::uint32_t capacity;  // [fixed]
        [[nodiscard]] Atomic<Block*>* slots() { return reinterpret_cast<Atomic<Block*>*>(this + 1); }
    };

    static constexpr std::uint64_t one_push = 1;
    static constexpr std::uint64_t one_pop = std::uint64_t{1} << 32;
    static constexpr std::uint32_t head_of(std::uint64_t index) {
        return static_cast<std::uint32_t>(index >> 32);
    }
    static constexpr std::uint32_t tail_of(std::uint64_t index) { return static_cast<std::uint32_t>(index); }

    // Needs: the caller knows that spine_length_ has been above `top`.
    [[nodiscard]] Block* block_at(std::uint32_t top) const {
        // acquire: maybe newer than what the caller knows of
        Spine* spine = spine_.load(std::memory_order_acquire);
        // relaxed: stored before spine_length_ or the copy
        return spine->slots()[top].load(std::memory_order_relaxed);
    }

    // Puts a block at `top`, unless somebody has. False when there is no memory.
    [[nodiscard]] bool add_block(std::uint32_t top, Pool& pool) {
        base::Guard guard(spine_lock_);
        // relaxed: written under the lock
        const std::uint32_t length = spine_length_.load(std::memory_order_relaxed);
        if (top < length) return true;
        Spine* spine = spine_.load(std::memory_order_relaxed);  // relaxed: written under the lock
        if (spine == nullptr || length == spine->capacity) {
            spine = grown_copy(spine, pool.memory());
            if (spine == nullptr) return false;
            // release: publishes the copied slots to block_at()
            spine_.store(spine, std::memory_order_release);
        }
        Block* block = pool.allocate();
        if (block == nullptr) return false;
        spine->slots()[top].store(block, std::memory_order_relaxed);  // relaxed: published by the next line
        spine_length_.store(length + 1, std::memory_order_release);   // release: pairs with push()
        return true;
    }

    // A spine of twice the size. The old one is leaked: others may be reading it. All old ones together are
    // smaller.
    [[nodiscard]] static Spine* grown_copy(Spine* old, typename Atomics::Memory& memory) {
        const std::uint32_t capacity = old == nullptr ? Atomics::first_spine_capacity : old->capacity * 2;
        void* fresh = memory.allocate(sizeof(Spine) + capacity * sizeof(Atomic<Block*>), alignof(Spine));
        if (fresh == nullptr) return nullptr;
        auto* spine = new (fresh) Spine{capacity};
        for (std::uint32_t i = 0; i < capacity; ++i) {
            // relaxed: written under the lock we hold
            Block* block = old != nullptr && i < old->capacity
                               ? old->slots()[i].load(std::memory_order_relaxed)
                               : nullptr;
            new (spine->slots() + i) Atomic<Block*>(block);
        }
        return spine;
    }

    Atomic<std::uint64_t> index_{0};         // [atomic]
    Atomic<Spine*> spine_{nullptr};          // [atomic] written under spine_lock_
    Atomic<std::uint32_t> spine_length_{0};  // [atomic] written under spine_lock_; blocks ever put in
    typename Atomics::Lock spine_lock_;
};

using SpanBlockPool = BasicSpanBlockPool<SpanSetAtomics>;
using SpanSet = BasicSpanSet<SpanSetAtomics>;
static_assert(sizeof(SpanSet) == 24);

extern template class BasicSpanBlockPool<SpanSetAtomics>;
extern template class BasicSpanSet<SpanSetAtomics>;

}  // namespace cairn::heap
