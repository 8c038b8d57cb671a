// Special shards: all pages of the heap, 512 at a time, for those who look for spans with records.
//
// A shard is a piece of one arena's page arrays; a word of its has_specials bits tells in one load that 64
// pages have nothing. Shards are claimed by any number of threads, each once. Arenas are collected 32 at a
// time, because their list can only be walked from its beginning.
//
// Spans that come to have records behind the cursor are not met: those who attach records while marking grey
// them themselves.
//
// Locks: a leaf, held while 32 arenas are looked up. Floor: gc.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>

#include "base/lock.hpp"
#include "heap/span.hpp"
#include "pages/address_space.hpp"

namespace cairn::gc {

class SpecialShards {
public:
    constexpr SpecialShards() = default;

    struct Shard {
        pages::PageTables tables;
        std::size_t first_page = 0;
        std::size_t pages = 0;

        // Calls visit(Span&) for every span whose first page is here and that has records.
        template <class Visit>
        void for_each_span(Visit visit) const {
            for (std::size_t at = first_page; at < first_page + pages; at += 64) {
                // acquire: pairs with set_has_specials(); relaxed would do, the span's lock orders its list
                std::uint64_t bits = tables.has_specials[at / 64].load(std::memory_order_acquire);
                for (; bits != 0; bits &= bits - 1) {
                    const std::size_t page = at + static_cast<unsigned>(std::countr_zero(bits));
                    // acquire: pairs with set_span()
                    heap::Span* span = tables.spans[page].load(std::memory_order_acquire);
                    if (span != nullptr && span->is_alive()) visit(*span);
                }
            }
        }
    };

    // From the first page again. Needs: nobody claims meanwhile.
    void restart(const pages::AddressSpace& addresses) {
        base::Guard guard(lock_);
        addresses_ = &addresses;
        arenas_seen_ = 0;
        kept_ = next_ = 0;
        page_ = 0;
    }

    // Takes the next shard; false when none is left.
    [[nodiscard]] bool claim(Shard& shard) {
        base::Guard guard(lock_);
        if (addresses_ == nullptr) return false;
        if (next_ == kept_ && !refill_locked()) return false;
        const pages::PageTables& arena = arenas_[next_];
        const std::size_t all = arena.page_of(arena.end);
        shard = {arena, page_, std::min(shard_pages, all - page_)};
        page_ += shard.pages;
        if (page_ == all) {
            page_ = 0;
            ++next_;
        }
        return true;
    }

    void lock_for_fork() { lock_.lock(); }
    void unlock_after_fork() { lock_.unlock(); }
    void reset_lock_after_fork() { lock_.reset_after_fork(); }

private:
    static constexpr std::size_t shard_pages = 512;  // Source: Go, the size of its span root jobs
    static constexpr std::size_t kept_arenas = 32;

    [[nodiscard]] bool refill_locked() {
        std::size_t arena = 0;
        kept_ = next_ = 0;
        addresses_->for_each_arena([&](const pages::PageTables& tables) {
            if (arena++ < arenas_seen_ || kept_ == kept_arenas || !tables) return;
            arenas_[kept_++] = tables;
        });
        arenas_seen_ += kept_;
        return kept_ != 0;
    }

    base::RankedLock<base::Rank::leaf> lock_;
    const pages::AddressSpace* addresses_ = nullptr;  // [lock]
    std::size_t arenas_seen_ = 0;                     // [lock] arenas that were in arenas_ since restart()
    pages::PageTables arenas_[kept_arenas];           // [lock]
    std::size_t kept_ = 0;                            // [lock] arenas in arenas_
    std::size_t next_ = 0;                            // [lock] the current one
    std::size_t page_ = 0;                            // [lock] its first page that is not claimed
};

}  // namespace cairn::gc
