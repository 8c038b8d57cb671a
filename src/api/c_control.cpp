// The C interface to the collector as a whole: cycles, settings, statistics, threads, fibers, questions.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstring>
#include <new>

#include "api/gc_runtime.hpp"
#include "api/inside.hpp"
#include "cairn/cairn.h"
#include "heap/stack_spans.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"

namespace cairn::api {
namespace {

static_assert(CAIRN_GC_OFF == static_cast<int>(gc::Mode::off));
static_assert(CAIRN_GC_STW == static_cast<int>(gc::Mode::stw));
static_assert(CAIRN_GC_CONCURRENT == static_cast<int>(gc::Mode::concurrent));

gc::Collector& collector() {
    return gc_runtime.collector;
}

// Records of fibers, each of which is a cairn_fiber.
class Fibers {
public:
    constexpr Fibers() = default;

    [[nodiscard]] gc::FiberRecord* make() {
        prepare();
        void* memory = pool_.allocate();
        return memory == nullptr ? nullptr : new (memory) gc::FiberRecord;
    }
    void free(gc::FiberRecord* fiber) { pool_.free(fiber); }

private:
    void prepare() {
        base::Guard guard(lock_);
        if (is_ready_) return;
        pool_.initialize(runtime.heap.spans().metadata());
        is_ready_ = true;
    }

    base::RankedLock<base::Rank::runtime> lock_;
    bool is_ready_ = false;  // [lock]
    pages::TypedPool<gc::FiberRecord> pool_;
};
constinit Fibers fibers;

gc::FiberRecord* record_of(cairn_fiber* fiber) {
    return reinterpret_cast<gc::FiberRecord*>(fiber);
}

void fill(cairn_stats_t& to, const gc::CollectorStats& from) {
    to.cycles = from.cycles;
    to.forced_cycles = from.forced_cycles;
    to.stops = from.stops.count;
    to.stop_last_ns = from.stops.last_ns;
    to.stop_max_ns = from.stops.max_ns;
    to.stop_total_ns = from.stops.total_ns;
    to.stop_p50_ns = from.stops.percentile(0.5);
    to.stop_p99_ns = from.stops.percentile(0.99);
    to.stop_p999_ns = from.stops.percentile(0.999);
    to.heap_live_bytes = from.live_bytes;
    to.heap_marked_bytes = from.marked_bytes;
    to.heap_goal_bytes = from.goal_bytes;
    to.heap_trigger_bytes = from.trigger_bytes;
    to.heap_objects = from.allocated_objects - std::min(from.freed_objects, from.allocated_objects);
    to.allocated_bytes = from.allocated_bytes;
    to.allocated_objects = from.allocated_objects;
    to.freed_bytes = from.freed_bytes;
    to.freed_objects = from.freed_objects;
    to.assist_ns = from.assist_ns;
    to.worker_ns = from.worker_ns;
    to.dirty_pages = from.dirty_pages;
    to.barrier_flushes = from.barrier_flushes;
    to.memory_limit_bytes = from.memory_limit;
    to.gc_percent = from.gc_percent;
    to.mode = static_cast<int32_t>(from.mode);
    to.threads = from.threads;
}

}  // namespace
}  // namespace cairn::api

using namespace cairn::api;

extern "C" {

// ---- the collector

CAIRN_API void cairn_collect(void) noexcept {
    if (cairn::gc::Mutator* thread = current_mutator()) collector().collect(*thread);
}

CAIRN_API int cairn_gc_percent(int percent) noexcept {
    return inside<int>(percent, [=] {
        return percent == CAIRN_ASK ? collector().stats().gc_percent : collector().set_gc_percent(percent);
    });
}

CAIRN_API uint64_t cairn_memory_limit(uint64_t bytes) noexcept {
    return inside<uint64_t>(bytes, [=] {
        return bytes == 0 ? collector().stats().memory_limit : collector().set_memory_limit(bytes);
    });
}

CAIRN_API int cairn_gc_mode(int mode) noexcept {
    return inside<int>(mode, [=] {
        const bool is_mode = mode >= CAIRN_GC_OFF && mode <= CAIRN_GC_CONCURRENT;
        return static_cast<int>(is_mode ? collector().set_mode(static_cast<cairn::gc::Mode>(mode))
                                        : collector().stats().mode);
    });
}

CAIRN_API void cairn_stats(cairn_stats_t* stats CAIRN_NOESCAPE) noexcept {
    cairn_stats_t now{};
    inside<int>(0, [&] {
        fill(now, collector().stats());
        cairn::gc::FinalizerQueue& queue = collector().finalizer().queue();
        now.finalizers_queued = queue.appended_total();
        now.finalizers_run = queue.finished_total();
        now.mapped_bytes = cairn::os::mapped_ready();
        now.released_bytes = runtime.heap.spans().returned_total_bytes();
        return 0;
    });
    now.size = std::min(stats->size, sizeof now);
    std::memcpy(stats, &now, now.size);
}

// ---- threads

CAIRN_API int cairn_attach_thread(void) noexcept {
    return current_mutator() == nullptr ? -1 : 0;
}
CAIRN_API void cairn_detach_thread(void) noexcept {
    gc_runtime.detach_thread();
}

CAIRN_API void cairn_blocking_begin(void) noexcept {
    cairn::gc::Mutator* thread = current_mutator();
    if (thread == nullptr) return;
    thread->is_allocating = true;  // it may not, until it ends
    cairn::gc::World::enter_blocking(thread->thread);
}
CAIRN_API void cairn_blocking_end(void) noexcept {
    if (mutator == nullptr || mutator->thread.blocking_depth == 0) return;
    const bool is_last = mutator->thread.blocking_depth == 1;
    cairn::gc::World::leave_blocking(mutator->thread);
    if (is_last) mutator->is_allocating = false;
}

// ---- fibers

CAIRN_API int cairn_stack_alloc(cairn_stack* stack CAIRN_NOESCAPE, size_t size) noexcept {
    const cairn::heap::FiberStack made =
        inside<cairn::heap::FiberStack>({}, [=] { return collector().make_stack(*mutator, size); });
    if (!made) return -1;
    stack->low = reinterpret_cast<void*>(made.low());
    stack->size = made.bytes - made.low_bytes;
    stack->kept[0] = made.start;
    stack->kept[1] = made.bytes;
    stack->kept[2] = made.low_bytes;
    stack->kept[3] = made.is_guarded ? 1 : 0;
    return 0;
}

CAIRN_API void cairn_stack_free(const cairn_stack* stack CAIRN_NOESCAPE) noexcept {
    if (stack->kept[1] == 0) return;
    inside<int>(0, [=] {
        collector().free_stack(
            *mutator, {stack->kept[0], stack->kept[1], stack->kept[2], stack->kept[3] != 0});
        return 0;
    });
}

CAIRN_API cairn_fiber* cairn_fiber_create(void* low, size_t size, int kind) noexcept {
    const auto start = reinterpret_cast<std::uintptr_t>(low);
    return inside<cairn_fiber*>(nullptr, [=]() -> cairn_fiber* {
        cairn::gc::FiberRecord* fiber = fibers.make();
        if (fiber == nullptr) return nullptr;
        collector().world().add_fiber(*fiber, {start, start + size}, kind != CAIRN_FIBER_SILENT);
        return reinterpret_cast<cairn_fiber*>(fiber);
    });
}

CAIRN_API void cairn_fiber_destroy(cairn_fiber* fiber CAIRN_NOESCAPE) noexcept {
    if (fiber == nullptr) return;
    inside<int>(0, [=] {
        collector().world().remove_fiber(*record_of(fiber));
        fibers.free(record_of(fiber));
        return 0;
    });
}

CAIRN_API void cairn_fiber_switch(cairn_fiber* to) noexcept {
    if (cairn::gc::Mutator* thread = current_mutator())
        cairn::gc::World::switch_fiber(thread->thread, record_of(to));
}

CAIRN_API cairn_fiber* cairn_fiber_current(void) noexcept {
    return mutator == nullptr ? nullptr : reinterpret_cast<cairn_fiber*>(mutator->thread.fiber);
}

// ---- asking

CAIRN_API void* cairn_object_base(const void* pointer) noexcept {
    return inside<void*>(nullptr, [=] { return reinterpret_cast<void*>(collector().find(pointer).start); });
}

CAIRN_API size_t cairn_object_size(const void* pointer CAIRN_NOESCAPE) noexcept {
    return inside<size_t>(0, [=] {
        const cairn::gc::CollectedObject object = collector().find(pointer);
        return object ? object.span->slot_bytes : 0;
    });
}

CAIRN_API int cairn_is_collected(const void* pointer CAIRN_NOESCAPE) noexcept {
    return inside<int>(0, [=] { return collector().find(pointer) ? 1 : 0; });
}

}  // extern "C"
