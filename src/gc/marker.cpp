// The marker but for its loop: where words come from and go to, and how fields are read.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <bit>
#include <cstring>

#include "base/bits.hpp"
#include "base/run_joiner.hpp"
#include "gc/client_marking.hpp"
#include "gc/marker_inline.hpp"
#include "gc/root_jobs.hpp"
#include "gc/written_look.hpp"

namespace cairn::gc {

namespace {

using heap::ScanRule;
using heap::Shape;
using heap::word_bytes;

// What looking at one word costs at least, in scanned bytes: objects without pointers are not free to mark.
constexpr std::size_t visit_bytes = 16;
constexpr std::size_t visits_at_once = 256;

// A word that points to an object, and just behind a conservative one that is not larger than this, means the
// first alone.
constexpr std::size_t single_bytes = 64;

// Words below which a buffer is not worth sharing, and page runs above which one is.
constexpr unsigned shared_words_min = 8;
constexpr unsigned page_runs_at_once = 16;
// Buffers of page runs that others find while the leader of a look asks for more.
constexpr std::size_t buffers_ahead = 3;
// OS pages scanned again between two looks at the clock: full of pointers, 4 us each.
constexpr std::size_t rescanned_at_once = 32;

}  // namespace

Slot Marker::resolve_large(const MarkSpace& space, std::uintptr_t address, std::uint32_t id) {
    const heap::Span* span = space.addresses->span_of(address);
    return span == nullptr ? Slot{} : Slot{span->base, id};
}

void Marker::push(std::uintptr_t word) {
    if (bounds_.holds(word)) push_inside(word);
}

// Returns the marker's buffer as it is then.
WorkBuffer* Marker::keep_slow(std::uintptr_t word) {
    WorkBuffer* fresh = space_.pool->take_empty();
    if (fresh == nullptr) {
        mark_unscanned(word);
        return buffer_;
    }
    if (buffer_ != nullptr) space_.pool->put(buffer_);
    buffer_ = fresh;
    buffer_->words[buffer_->count++] = word;
    return buffer_;
}

// Marks the object of a word within bounds and leaves its fields alone. Returns its shape; nullptr: nothing
// is allocated there, or it is marked already.
const Shape* Marker::mark_white(std::uintptr_t word) {
    const Slot slot = resolve(space_, word);
    if (slot.start == 0 || !space_.objects->is_allocated(slot.start)) return nullptr;
    if (!space_.objects->try_mark(slot.start)) return nullptr;
    const Shape& shape = (*space_.shapes)[slot.shape];
    ++count.marked_objects;
    count.marked_bytes +=
        shape.slot_bytes != 0 ? shape.slot_bytes : space_.addresses->span_of(slot.start)->bytes();
    return &shape;
}

// For want of memory: the object is marked, and scanned with all marked ones by and by. What is marked
// already is no reason for another round, so the rounds come to an end.
void Marker::mark_unscanned(std::uintptr_t word) {
    const Shape* shape = mark_white(word);
    if (shape != nullptr && shape->rule != ScanRule::nothing) space_.pool->note_overflow();
}

bool Marker::take_work() {
    if (buffer_ != nullptr && buffer_->count != 0) return true;
    WorkBuffer* full = space_.pool->take_full();
    if (full == nullptr) return false;
    if (buffer_ != nullptr) space_.pool->put(buffer_);
    buffer_ = full;
    return true;
}

// False: nothing to do is left, here and in the pool.
bool Marker::refill_ring() {
    while (tail_ - head_ < ring_size && take_work()) feed(buffer_->words[--buffer_->count]);
    if (head_ != tail_ || marked_count_ != 0) return true;
    const WorkPool::Piece piece = space_.pool->take_piece();
    if (piece.span == nullptr) return rescan_next() || scan_next_roots() || take_work() || ask_next();
    scan((*space_.shapes)[piece.span->shape], piece.span->base, piece.from, piece.to);
    return true;
}

bool Marker::scan_next_roots() {
    std::size_t job = 0;
    if (!space_.pool->take_job(job)) return false;
    space_.roots->visit(job, push_root_words, this);
    return true;
}

// The hardware would notice too late that all of it is read.
void prefetch_page(std::uintptr_t page) {
    for (std::size_t at = 0; at < PageRun::page_bytes; at += base::cache_line_bytes)
        __builtin_prefetch(reinterpret_cast<const void*>(page + at));
}

// Scans some runs of written pages again.
bool Marker::rescan_next() {
    if (leads_look_ && space_.pool->pages_count() < buffers_ahead) (void)ask_next();
    if (pages_ == nullptr) pages_ = space_.pool->take_pages();
    if (pages_ == nullptr) return false;
    Awaited awaited;
    for (std::size_t pages = 0; pages < rescanned_at_once && pages_->count != 0;) {
        const std::uintptr_t run = pages_->words[--pages_->count];
        pages += (PageRun::high_of(run) - PageRun::low_of(run)) / PageRun::page_bytes;
        if (pages_->count != 0) prefetch_page(PageRun::low_of(pages_->words[pages_->count - 1]));
        rescan_spans(awaited, PageRun::low_of(run), PageRun::high_of(run));
    }
    look_at_rest(awaited);
    if (pages_->count == 0) {
        space_.pool->put(pages_);
        pages_ = nullptr;
    }
    return true;
}

// Asks which pages of some of the heap were written, where that is to be known.
bool Marker::ask_next() {
    if (!leads_look_ && !space_.pool->has_questions()) return false;
    const auto add = [this](std::uintptr_t low, std::uintptr_t high) { add_written(low, high); };
    const bool is_asked = space_.look->ask_next(add, asked_bytes_);
    if (!is_asked) leads_look_ = false;
    return is_asked;
}

void Marker::add_written(std::uintptr_t low, std::uintptr_t high) {
    for (std::uintptr_t at = low; at < high;) {
        const std::uintptr_t most = at + PageRun::most_pages * PageRun::page_bytes;
        const std::uintptr_t end = most < high ? most : high;
        if (pages_ == nullptr) pages_ = space_.pool->take_empty();
        if (pages_ == nullptr) return rescan(at, high);
        pages_->words[pages_->count++] = PageRun::word_of(at, end);
        gathered_pages_ += (end - at) / PageRun::page_bytes;
        at = end;
        if (pages_->count < page_runs_at_once && gathered_pages_ < rescanned_at_once) continue;
        gathered_pages_ = 0;
        space_.pool->put_pages(pages_);
        pages_ = nullptr;
    }
}

// Gives the older half of the buffer away: what was found first leads to most. A narrow graph is all in the
// ring: half of that then.
__attribute__((noinline)) void Marker::share() {
    if (space_.pool->full_count() != 0) return;
    const bool has_many = buffer_ != nullptr && buffer_->count >= shared_words_min;
    if (!has_many && tail_ - head_ < shared_words_min) return;
    WorkBuffer* gift = space_.pool->take_empty();
    if (gift == nullptr) return;
    if (has_many) {
        gift->count = buffer_->count / 2;
        std::memcpy(gift->words, buffer_->words, gift->count * sizeof gift->words[0]);
        buffer_->count -= gift->count;
        std::memmove(buffer_->words, buffer_->words + gift->count, buffer_->count * sizeof gift->words[0]);
    } else {
        for (unsigned left = (tail_ - head_) / 2; left != 0; --left)
            gift->words[gift->count++] = ring_[--tail_ % ring_size];
    }
    space_.pool->put(gift);
}

bool Marker::drain(std::size_t scan_bytes) {
    const std::uint64_t end = count.scanned_bytes + asked_bytes_ + scan_bytes;
    std::uint64_t visits = 0;
    while (refill_ring()) {
        drain_ring(visits_at_once);
        if (is_list()) follow_list(visits_at_once);
        visits += visits_at_once;
        if (space_.pool->is_hungry()) [[unlikely]] share();
        if (count.scanned_bytes + asked_bytes_ + visits * visit_bytes >= end) return false;
    }
    return true;
}

void Marker::flush() {
    // Marked ones would be passed by whoever takes them: their fields go instead.
    for (; marked_count_ != 0; --marked_count_) {
        const Slot& slot = batches_[turn_][marked_count_ - 1];
        scan_new(slot.start, (*space_.shapes)[slot.shape]);
    }
    for (; head_ != tail_; ++head_) keep(ring_[head_ % ring_size]);
    if (buffer_ != nullptr) space_.pool->put(buffer_);
    buffer_ = nullptr;
    if (pages_ != nullptr) space_.pool->put_pages(pages_);
    pages_ = nullptr;
}

// The fields of an object just marked, unless one mask tells them all; counts a large one.
void Marker::scan_new(std::uintptr_t start, const Shape& shape) {
    if (shape.slot_bytes != 0) return scan(shape, start, start, start + shape.slot_bytes);
    heap::Span* span = space_.addresses->span_of(start);
    count.marked_bytes += span->bytes();
    if (shape.rule == ScanRule::nothing) return;
    if (shape.rule == ScanRule::deferred) return space_.deferred->add(start);
    if (span->bytes() <= WorkPool::piece_bytes || !space_.pool->add_large(*span))
        scan(shape, start, start, span->end());
}

void Marker::scan(const Shape& shape, std::uintptr_t base, std::uintptr_t from, std::uintptr_t to) {
    count.scanned_bytes += to - from;
    switch (shape.rule) {
    case ScanRule::nothing: return;
    case ScanRule::mask: return scan_mask(shape.mask, base);
    case ScanRule::tiles: return scan_tiles(shape, base, from, to);
    case ScanRule::every_word: return scan_words(from, to);
    case ScanRule::deferred: return space_.deferred->add(base);
    case ScanRule::described: return scan_described(shape, base, from, to);
    }
}

void Marker::scan_described(const Shape& shape, std::uintptr_t base, std::uintptr_t from,
                            std::uintptr_t to) {
    const std::size_t bytes =
        shape.slot_bytes != 0 ? shape.slot_bytes : space_.addresses->span_of(base)->bytes();
    const Description found = space_.client->describe(base, bytes, shape.tag);
    const std::uint64_t words = std::min<std::uint64_t>(found.words, (to - base) / word_bytes);
    switch (found.form) {
    case Description::Form::nothing: return;
    case Description::Form::every_word:
        if (from < base + words * word_bytes) scan_words(from, base + words * word_bytes);
        return;
    case Description::Form::deferred: return space_.deferred->add(base);
    case Description::Form::map: break;
    }
    const std::uint64_t* const map = found.map != nullptr ? found.map : &found.bits;
    for (std::uint64_t word = (from - base) / word_bytes; word < words; ++word)
        if ((map[word / 64] >> (word % 64) & 1) != 0) push(load_word(base + word * word_bytes));
}

[[gnu::always_inline]] inline void Marker::scan_mask(std::uint64_t mask, std::uintptr_t base) {
    for (; mask != 0; mask &= mask - 1) {
        const auto word = static_cast<unsigned>(std::countr_zero(mask));
        push(load_word(base + word * word_bytes));
    }
}

void Marker::scan_words(std::uintptr_t low, std::uintptr_t high) {
    const pages::ObjectMap::Bounds bounds = bounds_;
    for (std::uintptr_t at = low; at < high; at += word_bytes) {
        const std::uintptr_t word = load_word(at);
        if (bounds.holds(word)) push_inside(word);
    }
}

void Marker::scan_tiles(const Shape& shape, std::uintptr_t base, std::uintptr_t from, std::uintptr_t to) {
    const std::size_t period = shape.period_words;
    if (!shape.is_tiled) to = std::min(to, base + period * word_bytes);
    std::size_t in_period = (from - base) / word_bytes % period;
    for (std::uintptr_t at = from; at < to;) {
        const std::uint64_t bits = shape.map[in_period / 64] >> (in_period % 64);
        if (bits == 0) {  // to the end of this word of the map, or of the element
            const std::size_t skip = std::min<std::size_t>(64 - in_period % 64, period - in_period);
            in_period += skip;
            at += skip * word_bytes;
        } else {
            if ((bits & 1) != 0) push(load_word(at));
            ++in_period;
            at += word_bytes;
        }
        if (in_period >= period) in_period = 0;
    }
}

// `word`: within bounds or just behind them.
void Marker::push_root(std::uintptr_t word) {
    const bool is_inside = bounds_.holds(word);
    if (is_inside) push_inside(word);
    if (word % pages::granule_bytes != 0 || !bounds_.holds(word - 1)) return;
    const Slot before = resolve(space_, word - 1);
    if (before.start == 0) return;
    const Shape& shape = (*space_.shapes)[before.shape];
    if (shape.rule == ScanRule::mask && !shape.is_tiled) return;
    // Else whatever lies before a small object would live as long as that.
    if (shape.kind == heap::ObjectKind::conservative && shape.slot_bytes - 1 < single_bytes && is_inside &&
        space_.objects->is_allocated(word))
        return;
    if (!is_inside || resolve(space_, word).start != before.start) push_inside(word - 1);
}

void Marker::push_roots(std::uintptr_t low, std::uintptr_t high) {
    const pages::ObjectMap::Bounds bounds = bounds_;
    for (std::uintptr_t at = base::align_up(low, word_bytes); at + word_bytes <= high; at += word_bytes) {
        const std::uintptr_t word = load_word(at);
        if (word - bounds.low <= bounds.extent) [[unlikely]] push_root(word);
    }
    count.scanned_bytes += high - low;
}

void Marker::scan_fields(std::uintptr_t address) {
    if (!bounds_.holds(address)) return;
    const Slot slot = resolve(space_, address);
    if (slot.start == 0) return;
    const Shape& shape = (*space_.shapes)[slot.shape];
    if (shape.rule == ScanRule::nothing) return;
    const std::uintptr_t end = shape.slot_bytes != 0 ? slot.start + shape.slot_bytes
                                                     : space_.addresses->span_of(slot.start)->end();
    scan(shape, slot.start, slot.start, end);
}

void Marker::mark_only(std::uintptr_t object) {
    if (bounds_.holds(object)) (void)mark_white(object);
}

// Nearly all that was scanned before leads to marked objects. So only the marks are asked for, many misses at
// a time, and the objects are not.
void Marker::rescan_words(Awaited& awaited, std::uintptr_t low, std::uintptr_t high) {
    const pages::ObjectMap::View map = space_.objects->view();
    const pages::ObjectMap::Bounds bounds = bounds_;
    unsigned awaited_count = awaited.count;
    for (std::uintptr_t at = low; at < high; at += word_bytes) {
        const std::uintptr_t word = load_word(at);
        if (!bounds.holds(word)) continue;
        __builtin_prefetch(&map.pair(word));
        if (awaited_count++ >= ring_size) look_at(map, awaited.words[awaited_count % ring_size]);
        awaited.words[awaited_count % ring_size] = word;
    }
    awaited.count = awaited_count;
    count.scanned_bytes += high - low;
}

// A word that leads to the start of a marked object, as most do, is done with at its own bit. A mark is only
// where an object starts.
[[gnu::always_inline]] inline void Marker::look_at(const pages::ObjectMap::View& map, std::uintptr_t word) {
    if (map.entry(word) == 0) return;
    // relaxed: see is_marked()
    const std::uint64_t marks = map.pair(word).marked.load(std::memory_order_relaxed);
    if ((marks & pages::ObjectMap::bit(word)) == 0) [[unlikely]] push_if_white(word);
}

__attribute__((noinline)) void Marker::push_if_white(std::uintptr_t word) {
    const Slot slot = resolve(space_, word);
    if (slot.start != 0 && !space_.objects->is_marked(slot.start)) push_inside(slot.start);
}

void Marker::look_at_rest(Awaited& awaited) {
    const pages::ObjectMap::View map = space_.objects->view();
    const unsigned left = awaited.count < ring_size ? awaited.count : ring_size;
    for (unsigned i = 0; i < left; ++i) look_at(map, awaited.words[(awaited.count - i) % ring_size]);
    awaited.count = 0;
}

// What lies in [low, high) of the marked objects of a span.
void Marker::rescan_slots(Awaited& awaited, const heap::Span& span, std::uintptr_t low,
                          std::uintptr_t high) {
    const Shape& shape = (*space_.shapes)[span.shape];
    low = std::max(low, span.base);
    high = std::min(high, span.limit);
    const std::size_t slot_bytes = span.slot_bytes;
    // Neighbours all of whose words count are read as one.
    base::RunJoiner words([&](std::uintptr_t from, std::uintptr_t to) { rescan_words(awaited, from, to); });
    // Most words of bits are empty where objects are new.
    for (std::uintptr_t at = span.slot_address(span.slot_of(low)); at < high;) {
        // relaxed: a mark says that the object was, or will be, scanned
        std::uint64_t marks = space_.objects->pair(at).marked.load(std::memory_order_relaxed);
        const std::uintptr_t group = base::align_down(at, std::uintptr_t{1} << pages::pair_shift);
        marks &= ~std::uint64_t{0} << (at >> pages::granule_shift & 63);
        for (; marks != 0; marks &= marks - 1) {
            const std::uintptr_t start =
                group + (static_cast<std::uintptr_t>(std::countr_zero(marks)) << pages::granule_shift);
            if (start >= high) break;
            const std::uintptr_t from = std::max(start, low);
            const std::uintptr_t to = std::min(start + slot_bytes, high);
            if (shape.rule == ScanRule::every_word) words.add(from, to);
            else if (shape.rule == ScanRule::mask) scan(shape, start, start, start + slot_bytes);
            // Written may be what says where the pointers are.
            else if (shape.rule == ScanRule::described) scan(shape, start, start, start + slot_bytes);
            else scan(shape, start, from, to);
        }
        if (span.is_large()) break;  // one bit
        at = group + (std::uintptr_t{1} << pages::pair_shift);
    }
    words.flush();
}

void Marker::rescan(std::uintptr_t low, std::uintptr_t high) {
    Awaited awaited;
    rescan_spans(awaited, low, high);
    look_at_rest(awaited);
}

void Marker::rescan_spans(Awaited& awaited, std::uintptr_t low, std::uintptr_t high) {
    for (std::uintptr_t at = low; at < high;) {
        const std::uint32_t entry = bounds_.holds(at) ? space_.objects->entry(at) : 0;
        const heap::Span* span = entry == 0 ? nullptr : space_.addresses->span_of(at);
        if (span == nullptr) {
            at = base::align_down(at, base::page_bytes) + base::page_bytes;
            continue;
        }
        if ((*space_.shapes)[span->shape].rule != ScanRule::nothing) rescan_slots(awaited, *span, at, high);
        at = span->end();
    }
}

}  // namespace cairn::gc
