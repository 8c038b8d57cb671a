// Linux system calls without the C library: one instruction, a result, never errno.
//
// libc's wrappers write errno, are cancellation points, and are replaced by sanitizers and by other preloaded
// libraries; a memory manager may afford none of these. A call returns what the kernel returns: a value, or
// -1..-4095, a negated error number. Only linux*.cpp include this file.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace cairn::os::raw {

enum class Call : long {
    brk = SYS_brk,
    clock_gettime = SYS_clock_gettime,
    clock_nanosleep = SYS_clock_nanosleep,
    clone = SYS_clone,
    close = SYS_close,
    exit = SYS_exit,
    exit_group = SYS_exit_group,
    fcntl = SYS_fcntl,
    ftruncate = SYS_ftruncate,
    futex = SYS_futex,
    getcpu = SYS_getcpu,
    getpid = SYS_getpid,
    getrandom = SYS_getrandom,
    gettid = SYS_gettid,
    ioctl = SYS_ioctl,
    kill = SYS_kill,
    madvise = SYS_madvise,
    mmap = SYS_mmap,
    mprotect = SYS_mprotect,
    munmap = SYS_munmap,
    openat = SYS_openat,
    prctl = SYS_prctl,
    pread64 = SYS_pread64,
    prlimit64 = SYS_prlimit64,
    process_vm_readv = SYS_process_vm_readv,
    read = SYS_read,
    rt_sigaction = SYS_rt_sigaction,
    rt_sigprocmask = SYS_rt_sigprocmask,
    sched_getaffinity = SYS_sched_getaffinity,
    sched_setaffinity = SYS_sched_setaffinity,
    sched_yield = SYS_sched_yield,
    sigaltstack = SYS_sigaltstack,
    statx = SYS_statx,
    tgkill = SYS_tgkill,
    userfaultfd = SYS_userfaultfd,
    write = SYS_write,
};

inline long invoke(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    long result = number;
    asm volatile("syscall"
                 : "+a"(result)
                 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                 : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 asm("x8") = number;
    register long x0 asm("x0") = a;
    register long x1 asm("x1") = b;
    register long x2 asm("x2") = c;
    register long x3 asm("x3") = d;
    register long x4 asm("x4") = e;
    register long x5 asm("x5") = f;
    asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#else
#error "Cairn's Linux floor knows x86_64 and aarch64"
#endif
}

template <class Value>
long as_word(Value value) {
    if constexpr (std::is_pointer_v<Value>) return reinterpret_cast<long>(value);
    else if constexpr (std::is_null_pointer_v<Value>) return 0;
    else return static_cast<long>(value);
}

template <class A = int, class B = int, class C = int, class D = int, class E = int, class F = int>
long call(Call number, A a = 0, B b = 0, C c = 0, D d = 0, E e = 0, F f = 0) {
    const long at[] = {as_word(a), as_word(b), as_word(c), as_word(d), as_word(e), as_word(f)};
    return invoke(static_cast<long>(number), at[0], at[1], at[2], at[3], at[4], at[5]);
}

constexpr bool is_error(long result) { return result < 0 && result >= -4095; }

// The kernel's own records; libc's may differ in size.
struct TimeSpec {
    std::int64_t seconds;
    std::int64_t nanoseconds;
};

constexpr TimeSpec time_spec(std::uint64_t ns) {
    return {static_cast<std::int64_t>(ns / 1'000'000'000), static_cast<std::int64_t>(ns % 1'000'000'000)};
}

// One bit a signal; Linux has 64 on both machines.
using SignalSet = std::uint64_t;
inline constexpr SignalSet all_signals = ~SignalSet{0};

// A file of /proc or /sys, read by lines or by bytes through a small buffer on the caller's stack.
class ProcFile {
public:
    explicit ProcFile(const char* path);
    ~ProcFile();
    ProcFile(const ProcFile&) = delete;
    ProcFile& operator=(const ProcFile&) = delete;

    // Next line into `out`, ended by 0; what does not fit is dropped. False at the end or on error.
    [[nodiscard]] bool next_line(char* out, std::size_t capacity);
    // Up to `capacity` bytes; 0 at the end or on error.
    [[nodiscard]] std::size_t read(char* out, std::size_t capacity);

private:
    [[nodiscard]] bool refill();

    long file_;               // [owner] descriptor, or a negated error
    std::size_t next_ = 0;    // [owner]
    std::size_t length_ = 0;  // [owner]
    char buffer_[1024];       // [owner]
};

// Number in base 10 or 16 at `text`, moved past it.
std::uint64_t parse_number(const char*& text, unsigned base);

// Writes all of it, through interruptions and short writes; false on error.
bool write_all(long file, const char* text, std::size_t bytes);

}  // namespace cairn::os::raw
