// What is printed, where to, and how a program ends that uses the interface wrongly; all objects there are.
//
// GC_LOG_FILE takes all that this library prints by the original's names; with GC_ONLY_LOG_TO_FILE the log
// alone. Cairn's own lines, as those of CAIRN_TRACE, stay on stderr.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "api/libgc.hpp"
#include "api/white_objects.hpp"
#include "os/process.hpp"

extern "C" {

static void report_abort(const char* message) {
    if (message != nullptr) cairn::base::report(message);
}

// Of the original's variables, in no header.
__attribute__((visibility("default"))) extern GC_abort_func GC_on_abort;
GC_abort_func GC_on_abort = report_abort;

}  // extern "C"

namespace cairn::api::libgc {

namespace {

// [owner] All: settings of the program's, made before its threads.
constinit int out_file = STDOUT_FILENO;
constinit int error_file = STDERR_FILENO;
constinit int log_file = STDERR_FILENO;

// ---- runs of slots that no thread was handed yet: they count as in use, and are nobody's objects

constinit bool is_stopped = false;  // [lock] alloc_lock; by the program
constinit AddressList unused_runs;  // [lock] alloc_lock; starts and ends in turn

void note_unused_runs() {
    gc::Mutator& thread = self();
    gc::World& world = collector().world();
    unused_runs.clear();
    if (!is_stopped && !world.stop_all(&thread.thread)) return;
    const unsigned shapes = collector().swept().centrals().shapes().count();
    world.for_each([&](gc::ThreadRecord& record) {
        const heap::AllocationRun* runs = gc::Mutator::of(record).cache.runs();
        for (unsigned shape = 0; shape < shapes; ++shape)
            if (runs[shape].cursor != runs[shape].limit)
                (void)(unused_runs.append(runs[shape].cursor) && unused_runs.append(runs[shape].limit));
    });
    if (!is_stopped) world.resume_all();
    unused_runs.sort();
}

}  // namespace

void stop_program(const char* message) {
    GC_on_abort(message);
    std::abort();
}

void note_external_stop(bool now) { is_stopped = now; }

void read_output_settings() {
    const char* name = os::environment("GC_LOG_FILE");
    if (name == nullptr) return;
    const int file = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0) return base::report("GC_LOG_FILE cannot be opened");
    log_file = file;
    if (os::environment("GC_ONLY_LOG_TO_FILE") == nullptr) out_file = error_file = file;
}

}  // namespace cairn::api::libgc

using namespace cairn::api::libgc;

extern "C" {

void GC_set_log_fd(int file) { log_file = file; }

void GC_printf(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vdprintf(out_file, format, arguments);
    va_end(arguments);
}
void GC_err_printf(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vdprintf(error_file, format, arguments);
    va_end(arguments);
}
__attribute__((visibility("default"), format(printf, 1, 2))) void GC_log_printf(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vdprintf(log_file, format, arguments);
    va_end(arguments);
}

// ---- the end

void GC_set_abort_func(GC_abort_func call) { GC_on_abort = call; }
GC_abort_func GC_get_abort_func() { return GC_on_abort; }
// For GC_set_oom_fn: no crash, an exit.
void GC_abort_on_oom() {
    GC_err_printf("Insufficient memory for the allocation\n");
    GC_on_abort(nullptr);
    std::exit(1);
}

// ---- for people

void GC_dump_named(const char* name) {
    GC_printf("%s%scairn: heap %lu KiB, unused %lu KiB, %lu cycles, allocated %lu KiB in all\n",
              name != nullptr ? name : "", name != nullptr ? ": " : "", GC_get_heap_size() >> 10,
              GC_get_free_bytes() >> 10, GC_gc_no, GC_get_total_bytes() >> 10);
}
void GC_dump() { GC_dump_named(nullptr); }
void GC_dump_finalization() {
    Locked lock(self());
    GC_printf("cairn: %lu short links, %lu long links, %lu objects with a finalizer\n", link_count(false),
              link_count(true), finalizer_count());
}
void GC_dump_regions() { GC_dump(); }
void GC_print_free_list(int, size_t) {}

// Every object that the last cycle left, and every new one. Needs: the lock of GC_call_with_alloc_lock.
void GC_enumerate_reachable_objects_inner(GC_reachable_object_proc call, void* data) {
    note_unused_runs();
    cairn::heap::SpanAlloc& spans = cairn::api::runtime.heap.spans();
    spans.addresses().for_each_span_start([&](std::uintptr_t, const cairn::heap::Span* span) {
        if (span == nullptr || !span->is_alive() || !cairn::heap::is_swept(span->kind)) return;
        for (size_t slot = 0; slot < span->slots; ++slot) {
            const std::uintptr_t object = span->slot_address(slot);
            if (!spans.objects().is_allocated(object) || unused_runs.count_to(object) % 2 != 0) continue;
            if (cairn::heap::SweptCache::was_given_back(object)) continue;
            call(reinterpret_cast<void*>(object), span->is_large() ? span->bytes() : span->slot_bytes, data);
        }
    });
}

}  // extern "C"
