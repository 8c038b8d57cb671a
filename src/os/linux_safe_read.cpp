// Safe reading on Linux: the kernel tries, and says EFAULT where we would get a signal.
// SPDX-License-Identifier: MIT
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "base/bits.hpp"
#include "base/check.hpp"
#include "os/linux_syscalls.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"
#include "os/safe_read.hpp"

namespace cairn::os {

using raw::Call;

static_assert(sizeof(Piece) == sizeof(iovec) && offsetof(Piece, bytes) == offsetof(iovec, iov_len));

namespace {

// Where the call is forbidden: looks at each page before it reads it, which leaves an instant for others.
std::size_t copy_by_looking(char* to, const Piece* pieces, std::size_t count) {
    std::size_t copied = 0;
    for (std::size_t i = 0; i < count; ++i) {
        auto at = reinterpret_cast<std::uintptr_t>(pieces[i].start);
        const std::uintptr_t end = at + pieces[i].bytes;
        while (at < end) {
            const std::uintptr_t page_end = base::align_down(at, page_bytes()) + page_bytes();
            const std::uintptr_t upto = page_end < end ? page_end : end;
            if (!is_readable(base::align_down(at, 8))) return copied;
            std::memcpy(to + copied, reinterpret_cast<const void*>(at), upto - at);
            copied += upto - at;
            at = upto;
        }
    }
    return copied;
}

}  // namespace

std::size_t copy_readable(void* to, const Piece* pieces, std::size_t count) {
    CAIRN_ASSERT(count <= pieces_max);
    std::size_t wanted = 0;
    for (std::size_t i = 0; i < count; ++i) wanted += pieces[i].bytes;
    if (wanted == 0) return 0;
    const Piece local{to, wanted};
    const long copied = raw::call(Call::process_vm_readv, process_id(), &local, 1, pieces, count, 0);
    if (copied == -EFAULT) return 0;
    if (raw::is_error(copied)) return copy_by_looking(static_cast<char*>(to), pieces, count);
    return static_cast<std::size_t>(copied);
}

bool is_readable(std::uintptr_t address) {
    // The kernel first reads the new mask, then finds that the order is none of the three it knows.
    constexpr int no_order = -1;
    return raw::call(Call::rt_sigprocmask, no_order, address, nullptr, sizeof(raw::SignalSet)) != -EFAULT;
}

}  // namespace cairn::os
