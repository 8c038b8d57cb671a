// Threads on Linux: places of stacks and thread-local blocks, the stop signal, guards, threads of our own.
//
// A real-time signal, because nobody sends those by accident and none is merged with another. It is sent with
// tgkill and handled with SA_ONSTACK (the interrupted stack may be a small one) and SA_RESTART; the calls
// that end with EINTR all the same are those that wait with a limit of time (sleep, poll, select, epoll_wait
// and their kin, semop, msgrcv, a recv with a time-out).
//
// Where libc puts a thread's record decides what else is a root:
//   x86_64    ... stack | static TLS | record |      the thread pointer is the record's start
//   aarch64   ... stack | record | static TLS |      the thread pointer is the record's end
// The first thread's record and TLS lie in a mapping of the loader's, all others' in the stack's mapping.
// SPDX-License-Identifier: MIT
#include "os/threads.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/bits.hpp"
#include "base/config.hpp"
#include "base/os_calls.hpp"
#include "os/linux_syscalls.hpp"
#include "os/memory.hpp"

namespace cairn::os {

using raw::Call;

namespace {

// libc's record of a thread is 2.3 KiB in glibc 2.36.
constexpr std::size_t thread_record_bytes = 2560;
// Static TLS that the loader keeps for libraries loaded later, beyond the blocks that exist.
constexpr std::size_t tls_surplus_bytes = 1024;
constexpr std::size_t own_thread_stack_bytes = std::size_t{256} << 10;

std::uintptr_t address_here() { return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)); }

// ---- mappings

// Linux 6.11 answers for one address; what we have no use for has no name. Source: include/uapi/linux/fs.h
struct MappingQuery {
    std::uint64_t bytes = sizeof(MappingQuery);
    std::uint64_t flags = 0;
    std::uint64_t address = 0;
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    std::uint64_t mapping_flags = 0;
    std::uint64_t numbers[3] = {};
    std::uint32_t more_numbers[4] = {};
    std::uint64_t texts[2] = {};
};
static_assert(sizeof(MappingQuery) == 104);
constexpr unsigned long query_mapping = 0xc0686611;  // _IOWR('f', 17, 104 bytes)
constexpr std::uint64_t or_the_next = 0x10;
constexpr std::uint64_t is_readable_flag = 1, is_shared_flag = 8;

struct Mapping {
    MemoryRange range;
    bool is_readable = false;
    bool is_shared = false;
};

// Lines look like "7f0000000000-7f0000021000 rw-p ...".
Mapping next_mapping_from_text(std::uintptr_t address) {
    raw::ProcFile maps("/proc/self/maps");
    char line[128];
    while (maps.next_line(line, sizeof line)) {
        const char* at = line;
        const std::uintptr_t low = raw::parse_number(at, 16);
        if (*at++ != '-') continue;
        const std::uintptr_t high = raw::parse_number(at, 16);
        if (address < high) return {{low, high}, at[1] == 'r', at[4] == 's'};
    }
    return {};
}

// The mapping that holds `address`, or the first above it; empty when there is none.
Mapping next_mapping(std::uintptr_t address) {
    const long file = raw::call(Call::openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (raw::is_error(file)) return {};
    MappingQuery query;
    query.flags = or_the_next;
    query.address = address;
    const long result = raw::call(Call::ioctl, file, query_mapping, &query);
    (void)raw::call(Call::close, file);
    if (!raw::is_error(result)) {
        return {{query.start, query.end},
                (query.mapping_flags & is_readable_flag) != 0,
                (query.mapping_flags & is_shared_flag) != 0};
    }
    return result == -ENOENT ? Mapping{} : next_mapping_from_text(address);
}

// Calls `visit` for runs of pages in `part` that have ever been touched: a word a page in /proc/self/pagemap.
void visit_touched_pages(MemoryRange part, void (*visit)(void*, MemoryRange), void* argument) {
    constexpr std::uint64_t is_present = std::uint64_t{1} << 63, is_swapped = std::uint64_t{1} << 62;
    constexpr std::uint64_t is_guard = std::uint64_t{1} << 58;
    const std::size_t page = page_bytes();
    const long file = raw::call(Call::openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    std::uint64_t words[256];
    MemoryRange run{part.low, part.low};
    for (std::uintptr_t at = base::align_down(part.low, page); at < part.high;) {
        const std::size_t wanted = base::divide_up(part.high - at, page);
        const std::size_t count = wanted < 256 ? wanted : 256;
        const std::size_t bytes = count * sizeof words[0];
        const long got = raw::call(Call::pread64, file, words, bytes, at / page * sizeof words[0]);
        if (got != static_cast<long>(bytes)) {
            run.high = part.high;  // no answer: all of the rest
            break;
        }
        for (std::size_t i = 0; i < count; ++i, at += page) {
            if ((words[i] & (is_present | is_swapped)) == 0 || (words[i] & is_guard) != 0) continue;
            if (at > run.high) {
                if (!run.is_empty()) visit(argument, run);
                run.low = at;
            }
            run.high = at + page < part.high ? at + page : part.high;
        }
    }
    if (!run.is_empty()) visit(argument, run);
    if (!raw::is_error(file)) (void)raw::call(Call::close, file);
}

struct Place {
    MemoryRange stack;
    bool is_first;  // the thread that the kernel started: its record is not at the top of its stack
};

// By where we run; a signal handler on a stack of its own goes by the thread's number instead, which is right
// but in a child that a later thread forked.
Place place_of_this_thread() {
    const std::uintptr_t here = address_here();
    const std::uintptr_t record = thread_pointer();
    const MemoryRange around_record = mapping_of(record);
    if (around_record.contains(here) && here < record) return {{around_record.low, record}, false};
    // The kernel puts 16 random bytes at the top of the first stack.
    const MemoryRange first = mapping_of(getauxval(AT_RANDOM));
    if (first.contains(here) || thread_id() == process_id()) return {first, true};
    return {{around_record.low, record}, false};
}

// The loader's blocks of static TLS of the first thread: those in the record's mapping.
struct StaticBlocks {
    MemoryRange mapping;
    MemoryRange blocks;
};

int add_block(dl_phdr_info* info, std::size_t bytes, void* argument) {
    auto& found = *static_cast<StaticBlocks*>(argument);
    if (bytes < offsetof(dl_phdr_info, dlpi_tls_data) + sizeof info->dlpi_tls_data) return 1;
    const auto start = reinterpret_cast<std::uintptr_t>(info->dlpi_tls_data);
    if (start == 0 || !found.mapping.contains(start)) return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr)& header = info->dlpi_phdr[i];
        if (header.p_type != PT_TLS) continue;
        if (start < found.blocks.low) found.blocks.low = start;
        if (start + header.p_memsz > found.blocks.high) found.blocks.high = start + header.p_memsz;
    }
    return 0;
}

MemoryRange block_of_first_thread(MemoryRange mapping) {
    const std::uintptr_t record = thread_pointer();
    // Here TLS lies below the record. What lies below the loader's memory may be the program's, mapped next
    // to it, and unmapped again: no page of that may be taken along.
#if defined(__x86_64__)
    StaticBlocks found{mapping, {record, record + thread_record_bytes}};
#else
    StaticBlocks found{mapping, {record - thread_record_bytes, record + thread_record_bytes}};
#endif
    (void)dl_iterate_phdr(add_block, &found);
    const std::size_t page = page_bytes();
    const std::uintptr_t low = base::align_down(found.blocks.low - tls_surplus_bytes, page);
    const std::uintptr_t high = base::align_up(found.blocks.high, page);
    return {low > mapping.low ? low : mapping.low, high < mapping.high ? high : mapping.high};
}

}  // namespace

MemoryRange mapping_of(std::uintptr_t address) {
    const MemoryRange range = next_mapping(address).range;
    return range.contains(address) ? range : MemoryRange{};
}

void visit_touched(MemoryRange range, void (*visit)(void*, MemoryRange), void* argument) {
    while (!range.is_empty()) {
        const Mapping mapping = next_mapping(range.low);
        if (mapping.range.is_empty() || mapping.range.low >= range.high) return;
        const MemoryRange part{range.low > mapping.range.low ? range.low : mapping.range.low,
                               range.high < mapping.range.high ? range.high : mapping.range.high};
        if (mapping.is_readable && mapping.is_shared) visit(argument, part);
        else if (mapping.is_readable) visit_touched_pages(part, visit, argument);
        range.low = part.high;
    }
}

MemoryRange current_stack() { return place_of_this_thread().stack; }

MemoryRange thread_block() {
    const std::uintptr_t record = thread_pointer();
    const MemoryRange mapping = mapping_of(record);
    if (place_of_this_thread().is_first) return block_of_first_thread(mapping);
    // Up to the end of the page that the record or, where that follows, its TLS ends in: the mapping may go
    // on with somebody else's memory.
#if defined(__x86_64__)
    const std::uintptr_t end = base::align_up(record + thread_record_bytes, page_bytes());
#else
    StaticBlocks found{mapping, {record, record + tls_surplus_bytes}};
    (void)dl_iterate_phdr(add_block, &found);
    const std::uintptr_t end = base::align_up(found.blocks.high, page_bytes());
#endif
    return {record, end < mapping.high ? end : mapping.high};
}

std::uintptr_t thread_pointer() { return reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer()); }

// The dynamic thread vector: entry 0 is preceded by the number of entries; each is the block and what to
// free. Source: the ELF TLS ABI; glibc's layout, which debuggers rely on too.
std::uintptr_t block_of_module(std::uintptr_t thread_pointer, std::size_t id) {
    constexpr std::uintptr_t unallocated = ~std::uintptr_t{0};
#if defined(__x86_64__)
    const auto* vector = reinterpret_cast<const std::uintptr_t* const*>(thread_pointer)[1];
#else
    const auto* vector = reinterpret_cast<const std::uintptr_t* const*>(thread_pointer)[0];
#endif
    if (vector == nullptr || id == 0 || id > vector[-2]) return 0;
    const std::uintptr_t block = vector[2 * id];
    return block == unallocated ? 0 : block;
}

// ---- the stop signal

namespace {

constinit std::atomic<int> stop_signal{0};                                  // [atomic] set once
constinit std::atomic<void (*)(const StopContext&)> stop_handler{nullptr};  // [atomic] set once

MemoryRange as_words(const void* start, std::size_t bytes) {
    const auto low = base::align_up(reinterpret_cast<std::uintptr_t>(start), sizeof(void*));
    return {low, base::align_down(reinterpret_cast<std::uintptr_t>(start) + bytes, sizeof(void*))};
}

#if defined(__x86_64__)

// In the software-reserved bytes of the classic 512: whether more follows, and how much in all.
struct ExtendedState {
    std::uint32_t magic;
    std::uint32_t extended_bytes;
    std::uint64_t features;
    std::uint32_t state_bytes;
};
constexpr std::size_t classic_state_bytes = 512;
constexpr std::size_t reserved_offset = 464;
constexpr std::uint32_t extended_magic = 0x46505853;

void fill(StopContext& context, const ucontext_t& user) {
    context.sp = static_cast<std::uintptr_t>(user.uc_mcontext.gregs[REG_RSP]);
    context.pc = static_cast<std::uintptr_t>(user.uc_mcontext.gregs[REG_RIP]);
    context.registers[0] = as_words(user.uc_mcontext.gregs, sizeof user.uc_mcontext.gregs);
    const auto* state = reinterpret_cast<const char*>(user.uc_mcontext.fpregs);
    if (state == nullptr) return;
    ExtendedState extended;
    std::memcpy(&extended, state + reserved_offset, sizeof extended);
    const bool is_extended = extended.magic == extended_magic && extended.state_bytes > classic_state_bytes;
    context.registers[1] = as_words(state, is_extended ? extended.state_bytes : classic_state_bytes);
}

#elif defined(__aarch64__)

// Records follow each other in the reserved bytes; the last has size 0. One may say that more lie elsewhere.
struct StateRecord {
    std::uint32_t magic;
    std::uint32_t bytes;
    std::uint64_t address;
    std::uint32_t extra_bytes;
};
constexpr std::uint32_t extra_magic = 0x45585401;

void fill(StopContext& context, const ucontext_t& user) {
    context.sp = user.uc_mcontext.sp;
    context.pc = user.uc_mcontext.pc;
    context.registers[0] = as_words(user.uc_mcontext.regs, sizeof user.uc_mcontext.regs);
    const auto* start = reinterpret_cast<const char*>(user.uc_mcontext.__reserved);
    std::size_t offset = 0;
    while (offset + sizeof(StateRecord) <= sizeof user.uc_mcontext.__reserved) {
        StateRecord record;
        std::memcpy(&record, start + offset, sizeof record);
        if (record.magic == 0 || record.bytes == 0) break;
        if (record.magic == extra_magic)
            context.registers[2] =
                as_words(reinterpret_cast<const void*>(record.address), record.extra_bytes);
        offset += record.bytes;
    }
    context.registers[1] = as_words(start, offset);
}

#endif

// ThreadSanitizer hands over a copy of the context, often of another moment and of another stack. Its pointer
// to the vector registers leads to a frame of the kernel's that is gone: what stood there as their length may
// be half a pointer by now. But the thread is where its handler runs. What it holds lies above, in the frames
// of on_signal() and of its callers, and in the kernel's where the handler was called at once.
// Needs: the caller's frame holds the registers of its callers.
__attribute__((noinline)) StopContext delayed_context() {
    StopContext context;
    context.sp = address_here();
    context.pc = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
    context.alternate_stack = alternate_stack();
    return context;
}

StopContext context_of(const ucontext_t& user) {
    StopContext context;
    fill(context, user);
    if ((user.uc_stack.ss_flags & SS_DISABLE) == 0) {
        const auto low = reinterpret_cast<std::uintptr_t>(user.uc_stack.ss_sp);
        context.alternate_stack = {low, low + user.uc_stack.ss_size};
    }
    return context;
}

void on_signal(int, siginfo_t*, void* argument) {
    StopContext context;
    if constexpr (base::delays_signals) {
        __builtin_unwind_init();
        context = delayed_context();
    } else {
        context = context_of(*static_cast<const ucontext_t*>(argument));
    }
    // acquire: pairs with install_stop_handler()
    stop_handler.load(std::memory_order_acquire)(context);
}

// ---- the signal that passes masks

// By which libc changes the user of all threads: no mask made with libc's functions blocks it. Its handler is
// installed with the first thread, once for all; it is called for what was not sent by us.
constexpr int insistent_signal = 33;

struct KernelAction {
    void (*handler)(int, siginfo_t*, void*);
    unsigned long flags;
    void (*restorer)();
    raw::SignalSet mask;
};
constinit KernelAction action_of_libc{};  // [fixed] once ours is installed
constinit std::atomic<bool (*)(const StopContext&)> insistent_handler{nullptr};  // [atomic]

bool change_action(int signal, const KernelAction* fresh, KernelAction* old) {
    return !raw::is_error(raw::call(Call::rt_sigaction, signal, fresh, old, sizeof(raw::SignalSet)));
}

void on_insistent(int signal, siginfo_t* info, void* argument) {
    const StopContext context = context_of(*static_cast<const ucontext_t*>(argument));
    // acquire: pairs with install_insistent_handler()
    if (insistent_handler.load(std::memory_order_acquire)(context)) return;
    if (action_of_libc.handler != nullptr) action_of_libc.handler(signal, info, argument);
}

constexpr std::size_t task_path_bytes = 64;

void write_task_path(char (&path)[task_path_bytes], std::uint32_t thread, const char* file) {
    constexpr char folder[] = "/proc/self/task/";
    char* at = path + sizeof folder - 1;
    std::memcpy(path, folder, sizeof folder - 1);
    char digits[10];
    unsigned count = 0;
    do digits[count++] = static_cast<char>('0' + thread % 10);
    while ((thread /= 10) != 0);
    while (count > 0) *at++ = digits[--count];
    *at++ = '/';
    std::strcpy(at, file);
}

}  // namespace

int default_stop_signal() { return SIGRTMIN + 8; }

Installed install_stop_handler(int signal, void (*handler)(const StopContext&), bool on_alternate_stack) {
    const int error = errno;
    struct sigaction old {};
    struct sigaction fresh {};
    fresh.sa_sigaction = on_signal;
    fresh.sa_flags = SA_SIGINFO | SA_RESTART | (on_alternate_stack ? SA_ONSTACK : 0);
    sigfillset(&fresh.sa_mask);
    Installed result = Installed::refused;
    if (sigaction(signal, nullptr, &old) == 0) {
        const bool is_ours = (old.sa_flags & SA_SIGINFO) != 0 && old.sa_sigaction == on_signal;
        const bool is_free = old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN;
        stop_handler.store(handler, std::memory_order_release);  // release: complete before the first signal
        if (!is_ours && !is_free) result = Installed::in_use;
        else if (sigaction(signal, &fresh, nullptr) == 0) result = Installed::yes;
    }
    if (result == Installed::yes)
        stop_signal.store(signal, std::memory_order_relaxed);  // relaxed: set before any thread is known
    errno = error;
    return result;
}

Sent send_stop(std::uint32_t thread) {
    const int signal = stop_signal.load(std::memory_order_relaxed);  // relaxed: set before any thread comes
    const long result = raw::call(Call::tgkill, process_id(), thread, signal);
    if (!raw::is_error(result)) return Sent::sent;
    return result == -ESRCH ? Sent::gone : Sent::refused;
}

bool install_insistent_handler(bool (*handler)(const StopContext&)) {
    if constexpr (base::sanitized_build) return false;  // a sanitizer must know of every handler
    KernelAction now{}, ours{};
    const int model = stop_signal.load(std::memory_order_relaxed);  // relaxed: as in send_stop()
    // Another library's of our kind may stand before ours by now, and leads to it.
    if (action_of_libc.handler != nullptr) return true;
    if (!change_action(insistent_signal, nullptr, &now)) return false;
    if (!change_action(model, nullptr, &ours)) return false;
    if ((now.flags & SA_SIGINFO) == 0) return false;  // libc has none yet, and would put it in place of ours
    action_of_libc = now;
    insistent_handler.store(handler, std::memory_order_release);  // release: complete before the first signal
    ours.handler = on_insistent;
    return change_action(insistent_signal, &ours, nullptr);
}

Sent send_insistent(std::uint32_t thread) {
    const long result = raw::call(Call::tgkill, process_id(), thread, insistent_signal);
    if (!raw::is_error(result)) return Sent::sent;
    return result == -ESRCH ? Sent::gone : Sent::refused;
}

bool is_stop_signal_blocked() {
    raw::SignalSet mask = 0;
    (void)raw::call(Call::rt_sigprocmask, SIG_BLOCK, nullptr, &mask, sizeof mask);
    const int signal = stop_signal.load(std::memory_order_relaxed);  // relaxed: as in send_stop()
    return signal != 0 && (mask >> (signal - 1) & 1) != 0;
}

bool is_thread_alive(std::uint32_t thread) {
    return raw::call(Call::tgkill, process_id(), thread, 0) != -ESRCH;
}

Standing standing_of(std::uint32_t thread) {
    if (!is_thread_alive(thread)) return Standing::gone;
    char path[task_path_bytes];
    write_task_path(path, thread, "status");
    raw::ProcFile status(path);
    char state = 0;
    char line[128];
    while (status.next_line(line, sizeof line)) {
        if (std::strncmp(line, "State:\t", 7) == 0) state = line[7];
        if (std::strncmp(line, "SigBlk:\t", 8) != 0) continue;
        const char* at = line + 8;
        const std::uint64_t blocked = raw::parse_number(at, 16);
        const int signal = stop_signal.load(std::memory_order_relaxed);  // relaxed: as in send_stop()
        const bool is_there = state != 'Z' && state != 'X';
        if (is_there && (blocked >> (signal - 1) & 1) != 0) return Standing::blocks_signal;
    }
    switch (state) {
        case 'Z':
        case 'X': return Standing::gone;
        case 'T':
        case 't': return Standing::halted;
        case 'R': return Standing::runnable;
        default: return Standing::waiting;
    }
}

void wait_for(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t ns) {
    const raw::TimeSpec timeout = raw::time_spec(ns);
    (void)raw::call(Call::futex, &word, FUTEX_WAIT_PRIVATE, expected, &timeout);
}

// ---- stacks

namespace {

constexpr int guard_install = 102;  // MADV_GUARD_INSTALL, MADV_GUARD_REMOVE: Linux 6.13
constexpr int guard_remove = 103;
constexpr std::size_t frame_of_any_machine = 4096;
constexpr unsigned long least_signal_stack = 51;  // AT_MINSIGSTKSZ

struct SignalStack {
    std::uintptr_t low;
    std::int32_t flags;
    std::size_t bytes;
};

}  // namespace

bool guard_pages(void* start, std::size_t bytes) {
    if (!raw::is_error(raw::call(Call::madvise, start, bytes, guard_install))) return true;
    return !raw::is_error(raw::call(Call::mprotect, start, bytes, PROT_NONE));
}

void unguard_pages(void* start, std::size_t bytes) {
    // Both, whichever it was: memory may have been locked in between, which the first refuses.
    (void)raw::call(Call::madvise, start, bytes, guard_remove);
    (void)raw::call(Call::mprotect, start, bytes, PROT_READ | PROT_WRITE);
}

MemoryRange alternate_stack() {
    SignalStack stack{};
    (void)raw::call(Call::sigaltstack, nullptr, &stack);
    if ((stack.flags & SS_DISABLE) != 0) return {};
    return {stack.low, stack.low + stack.bytes};
}

bool set_alternate_stack(void* start, std::size_t bytes) {
    const SignalStack stack{reinterpret_cast<std::uintptr_t>(start), bytes == 0 ? SS_DISABLE : 0, bytes};
    return !raw::is_error(raw::call(Call::sigaltstack, &stack, nullptr));
}

std::size_t alternate_stack_bytes() {
    constexpr std::size_t for_handlers = std::size_t{base::sanitized_build ? 64 : 16} << 10;
    const std::size_t least = getauxval(least_signal_stack);
    return base::align_up((least < frame_of_any_machine ? frame_of_any_machine : least) + for_handlers,
                          page_bytes());
}

// ---- threads of our own

namespace {

struct Start {
    void (*entry)(void*);
    void* argument;
    const char* name;
    std::atomic<std::uint32_t> is_taken{0};  // [atomic] 1: the thread has its own copy
};

void* run(void* argument) {
    auto& start = *static_cast<Start*>(argument);
    void (*const entry)(void*) = start.entry;
    void* const own_argument = start.argument;
    (void)raw::call(Call::prctl, PR_SET_NAME, start.name);
    start.is_taken.store(1, std::memory_order_release);  // release: `start` is read no more
    base::os_wake(start.is_taken, true);                 // by address only: it may be gone already
    entry(own_argument);
    return nullptr;
}

bool create_detached(Start& start, std::size_t stack_bytes) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (stack_bytes != 0) (void)pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_t thread;
    const bool is_created = pthread_create(&thread, &attributes, run, &start) == 0;
    (void)pthread_attr_destroy(&attributes);
    return is_created;
}

}  // namespace

bool is_own_start(void* (*start)(void*)) { return start == run; }

bool spawn_thread(void (*entry)(void*), void* argument, const char* name) {
    // All but libc's own two: setuid() waits until every thread has taken one of them.
    constexpr raw::SignalSet libc_signals = raw::SignalSet{3} << 31;
    constexpr raw::SignalSet mask = raw::all_signals & ~libc_signals;
    constexpr int set_mask = 2;
    const int error = errno;
    Start start{entry, argument, name};
    raw::SignalSet old_mask = 0;
    (void)raw::call(Call::rt_sigprocmask, set_mask, &mask, &old_mask, sizeof old_mask);
    // A program with much static TLS leaves too little of a small stack: then libc's usual size.
    const bool is_created = create_detached(start, own_thread_stack_bytes) || create_detached(start, 0);
    (void)raw::call(Call::rt_sigprocmask, set_mask, &old_mask, nullptr, sizeof old_mask);
    // acquire: pairs with the release in run()
    while (is_created && start.is_taken.load(std::memory_order_acquire) == 0)
        base::os_wait(start.is_taken, 0);
    errno = error;
    return is_created;
}

int change_signal_mask(int how, const void* set, void* before, int open) {
    constexpr int of_libc[] = {32, 33};  // cancellation, and changes of user for all threads
    const auto bit = [](int signal) { return std::uint64_t{1} << (signal - 1); };
    std::uint64_t asked = 0;
    if (set != nullptr) {
        __builtin_memcpy(&asked, set, sizeof asked);
        if (how != SIG_UNBLOCK) asked &= ~(bit(open) | bit(of_libc[0]) | bit(of_libc[1]));
    }
    // The kernel's set is the first word of libc's.
    const std::uint64_t* const wanted = set == nullptr ? nullptr : &asked;
    const long done = raw::call(Call::rt_sigprocmask, how, wanted, before, sizeof asked);
    return raw::is_error(done) ? static_cast<int>(-done) : 0;
}

}  // namespace cairn::os
