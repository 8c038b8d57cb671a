// The variables of the Boehm collector's interface, the first use, and its environment.
//
// The variables are live: a client writes them itself or through a setter, and each is read where it matters.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "api/libgc.hpp"
#include "os/process.hpp"

extern "C" {

// Where the first thread's stack begins; of the dynamic linker.
extern void* __libc_stack_end __attribute__((weak));

static void* no_memory(size_t) { return nullptr; }
static void no_more_roots() {}
static void print_warning(char* format, GC_word argument) {
    cairn::api::libgc::warn(format, argument);
}
static void stop_at(const char* what) { cairn::api::libgc::stop_program(what); }
static void not_same(void*, void*) { stop_at("GC_same_obj: two addresses that are not in one object"); }
static void not_valid(void*) { stop_at("GC_is_valid_displacement: a displacement that was not registered"); }
static void not_visible(void*) { stop_at("GC_is_visible: an address that the collector does not scan"); }

#define EXPORTED __attribute__((visibility("default")))

GC_word GC_gc_no = 0;
int GC_parallel = 1;
GC_oom_func GC_oom_fn = no_memory;
GC_on_heap_resize_proc GC_on_heap_resize = nullptr;
int GC_find_leak = 0;
int GC_all_interior_pointers = 1;
int GC_finalize_on_demand = 0;
int GC_java_finalization = 1;
GC_finalizer_notifier_proc GC_finalizer_notifier = nullptr;
int GC_dont_gc = 0;
int GC_dont_expand = 0;
int GC_use_entire_heap = 0;
int GC_full_freq = 19;
GC_word GC_non_gc_bytes = 0;
int GC_no_dls = 0;
GC_word GC_free_space_divisor = 3;
GC_word GC_max_retries = 0;
char* GC_stackbottom = nullptr;
int GC_dont_precollect = 0;
unsigned long GC_time_limit = 15;
void (*GC_same_obj_print_proc)(void*, void*) = not_same;
void (*GC_is_valid_displacement_print_proc)(void*) = not_valid;
void (*GC_is_visible_print_proc)(void*) = not_visible;
GC_push_other_roots_proc GC_push_other_roots = no_more_roots;
// All there is of user space: whatever arena is made later lies in it.
void* GC_least_plausible_heap_addr = reinterpret_cast<void*>(0x1000);
void* GC_greatest_plausible_heap_addr = reinterpret_cast<void*>(0x7fff'ffff'f000);
int GC_gcj_kind = 0;
int GC_gcj_debug_kind = 0;

// Of the original's inside; exported by it, so exported here, and used by nobody.
EXPORTED char GC_arrays[0x2c9f0] = {};
EXPORTED extern const size_t GC_debug_header_size;
const size_t GC_debug_header_size = 0;
EXPORTED void** GC_objfreelist_ptr = reinterpret_cast<void**>(GC_arrays);
EXPORTED void** GC_aobjfreelist_ptr = reinterpret_cast<void**>(GC_arrays);
EXPORTED void** GC_uobjfreelist_ptr = reinterpret_cast<void**>(GC_arrays);
EXPORTED void** GC_auobjfreelist_ptr = reinterpret_cast<void**>(GC_arrays);

}  // extern "C"

namespace cairn::api::libgc {

constinit std::size_t extra_bytes = 1;
constinit AllocLock alloc_lock;
constinit std::atomic<std::uint32_t> pending{0};

namespace {

constinit GC_warn_proc warn_proc = print_warning;  // [owner] the program sets it before its threads
// Objects that a cycle of finalizers keeps, since the last warning.
constexpr std::size_t most_in_cycle = 64;
constinit std::atomic<std::uintptr_t> in_cycle[most_in_cycle] = {};  // [atomic]
constinit std::atomic<std::size_t> in_cycle_count{0};                // [atomic]
constinit pthread_once_t once = PTHREAD_ONCE_INIT;
constinit std::atomic<bool> is_ready{false};  // [atomic]

// A number of bytes with k, M or G behind it; 0 when it is none.
std::uint64_t bytes_of(const char* text) {
    std::uint64_t number = 0;
    for (; *text >= '0' && *text <= '9'; ++text) number = number * 10 + static_cast<unsigned>(*text - '0');
    switch (*text) {
    case 'k': case 'K': return number << 10;
    case 'm': case 'M': return number << 20;
    case 'g': case 'G': return number << 30;
    default: return number;
    }
}

// The variables of the original that say something here; the others are let pass (docs/libgc.md).
void read_environment() {
    Options& options = runtime.options;
    if (os::environment("GC_PRINT_STATS") != nullptr || os::environment("GC_PRINT_VERBOSE_STATS") != nullptr)
        options.trace_gc = true;
    if (os::environment("GC_DONT_GC") != nullptr) GC_dont_gc = 1;
    if (os::environment("GC_FIND_LEAK") != nullptr) GC_find_leak = 1;
    read_output_settings();
    if (const char* text = os::environment("GC_PAUSE_TIME_TARGET");
        text != nullptr && os::environment("CAIRN_GC_STOP_MS") == nullptr)
        options.gc_stop_ms = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes_of(text), 10'000));
    if (os::environment("GC_ALL_INTERIOR_POINTERS") != nullptr) GC_all_interior_pointers = 1;
    if (const char* text = os::environment("GC_INITIAL_HEAP_SIZE"))
        asked_heap_bytes = least_heap_bytes = bytes_of(text);
    if (const char* text = os::environment("GC_MAXIMUM_HEAP_SIZE")) most_heap_bytes = bytes_of(text);
    if (const char* text = os::environment("GC_FREE_SPACE_DIVISOR"))
        if (const std::uint64_t divisor = bytes_of(text); divisor != 0) GC_free_space_divisor = divisor;
}

constexpr gc::ClientMarking make_client() {
    gc::ClientMarking client;
    client.may_begin = [] {
        follow_cleared_roots();
        return GC_dont_gc == 0 && !is_declined_by_client();
    };
    client.push_roots = [](gc::ClientSink& sink) {
        push_client_roots(sink);
        push_finalizers(sink);
        note_pending(pending_start);
    };
    client.scan_deferred = scan_deferred;
    client.describe = describe;
    client.all_marked = finish_finalizers;
    client.ended = [] {
        ++GC_gc_no;
        note_pending(pending_end);
    };
    client.event = on_cycle_event;
    return client;
}
constinit const gc::ClientMarking client = make_client();

void start() {
    if (!runtime.ensure_started()) base::fatal("no memory for the collector");
    read_environment();
    extra_bytes = GC_all_interior_pointers != 0 ? 1 : 0;
    GcRuntime::use_client(client);
    if (!gc_runtime.ensure_started() || gc_runtime.attach_thread() == nullptr)
        base::fatal("no memory for the collector");
    if (GC_stackbottom == nullptr && &__libc_stack_end != nullptr)
        GC_stackbottom = static_cast<char*>(__libc_stack_end);
    prepare_roots();
    read_settings();
    is_ready.store(true, std::memory_order_release);  // release: all of the above, to GC_is_init_called()
}

}  // namespace

gc::Mutator& start_self() {
    pthread_once(&once, start);
    gc::Mutator* thread = gc_runtime.attach_thread();
    if (thread == nullptr) base::fatal("no memory for another thread");
    return *thread;
}

void warn(const char* format, GC_word argument) { GC_err_printf(format, argument); }

void note_finalization_cycle(std::uintptr_t object) {
    // relaxed, both: the world is stopped, and who takes them has been told by note_pending()
    const std::size_t count = in_cycle_count.load(std::memory_order_relaxed);
    if (count == most_in_cycle) return;
    in_cycle[count].store(object, std::memory_order_relaxed);            // relaxed: as above
    in_cycle_count.store(count + 1, std::memory_order_relaxed);  // relaxed: as above
}

static void warn_of_cycles() {
    const std::size_t count = in_cycle_count.exchange(0, std::memory_order_relaxed);  // relaxed: as above
    for (std::size_t i = 0; i < count; ++i)
        warn_proc(const_cast<char*>("GC Warning: Finalization cycle involving %p\n"),
                  in_cycle[i].load(std::memory_order_relaxed));  // relaxed: as above
}

void call_start_callback() {
    if (start_callback != nullptr) start_callback();
}

void run_pending_slow() {
    const std::uint32_t what = pending.exchange(0, std::memory_order_acquire);  // acquire: note_pending()
    if ((what & pending_start) != 0) call_start_callback();
    if ((what & pending_warning) != 0) warn_of_cycles();
    if ((what & pending_disclaim) != 0) ask_doomed(false);
    if ((what & pending_leaks) != 0) report_leaks();
    if ((what & pending_finalizers) == 0) return;
    {
        Locked lock(self());
        tell_of_queued();
    }
    if (GC_finalize_on_demand == 0) {
        (void)GC_invoke_finalizers();
    } else if (GC_finalizer_notifier != nullptr) {
        GC_finalizer_notifier();
    }
}

}  // namespace cairn::api::libgc

using namespace cairn::api::libgc;

extern "C" {

void GC_init() { (void)self(); }
int GC_is_init_called() {
    return is_ready.load(std::memory_order_acquire) ? 1 : 0;  // acquire: pairs with start()
}
void GC_deinit() {}
unsigned GC_get_version() { return GC_VERSION; }

void GC_set_warn_proc(GC_warn_proc call) { warn_proc = call; }
GC_warn_proc GC_get_warn_proc() { return warn_proc; }
void GC_ignore_warn_proc(char*, GC_word) {}

// At exit, the last leaks, and the report that the options ask for.
__attribute__((destructor)) static void at_exit() {
    using cairn::api::runtime;
    if (GC_find_leak != 0 && cairn::api::gc_runtime.is_started()) GC_gcollect();
    if (!cairn::api::gc_runtime.is_started() || runtime.options.report == cairn::api::ReportFormat::none)
        return;
    const cairn::gc::CollectorStats stats = cairn::api::inside<cairn::gc::CollectorStats>(
        {}, [] { return collector().stats(); });
    runtime.report_if_asked(&stats);
}

}  // extern "C"
