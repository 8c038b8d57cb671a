// Bits of one span, and the ways to find the next.
// SPDX-License-Identifier: MIT
#include "gc/sweeper.hpp"

#include <bit>
#include <cstring>

namespace cairn::gc {

namespace {

using heap::Span;

// What a freed object reads as when poisoning is asked for: no address, no small number.
constexpr std::uint64_t poison_word = 0xdead'beef'dead'beef;

}  // namespace

// Marks become allocated bits; returns how many there are.
std::size_t Sweeper::sweep_bits(Span& span) {
    pages::ObjectMap& objects = heap_->spans().objects();
    std::size_t alive = 0;
    using MarksLeft = heap::SweptShared::MarksLeft;
    // relaxed: does not change while there is something to sweep
    const MarksLeft marks_left = heap_->shared().marks_left.load(std::memory_order_relaxed);
    const pages::OldMarks& old = heap_->shared().old_marks;
    // Of a large span only the first word has bits.
    const std::uintptr_t end = span.is_large() ? span.base + 1 : span.limit;
    for (std::uintptr_t at = span.base; at < end; at += std::uintptr_t{1} << pages::pair_shift) {
        pages::BitPair& both = objects.pair(at);
        // relaxed, all: no marker runs now, and the span's new generation publishes the bits
        const std::uint64_t marked = both.marked.load(std::memory_order_relaxed);
        const std::uint64_t allocated = both.allocated.load(std::memory_order_relaxed);  // relaxed: as above
        // A marker may have set the mark of a slot just as its thread gave the rest of a run back.
        const std::uint64_t kept = marked & allocated;
        alive += static_cast<unsigned>(std::popcount(kept));
        // relaxed, both: the span's new generation publishes the bits
        if (allocated != kept) both.allocated.store(kept, std::memory_order_relaxed);
        std::uint64_t left = marks_left == MarksLeft::none ? 0 : kept;
        if (marks_left >= MarksLeft::all_and_noted) {
            std::uint64_t* const noted = old.word(at);
            if (noted != nullptr && marks_left == MarksLeft::noted) left &= *noted;
            else if (noted != nullptr) *noted = kept;
        }
        if (marked != left) both.marked.store(left, std::memory_order_relaxed);  // relaxed: as the other word
    }
    return alive;
}

// Fills what this sweep will free. Noise for who still holds a pointer, and a way to find out who.
void Sweeper::poison(const Span& span) const {
    const pages::ObjectMap& objects = heap_->spans().objects();
    for (std::size_t slot = 0; slot < span.slots; ++slot) {
        const std::uintptr_t start = span.slot_address(slot);
        if (!objects.is_allocated(start) || objects.is_marked(start)) continue;
        for (std::size_t at = 0; at + sizeof(poison_word) <= span.slot_bytes; at += sizeof(poison_word))
            std::memcpy(reinterpret_cast<void*>(start + at), &poison_word, sizeof(poison_word));
    }
}

std::size_t Sweeper::sweep(Span& span, bool is_kept) {
    if (span.specials != nullptr) specials_(context_, span);
    if (poisons_) poison(span);
    const std::size_t before = span.alloc_count;
    const std::size_t alive = sweep_bits(span);
    CAIRN_CHECK(alive <= before);
    const std::size_t freed = before - alive;
    span.alloc_count = static_cast<std::uint16_t>(alive);
    span.free_index = 0;
    if (freed != 0) {
        span.needs_zero = true;
        freed_bytes_.add(freed * span.slot_bytes);
        freed_objects_.add(freed);
    }
    pages_swept_.add(span.pages);
    if (alive != 0 && span.is_large() && !is_kept) {
        heap_->centrals().of(span).place_large(&span);
        return freed;
    }
    // release: the span as it is now comes before; who acquires it sees it swept
    span.sweep_generation.store(heap_->shared().generation(), std::memory_order_release);
    if (is_kept) return freed;
    if (alive == 0) heap_->spans().free(&span);
    else heap_->centrals().of(span).place_swept(&span);
    return freed;
}

Span* Sweeper::take_unswept() {
    heap::Centrals& centrals = heap_->centrals();
    const std::uint32_t generation = heap_->shared().generation();
    const unsigned shapes = centrals.shapes().count();
    unsigned at = cursor_.load(std::memory_order_relaxed);  // relaxed: a hint that only grows
    for (; at < shapes; ++at) {
        while (Span* span = centrals.of(at).pop_unswept())
            if (heap::try_acquire_for_sweep(*span, generation)) return span;
        unsigned seen = at;
        // relaxed: a hint that only grows; a failed exchange means that somebody else moved it on
        (void)cursor_.compare_exchange_strong(seen, at + 1, std::memory_order_relaxed);
    }
    return nullptr;
}

std::size_t Sweeper::sweep_one() {
    if (is_drained_.load(std::memory_order_relaxed)) return 0;  // relaxed: a hint
    active_.fetch_add(1, std::memory_order_acq_rel);            // acq_rel: see is_done()
    Span* span = take_unswept();
    std::size_t pages = 0;
    if (span != nullptr) {
        pages = span->pages;
        (void)sweep(*span, false);
    } else {
        is_drained_.store(true, std::memory_order_release);  // release: see is_done()
    }
    active_.fetch_sub(1, std::memory_order_acq_rel);  // acq_rel: see is_done()
    return pages;
}

std::size_t Sweeper::reclaim(std::size_t pages, unsigned budget) {
    const std::uint64_t wanted = pages * base::page_bytes;
    const std::uint64_t before = heap_->spans().in_use_bytes();
    for (; budget > 0; --budget) {
        if (sweep_one() == 0) break;
        const std::uint64_t now = heap_->spans().in_use_bytes();
        if (now + wanted <= before) break;
    }
    const std::uint64_t now = heap_->spans().in_use_bytes();
    return now < before ? (before - now) / base::page_bytes : 0;
}

void Sweeper::pay_debt(std::size_t bytes) {
    SweepPace pace;
    pace.pages_per_byte = pages_per_byte_.load(std::memory_order_relaxed);  // relaxed: see the field
    if (pace.pages_per_byte == 0) return;
    pace.live_basis = live_basis_.load(std::memory_order_relaxed);    // relaxed: see the field
    pace.pages_basis = pages_basis_.load(std::memory_order_relaxed);  // relaxed: see the field
    const std::uint64_t live = heap_->shared().live_bytes.value();
    while (pace.owes(live, bytes, pages_swept_.value(), 0)) {
        if (sweep_one() != 0) continue;
        pages_per_byte_.store(0, std::memory_order_relaxed);  // relaxed: see the field
        return;
    }
}

void Sweeper::begin(const SweepPace& pace) {
    cursor_.store(0, std::memory_order_relaxed);  // relaxed, both: starting the world orders it
    is_drained_.store(false, std::memory_order_relaxed);  // relaxed: as above
    set_pace(pace);
}

void Sweeper::set_pace(const SweepPace& pace) {
    live_basis_.store(pace.live_basis, std::memory_order_relaxed);    // relaxed, all: see the field
    pages_basis_.store(pace.pages_basis, std::memory_order_relaxed);  // relaxed: as above
    pages_per_byte_.store(pace.pages_per_byte, std::memory_order_relaxed);  // relaxed: as above
}

}  // namespace cairn::gc
