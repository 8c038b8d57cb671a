// Dirty pages on Linux: userfaultfd with asynchronous write-protection, read by the PAGEMAP_SCAN ioctl.
//
// The kernel resolves the fault of an armed page by itself, so there is no handler, and a write by the kernel
// is noticed too; that is why an unprivileged process, which may only ask for user-mode faults, gets all of
// them. Linux 6.7 has both calls; the headers it is built with may be older, so what is used is defined here.
//
// What makes the scan right, each found by experiment:
// - PAGEMAP_SCAN may return early beside running writers: go on from walk_end until the end is reached.
// - Without PM_SCAN_CHECK_WPASYNC a range that lost its registration is skipped silently.
// - Untouched pages count as written, and arming them would build page tables for nothing: only present or
//   swapped ones are asked for. A call without a vector for its answer marks untouched ones all the same.
// - UFFDIO_WRITEPROTECT would mark untouched pages too: it is only used for disarming.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <linux/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/bits.hpp"
#include "base/check.hpp"
#include "base/run_joiner.hpp"
#include "os/dirty_pages.hpp"
#include "os/linux_syscalls.hpp"
#include "os/memory.hpp"

namespace cairn::os {

using raw::Call;

namespace {

// ---- the kernel's interface

constexpr int user_mode_only = 1;
constexpr std::uint64_t fault_api = 0xAA;
constexpr std::uint64_t feature_async_protect = std::uint64_t{1} << 15;
constexpr std::uint64_t register_protect = 2;

struct FaultApi {
    std::uint64_t api;
    std::uint64_t features;
    std::uint64_t calls;
};
struct FaultRange {
    std::uint64_t start;
    std::uint64_t bytes;
};
struct FaultRegister {
    FaultRange range;
    std::uint64_t mode;
    std::uint64_t calls;
};
struct FaultProtect {
    FaultRange range;
    std::uint64_t mode;  // 1: protect, 0: do not
};

constexpr unsigned long call_api = _IOWR(0xAA, 0x3F, FaultApi);
constexpr unsigned long call_register = _IOWR(0xAA, 0x00, FaultRegister);
constexpr unsigned long call_unregister = _IOR(0xAA, 0x01, FaultRange);
constexpr unsigned long call_protect = _IOWR(0xAA, 0x06, FaultProtect);

struct ScanRegion {
    std::uint64_t start;
    std::uint64_t end;
    std::uint64_t categories;
};
struct Scan {
    std::uint64_t bytes;  // of this record
    std::uint64_t flags;
    std::uint64_t start;
    std::uint64_t end;
    std::uint64_t walk_end;  // set by the kernel
    std::uint64_t regions;
    std::uint64_t region_count;
    std::uint64_t pages_max;  // 0: no bound
    std::uint64_t inverted;
    std::uint64_t all_of;
    std::uint64_t any_of;
    std::uint64_t wanted;
};
static_assert(sizeof(Scan) == 96 && sizeof(ScanRegion) == 24 && sizeof(FaultRegister) == 32);

constexpr unsigned long call_scan = _IOWR('f', 16, Scan);
constexpr std::uint64_t scan_and_arm = 1;
constexpr std::uint64_t scan_needs_registration = 2;
constexpr std::uint64_t page_written = std::uint64_t{1} << 1;
constexpr std::uint64_t page_present = std::uint64_t{1} << 3;
constexpr std::uint64_t page_swapped = std::uint64_t{1} << 4;

// ---- ours

constexpr std::size_t regions_max = 160;  // 3.8 KiB of stack
// One call holds the memory map's lock, which an mmap() of the program waits for: about 0.3 ms.
constexpr std::size_t step_bytes = std::size_t{32} << 20;
constexpr unsigned standstill_max = 10'000;  // calls without progress before we give up
// Above what programs use by number, and within the 64 that every table of descriptors has room for: to make
// a table larger where threads share it takes the kernel 10 ms and more (it waits for an RCU grace period).
constexpr int high_numbers[] = {60, 3};

long control(int file, unsigned long what, void* argument) {
    return raw::call(Call::ioctl, file, what, argument);
}

// A number for the file behind a descriptor, 0 when there is none.
std::uint64_t identity_of(int file) {
    if (file < 0) return 0;
    struct statx facts {};
    if (raw::is_error(raw::call(Call::statx, file, "", AT_EMPTY_PATH, STATX_INO, &facts))) return 0;
    const auto device = (std::uint64_t{facts.stx_dev_major} << 20) + facts.stx_dev_minor;
    return (facts.stx_ino ^ (device << 40)) | std::uint64_t{1} << 63;
}

// A copy of `file` under a high number where the limit allows; -1 when refused.
int copy_high(int file) {
    for (const int number : high_numbers) {
        const long copy = raw::call(Call::fcntl, file, F_DUPFD_CLOEXEC, number);
        if (!raw::is_error(copy)) return static_cast<int>(copy);
    }
    return -1;
}

int load(const std::atomic<int>& file) {
    return file.load(std::memory_order_relaxed);  // relaxed: a stale number costs an error, which is renewed
}

void store(std::atomic<int>& file, int number) {
    file.store(number, std::memory_order_relaxed);  // relaxed: who reads the old number gets an error
}

// Takes `opened` over: two high numbers, and the low one closed. False when there is no descriptor left.
template <class KeptFile>
bool keep(KeptFile& kept, long opened) {
    const int low = static_cast<int>(opened);
    const int first = copy_high(low);
    if (first >= 0) (void)raw::call(Call::close, low);
    store(kept.first, first >= 0 ? first : low);
    store(kept.second, copy_high(load(kept.first)));
    kept.identity = identity_of(load(kept.first));
    return kept.identity != 0;
}

// True when one of the two numbers still is what we opened; the other one is then made so again.
template <class KeptFile>
bool is_kept(KeptFile& kept) {
    if (kept.identity == 0) return false;
    for (const bool is_second : {false, true}) {
        const int file = load(is_second ? kept.second : kept.first);
        if (identity_of(file) != kept.identity) continue;
        if (is_second) store(kept.first, file);
        const int other = load(kept.second);
        if (is_second || identity_of(other) != kept.identity) store(kept.second, copy_high(file));
        return true;
    }
    return false;
}

// Closes what still is ours.
template <class KeptFile>
void let_go(KeptFile& kept) {
    for (std::atomic<int>* number : {&kept.first, &kept.second}) {
        const int file = load(*number);
        if (kept.identity != 0 && identity_of(file) == kept.identity) (void)raw::call(Call::close, file);
        store(*number, -1);
    }
    kept.identity = 0;
}

bool register_range(int faults, std::uintptr_t start, std::size_t bytes) {
    FaultRegister request{{start, bytes}, register_protect, 0};
    return !raw::is_error(control(faults, call_register, &request));
}

}  // namespace

bool DirtyTracker::refuse(const char* reason) {
    reason_ = reason;
    return false;
}

bool DirtyTracker::open_files_locked() {
    if (!is_kept(faults_)) {
        let_go(faults_);
        const long file = raw::call(Call::userfaultfd, O_CLOEXEC | O_NONBLOCK | user_mode_only);
        if (file == -ENOSYS) return refuse("this kernel has no userfaultfd");
        if (file == -EINVAL) return refuse("this kernel's userfaultfd is too old");
        if (raw::is_error(file)) return refuse("userfaultfd is not permitted");
        if (!keep(faults_, file)) return refuse("the userfaultfd could not be kept");
        FaultApi api{fault_api, feature_async_protect, 0};
        if (raw::is_error(control(load(faults_.first), call_api, &api)))
            return refuse("this kernel has no asynchronous write-protection (Linux 6.7 has)");
    }
    if (is_kept(pagemap_)) return true;
    let_go(pagemap_);
    const long file = raw::call(Call::openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (raw::is_error(file)) return refuse("/proc/self/pagemap cannot be opened");
    return keep(pagemap_, file) || refuse("/proc/self/pagemap could not be kept");
}

void DirtyTracker::close_files_locked() {
    let_go(faults_);
    let_go(pagemap_);
}

bool DirtyTracker::is_of_this_process() const {
    const std::atomic<std::uint32_t>* alive =
        alive_.load(std::memory_order_relaxed);  // relaxed: set by start()
    return alive != nullptr &&
           alive->load(std::memory_order_relaxed) != 0;  // relaxed: changes only by a fork
}

bool DirtyTracker::start() {
    base::Guard guard(lock_);
    return is_started() && is_of_this_process() ? open_files_locked() : start_locked();
}

bool DirtyTracker::start_locked() {
    close_files_locked();
    std::atomic<std::uint32_t>* alive = alive_.load(std::memory_order_relaxed);  // relaxed: under lock_
    if (alive == nullptr) {
        const long page = raw::call(Call::mmap, nullptr, page_bytes(), PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (raw::is_error(page)) return refuse("out of memory");
        alive = reinterpret_cast<std::atomic<std::uint32_t>*>(page);
        if (raw::is_error(raw::call(Call::madvise, alive, page_bytes(), MADV_WIPEONFORK))) {
            (void)raw::call(Call::munmap, alive, page_bytes());
            return refuse("this kernel cannot tell a forked child");
        }
        alive_.store(alive, std::memory_order_relaxed);  // relaxed: under lock_; one starter at a time
    }
    alive->store(1, std::memory_order_relaxed);  // relaxed: under lock_; one starter at a time
    const bool is_good = open_files_locked() && try_out();
    if (is_good) reason_ = "";
    else close_files_locked();
    is_started_.store(is_good, std::memory_order_relaxed);  // relaxed: under lock_; others take it for a hint
    return is_good;
}

// Four pages: clean, written, new, untouched. Believes nothing but what it sees.
bool DirtyTracker::try_out() {
    const std::size_t page = page_bytes();
    const long mapped = raw::call(Call::mmap, nullptr, 4 * page, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw::is_error(mapped)) return refuse("out of memory");
    const auto start = static_cast<std::uintptr_t>(mapped);
    (void)raw::call(Call::madvise, start, 4 * page, MADV_NOHUGEPAGE);
    auto* bytes = reinterpret_cast<volatile unsigned char*>(start);
    struct Found {
        std::uintptr_t low = 0;
        std::uintptr_t high = 0;
        unsigned count = 0;
    };
    const auto note = [](void* context, std::uintptr_t low, std::uintptr_t high) {
        *static_cast<Found*>(context) = {low, high, static_cast<Found*>(context)->count + 1};
    };
    Found before, after, rest;
    bytes[0] = 1;
    bytes[page] = 1;
    bool is_good =
        register_range(load(faults_.first), start, 4 * page) || refuse("the kernel refuses to watch memory");
    if (is_good) {
        is_good = scan(start, start + 4 * page, Look::written_and_arm, nullptr, nullptr) &&
                  scan(start, start + 4 * page, Look::written, note, &before);
        bytes[page] = 2;
        bytes[2 * page] = 2;
        is_good = is_good && scan(start, start + 4 * page, Look::written_and_arm, note, &after) &&
                  scan(start, start + 4 * page, Look::written_and_arm, note, &rest);
        is_good = is_good && before.count == 0 && rest.count == 0 && after.count == 1 &&
                  after.low == start + page && after.high == start + 3 * page;
        if (!is_good) reason_ = "this kernel does not report written pages (PAGEMAP_SCAN)";
    }
    (void)raw::call(Call::munmap, start, 4 * page);
    return is_good;
}

bool DirtyTracker::watch(std::uintptr_t start, std::size_t bytes) {
    CAIRN_ASSERT(base::is_aligned(start | bytes, page_bytes()));
    if (!is_started()) return false;
    if (is_of_this_process() && register_range(load(faults_.first), start, bytes)) return true;
    return renew(start, bytes);
}

void DirtyTracker::unwatch(std::uintptr_t start, std::size_t bytes) {
    if (!is_started() || !is_of_this_process()) return;
    FaultRange request{start, bytes};
    (void)control(load(faults_.first), call_unregister, &request);
}

bool DirtyTracker::arm(std::uintptr_t start, std::size_t bytes) {
    if (!is_started()) return false;
    if (is_of_this_process() && scan(start, start + bytes, Look::written_and_arm, nullptr, nullptr))
        return true;
    return renew(start, bytes) && scan(start, start + bytes, Look::written_and_arm, nullptr, nullptr);
}

bool DirtyTracker::collect(std::uintptr_t start, std::size_t bytes, bool is_rearmed, Visit visit,
                           void* context) {
    const std::uintptr_t end = start + bytes;
    const Look look = is_rearmed ? Look::written_and_arm : Look::written;
    if (is_started()) {
        if (is_of_this_process() && scan(start, end, look, visit, context)) return true;
        // The refused call may have armed pages before it met one that is not watched, and what it had to
        // say of them is lost. So all that is there counts as written, armed before it is visited.
        if (renew(start, bytes) && (!is_rearmed || scan(start, end, look, nullptr, nullptr)) &&
            scan(start, end, Look::present, visit, context))
            return true;
    }
    visit(context, start, end);
    return false;
}

bool DirtyTracker::visit_present(std::uintptr_t start, std::size_t bytes, Visit visit, void* context) {
    if (is_started() && is_of_this_process() && scan(start, start + bytes, Look::present, visit, context))
        return true;
    visit(context, start, start + bytes);
    return false;
}

void DirtyTracker::disarm(std::uintptr_t start, std::size_t bytes) {
    if (!is_started() || !is_of_this_process()) return;
    for (std::uintptr_t at = start; at < start + bytes;) {
        const std::size_t left = start + bytes - at;
        FaultProtect request{{at, left < step_bytes ? left : step_bytes}, 0};
        // EAGAIN: the memory map is being changed. Any other refusal: there is nothing armed.
        if (control(load(faults_.first), call_protect, &request) != -EAGAIN) at += request.range.bytes;
    }
}

void DirtyTracker::after_fork_child() {
    lock_.reset_after_fork();
    // Never used here: the inherited descriptors act on the parent's memory.
    close_files_locked();
    is_started_.store(false, std::memory_order_relaxed);  // relaxed: the child has one thread
    reason_ = "not started";
}

// Calls `visit`, if any, for the runs of [low, high) looked for, and arms them if so told. False when the
// kernel says that it does not track (part of) the range: runs may have been visited, and armed, before that.
bool DirtyTracker::scan(std::uintptr_t low, std::uintptr_t high, Look look, Visit visit, void* context) {
    ScanRegion regions[regions_max];
    // So that the step and the vector's size do not show.
    base::RunJoiner runs([=](std::uintptr_t from, std::uintptr_t to) { visit(context, from, to); });
    Scan request{};
    request.bytes = sizeof request;
    request.wanted = page_present | page_swapped;
    if (look != Look::present) {
        request.flags = scan_needs_registration | (look == Look::written_and_arm ? scan_and_arm : 0);
        request.all_of = request.wanted = page_written;
    }
    request.any_of = page_present | page_swapped;
    request.regions = reinterpret_cast<std::uintptr_t>(regions);
    request.region_count = regions_max;
    unsigned standstill = 0;
    for (std::uintptr_t at = low; at < high;) {
        request.start = at;
        request.end = high - at < step_bytes ? high : at + step_bytes;
        request.walk_end = 0;
        const long found = control(load(pagemap_.first), call_scan, &request);
        if (found == -EINTR || found == -EAGAIN) continue;
        if (raw::is_error(found)) return false;
        for (long i = 0; i < found && visit != nullptr; ++i) runs.add(regions[i].start, regions[i].end);
        standstill = request.walk_end > at ? 0 : standstill + 1;
        if (standstill > standstill_max) return false;
        if (request.walk_end > at) at = request.walk_end;
    }
    runs.flush();
    return true;
}

// The range is lost, or all are: opens again what was closed and watches this one again.
__attribute__((noinline)) bool DirtyTracker::renew(std::uintptr_t start, std::size_t bytes) {
    base::Guard guard(lock_);
    if (!is_of_this_process()) {
        if (!start_locked()) return false;
    } else if (!open_files_locked()) {
        return false;
    }
    return register_range(load(faults_.first), start, bytes);
}

}  // namespace cairn::os
