// The slow paths: refill, overflow, large objects, ends of threads, fork.
// SPDX-License-Identifier: MIT
#include "heap/heap.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "base/bits.hpp"
#include "os/process.hpp"

namespace cairn::heap {

namespace {

using base::Guard;
using base::page_bytes;

// A magazine starts small and doubles while its thread keeps running it empty and full.
constexpr std::size_t first_magazine_bytes = std::size_t{32} << 10;
constexpr unsigned first_magazine_entries = 32;
constexpr std::size_t last_magazine_bytes = std::size_t{1} << 20;
constexpr unsigned last_magazine_entries = 1024;
// A thread that only takes, or only gives, gains nothing from a long magazine: batches of this size are cheap
// enough.
constexpr unsigned one_way_entries = 64;
// What all magazines of a thread may hold: half the heap, within these bounds. Beyond it idle ones are
// emptied first.
constexpr std::size_t least_thread_bytes = std::size_t{2} << 20;
constexpr std::size_t most_thread_bytes = std::size_t{8} << 20;

// Slots leave a magazine in pieces of this many, through the stack.
constexpr unsigned piece_entries = 128;

constexpr unsigned first_capacity(unsigned size_class) {
    const std::size_t entries = first_magazine_bytes / size_classes[size_class].object_bytes;
    return static_cast<unsigned>(std::clamp<std::size_t>(entries, 2, first_magazine_entries));
}
constexpr unsigned last_capacity(unsigned size_class) {
    const std::size_t entries = last_magazine_bytes / size_classes[size_class].object_bytes;
    return static_cast<unsigned>(std::clamp<std::size_t>(entries, 8, last_magazine_entries));
}
constexpr unsigned array_entries(unsigned capacity) {
    return std::max(std::bit_ceil(capacity), PointerArrays::min_entries);
}

// For a child of fork(), which finds this thread's cache as it was between two stores.
void compiler_barrier() { asm volatile("" ::: "memory"); }

}  // namespace

bool Heap::initialize(const Settings& settings, const Hooks& hooks) {
    misuse_.is_fatal = settings.misuse_is_fatal;
    verify_often_ = settings.verify_often;
    key_ = (os::random_word() & ~std::uint64_t{0xff}) | ThreadCache::key_byte;
    if (!spans_.initialize(settings.spans, hooks)) return false;
    arrays_.initialize(spans_.metadata());
    for (unsigned c = 1; c < size_class_count; ++c) centrals_[c].initialize(c, spans_, arrays_, misuse_);
    return true;
}

ThreadCache* Heap::attach() {
    Guard guard(caches_lock_);
    ThreadCache* cache = spare_caches_.pop_front();
    if (cache == nullptr) {
        void* memory = spans_.metadata().allocate(sizeof(ThreadCache), alignof(ThreadCache));
        if (memory == nullptr) return nullptr;
        cache = new (memory) ThreadCache;
    }
    cache->heap = this;
    cache->key = key_;
    caches_.push_front(cache);
    return cache;
}

void Heap::add_totals(const ThreadCache& cache) {
    for (unsigned c = 1; c < size_class_count; ++c) {
        ended_[c].calls += cache.calls_of(c);
        ended_[c].frees += cache.frees_of(c);
        ended_[c].requested_bytes += cache.history[c].requested_bytes;
        ended_[c].requests += cache.history[c].requests;
    }
    ended_large_.allocations += cache.large_allocations;
    ended_large_.frees += cache.large_frees;
    ended_large_.bytes += cache.large_bytes;
}

void Heap::detach(ThreadCache* cache) {
    flush(*cache);
    Guard guard(caches_lock_);
    add_totals(*cache);
    caches_.remove(cache);
    new (cache) ThreadCache;
    spare_caches_.push_front(cache);
}

void Heap::send_oldest(ThreadCache& cache, unsigned size_class, unsigned count) {
    Bin& bin = cache.bins[size_class];
    while (count > 0) {
        void* piece[piece_entries];
        const unsigned n = std::min(count, piece_entries);
        std::memcpy(piece, bin.base, n * sizeof(void*));
        void** const top = bin.top;
        bin.top = bin.base;
        compiler_barrier();
        std::memmove(bin.base, bin.base + n, static_cast<std::size_t>(top - bin.base - n) * sizeof(void*));
        compiler_barrier();
        bin.top = top - n;
        cache.history[size_class].sent += n;
        centrals_[size_class].put(piece, n);
        count -= n;
    }
}

bool Heap::grow_magazine(ThreadCache& cache, unsigned size_class) {
    Bin& bin = cache.bins[size_class];
    BinHistory& history = cache.history[size_class];
    const std::size_t slot_bytes = size_classes[size_class].object_bytes;
    const bool goes_both_ways = history.has_refilled && history.has_overflowed;
    const unsigned limit = goes_both_ways && !spans_.is_near_limit() ? last_capacity(size_class)
                                          : std::min(one_way_entries, last_capacity(size_class));
    const unsigned capacity =
        history.capacity == 0 ? first_capacity(size_class) : std::min(history.capacity * 2, limit);
    if (capacity <= history.capacity) return false;
    const std::size_t more_bytes = (capacity - history.capacity) * slot_bytes;
    const std::size_t budget =
        std::clamp<std::size_t>(spans_.in_use_bytes() / 2, least_thread_bytes, most_thread_bytes);
    if (cache.magazine_bytes + more_bytes > budget && history.capacity != 0) {
        trim(cache);
        if (cache.magazine_bytes + more_bytes > budget) return false;
    }
    const unsigned old_capacity = history.capacity;
    if (old_capacity == 0 || array_entries(capacity) != array_entries(old_capacity)) {
        void** array = arrays_.allocate(array_entries(capacity));
        if (array == nullptr) return false;
        const auto count = static_cast<std::size_t>(cache.count_of(size_class));
        void** const old = bin.base;
        if (count > 0) std::memcpy(array, old, count * sizeof(void*));
        history.capacity = 0;  // while base and top do not fit together
        compiler_barrier();
        bin.base = array;
        bin.top = array + count;
        compiler_barrier();
        if (old_capacity != 0) arrays_.free(old, array_entries(old_capacity));
    }
    bin.end = bin.base + capacity;
    history.capacity = capacity;
    cache.magazine_bytes += more_bytes;
    return true;
}

// Empties the magazines that had no slow path since the last trim, and lets them start small again.
void Heap::trim(ThreadCache& cache) {
    for (unsigned c = 1; c < size_class_count; ++c) {
        BinHistory& history = cache.history[c];
        if (history.capacity != 0 && history.is_idle) {
            send_oldest(cache, c, static_cast<unsigned>(cache.count_of(c)));
            Bin& bin = cache.bins[c];
            void** const array = bin.base;
            const unsigned capacity = history.capacity;
            history.capacity = 0;
            compiler_barrier();
            bin.top = bin.base = bin.end = nullptr;
            arrays_.free(array, array_entries(capacity));
            cache.magazine_bytes -= capacity * size_classes[c].object_bytes;
        }
        history.is_idle = true;
    }
}

bool Heap::refill(ThreadCache& cache, unsigned size_class) {
    Bin& bin = cache.bins[size_class];
    BinHistory& history = cache.history[size_class];
    if (spans_.is_near_limit()) defend_limit(cache);
    history.is_idle = false;  // before growing, which may trim the idle ones
    if (history.capacity == 0 || history.has_refilled) (void)grow_magazine(cache, size_class);
    history.has_refilled = true;
    if (history.capacity == 0) return false;
    reclaim_orphans();
    if (verify_often_) centrals_[size_class].verify();
    const unsigned want = std::max(history.capacity / 2, 1u);
    const unsigned taken = centrals_[size_class].take(bin.base, want, &cache.local);
    history.taken += taken;
    compiler_barrier();
    bin.top = bin.base + taken;
    return taken != 0;
}

void* Heap::allocate_slow(ThreadCache& cache, unsigned size_class, std::size_t request) {
    if (cache.heap == nullptr) {  // before the first or after the last allocation with a cache
        void* slot = nullptr;
        if (centrals_[size_class].take(&slot, 1, nullptr) == 0) return nullptr;
        *static_cast<std::uint64_t*>(slot) = 0;
        Guard guard(caches_lock_);
        ++ended_[size_class].calls;
        return slot;
    }
    Bin& bin = cache.bins[size_class];
    BinHistory& history = cache.history[size_class];
    history.requested_bytes += request;
    ++history.requests;
    if (bin.top == bin.base) {
        if (!refill(cache, size_class)) {
            relieve(cache);
            if (!refill(cache, size_class)) return nullptr;
        }
        --bin.calls_left;
    }
    void* slot = *--bin.top;
    *static_cast<std::uint64_t*>(slot) = 0;
    if (bin.calls_left == 0) {
        history.calls += history.calls_set;
        bin.calls_left = history.calls_set = ~std::uint32_t{0};
        spans_.hooks().sampled(slot, size_classes[size_class].object_bytes);
    }
    return slot;
}

void Heap::free_small(ThreadCache& cache, void* slot, std::uint32_t entry) {
    const auto address = reinterpret_cast<std::uintptr_t>(slot);
    const unsigned size_class = pages::entry_class(entry);
    const std::uint32_t offset = pages::entry_offset(entry, address);
    const SizeClass& row = size_classes[size_class];
    const std::uint32_t index = object_index(size_class, offset);
    if (index >= row.objects || index * row.object_bytes != offset) {
        if (index >= row.objects) misuse_.foreign(Call::free, address);
        else
            misuse_.interior(Call::free, address, address - offset + index * row.object_bytes,
                             row.object_bytes);
        return;
    }
    auto* first_word = static_cast<std::uint64_t*>(slot);
    if (*first_word == key_ && is_cached(cache, slot, size_class)) {
        misuse_.double_free_small(address, row.object_bytes);
        return;
    }
    *first_word = key_;
    if (cache.heap == nullptr) {
        centrals_[size_class].put(&slot, 1);
        Guard guard(caches_lock_);
        ++ended_[size_class].frees;
        return;
    }
    Bin& bin = cache.bins[size_class];
    BinHistory& history = cache.history[size_class];
    history.is_idle = false;
    if (bin.top == bin.end) {
        const bool grown =
            (history.capacity == 0 || history.has_refilled) && grow_magazine(cache, size_class);
        history.has_overflowed = true;
        history.has_refilled = false;
        if (verify_often_) centrals_[size_class].verify();
        if (!grown) send_oldest(cache, size_class, (history.capacity + 1) / 2);
        if (history.capacity == 0) {  // no memory even for a magazine
            ++history.sent;
            centrals_[size_class].put(&slot, 1);
            return;
        }
    }
    ThreadCache::push(bin, slot);
}

bool Heap::is_cached(ThreadCache& cache, void* slot, unsigned size_class) {
    const Bin& own = cache.bins[size_class];
    for (void** at = own.base; at != own.top; ++at) {
        if (*at == slot) return true;
    }
    if (centrals_[size_class].holds(slot)) return true;
    Guard guard(caches_lock_);
    for (ThreadCache* other = caches_.first(); other != nullptr; other = Caches::next(other)) {
        // Racy by nature: its owner may be at work. The arrays are never unmapped, and a stale answer needs
        // the program to free one object from two threads at once.
        void** const base = __atomic_load_n(&other->bins[size_class].base, __ATOMIC_RELAXED);
        void** const top = __atomic_load_n(&other->bins[size_class].top, __ATOMIC_RELAXED);
        if (top < base || top - base > last_magazine_entries) continue;
        for (void** at = base; at != top; ++at) {
            if (__atomic_load_n(at, __ATOMIC_RELAXED) == slot) return true;
        }
    }
    return false;
}

void Heap::free_slow(ThreadCache& cache, void* address) {
    if (address == nullptr) return;
    const auto start = reinterpret_cast<std::uintptr_t>(address);
    if (const std::uint16_t entry = spans_.addresses().page_entry(start); entry != 0) {
        if (cache.try_free(address, entry)) return;  // linear layout: the inline path looks only at sparse
        free_small(cache, address, entry);
        return;
    }
    Span* span = spans_.span_of(start);
    if (span == nullptr || span->kind != ObjectKind::explicit_free || span->base != start) {
        explain_bad(Call::free, start);
        return;
    }
    // acquire: pairs with the release in park(); another thread may have parked it
    if (span->is_parked.load(std::memory_order_acquire)) {
        misuse_.double_free_large(start, span->bytes());
        return;
    }
    free_large(cache, span);
}

void Heap::explain_bad(Call call, std::uintptr_t address) const {
    if (const Span* span = spans_.span_of(address);
        span != nullptr && span->kind == ObjectKind::explicit_free) {
        const std::size_t slot = span->slot_of(address);
        if (slot < span->slots) {
            const std::uintptr_t object = span->slot_address(slot);
            const std::size_t slot_bytes = span->is_large() ? 0 : span->slot_bytes;
            if (object != address) return misuse_.interior(call, address, object, slot_bytes);
            // parked, since it is not the caller's
            if (span->is_large()) return misuse_.freed(call, address, 0);
        }
    }
    // the record of a span that was there may still tell
    const Span* last = spans_.addresses().span_of(address);
    if (last != nullptr && !last->is_alive() && last->base == address && last->is_large() &&
        last->kind == ObjectKind::explicit_free && call == Call::free) {
        return misuse_.double_free_large(address, last->bytes());
    }
    if (call == Call::free && spans_.hooks().foreign(reinterpret_cast<void*>(address))) return;
    misuse_.foreign(call, address);
}

}  // namespace cairn::heap
