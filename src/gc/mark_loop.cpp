// The mark loop: the ring and the batches, and the way along a list.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>

#include "base/bits.hpp"
#include "gc/marker_inline.hpp"

namespace cairn::gc {

using heap::ScanRule;
using heap::Shape;
using heap::word_bytes;

// False: nothing is allocated there, or it is marked already. Of two markers at once both may be told that
// they were first: the object is then scanned twice, and counted twice until the next cycle. That is so rare
// that an exchange that decides costs more.
[[gnu::always_inline]] inline bool Marker::set_mark(const pages::ObjectMap::View& map, std::uintptr_t start) {
    pages::BitPair& both = map.pair(start);
    const std::uint64_t bit = pages::ObjectMap::bit(start);
    // acquire: pairs with set_run(): the slot was zeroed before
    if ((both.allocated.load(std::memory_order_acquire) & bit) == 0) return false;
    if ((both.marked.load(std::memory_order_relaxed) & bit) != 0) return false;  // relaxed: see try_mark()
    both.marked.fetch_or(bit, std::memory_order_relaxed);                         // relaxed: as above
    return true;
}

// Marks of one word of mark bits, on their way: one exchange settles up to 64 of them, and no load waits for
// an exchange in between. Until then another marker may find the same objects white and scan them too, which
// costs time and changes nothing.
class Marker::PendingMarks {
public:
    // False: nothing is allocated there, or it is marked already.
    [[gnu::always_inline]] bool set(const pages::ObjectMap::View& map, std::uintptr_t start,
                                    std::size_t slot_bytes, MarkCount& done) {
        pages::BitPair& both = map.pair(start);
        if (&both != pair_) {
            settle(done);
            pair_ = &both;
            slot_bytes_ = slot_bytes;
            // acquire: pairs with set_run(): the slot was zeroed before
            allocated_ = both.allocated.load(std::memory_order_acquire);
            old_ = both.marked.load(std::memory_order_relaxed);  // relaxed: see try_mark()
        }
        const std::uint64_t bit = pages::ObjectMap::bit(start);
        if ((allocated_ & ~(old_ | fresh_) & bit) == 0) return false;
        fresh_ |= bit;
        ++done.marked_objects;
        done.marked_bytes += slot_bytes;
        return true;
    }

    [[gnu::always_inline]] void settle(MarkCount& done) {
        if (fresh_ == 0) return;
        // relaxed: see try_mark()
        while (!pair_->marked.compare_exchange_weak(old_, old_ | fresh_, std::memory_order_relaxed)) {
        }
        if ((old_ & fresh_) != 0) [[unlikely]] take_off(done);
        fresh_ = 0;
        pair_ = nullptr;
    }

private:
    // What others marked first is theirs to count.
    void take_off(MarkCount& done) const {
        const auto lost = static_cast<std::uint64_t>(std::popcount(old_ & fresh_));
        done.marked_objects -= lost;
        done.marked_bytes -= lost * slot_bytes_;
    }

    pages::BitPair* pair_ = nullptr;
    std::size_t slot_bytes_ = 0;  // all bits of a pair belong to one span
    std::uint64_t allocated_ = 0;
    std::uint64_t old_ = 0;    // marked when the pair was opened
    std::uint64_t fresh_ = 0;  // to be added
};

// The slot of a word within bounds. The bit of the word's own granule, which is on its way, spares the
// arithmetic.
[[gnu::always_inline]] inline Slot Marker::start_of(const MarkSpace& space, const pages::ObjectMap::View& map,
                                                    const Shape* shapes, std::uintptr_t word) {
    const std::uint32_t entry = map.entry(word);
    if (entry == 0) return {};
    // relaxed: who marks looks again
    const std::uint64_t allocated = map.pair(word).allocated.load(std::memory_order_relaxed);
    if ((allocated & pages::ObjectMap::bit(word)) == 0) [[unlikely]] return locate(space, map, shapes, word);
    return {base::align_down(word, pages::granule_bytes), pages::object_entry_shape(entry)};
}

// Calls visit(word) for each field that one mask tells.
template <class Visit>
[[gnu::always_inline]] inline void Marker::for_each_field(const Shape& shape, std::uintptr_t start,
                                                          Visit visit) {
    if (shape.rule == ScanRule::every_word) {
        const std::uintptr_t end = start + shape.slot_bytes;
        for (std::uintptr_t at = start; at != end; at += word_bytes) visit(load_word(at));
        return;
    }
    for (std::uint64_t mask = shape.mask; mask != 0; mask &= mask - 1)
        visit(load_word(start + static_cast<unsigned>(std::countr_zero(mask)) * word_bytes));
}

// One object is all there is to do, and one mask tells its fields.
bool Marker::is_list() const {
    return head_ == tail_ && marked_count_ == 1 && (buffer_ == nullptr || buffer_->count == 0) &&
           (*space_.shapes)[batches_[turn_][0].shape].mask != 0;
}

// An object leads to one other, that to the next: there is nothing to do while one waits for memory, so the
// way from word to word is kept short. Where the word's own bit is set it leads to a start, and of what shape
// is guessed to be the same as before: the processor loads the next word before it knows all that is asked
// about this one. An object's last pointer is followed; leaves are marked at once, what else it has waits in
// the ring, and a few of these end the list.
void Marker::follow_list(std::size_t visits) {
    constexpr unsigned few = 16;
    const pages::ObjectMap::View map = space_.objects->view();
    const Shape* const shapes = space_.shapes->table();
    const pages::ObjectMap::Bounds bounds = bounds_;
    PendingMarks marks, leaves;
    MarkCount done;
    Slot at = batches_[turn_][--marked_count_];
    std::uint32_t id = at.shape;
    std::uint64_t fields = shapes[id].mask;
    do {
        if (at.shape != id) [[unlikely]] {
            id = at.shape;
            fields = shapes[id].mask;
        }
        done.scanned_bytes += shapes[id].slot_bytes;
        Slot next;
        for (std::uint64_t mask = fields; mask != 0;) {
            const auto top = static_cast<unsigned>(std::countl_zero(mask)) ^ 63;
            mask ^= std::uint64_t{1} << top;
            const std::uintptr_t word = load_word(at.start + top * word_bytes);
            if (!bounds.holds(word)) continue;
            const Slot found = start_of(space_, map, shapes, word);
            if (found.start == 0) continue;
            const Shape& of = shapes[found.shape];
            if (next.start == 0 && of.mask != 0) {
                if (marks.set(map, found.start, of.slot_bytes, done)) next = found;
            } else if (of.rule == ScanRule::nothing && of.slot_bytes != 0) {
                (void)leaves.set(map, found.start, of.slot_bytes, done);
            } else if (tail_ - head_ < ring_size) {
                feed(found.start);
            } else {
                keep(found.start);
            }
        }
        at = next;
    } while (at.start != 0 && tail_ - head_ < few && --visits != 0);
    marks.settle(done);
    leaves.settle(done);
    if (at.start != 0) batches_[turn_][marked_count_++] = at;
    count.add(done);
}

// The loop all time goes into. What it needs is in locals: stores into the ring and the buffer could change
// members as far as the compiler knows.
void Marker::drain_ring(std::size_t visits) {
    const pages::ObjectMap::View map = space_.objects->view();
    const Shape* const shapes = space_.shapes->table();
    const pages::ObjectMap::Bounds bounds = bounds_;
    std::uintptr_t* const ring = ring_;
    WorkBuffer* buffer = buffer_;
    unsigned head = head_, tail = tail_;
    MarkCount done;
    const auto feed_one = [&](std::uintptr_t word) __attribute__((always_inline)) {
        __builtin_prefetch(&map.pair(word));
        ring[tail++ % ring_size] = word;
    };
    const auto push_one = [&](std::uintptr_t word) __attribute__((always_inline)) {
        if (!bounds.holds(word)) return;
        if (tail - head < ring_size) return feed_one(word);
        if (buffer == nullptr || buffer->is_full()) [[unlikely]] buffer = keep_slow(word);
        else buffer->words[buffer->count++] = word;
    };
    // A locked instruction waits for the page walks of prefetches before it. So not one after the other, but
    // many marks, then prefetches, with the scans of what was prefetched a batch ago between them.
    while (visits > 0 && (head != tail || marked_count_ != 0)) {
        const Slot* ripe = batches_[turn_];
        Slot* const fresh = batches_[turn_ ^= 1];
        unsigned ripe_count = marked_count_, fresh_count = 0;
        const unsigned taken = std::min(tail - head, batch_size);
        for (unsigned i = 0; i < taken; ++i) {
            const Slot slot = start_of(space_, map, shapes, ring[head++ % ring_size]);
            if (slot.start == 0 || !set_mark(map, slot.start)) continue;
            const Shape& shape = shapes[slot.shape];
            ++done.marked_objects;
            done.marked_bytes += shape.slot_bytes;
            if (shape.rule != ScanRule::nothing || shape.slot_bytes == 0) fresh[fresh_count++] = slot;
        }
        for (unsigned i = ripe_count; i < fresh_count; ++i)
            __builtin_prefetch(reinterpret_cast<const void*>(fresh[i].start));
        if (head == tail && ripe_count == 0) {  // nothing to do meanwhile
            marked_count_ = fresh_count;
            if (fresh_count == 1 && shapes[fresh[0].shape].mask != 0) break;  // a list
            ripe = fresh, std::swap(ripe_count, fresh_count);
        }
        for (unsigned i = 0; i < ripe_count; ++i) {
            const Shape& shape = shapes[ripe[i].shape];
            if (i < fresh_count) __builtin_prefetch(reinterpret_cast<const void*>(fresh[i].start));
            if (shape.mask != 0) [[likely]] {
                done.scanned_bytes += shape.slot_bytes;
                for_each_field(shape, ripe[i].start, push_one);
                continue;
            }
            head_ = head, tail_ = tail;
            scan_new(ripe[i].start, shape);
            head = head_, tail = tail_, buffer = buffer_;
        }
        marked_count_ = fresh_count;
        while (tail - head < ring_size && buffer != nullptr && buffer->count != 0)
            feed_one(buffer->words[--buffer->count]);
        visits -= std::min<std::size_t>(visits, std::max(taken, 1u));
    }
    head_ = head, tail_ = tail;
    count.add(done);
}

}  // namespace cairn::gc
