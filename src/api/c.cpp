// The C interface, but for allocation: roots, weak handles, ephemeron maps, finalizers.
//
// Each function attaches the calling thread if need be, enters the runtime, and asks the part of the
// collector whose business it is. Handles are those parts' own records under an opaque name.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include "cairn/cairn.h"

#include <atomic>
#include <cstdlib>

#include "api/gc_runtime.hpp"
#include "api/inside.hpp"

namespace cairn::api {
namespace {

using gc::Attached;

gc::Finalizer& finalizer() {
    return gc_runtime.collector.finalizer();
}
gc::RootSet& roots() {
    return gc_runtime.collector.roots();
}

gc::WeakCell* cell_of(cairn_weak* weak) {
    return reinterpret_cast<gc::WeakCell*>(weak);
}
gc::EphemeronMap* map_of(cairn_ephemerons* map) {
    return reinterpret_cast<gc::EphemeronMap*>(map);
}

// [low, high) cut to whole words; empty when nothing is left.
struct Words {
    Words(const void* from, const void* to)
        : low((reinterpret_cast<std::uintptr_t>(from) + 7) & ~std::uintptr_t{7}),
          high(reinterpret_cast<std::uintptr_t>(to) & ~std::uintptr_t{7}) {
        if (high < low) high = low;
    }
    std::uintptr_t low, high;
};

int status(bool is_done) {
    return is_done ? 0 : -1;
}

// The last one set is the object's finalizer.
bool replace_finalizer(void* object, void (*function)(void*, void*), void* argument) {
    for (;;) {
        const Attached done = finalizer().set_finalizer(object, function, argument);
        if (done != Attached::already) return done == Attached::ok;
        finalizer().remove_finalizer(object);
    }
}

// After something was attached, from outside the runtime.
void start_finalizer_thread() {
    finalizer().runner().start_if_wanted();
}

constinit std::atomic<int> finalizes_at_exit{0};  // [atomic]

// Calls every finalizer and cleanup there is, those that these attach not included.
void finalize_all() {
    // relaxed: a setting of the program's
    if (finalizes_at_exit.load(std::memory_order_relaxed) == 0 || current_mutator() == nullptr) return;
    finalizer().runner().set_mode(gc::FinalizerMode::drain);
    bool is_queued = false;
    while (!is_queued) {
        cairn_collect();
        is_queued = inside<bool>(true, [] {
            if (gc_runtime.collector.is_marking()) return false;  // the next cycle has begun already
            finalizer().queue_all();
            return true;
        });
    }
    finalizer().runner().run_pending();
}

// Static data that is the collector's own: it names objects that nobody holds.
bool exclude_own_data() {
    const auto exclude = [](const auto& object) {
        const auto low = reinterpret_cast<std::uintptr_t>(&object);
        return roots().exclude_range(low, low + sizeof object);
    };
    return exclude(gc_runtime) && exclude(runtime);
}

}  // namespace
}  // namespace cairn::api

using namespace cairn::api;

extern "C" {

// ---- roots

CAIRN_API void** cairn_root_create(void* initial) noexcept {
    return inside<void**>(nullptr, [=]() -> void** {
        cairn::gc::RootCell* cell = roots().cells().allocate();
        if (cell == nullptr) return nullptr;
        roots().cells().set(cell, initial);
        return reinterpret_cast<void**>(cell);
    });
}

CAIRN_API void cairn_root_destroy(void** root CAIRN_NOESCAPE) noexcept {
    if (root == nullptr) return;
    inside<int>(0, [=] {
        roots().cells().free(reinterpret_cast<cairn::gc::RootCell*>(root));
        return 0;
    });
}

CAIRN_API int cairn_roots_add_range(const void* low, const void* high) noexcept {
    const Words range(low, high);
    return inside<int>(-1, [=] { return status(roots().add_range(range.low, range.high)); });
}

CAIRN_API void cairn_roots_remove_range(const void* low CAIRN_NOESCAPE,
                                        const void* high CAIRN_NOESCAPE) noexcept {
    const Words range(low, high);
    inside<int>(0, [=] { return status(roots().remove_range(range.low, range.high)); });
}

CAIRN_API int cairn_roots_exclude(const void* low, const void* high) noexcept {
    const Words range(low, high);
    return inside<int>(-1, [=] { return status(roots().exclude_range(range.low, range.high)); });
}

CAIRN_API int cairn_roots_add_module(const void* address CAIRN_NOESCAPE) noexcept {
    return inside<int>(-1, [=] {
        if (!exclude_own_data()) return -1;
        if (address != nullptr) return status(roots().add_module(reinterpret_cast<std::uintptr_t>(address)));
        roots().add_all_modules();
        return 0;
    });
}

// ---- weak handles

CAIRN_API cairn_weak* cairn_weak_create(void* object) noexcept {
    return inside<cairn_weak*>(
        nullptr, [=] { return reinterpret_cast<cairn_weak*>(finalizer().weak().create(object)); });
}

CAIRN_API cairn_weak* cairn_weak_copy(cairn_weak* weak) noexcept {
    return inside<cairn_weak*>(nullptr, [=] {
        finalizer().weak().retain(cell_of(weak));
        return weak;
    });
}

CAIRN_API void cairn_weak_destroy(cairn_weak* weak CAIRN_NOESCAPE) noexcept {
    if (weak == nullptr) return;
    inside<int>(0, [=] {
        finalizer().weak().release(cell_of(weak));
        return 0;
    });
}

CAIRN_API void* cairn_weak_get(cairn_weak* weak CAIRN_NOESCAPE) noexcept {
    if (weak == nullptr) return nullptr;
    return inside<void*>(nullptr, [=] { return finalizer().weak().get(cell_of(weak)); });
}

// ---- ephemeron maps

CAIRN_API cairn_ephemerons* cairn_ephemerons_create(void) noexcept {
    return inside<cairn_ephemerons*>(
        nullptr, [] { return reinterpret_cast<cairn_ephemerons*>(finalizer().ephemerons().create()); });
}

CAIRN_API void cairn_ephemerons_destroy(cairn_ephemerons* map CAIRN_NOESCAPE) noexcept {
    if (map == nullptr) return;
    inside<int>(0, [=] {
        finalizer().ephemerons().destroy(map_of(map));
        return 0;
    });
}

CAIRN_API void* cairn_ephemerons_get(cairn_ephemerons* map CAIRN_NOESCAPE,
                                     const void* key CAIRN_NOESCAPE) noexcept {
    return inside<void*>(nullptr, [=] {
        void* value = nullptr;
        finalizer().ephemerons().get(*map_of(map), key, value);
        return value;
    });
}

CAIRN_API int cairn_ephemerons_set(cairn_ephemerons* map CAIRN_NOESCAPE, void* key, void* value) noexcept {
    return inside<int>(-1, [=] { return status(finalizer().ephemerons().set(*map_of(map), key, value)); });
}

CAIRN_API int cairn_ephemerons_remove(cairn_ephemerons* map CAIRN_NOESCAPE,
                                      const void* key CAIRN_NOESCAPE) noexcept {
    return inside<int>(0, [=] { return finalizer().ephemerons().remove(*map_of(map), key) ? 1 : 0; });
}

CAIRN_API size_t cairn_ephemerons_count(cairn_ephemerons* map CAIRN_NOESCAPE) noexcept {
    return inside<size_t>(0, [=] { return size_t{finalizer().ephemerons().count(*map_of(map))}; });
}

// ---- finalizers and cleanups

CAIRN_API int cairn_set_finalizer(void* object, void (*function)(void* object, void* argument),
                                  void* argument) noexcept {
    const int done = inside<int>(-1, [=] {
        if (function != nullptr) return status(replace_finalizer(object, function, argument));
        finalizer().remove_finalizer(object);
        return 0;
    });
    if (done == 0 && function != nullptr) start_finalizer_thread();
    return done;
}

CAIRN_API uint64_t cairn_add_cleanup(void* object, void (*function)(void* argument),
                                     void* argument) noexcept {
    const uint64_t id =
        inside<uint64_t>(0, [=] { return finalizer().add_cleanup(object, function, argument); });
    if (id != 0) start_finalizer_thread();
    return id;
}

CAIRN_API int cairn_cancel_cleanup(uint64_t cleanup) noexcept {
    return inside<int>(0, [=] { return finalizer().cancel_cleanup(cleanup) ? 1 : 0; });
}

CAIRN_API int cairn_finalizer_mode(int mode) noexcept {
    using cairn::gc::FinalizerMode;
    if (current_mutator() == nullptr) return CAIRN_FINALIZER_THREAD;
    cairn::gc::FinalizerRunner& runner = finalizer().runner();
    const bool was_drain = runner.mode() == FinalizerMode::drain;
    if (mode != CAIRN_ASK) {
        runner.set_mode(mode == CAIRN_FINALIZER_DRAIN ? FinalizerMode::drain : FinalizerMode::thread);
        runner.start_if_wanted();
    }
    return was_drain ? CAIRN_FINALIZER_DRAIN : CAIRN_FINALIZER_THREAD;
}

CAIRN_API int cairn_finalize_at_exit(int on) noexcept {
    static constinit std::atomic<bool> is_registered{false};  // [atomic]
    // acq_rel: registered once
    if (on != 0 && !is_registered.exchange(true, std::memory_order_acq_rel)) std::atexit(finalize_all);
    // relaxed: a setting of the program's
    return finalizes_at_exit.exchange(on != 0 ? 1 : 0, std::memory_order_relaxed);
}

CAIRN_API size_t cairn_run_finalizers(size_t max) noexcept {
    return current_mutator() == nullptr ? 0 : finalizer().runner().run_pending(max);
}

}  // extern "C"
