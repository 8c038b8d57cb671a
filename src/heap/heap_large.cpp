// Large objects: whole pages, a few spans parked per thread, growth in place; and what the heap says about
// itself.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <new>

#include "base/bits.hpp"
#include "heap/heap.hpp"
#include "os/memory.hpp"

namespace cairn::heap {

namespace {

using base::Guard;
using base::page_bytes;

// Large spans a thread keeps for itself: a sixteenth of the heap, within these bounds. Parking saves the page
// heap's lock and map, half a microsecond; beyond these sizes the program's own writes cost far more, and
// others may need the pages.
constexpr std::size_t least_parked_bytes = std::size_t{2} << 20;
constexpr std::size_t most_parked_bytes = std::size_t{4} << 20;

}  // namespace

Span* Heap::take_parked(ThreadCache& cache, std::size_t pages) {
    for (unsigned i = cache.parked_count; i-- > 0;) {
        Span* span = cache.parked[i];
        if (span->pages < pages || span->pages > pages + pages / 8) continue;
        --cache.parked_count;
        for (unsigned j = i; j < cache.parked_count; ++j) cache.parked[j] = cache.parked[j + 1];
        cache.parked_pages -= span->pages;
        // relaxed: the object is handed out by this thread
        span->is_parked.store(false, std::memory_order_relaxed);
        return span;
    }
    return nullptr;
}

void Heap::drop_oldest_parked(ThreadCache& cache) {
    Span* span = cache.parked[0];
    --cache.parked_count;
    for (unsigned j = 0; j < cache.parked_count; ++j) cache.parked[j] = cache.parked[j + 1];
    cache.parked_pages -= span->pages;
    spans_.free(span);
}

void Heap::park(ThreadCache& cache, Span* span) {
    const std::size_t limit_pages =
        std::clamp<std::size_t>(spans_.in_use_bytes() / 16, least_parked_bytes, most_parked_bytes) /
        page_bytes;
    if (span->pages > limit_pages || spans_.is_near_limit()) {
        spans_.free(span);
        return;
    }
    while (cache.parked_count == ThreadCache::parked_limit ||
           (cache.parked_count > 0 && cache.parked_pages + span->pages > limit_pages)) {
        drop_oldest_parked(cache);
    }
    span->needs_zero = true;
    span->is_parked.store(true, std::memory_order_release);  // release: pairs with free_slow() of any thread
    cache.parked[cache.parked_count] = span;
    cache.parked_pages += span->pages;
    ++cache.parked_count;
}

Span* Heap::make_large(ThreadCache& cache, std::size_t pages, std::size_t alignment) {
    if (alignment > page_bytes) return spans_.allocate_aligned(pages, alignment, ObjectKind::explicit_free);
    if (cache.heap == nullptr) return spans_.allocate(pages, ObjectKind::explicit_free, 0, nullptr);
    if (Span* parked = take_parked(cache, pages)) return parked;
    return spans_.allocate(pages, ObjectKind::explicit_free, 0, &cache.local);
}

// The OS refuses: what this thread and the depots keep for later may be what is missing now.
void Heap::relieve(ThreadCache& cache) {
    if (cache.heap != nullptr) flush(cache);
    drain(true);
}

// Near the memory limit free slots in caches and depots are memory wasted: they go home each time the heap
// grew by a sixty-fourth of the limit, so that it costs nothing while the heap stays.
void Heap::defend_limit(ThreadCache& cache) {
    const std::uint64_t in_use = spans_.in_use_bytes();
    const std::uint64_t last = defended_at_.load(std::memory_order_relaxed);  // relaxed: a hint
    const std::uint64_t step = spans_.memory_limit() / 64;
    if (in_use < last + step && in_use + step > last) return;
    defended_at_.store(in_use, std::memory_order_relaxed);  // relaxed: a hint
    trim(cache);
    drain(true);
}

void* Heap::allocate_large(ThreadCache& cache, std::size_t bytes, std::size_t alignment, bool& is_zeroed) {
    if (bytes > max_request_bytes || alignment > max_request_bytes) return nullptr;
    if (bytes >= doubtful_bytes && !os::would_grant(bytes)) return nullptr;
    const std::size_t pages = std::max<std::size_t>(base::divide_up(bytes, page_bytes), 1);
    Span* span = make_large(cache, pages, alignment);
    if (span == nullptr) {
        relieve(cache);
        span = make_large(cache, pages, alignment);
    }
    if (span == nullptr) return nullptr;
    is_zeroed = !span->needs_zero;
    if (cache.heap != nullptr) {
        ++cache.large_allocations;
        cache.large_bytes += span->bytes();
    } else {
        Guard guard(caches_lock_);
        ++ended_large_.allocations;
        ended_large_.bytes += span->bytes();
    }
    return reinterpret_cast<void*>(span->base);
}

void Heap::free_large(ThreadCache& cache, Span* span) {
    if (cache.heap != nullptr) {
        ++cache.large_frees;
        park(cache, span);
        return;
    }
    {
        Guard guard(caches_lock_);
        ++ended_large_.frees;
    }
    spans_.free(span);
}

std::size_t Heap::usable_size(ThreadCache& cache, void* address, Call call) {
    const auto start = reinterpret_cast<std::uintptr_t>(address);
    if (const std::uint16_t entry = spans_.addresses().page_entry(start); entry != 0) {
        const unsigned size_class = pages::entry_class(entry);
        const std::uint32_t offset = pages::entry_offset(entry, start);
        const SizeClass& row = size_classes[size_class];
        const std::uint32_t index = object_index(size_class, offset);
        if (index >= row.objects || index * row.object_bytes != offset) {
            explain_bad(call, start);
            return 0;
        }
        if (*static_cast<const std::uint64_t*>(address) == key_ && is_cached(cache, address, size_class)) {
            misuse_.freed(call, start, row.object_bytes);
            return 0;
        }
        return row.object_bytes;
    }
    const Span* span = spans_.span_of(start);
    // relaxed: only a check of the caller's claim to own the object
    if (span == nullptr || span->kind != ObjectKind::explicit_free || span->base != start ||
        span->is_parked.load(std::memory_order_relaxed)) {  // relaxed: as above
        explain_bad(call, start);
        return 0;
    }
    return span->limit - span->base;
}

bool Heap::resize_in_place(void* address, std::size_t bytes) {
    Span* span = spans_.span_of(reinterpret_cast<std::uintptr_t>(address));
    if (span == nullptr || !span->is_large() || bytes > max_request_bytes) return false;
    return spans_.try_resize(span, std::max<std::size_t>(base::divide_up(bytes, page_bytes), 1));
}

void Heap::flush(ThreadCache& cache) {
    for (unsigned c = 1; c < size_class_count; ++c) cache.history[c].is_idle = true;
    trim(cache);
    while (cache.parked_count > 0) drop_oldest_parked(cache);
    spans_.flush(cache.local);
}

void Heap::drain(bool all) {
    reclaim_orphans();
    for (unsigned c = 1; c < size_class_count; ++c) (void)centrals_[c].drain(all);
}

void Heap::lock_all() {
    caches_lock_.lock();
    for (unsigned c = 1; c < size_class_count; ++c) centrals_[c].lock();
    spans_.lock_all();
    arrays_.lock_all();
    spans_.metadata().lock();
}

void Heap::unlock_all() {
    spans_.metadata().unlock();
    arrays_.unlock_all();
    spans_.unlock_all();
    for (unsigned c = size_class_count - 1; c >= 1; --c) centrals_[c].unlock();
    caches_lock_.unlock();
}

void Heap::reset_after_fork(ThreadCache* survivor) {
    caches_lock_.reset_after_fork();
    for (unsigned c = 1; c < size_class_count; ++c) centrals_[c].reset_lock_after_fork();
    arrays_.reset_locks_after_fork();
    swept_.reset_locks_after_fork();
    spans_.reset_locks_after_fork();
    Caches alone;
    while (ThreadCache* cache = caches_.pop_front()) (cache == survivor ? alone : orphans_).push_back(cache);
    caches_ = alone;
    has_orphans_.store(!orphans_.is_empty(), std::memory_order_relaxed);  // relaxed: the child has one thread
}

// fork() may have stopped a thread between two stores of its cache. What then contradicts itself is left out:
// lost to the child, never in it twice. Bins keep their own order of stores (thread_cache.hpp).
static void repair(ThreadCache& cache) {
    unsigned kept = 0;
    cache.parked_pages = 0;
    for (unsigned i = 0; i < std::min(cache.parked_count, ThreadCache::parked_limit); ++i) {
        Span* span = cache.parked[i];
        // relaxed: the child has no other thread that knows the span
        bool is_whole =
            span != nullptr && span->is_alive() && span->is_parked.load(std::memory_order_relaxed);
        for (unsigned j = 0; j < kept; ++j) is_whole &= cache.parked[j] != span;
        if (!is_whole) continue;
        cache.parked[kept++] = span;
        cache.parked_pages += span->pages;
    }
    cache.parked_count = kept;
    const pages::PageCache local = cache.local.pages;
    cache.local.pages = {local.base(), local.free_mask(), local.scavenged_mask() & local.free_mask()};
}

// The caches of threads that fork() did not copy: their slots come home at the first slow path, so that a
// child that only execs never pays for it.
void Heap::reclaim_orphans() {
    if (!has_orphans_.load(std::memory_order_relaxed)) return;  // relaxed: a hint; the list is under its lock
    Caches orphans;
    {
        Guard guard(caches_lock_);
        orphans = orphans_;
        orphans_ = {};
        has_orphans_.store(false, std::memory_order_relaxed);  // relaxed: see above
        for (ThreadCache* cache = orphans.first(); cache != nullptr; cache = Caches::next(cache))
            add_totals(*cache);
    }
    while (ThreadCache* cache = orphans.pop_front()) {
        repair(*cache);
        flush(*cache);
        Guard guard(caches_lock_);
        new (cache) ThreadCache;
        spare_caches_.push_front(cache);
    }
}

Heap::ClassUsage Heap::usage_of(unsigned size_class) {
    const ExplicitCentral::Usage central = centrals_[size_class].usage();
    Guard guard(caches_lock_);
    const Totals& ended = ended_[size_class];
    ClassUsage usage{ended.calls, ended.frees, 0, central.spans, central.slots_depot, central.peak_slots_out,
                     ended.requested_bytes, ended.requests};
    for (Caches* list : {&caches_, &orphans_}) {
        for (ThreadCache* cache = list->first(); cache != nullptr; cache = Caches::next(cache)) {
            usage.allocations += cache->calls_of(size_class);
            usage.frees += cache->frees_of(size_class);
            usage.cached += cache->count_of(size_class);
            usage.requested_bytes += cache->history[size_class].requested_bytes;
            usage.requests += cache->history[size_class].requests;
        }
    }
    usage.live = usage.allocations - usage.frees;
    return usage;
}

Heap::LargeUsage Heap::large_usage() {
    Guard guard(caches_lock_);
    LargeUsage usage = ended_large_;
    for (Caches* list : {&caches_, &orphans_}) {
        for (ThreadCache* cache = list->first(); cache != nullptr; cache = Caches::next(cache)) {
            usage.allocations += cache->large_allocations;
            usage.frees += cache->large_frees;
            usage.bytes += cache->large_bytes;
        }
    }
    return usage;
}

std::uint64_t Heap::thread_count() {
    Guard guard(caches_lock_);
    return caches_.count();
}

void Heap::verify() {
    for (unsigned c = 1; c < size_class_count; ++c) centrals_[c].verify();
    swept_.centrals().verify();
    spans_.verify();
}

}  // namespace cairn::heap
