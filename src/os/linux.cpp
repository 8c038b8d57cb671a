// Memory from Linux: the moves of memory.hpp as mmap, mprotect, madvise and munmap.
//
//   alloc    mmap RW               used     nothing: prepared memory is already readable and writable
//   reserve  mmap PROT_NONE        unused   MADV_DONTNEED
//   map      mprotect RW           fault    mprotect NONE, then MADV_DONTNEED
//   free, release  munmap          hints    MADV_HUGEPAGE, MADV_NOHUGEPAGE
//
// Every mapping is MAP_NORESERVE: under the default overcommit policies a reservation then costs nothing and
// becoming writable (a cheap mprotect instead of a second mmap) is not charged either. Under
// vm.overcommit_memory=2 the flag is ignored, mprotect is charged, and map() returns false when refused.
//
// Calls fail for another reason too: a process has 65530 mappings by default, and a call that would split one
// is refused beyond. Giving back never depends on a split: see free(), unused().
// SPDX-License-Identifier: MIT
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bits.hpp"
#include "base/check.hpp"
#include "base/config.hpp"
#include "os/linux_syscalls.hpp"
#include "os/memory.hpp"

namespace cairn::os {
namespace {

using raw::Call;

// Bounds of what the floors above are written for.
constexpr std::size_t page_bytes_min = std::size_t{4} << 10;
constexpr std::size_t page_bytes_max = std::size_t{512} << 10;
constexpr std::size_t huge_page_bytes_max = base::chunk_bytes;

constexpr std::size_t not_read = ~std::size_t{0};
constexpr int advice_populate_write = 23;   // MADV_POPULATE_WRITE, Linux 5.14
constexpr int advice_dontneed_locked = 24;  // MADV_DONTNEED_LOCKED, Linux 5.18: DONTNEED for mlock()ed memory

constinit base::Counter ready_bytes;                                  // [atomic]
constinit std::atomic<std::size_t> cached_page_bytes{not_read};       // [atomic]
constinit std::atomic<std::size_t> cached_huge_page_bytes{not_read};  // [atomic]

void* map_anonymous(void* at, std::size_t bytes, int protection, int flags) {
    const long result = raw::call(Call::mmap, at, bytes, protection,
                                  flags | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return raw::is_error(result) ? nullptr : reinterpret_cast<void*>(result);
}

bool advise(void* start, std::size_t bytes, int advice) {
    return !raw::is_error(raw::call(Call::madvise, start, bytes, advice));
}

bool protect(void* start, std::size_t bytes, int protection) {
    return !raw::is_error(raw::call(Call::mprotect, start, bytes, protection));
}

// The kernel rounds a range outward and would drop live data beside it.
void check_whole_pages(void* start, std::size_t bytes) {
    CAIRN_CHECK(base::is_aligned(reinterpret_cast<std::uintptr_t>(start), page_bytes()));
    CAIRN_CHECK(base::is_aligned(bytes, page_bytes()));
}

std::size_t read_huge_page_bytes() {
    char line[64];
    raw::ProcFile policy("/sys/kernel/mm/transparent_hugepage/enabled");
    if (!policy.next_line(line, sizeof line) || std::strstr(line, "[never]") != nullptr) return 0;
    raw::ProcFile size("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
    if (!size.next_line(line, sizeof line)) return 0;
    const char* at = line;
    const std::uint64_t bytes = raw::parse_number(at, 10);
    return base::is_power_of_two(bytes) && bytes <= huge_page_bytes_max ? bytes : 0;
}

}  // namespace

std::size_t page_bytes() {
    // relaxed: whoever reads it from the OS finds the same
    const std::size_t known = cached_page_bytes.load(std::memory_order_relaxed);
    if (known != not_read) return known;
    const std::size_t bytes = getauxval(AT_PAGESZ);  // always present, so errno is not touched
    CAIRN_CHECK(base::is_power_of_two(bytes) && bytes >= page_bytes_min && bytes <= page_bytes_max);
    cached_page_bytes.store(bytes, std::memory_order_relaxed);  // relaxed: all read the same
    return bytes;
}

std::size_t huge_page_bytes() {
    // relaxed: whoever reads it from the OS finds the same
    const std::size_t known = cached_huge_page_bytes.load(std::memory_order_relaxed);
    if (known != not_read) return known;
    const std::size_t bytes = read_huge_page_bytes();
    cached_huge_page_bytes.store(bytes, std::memory_order_relaxed);  // relaxed: all read the same
    return bytes;
}

std::uint64_t address_space_limit() {
    constexpr int own_process = 0;
    std::uint64_t limits[2] = {UINT64_MAX, UINT64_MAX};  // soft, hard
    const bool is_known = !raw::is_error(raw::call(Call::prlimit64, own_process, RLIMIT_AS, nullptr, limits));
    return is_known ? limits[0] : UINT64_MAX;
}

std::uint64_t mapped_ready() { return ready_bytes.value(); }

void* alloc(std::size_t bytes, Stat& stat) {
    void* start = map_anonymous(nullptr, bytes, PROT_READ | PROT_WRITE, 0);
    if (start == nullptr) return nullptr;
    stat.add(bytes);
    ready_bytes.add(bytes);
    return start;
}

void free(void* start, std::size_t bytes, Stat& stat) {
    stat.subtract(bytes);
    ready_bytes.subtract(bytes);
    release(start, bytes);
}

void* reserve(void* hint, std::size_t bytes) { return map_anonymous(hint, bytes, PROT_NONE, 0); }

bool would_grant(std::size_t bytes) {
    const long start =
        raw::call(Call::mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw::is_error(start)) return false;
    (void)raw::call(Call::munmap, reinterpret_cast<void*>(start), bytes);
    return true;
}

void* reserve_aligned(std::size_t bytes, std::size_t alignment) {
    if (alignment <= page_bytes()) return reserve(nullptr, bytes);
    if (bytes + alignment < bytes) return nullptr;
    void* whole = reserve(nullptr, bytes + alignment);
    if (whole == nullptr) return nullptr;
    const auto low = reinterpret_cast<std::uintptr_t>(whole);
    const std::uintptr_t start = base::align_up(low, alignment);
    const std::uintptr_t high = low + bytes + alignment;
    if (start > low) release(whole, start - low);
    if (start + bytes < high) release(reinterpret_cast<void*>(start + bytes), high - start - bytes);
    return reinterpret_cast<void*>(start);
}

void release(void* start, std::size_t bytes) {
    check_whole_pages(start, bytes);
    if (!raw::is_error(raw::call(Call::munmap, start, bytes))) return;
    // No mapping left to split with: the addresses stay ours, unused, but nothing backs them.
    (void)advise(start, bytes, MADV_DONTNEED);
}

bool map(void* start, std::size_t bytes, Stat& stat) {
    if (!protect(start, bytes, PROT_READ | PROT_WRITE)) return false;
    stat.add(bytes);
    return true;
}

bool map_sparse(void* start, std::size_t bytes, Stat& stat) {
    if (!map(start, bytes, stat)) return false;
    refuse_huge_pages(start, bytes);  // one touched entry must cost one OS page
    return true;
}

void used(void* start, std::size_t bytes, std::size_t prepared_bytes) {
    (void)start;
    CAIRN_ASSERT(prepared_bytes <= bytes);
    ready_bytes.add(prepared_bytes);
}

void unused(void* start, std::size_t bytes) {
    check_whole_pages(start, bytes);
    ready_bytes.subtract(bytes);
    if (advise(start, bytes, MADV_DONTNEED)) return;
    // Refused where the program called mlockall(): newer kernels have a word for it, older ones need a fresh
    // mapping. When that is refused too the old contents stay, which "undefined" includes.
    if (advise(start, bytes, advice_dontneed_locked)) return;
    (void)map_anonymous(start, bytes, PROT_READ | PROT_WRITE, MAP_FIXED);
}

void fault(void* start, std::size_t bytes) {
    check_whole_pages(start, bytes);
    ready_bytes.subtract(bytes);
    // Protected first, so that nobody brings a page back in between.
    const bool is_protected = protect(start, bytes, PROT_NONE);
    if (is_protected && advise(start, bytes, MADV_DONTNEED)) return;
    if (map_anonymous(start, bytes, PROT_NONE, MAP_FIXED) == nullptr && !is_protected) {
        base::fatal("the OS refused to protect memory (too many mappings?)");
    }
}

void back(void* start, std::size_t bytes) {
    (void)advise(start, bytes, advice_populate_write);
}

void want_huge_pages(void* start, std::size_t bytes) {
    if (huge_page_bytes() != 0) (void)advise(start, bytes, MADV_HUGEPAGE);
}

void refuse_huge_pages(void* start, std::size_t bytes) {
    if (huge_page_bytes() != 0) (void)advise(start, bytes, MADV_NOHUGEPAGE);
}

}  // namespace cairn::os
