// Shared files on Linux: mmap, futexes that are not private, and signal 0 to ask whether a thread is alive.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>

#include "os/linux_syscalls.hpp"
#include "os/process.hpp"
#include "os/shared_file.hpp"

namespace cairn::os {

using raw::Call;

namespace {

constexpr long no_such_process = -3;  // ESRCH

}  // namespace

void* map_file(const char* path, std::size_t bytes, bool create) {
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT | O_EXCL : 0);
    const long file = raw::call(Call::openat, AT_FDCWD, path, flags, 0600);
    if (raw::is_error(file)) return nullptr;
    void* start = nullptr;
    if (!create || !raw::is_error(raw::call(Call::ftruncate, file, bytes))) {
        const int flags_of_map = MAP_SHARED | MAP_NORESERVE;
        const long result =
            raw::call(Call::mmap, nullptr, bytes, PROT_READ | PROT_WRITE, flags_of_map, file, 0);
        if (!raw::is_error(result)) start = reinterpret_cast<void*>(result);
    }
    raw::call(Call::close, file);
    // a core dump of the program is not about this
    if (start != nullptr) raw::call(Call::madvise, start, bytes, MADV_DONTDUMP);
    return start;
}

void unmap_file(void* start, std::size_t bytes) { raw::call(Call::munmap, start, bytes); }

std::size_t read_small_file(const char* path, char* out, std::size_t capacity) {
    raw::ProcFile file(path);
    return file.read(out, capacity);
}

void shared_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t ns) {
    const raw::TimeSpec most = raw::time_spec(ns);
    raw::call(Call::futex, &word, FUTEX_WAIT, expected, &most);
}

void shared_wake(std::atomic<std::uint32_t>& word) { raw::call(Call::futex, &word, FUTEX_WAKE, 0x7fffffff); }

bool thread_exists(std::uint32_t thread) {
    return raw::call(Call::tgkill, process_id(), thread, 0) != no_such_process;
}

void* map_wiped_on_fork(std::size_t bytes) {
    const long result =
        raw::call(Call::mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw::is_error(result)) return nullptr;
    void* const start = reinterpret_cast<void*>(result);
    if (!raw::is_error(raw::call(Call::madvise, start, bytes, MADV_WIPEONFORK))) return start;
    unmap_file(start, bytes);
    return nullptr;
}

}  // namespace cairn::os
