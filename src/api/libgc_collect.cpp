// Cycles, roots and statistics by libgc's names.
//
// Static data of the program and of all libraries are roots, those of libraries not when GC_no_dls says so;
// GC_clear_roots leaves what is registered after it.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "api/libgc.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"
#include "os/threads.hpp"

extern "C" {
extern char __executable_start __attribute__((weak));
}

namespace cairn::api::libgc {

constinit std::uint64_t most_heap_bytes = 0;
constinit std::uint64_t least_heap_bytes = 4 << 20;
constinit std::uint64_t asked_heap_bytes = 0;
constinit GC_start_callback_proc start_callback = nullptr;

namespace {

constinit std::atomic<bool> has_cleared_roots{false};  // [atomic] static data is not dropped yet

std::uintptr_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

template <class Function>
void in_runtime(Function function) {
    gc::InRuntime in(self());
    function();
}

struct Heap {
    std::uint64_t bytes, unused, unmapped, since_gc, total, freed, given_back;
};
constinit std::atomic<std::uint64_t> given_back_before{0};  // [atomic] when the last cycle had marked

// Inside of the runtime, or where the program is called in the middle of a cycle.
Heap read_heap() {
    const gc::CollectorStats stats = collector().stats();
    const heap::SpanAlloc& spans = runtime.heap.spans();
    Heap now{};
    now.bytes = std::max(spans.in_use_bytes() + spans.backed_free_bytes(), asked_heap_bytes);
    now.unused = now.bytes - std::min(now.bytes, stats.live_bytes);
    // New memory counts as returned too: so none before some was.
    now.unmapped = std::min(spans.usage().returned_bytes, spans.returned_total_bytes());
    now.since_gc = stats.live_bytes - std::min(stats.live_bytes, stats.marked_bytes);
    now.total = stats.allocated_bytes;
    now.freed = stats.freed_bytes;
    const std::uint64_t given_back = collector().swept().shared().given_back_bytes.value();
    // relaxed: a statistic
    now.given_back = given_back - std::min(given_back, given_back_before.load(std::memory_order_relaxed));
    return now;
}

Heap heap_now() {
    if (Calling::is_now()) return read_heap();
    gc::Mutator& thread = self();
    const bool is_interrupted = thread.is_interrupted();
    gc::InRuntime in(thread);
    if (!is_interrupted) thread.cache.flush_counts();
    return read_heap();
}

constinit std::atomic<GC_stop_func> stop_func{nullptr};  // [atomic]
constinit std::atomic<GC_has_static_roots_func> has_static_roots{nullptr};  // [atomic]
constinit std::atomic<unsigned> asking{0};               // [atomic] threads in collect_now()

// A whole cycle that the calling thread waits for, with what the client wants to hear of it.
void collect_now() {
    gc::Mutator& thread = self();
    if (GC_dont_gc != 0) return;
    call_start_callback();
    asking.fetch_add(1, std::memory_order_relaxed);  // relaxed: the request for the cycle comes later
    collector().collect(thread);
    asking.fetch_sub(1, std::memory_order_relaxed);  // relaxed: as above
    pending.fetch_and(~pending_start, std::memory_order_relaxed);  // relaxed: it was called
    ask_doomed(true);
    report_leaks();
    run_pending();
    tell_heap_size();
}

// [owner] Since GC_start_performance_measurement, which the program calls before its threads.
constinit bool is_measuring = false;
constinit std::uint64_t measured_from_ns = 0;

std::uint64_t stopped_ns() {
    if (Calling::is_now()) return collector().stats().stops.total_ns;
    (void)self();
    return inside<std::uint64_t>(0, [] { return collector().stats().stops.total_ns; });
}

}  // namespace

void forget_given_back() {
    const std::uint64_t all = collector().swept().shared().given_back_bytes.value();
    given_back_before.store(all, std::memory_order_relaxed);  // relaxed: a statistic
}

void set_root_filter() {
    const auto ask = [](const char* name, std::uintptr_t low, std::uintptr_t high) {
        // acquire: pairs with GC_register_has_static_roots_callback()
        const auto call = has_static_roots.load(std::memory_order_acquire);
        Calling now;
        return call == nullptr || call(name, reinterpret_cast<void*>(low), high - low) != 0;
    };
    const bool is_wanted = has_static_roots.load(std::memory_order_relaxed) != nullptr;  // relaxed: ours
    collector().roots().filter_modules(is_wanted ? +ask : nullptr);
}

// Pointers are found by where they point, so that a program's own address tells its image.
void prepare_roots() {
    in_runtime([] {
        gc::RootSet& roots = collector().roots();
        (void)roots.exclude_module(address_of(&gc_runtime));
        if (GC_no_dls != 0) {
            if (&__executable_start != nullptr) (void)roots.add_module(address_of(&__executable_start));
        } else {
            roots.add_all_modules();
        }
        set_root_filter();
    });
}

bool is_declined_by_client() {
    const auto wants_none = stop_func.load(std::memory_order_acquire);  // acquire: what it needs
    // relaxed: see collect_now()
    if (wants_none == nullptr || asking.load(std::memory_order_relaxed) != 0) return false;
    Calling now;
    return wants_none() != 0;
}

// GC_clear_roots takes static data away only where GC_no_dls is set too, be it later: else the original would
// find it again by itself at its next collection.
void follow_cleared_roots() {
    // relaxed, both: the variable is the program's, and so is the order in which it sets it
    if (GC_no_dls == 0 || !has_cleared_roots.load(std::memory_order_relaxed)) return;
    has_cleared_roots.store(false, std::memory_order_relaxed);  // relaxed: as above
    collector().roots().remove_all_modules();
}

// A smaller divisor is a larger heap. The original lets the heap grow by a part of itself between two cycles;
// ours collects beside the program, and needs room for what is allocated meanwhile.
void read_settings() {
    if (os::environment("CAIRN_GC_PERCENT") == nullptr) {
        const GC_word divisor = std::max<GC_word>(GC_free_space_divisor, 1);
        const int percent = static_cast<int>(std::clamp<GC_word>(225 / divisor, 10, 300));
        in_runtime([=] { (void)collector().set_gc_percent(percent); });
    }
    in_runtime([] { collector().set_least_goal(least_heap_bytes); });
}

}  // namespace cairn::api::libgc

using namespace cairn::api;
using namespace cairn::api::libgc;

extern "C" {

// ---- cycles

void GC_gcollect() {
    (void)self();
    if (!is_declined_by_client()) collect_now();
}
void GC_gcollect_and_unmap() {
    collect_now();
    in_runtime([] { (void)runtime.heap.spans().scavenge(SIZE_MAX, true); });
}
int GC_try_to_collect(GC_stop_func stop) {
    (void)self();
    if (GC_dont_gc != 0 || (stop != nullptr && stop() != 0)) return 0;
    collect_now();
    return 1;
}
void GC_set_stop_func(GC_stop_func call) {
    stop_func.store(call, std::memory_order_release);  // release: what the program set up for it
}
GC_stop_func GC_get_stop_func() {
    return stop_func.load(std::memory_order_relaxed);  // relaxed: an address alone
}
// Cycles go on by themselves; so nothing is left to do.
int GC_collect_a_little() {
    (void)self();
    run_pending();
    return 0;
}
void GC_start_incremental_collection() {}
void GC_start_mark_threads() {}

void GC_disable() {
    Locked lock(self());
    if (GC_dont_gc++ == 0) (void)collector().set_mode(cairn::gc::Mode::off);
}
void GC_enable() {
    Locked lock(self());
    if (--GC_dont_gc == 0) (void)collector().set_mode(runtime.options.gc_mode);
}
int GC_is_disabled() { return GC_dont_gc != 0 ? 1 : 0; }

void GC_set_start_callback(GC_start_callback_proc call) { start_callback = call; }
GC_start_callback_proc GC_get_start_callback() { return start_callback; }

// ---- roots

void GC_add_roots(void* low, void* high) {
    bool is_done = false;
    in_runtime([&] { is_done = collector().roots().add_range(address_of(low), address_of(high)); });
    if (!is_done) stop_program("GC_add_roots: out of memory");
}
void GC_remove_roots(void* low, void* high) {
    in_runtime([=] { (void)collector().roots().remove_range(address_of(low), address_of(high)); });
}
void GC_clear_roots() {
    in_runtime([] {
        (void)collector().roots().remove_range(sizeof(void*), UINTPTR_MAX - sizeof(void*) + 1);
    });
    has_cleared_roots.store(true, std::memory_order_relaxed);  // relaxed: see follow_cleared_roots()
}
void GC_exclude_static_roots(void* low, void* high) {
    in_runtime([=] { (void)collector().roots().exclude_range(address_of(low), address_of(high)); });
}
void GC_clear_exclusion_table() {
    in_runtime([] {
        (void)collector().roots().readmit_range(sizeof(void*), UINTPTR_MAX - sizeof(void*) + 1);
    });
}
// May come before all else: then prepare_roots() sees it.
void GC_register_has_static_roots_callback(GC_has_static_roots_func call) {
    has_static_roots.store(call, std::memory_order_release);  // release: what the program set up for it
    if (cairn::api::gc_runtime.is_started()) set_root_filter();
}
int GC_is_tmp_root(void*) { return 0; }

// Every displacement is one.
void GC_register_displacement(size_t) {}
void GC_debug_register_displacement(size_t) {}

// ---- sizes

int GC_expand_hp(size_t bytes) {
    asked_heap_bytes = heap_now().bytes + bytes;
    least_heap_bytes = std::max<std::uint64_t>(least_heap_bytes, 4 << 20) + bytes;
    in_runtime([] { collector().set_least_goal(least_heap_bytes); });
    tell_heap_size();
    return 1;
}
void GC_set_max_heap_size(GC_word bytes) { most_heap_bytes = bytes; }

size_t GC_get_heap_size() { return heap_now().bytes; }
size_t GC_get_free_bytes() { return heap_now().unused; }
size_t GC_get_unmapped_bytes() { return heap_now().unmapped; }
size_t GC_get_bytes_since_gc() { return heap_now().since_gc; }
size_t GC_get_expl_freed_bytes_since_gc() { return heap_now().given_back; }
size_t GC_get_total_bytes() { return heap_now().total; }
size_t GC_get_obtained_from_os_bytes() { return cairn::os::mapped_ready(); }
size_t GC_get_memory_use() { return cairn::os::mapped_ready(); }
GC_word GC_get_gc_no() { return GC_gc_no; }

void GC_get_heap_usage_safe(GC_word* heap, GC_word* unused, GC_word* unmapped, GC_word* since_gc,
                            GC_word* total) {
    const Heap now = heap_now();
    if (heap != nullptr) *heap = now.bytes;
    if (unused != nullptr) *unused = now.unused;
    if (unmapped != nullptr) *unmapped = now.unmapped;
    if (since_gc != nullptr) *since_gc = now.since_gc;
    if (total != nullptr) *total = now.total;
}

size_t GC_get_prof_stats(GC_prof_stats_s* stats, size_t bytes) {
    const Heap now = heap_now();
    GC_prof_stats_s all{};
    all.heapsize_full = now.bytes + now.unmapped;
    all.free_bytes_full = now.unused + now.unmapped;
    all.unmapped_bytes = now.unmapped;
    all.bytes_allocd_since_gc = now.since_gc;
    all.allocd_bytes_before_gc = now.total - now.since_gc;
    all.non_gc_bytes = GC_non_gc_bytes;
    all.gc_no = GC_gc_no;
    all.markers_m1 = static_cast<GC_word>(GC_parallel);
    all.reclaimed_bytes_before_gc = now.freed;
    all.expl_freed_bytes_since_gc = now.given_back;
    all.obtained_from_os_bytes = cairn::os::mapped_ready();
    // What a later release knows beyond this is told as unknown.
    std::memset(stats, 0xff, bytes);
    std::memcpy(stats, &all, std::min(bytes, sizeof all));
    return std::min(bytes, sizeof all);
}
size_t GC_get_prof_stats_unsafe(GC_prof_stats_s* stats, size_t bytes) {
    return GC_get_prof_stats(stats, bytes);
}

void GC_start_performance_measurement() {
    if (!is_measuring) measured_from_ns = stopped_ns();
    is_measuring = true;
}
// What the program waited in stops; the original's cycles are one stop.
unsigned long GC_get_full_gc_total_time() {
    return is_measuring ? (stopped_ns() - measured_from_ns) / 1'000'000 : 0;
}

}  // extern "C"
