// The page heap's slow half: taking pages, making spans, keeping the limit.
// SPDX-License-Identifier: MIT
#include "heap/span_alloc.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/bits.hpp"
#include "os/memory.hpp"

namespace cairn::heap {

namespace {

using base::Guard;
using base::page_bytes;

// Spans of fewer pages than this come from a thread's page cache. Source: Go, a quarter of its 64 pages.
constexpr std::size_t cached_pages_limit = 16;

// New chunks ask for huge pages once the heap is this large: the half-filled frontier is then below 1/16 of
// it, and a fault costs a seventh. Smaller heaps stay exact.
constexpr std::uint64_t huge_page_heap_bytes = std::uint64_t{32} << 20;

// Free memory below this is not worth a background thread.
constexpr std::uint64_t excess_bytes = std::uint64_t{4} << 20;

// Pages of one of malloc's large objects that the page map names, 64 MiB: free() needs the first only, the
// others tell an interior pointer from a foreign one. Naming all would cost a sparse object 1/1024 of its
// size in touched memory.
constexpr std::size_t named_pages = std::size_t{1} << 13;

// Free memory worth a call while the limit is passed.
constexpr std::uint64_t eager_bytes = std::uint64_t{1} << 20;

// The memory limit is defended from this share on: thread caches stop hoarding large blocks.
constexpr std::uint64_t near_limit_percent = 85;

}  // namespace

bool SpanAlloc::initialize(const SpanAllocSettings& settings, const Hooks& hooks) {
    settings_ = settings;
    hooks_ = &hooks;
    short_bits_.initialize(metadata_);
    long_bits_.initialize(metadata_);
    pages_.initialize(metadata_);
    return addresses_.initialize(settings.layout, metadata_);
}

Span* SpanAlloc::take_record_locked() {
    if (blank_records_ != nullptr) {
        Span* record = blank_records_;
        blank_records_ = record->link.next;
        record->link = {};
        return record;
    }
    void* memory = metadata_.allocate(sizeof(Span), base::cache_line_bytes);
    return memory == nullptr ? nullptr : new (memory) Span;
}

void SpanAlloc::drop_record_locked(Span* record) {
    record->link.next = blank_records_;
    blank_records_ = record;
}

bool SpanAlloc::grow_locked(std::size_t pages) {
    pages::AddressSpace::Grown leftover;
    const pages::AddressSpace::Grown grown = addresses_.grow(pages, leftover);
    // A leftover that cannot be recorded for want of metadata is lost address space, never memory.
    if (leftover.bytes != 0) (void)pages_.grow(leftover.base, leftover.bytes);
    if (grown.bytes == 0) return false;
    if (settings_.use_huge_pages && in_use_bytes_.value() >= huge_page_heap_bytes) {
        os::want_huge_pages(reinterpret_cast<void*>(grown.base), grown.bytes);
    }
    return pages_.grow(grown.base, grown.bytes);
}

pages::PageRun SpanAlloc::take_pages(std::size_t pages, LocalPages* local, Span*& record) {
    if (local != nullptr && pages < cached_pages_limit && local->record_count > 0) {
        if (const pages::PageRun run = local->pages.allocate(pages)) {
            record = local->records[--local->record_count];
            return run;
        }
    }
    Guard guard(lock_);
    record = take_record_locked();
    if (record == nullptr) return {};
    pages::PageRun run;
    if (local != nullptr && pages < cached_pages_limit) {
        while (local->record_count < LocalPages::capacity / 2) {
            Span* spare = take_record_locked();
            if (spare == nullptr) break;
            local->records[local->record_count++] = spare;
        }
        // A cache with a little left stays: a new one would be of the same pages.
        if (local->pages.is_empty()) local->pages = pages_.allocate_cache();
        run = local->pages.allocate(pages);
    }
    if (!run) run = pages_.allocate(pages);
    if (!run && grow_locked(pages)) run = pages_.allocate(pages);
    if (!run) {
        drop_record_locked(record);
        record = nullptr;
    }
    publish_counts_locked();
    return run;
}

void SpanAlloc::publish_counts_locked() {
    // relaxed: hints and statistics
    free_pages_.store(pages_.free_pages(), std::memory_order_relaxed);
    // relaxed: hints and statistics
    scavenged_pages_.store(pages_.scavenged_pages(), std::memory_order_relaxed);
}

// The tables that describe collected objects in these pages.
bool SpanAlloc::take_objects(const Span* span) {
    if (objects_.is_prepared(span->base, span->bytes())) return true;
    Guard guard(lock_);
    return objects_.prepare(span->base, span->bytes());
}

bool SpanAlloc::take_bits(Span* span) {
    const std::size_t words = span->bit_words();
    if (words <= Span::inline_bit_words) {
        span->alloc_bits = span->inline_bits;
    } else {
        span->alloc_bits = static_cast<std::uint64_t*>((words <= 4 ? short_bits_ : long_bits_).allocate());
        if (span->alloc_bits == nullptr) return false;
    }
    std::memset(span->alloc_bits, 0, words * sizeof(std::uint64_t));
    return true;
}

bool SpanAlloc::make(Span* span, std::uintptr_t base, std::size_t pages, ObjectKind kind,
                     unsigned size_class) {
    span->base = base;
    span->pages = pages;
    span->kind = kind;
    span->size_class = static_cast<std::uint8_t>(size_class);
    span->free_index = 0;
    span->alloc_count = 0;
    span->alloc_count_before_cache = 0;
    span->specials = nullptr;
    span->specials_hint = nullptr;
    span->alloc_bits = span->inline_bits;
    span->is_parked.store(false, std::memory_order_relaxed);  // relaxed: published with the state
    if (size_class == 0) {
        span->slot_bytes = pages * page_bytes;
        span->slots = 1;
        span->magic = 0;
        span->limit = span->end();
        span->inline_bits[0] = 0;
        return true;
    }
    const SizeClass& row = size_classes[size_class];
    span->slot_bytes = row.object_bytes;
    span->slots = static_cast<std::uint16_t>(row.objects);
    span->magic = row.magic;
    span->limit = base + std::size_t{row.objects} * row.object_bytes;
    return is_swept(kind) || take_bits(span);
}

// Before pages that were returned count as ready again, others are returned so that the limit holds.
void SpanAlloc::commit(std::uintptr_t base, std::size_t bytes, std::size_t scavenged_bytes) {
    if (scavenged_bytes == 0) return;
    if (settings_.memory_limit != UINT64_MAX) {
        const std::uint64_t wanted = ready_bytes() + scavenged_bytes;
        if (wanted > settings_.memory_limit) (void)scavenge(wanted - settings_.memory_limit, true);
    }
    os::used(reinterpret_cast<void*>(base), bytes, scavenged_bytes);
}

// The first touch of a page costs a fault. Many at once, with those that the thread will take next, cost two
// thirds of that each. Not where memory is limited.
void SpanAlloc::back_ahead(LocalPages& local, const pages::PageRun& run, std::size_t bytes) {
    constexpr std::size_t unit = std::size_t{64} << 10;
    const bool is_local = run.base - local.pages.base() < pages::PageCache::capacity_bytes;
    if (!is_local || run.scavenged_bytes != bytes || settings_.memory_limit != UINT64_MAX) return;
    const std::uintptr_t end = run.base + bytes;
    const std::size_t ahead = local.pages.take_ahead(end, unit);
    if (ahead == 0) return;
    os::used(reinterpret_cast<void*>(end), ahead, ahead);
    os::back(reinterpret_cast<void*>(run.base), bytes + ahead);
}

Span* SpanAlloc::finish(Span* span, pages::PageRun run, std::size_t pages, ObjectKind kind,
                        unsigned size_class, ShapeId shape) {
    const std::size_t bytes = pages * page_bytes;
    span->shape = shape;
    if (!make(span, run.base, pages, kind, size_class) || (is_swept(kind) && !take_objects(span))) {
        commit(run.base, bytes, run.scavenged_bytes);
        Guard guard(lock_);
        give_back_locked(span, run.base, pages);
        return nullptr;
    }
    // Pages that went back to the OS come back zero, whatever was in them.
    const bool was_used = addresses_.claim_zeroed(run.base, bytes);
    span->needs_zero = was_used && (!os::unused_reads_zero || run.scavenged_bytes != bytes);
    commit(run.base, bytes, run.scavenged_bytes);
    // relaxed, both: the span is not shared yet; publish() orders it. Odd for kinds that are not swept: no
    // stale entry of a span set ever finds them unswept.
    const std::uint32_t generation = sweep_generation.load(std::memory_order_relaxed);
    // relaxed: as above
    span->sweep_generation.store(is_swept(kind) ? generation : generation - 1, std::memory_order_relaxed);
    const bool is_named_whole = kind != ObjectKind::explicit_free || pages <= named_pages;
    addresses_.set_span(run.base, is_named_whole ? pages : named_pages, span);
    span->publish(kind == ObjectKind::manual ? SpanState::manual : SpanState::in_use);
    addresses_.set_in_use(run.base, true);
    if (is_swept(kind)) objects_.set_entries(run.base, pages, shape, size_class == 0);
    if (kind == ObjectKind::explicit_free && size_class != 0)
        addresses_.set_entries(run.base, pages, size_class);
    in_use_bytes_.add(bytes);
    in_use_spans_.add(1);
    peak_in_use_bytes_.raise_to(in_use_bytes_.value());
    return span;
}

Span* SpanAlloc::allocate(std::size_t pages, ObjectKind kind, unsigned size_class, LocalPages* local,
                          ShapeId shape) {
    Span* span = nullptr;
    pages::PageRun run = take_pages(pages, local, span);
    while (!run && hooks_->out_of_memory(pages * page_bytes)) run = take_pages(pages, local, span);
    if (!run) return nullptr;
    span = finish(span, run, pages, kind, size_class, shape);
    if (span != nullptr && local != nullptr) back_ahead(*local, run, pages * page_bytes);
    return span;
}

pages::PageRun SpanAlloc::take_aligned(std::size_t pages, std::size_t alignment, Span*& record) {
    Guard guard(lock_);
    record = take_record_locked();
    if (record == nullptr) return {};
    pages::PageRun run = pages_.allocate_aligned(pages, alignment);
    const std::size_t room = pages + alignment / page_bytes;
    if (!run && room > pages && grow_locked(room)) run = pages_.allocate_aligned(pages, alignment);
    if (!run) {
        drop_record_locked(record);
    }
    publish_counts_locked();
    return run;
}

Span* SpanAlloc::allocate_aligned(std::size_t pages, std::size_t alignment, ObjectKind kind,
                                  ShapeId shape) {
    Span* span = nullptr;
    pages::PageRun run = take_aligned(pages, alignment, span);
    while (!run && hooks_->out_of_memory(pages * page_bytes)) run = take_aligned(pages, alignment, span);
    return run ? finish(span, run, pages, kind, 0, shape) : nullptr;
}

void SpanAlloc::give_back_locked(Span* record, std::uintptr_t base, std::size_t pages) {
    pages_.free(base, pages);
    publish_counts_locked();
    drop_record_locked(record);
}

void SpanAlloc::free(Span* span) {
    const std::uintptr_t base = span->base;
    const std::size_t pages = span->pages;
    if (span->kind == ObjectKind::explicit_free && !span->is_large()) addresses_.set_entries(base, pages, 0);
    if (is_swept(span->kind)) objects_.clear_entries(base, pages);
    addresses_.set_in_use(base, false);
    span->publish(SpanState::dead);
    if (span->alloc_bits != span->inline_bits) {
        (span->bit_words() <= 4 ? short_bits_ : long_bits_).free(span->alloc_bits);
        span->alloc_bits = span->inline_bits;
    }
    in_use_bytes_.subtract(pages * page_bytes);
    in_use_spans_.subtract(1);
    {
        Guard guard(lock_);
        give_back_locked(span, base, pages);
    }
    after_free();
}

// Beyond the memory limit freed pages go back at once, some at a time; below it they wait for the background
// thread.
void SpanAlloc::after_free() {
    if (settings_.memory_limit != UINT64_MAX) {
        const std::uint64_t ready = ready_bytes();
        if (ready > settings_.memory_limit && backed_free_bytes() >= eager_bytes)
            (void)scavenge(ready - settings_.memory_limit, true);
    }
    if (has_excess()) hooks_->freed();
}

bool SpanAlloc::has_excess() const {
    const std::uint64_t free_bytes = backed_free_bytes();
    if (free_bytes > excess_bytes && ready_bytes() > pages::limit_goal(settings_.memory_limit)) return true;
    return free_bytes > excess_bytes + in_use_bytes_.value() / 8;
}

std::uint64_t SpanAlloc::ready_bytes() const {
    return os::mapped_ready() - addresses_.untouched_index_bytes();
}

bool SpanAlloc::try_resize(Span* span, std::size_t pages) {
    const std::size_t old_pages = span->pages;
    if (pages == old_pages) return true;
    if (pages < old_pages) {
        span->pages = pages;
        span->slot_bytes = span->bytes();
        span->limit = span->end();
        in_use_bytes_.subtract((old_pages - pages) * page_bytes);
        {
            Guard guard(lock_);
            pages_.free(span->end(), old_pages - pages);
            publish_counts_locked();
        }
        after_free();
        return true;
    }
    const std::size_t more = pages - old_pages;
    pages::PageRun run;
    {
        Guard guard(lock_);
        run = pages_.allocate_at(span->end(), more);
        publish_counts_locked();
    }
    if (!run) return false;
    (void)addresses_.claim_zeroed(run.base, more * page_bytes);
    commit(run.base, more * page_bytes, run.scavenged_bytes);
    if (old_pages < named_pages) addresses_.set_span(run.base, std::min(more, named_pages - old_pages), span);
    span->pages = pages;
    span->slot_bytes = span->bytes();
    span->limit = span->end();
    span->needs_zero = true;
    in_use_bytes_.add(more * page_bytes);
    peak_in_use_bytes_.raise_to(in_use_bytes_.value());
    return true;
}

void SpanAlloc::flush(LocalPages& local) {
    Guard guard(lock_);
    local.pages.flush(pages_);
    while (local.record_count > 0) {
        Span* record = local.records[--local.record_count];
        drop_record_locked(record);
    }
    publish_counts_locked();
}

std::size_t SpanAlloc::scavenge(std::size_t bytes, bool is_forced) {
    const std::size_t released = scavenger_.release(pages_, lock_, bytes, is_forced);
    returned_total_bytes_.add(released);
    Guard guard(lock_);
    publish_counts_locked();
    return released;
}

void SpanAlloc::advance_generation() {
    Guard guard(lock_);
    pages_.advance_generation();
}

std::uint64_t SpanAlloc::backed_free_bytes() const {
    const std::uint64_t free = free_pages_.load(std::memory_order_relaxed);            // relaxed: a hint
    const std::uint64_t returned = scavenged_pages_.load(std::memory_order_relaxed);   // relaxed: a hint
    return free > returned ? (free - returned) * page_bytes : 0;
}

bool SpanAlloc::is_near_limit() const {
    return settings_.memory_limit != UINT64_MAX &&
           ready_bytes() > settings_.memory_limit / 100 * near_limit_percent;
}

SpanAlloc::Usage SpanAlloc::usage() const {
    const std::uint64_t returned = scavenged_pages_.load(std::memory_order_relaxed);  // relaxed: a statistic
    return {in_use_bytes_.value(), backed_free_bytes(), returned * page_bytes, in_use_spans_.value(),
            peak_in_use_bytes_.value()};
}

void SpanAlloc::lock_all() {
    lock_.lock();
    short_bits_.lock();
    long_bits_.lock();
}

void SpanAlloc::unlock_all() {
    long_bits_.unlock();
    short_bits_.unlock();
    lock_.unlock();
}

void SpanAlloc::reset_locks_after_fork() {
    lock_.reset_after_fork();
    metadata_.reset_lock_after_fork();
    short_bits_.reset_lock_after_fork();
    long_bits_.reset_lock_after_fork();
}

void SpanAlloc::verify() {
    Guard guard(lock_);
    pages_.verify();
    std::uint64_t bytes = 0;
    std::uint64_t spans = 0;
    addresses_.for_each_span_start([&](std::uintptr_t base, const Span* span) {
        CAIRN_CHECK(span != nullptr && span->base == base);
        span->verify();
        CAIRN_CHECK(!pages_.is_free(base) && !pages_.is_free(span->end() - page_bytes));
        bytes += span->bytes();
        ++spans;
    });
    CAIRN_CHECK(bytes == in_use_bytes_.value());
    CAIRN_CHECK(spans == in_use_spans_.value());
}

}  // namespace cairn::heap
