// malloc, free and the rest of the family, as glibc answers at every edge: libcairn-malloc.so.
//
// Each entry is a fast path that ends in a return or in a tail call of a slow one. What glibc promises and
// this file keeps:
//   malloc(0) is unique and may be freed; sizes above PTRDIFF_MAX are refused with ENOMEM; free keeps errno;
//   realloc(p, 0) frees and returns NULL; posix_memalign reports by value; memalign rounds odd alignments up;
//   blocks of 16 bytes and more are aligned to 16.
//
// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "api/malloc_entry.hpp"
#include "api/recorder.hpp"
#include "api/runtime.hpp"
#include "base/bits.hpp"
#include "os/memory.hpp"

namespace cairn::api {

namespace {

using heap::Call;
using heap::ThreadCache;

constexpr std::size_t max_bytes = PTRDIFF_MAX;

[[gnu::always_inline]] inline unsigned class_of(std::size_t bytes) {
    if (bytes <= heap::max_align8_bytes) [[likely]] return heap::malloc_class8[(bytes + 7) / 8];
    return heap::malloc_class128[(bytes - 1024 + 127) / 128];
}

[[gnu::noinline, gnu::cold]] void* no_memory() {
    errno = ENOMEM;
    return nullptr;
}

[[gnu::noinline]] void* allocate_small_slow(unsigned size_class, std::size_t bytes) {
    if (!runtime.ensure_started()) return no_memory();
    void* slot = runtime.heap.allocate_slow(runtime.current_cache(), size_class, bytes);
    return slot != nullptr ? slot : no_memory();
}

[[gnu::noinline]] void* allocate_large(std::size_t bytes, std::size_t alignment, bool& is_zeroed) {
    if (bytes > max_bytes || !runtime.ensure_started()) return no_memory();
    void* start = runtime.heap.allocate_large(runtime.current_cache(), bytes, alignment, is_zeroed);
    return start != nullptr ? start : no_memory();
}

[[gnu::noinline]] void* allocate_large(std::size_t bytes) {
    bool is_zeroed = false;
    return allocate_large(bytes, 1, is_zeroed);
}

// An address that comes before the heap exists cannot be ours.
void report_before_start(Call call, void* address) {
    heap::Misuse misuse;
    misuse.is_fatal = read_options().misuse_is_fatal;
    misuse.foreign(call, reinterpret_cast<std::uintptr_t>(address));
}

[[gnu::noinline]] void free_slow(void* address) {
    if (address == nullptr) return;
    if (!runtime.is_started()) return report_before_start(Call::free, address);
    const int kept = errno;
    runtime.heap.free_slow(runtime.current_cache(), address);
    errno = kept;
}

}  // namespace

[[gnu::always_inline]] inline void* allocate_inline(std::size_t bytes) {
    if (bytes > heap::max_small_bytes) [[unlikely]] return allocate_large(bytes);
    const unsigned size_class = class_of(bytes);
    if (void* slot = thread_cache->try_allocate(size_class)) [[likely]] return slot;
    return allocate_small_slow(size_class, bytes);
}

[[gnu::always_inline]] inline void free_inline(void* address) {
    const std::uint32_t entry =
        runtime.heap.spans().addresses().near_entry(reinterpret_cast<std::uintptr_t>(address));
    if (entry != 0 && thread_cache->try_free(address, entry)) [[likely]] return;
    free_slow(address);
}

void* allocate(std::size_t bytes) { return allocate_inline(bytes); }
void release(void* address) { free_inline(address); }

void* allocate_aligned(std::size_t bytes, std::size_t alignment) {
    if (bytes > max_bytes || alignment > max_bytes / 2) return no_memory();
    if (alignment <= 16) return allocate_inline(bytes < alignment ? alignment : bytes);
    if (bytes <= heap::max_small_bytes) {
        if (const unsigned size_class = heap::aligned_class_of(bytes == 0 ? 1 : bytes, alignment)) {
            if (void* slot = thread_cache->try_allocate(size_class)) return slot;
            return allocate_small_slow(size_class, bytes);
        }
    }
    bool is_zeroed = false;
    return allocate_large(bytes, alignment, is_zeroed);
}

namespace {

// A block this large is dropped and faulted in again where it is used, instead of being written whole.
constexpr std::size_t drop_bytes = std::size_t{32} << 20;

void* allocate_zeroed(std::size_t bytes) {
    if (bytes > heap::max_small_bytes) {
        bool is_zeroed = false;
        void* start = allocate_large(bytes, 1, is_zeroed);
        if (start == nullptr || is_zeroed) return start;
        const bool can_drop = os::unused_reads_zero && os::page_bytes() <= base::page_bytes;
        if (bytes < drop_bytes || !can_drop) return std::memset(start, 0, bytes);
        const std::size_t whole = base::align_up(bytes, os::page_bytes());
        os::unused(start, whole);
        os::used(start, whole, whole);
        return start;
    }
    void* slot = allocate_inline(bytes);
    return slot == nullptr ? nullptr : std::memset(slot, 0, bytes);
}

[[gnu::noinline]] std::size_t usable_size_slow(void* address, Call call) {
    if (address == nullptr) return 0;
    if (!runtime.is_started()) {
        report_before_start(call, address);
        return 0;
    }
    return runtime.heap.usable_size(*thread_cache, address, call);
}

// Redis, for one, asks after every malloc and before every free.
[[gnu::always_inline]] inline std::size_t usable_size(void* address, Call call) {
    const auto start = reinterpret_cast<std::uintptr_t>(address);
    if (const std::uint32_t entry = runtime.heap.spans().addresses().near_entry(start); entry != 0) {
        const heap::SizeClass& row = heap::size_classes[pages::entry_class(entry)];
        const std::uint32_t fraction = pages::entry_offset(entry, start) * row.magic;
        const bool may_be_free = *static_cast<const unsigned char*>(address) == ThreadCache::key_byte;
        if (fraction < row.magic && !may_be_free) [[likely]] return row.object_bytes;
    }
    return usable_size_slow(address, call);
}

// A block that was grown once is likely to grow again: beyond small sizes a quarter more is taken, which
// costs address space until it is touched.
std::size_t grown_request(std::size_t old_bytes, std::size_t bytes) {
    if (bytes <= heap::max_small_bytes || bytes < old_bytes) return bytes;
    const std::size_t roomy = old_bytes + old_bytes / 4;
    return roomy > bytes ? roomy : bytes;
}

void* reallocate(void* address, std::size_t bytes, const void* site) {
    if (bytes > max_bytes) return no_memory();
    const std::size_t old_bytes = usable_size(address, Call::realloc);
    if (old_bytes == 0) return no_memory();  // misuse, reported
    if (old_bytes > heap::max_small_bytes && bytes > heap::max_small_bytes) {
        if (bytes <= old_bytes && bytes >= old_bytes / 2) return resized(address, bytes, site);
        if (runtime.heap.resize_in_place(address, bytes)) return resized(address, bytes, site);
    } else if (bytes <= old_bytes && (bytes >= old_bytes / 2 || old_bytes <= 32)) {
        return resized(address, bytes, site);
    }
    void* larger = allocate_inline(grown_request(old_bytes, bytes));
    if (larger == nullptr && bytes > old_bytes) larger = allocate_inline(bytes);
    if (larger == nullptr) return bytes <= old_bytes ? address : nullptr;
    std::memcpy(larger, address, bytes < old_bytes ? bytes : old_bytes);
    moved(address, larger, bytes, site);
    free_inline(address);
    return larger;
}

// Before a fork the handlers set last run first. Ours takes the heap's locks, so it must be the first set:
// then others may allocate in theirs. Hence a start before main(), even when nobody has allocated by then.
[[gnu::constructor]] void at_load() { (void)runtime.ensure_started(); }
[[gnu::destructor]] void at_exit() { runtime.report_if_asked(); }

}  // namespace

}  // namespace cairn::api

using cairn::api::allocate_aligned;

#define CAIRN_EXPORT extern "C" __attribute__((visibility("default")))

// Who called, for a recording; nothing in the library that does not record.
#define CAIRN_CALLER __builtin_return_address(0)

CAIRN_EXPORT void* malloc(std::size_t bytes) noexcept {
    return cairn::api::made(cairn::api::allocate_inline(bytes), bytes, CAIRN_CALLER);
}
CAIRN_EXPORT void free(void* address) noexcept {
    cairn::api::gone(address);
    cairn::api::free_inline(address);
}

CAIRN_EXPORT void* calloc(std::size_t count, std::size_t bytes) noexcept {
    std::size_t total = 0;
    if (__builtin_mul_overflow(count, bytes, &total)) return cairn::api::no_memory();
    return cairn::api::made(cairn::api::allocate_zeroed(total), total, CAIRN_CALLER,
                            cairn::record::What::allocate_zero);
}

CAIRN_EXPORT void* realloc(void* address, std::size_t bytes) noexcept {
    if (address == nullptr)
        return cairn::api::made(cairn::api::allocate_inline(bytes), bytes, CAIRN_CALLER);
    if (bytes == 0) {
        cairn::api::gone(address);
        cairn::api::free_inline(address);
        return nullptr;
    }
    return cairn::api::reallocate(address, bytes, CAIRN_CALLER);
}

CAIRN_EXPORT void* reallocarray(void* address, std::size_t count, std::size_t bytes) noexcept {
    std::size_t total = 0;
    if (__builtin_mul_overflow(count, bytes, &total)) return cairn::api::no_memory();
    return realloc(address, total);
}

CAIRN_EXPORT void* memalign(std::size_t alignment, std::size_t bytes) noexcept {
    if (alignment > PTRDIFF_MAX / 2 + std::size_t{1}) {
        errno = EINVAL;
        return nullptr;
    }
    const std::size_t rounded = std::bit_ceil(alignment);
    return cairn::api::made_aligned(allocate_aligned(bytes, rounded), bytes, rounded, CAIRN_CALLER);
}

CAIRN_EXPORT void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
    return memalign(alignment, bytes);
}

CAIRN_EXPORT int posix_memalign(void** out, std::size_t alignment, std::size_t bytes) noexcept {
    if (alignment % sizeof(void*) != 0 || !std::has_single_bit(alignment)) return EINVAL;
    const int kept = errno;
    void* start =
        cairn::api::made_aligned(allocate_aligned(bytes, alignment), bytes, alignment, CAIRN_CALLER);
    errno = kept;
    if (start == nullptr) return ENOMEM;
    *out = start;
    return 0;
}

CAIRN_EXPORT void* valloc(std::size_t bytes) noexcept {
    const std::size_t page = cairn::os::page_bytes();
    return cairn::api::made_aligned(allocate_aligned(bytes, page), bytes, page, CAIRN_CALLER);
}

CAIRN_EXPORT void* pvalloc(std::size_t bytes) noexcept {
    const std::size_t page = cairn::os::page_bytes();
    if (bytes > PTRDIFF_MAX - page) return cairn::api::no_memory();
    const std::size_t whole = bytes == 0 ? page : cairn::base::align_up(bytes, page);
    return cairn::api::made_aligned(allocate_aligned(whole, page), whole, page, CAIRN_CALLER);
}

CAIRN_EXPORT std::size_t malloc_usable_size(void* address) noexcept {
    return cairn::api::usable_size(address, cairn::heap::Call::usable_size);
}
