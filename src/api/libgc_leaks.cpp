// Leaks: with GC_find_leak, what is unreachable and was not freed by the program is reported, then freed.
//
// In the last stop of a cycle all white objects are leaks, since nothing else is ever taken away: they are
// noted, and marked alone, so that the sweep leaves them. A thread of the program prints them, by its next
// allocation that takes the long way or in GC_gcollect, and frees them. Printed is what the original prints;
// of more than it has room for in one report, how many there are.
//
// What the program frees is sealed (heap/swept_cache.hpp) where it cannot be given back at once: else it
// would be found here.
//
// Floor: api. Locks: alloc_lock, or the world stopped.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstdlib>
#include <unistd.h>

#include "api/address_table.hpp"
#include "api/libgc.hpp"
#include "api/white_objects.hpp"
#include "os/process.hpp"

namespace cairn::api::libgc {

namespace {

constexpr std::size_t most_told = 40;

struct Caller {
    const char* file;  // [lock]
    int line;          // [lock]
    std::size_t bytes; // [lock] as asked for
};
constinit AddressTable<Caller> callers;  // [lock] alloc_lock
constinit AddressList leaks;             // [lock] alloc_lock
constinit std::atomic<std::size_t> leak_count{0};           // [atomic] written under the lock
constinit GC_describe_type_fn describers[most_kinds] = {};  // [lock] alloc_lock

const char* name_of_kind(int kind) {
    switch (kind) {
    case kind_atomic: return "PTRFREE";
    case kind_normal: return "NORMAL";
    case kind_uncollectable: return "UNCOLLECTABLE";
    case kind_atomic_uncollectable: return "ATOMIC_UNCOLLECTABLE";
    default: return nullptr;
    }
}

void tell_of(std::uintptr_t address, const Object& object) {
    auto* const pointer = reinterpret_cast<void*>(address);
    const Caller* caller = callers.find(address);
    if (caller == nullptr) {
        const bool is_atomic = object.shape->rule == heap::ScanRule::nothing;
        GC_err_printf("object at %p of appr. %lu bytes (%s)\n", pointer, object.bytes,
                      is_atomic ? "atomic" : "composite");
        return;
    }
    int kind = kind_of_shape(*object.shape, object.shape_id);
    if (kind < 0) kind = kind_normal;
    char text[GC_TYPE_DESCR_LEN + 1] = {};
    if (describers[kind] != nullptr) {
        Calling now;
        describers[kind](pointer, text);
        text[GC_TYPE_DESCR_LEN] = 0;
    } else if (const char* name = name_of_kind(kind)) {
        (void)std::snprintf(text, sizeof text, "%s", name);
    } else {
        (void)std::snprintf(text, sizeof text, "kind %d", kind);
    }
    GC_err_printf("%p (%s:%d, sz= %lu, %s)\n", pointer, caller->file, caller->line, caller->bytes, text);
}

}  // namespace

void* with_caller(void* object, std::size_t bytes, const char* file, int line) {
    if (GC_find_leak == 0 || object == nullptr) return object;
    Locked lock(self());
    const auto address = reinterpret_cast<std::uintptr_t>(object);
    Caller* entry = callers.find(address);
    if (entry == nullptr) entry = callers.add(address);
    if (entry != nullptr) *entry = {file != nullptr ? file : "", line, bytes};
    is_free_special.store(true, std::memory_order_relaxed);  // relaxed: the caller has the object
    return object;
}

void forget_caller(std::uintptr_t object) { (void)callers.remove(object); }

void find_leaks(gc::ClientSink& sink) {
    if (GC_find_leak == 0) return;
    leaks.clear();
    for_each_white([](const heap::Span&) { return true; },
                   [&](std::uintptr_t object) {
                       (void)leaks.append(object);  // without memory for it the next cycle finds it
                       sink.mark_only(object);
                   });
    leak_count.store(leaks.count(), std::memory_order_relaxed);  // relaxed: a hint
    if (leaks.count() != 0) note_pending(pending_leaks);
}

void report_leaks() {
    if (leak_count.load(std::memory_order_relaxed) == 0) return;  // relaxed: a hint
    gc::Mutator& thread = self();
    Locked lock(thread);
    std::size_t count = 0;
    // Freed since by the program, which had hidden its pointer.
    for (std::size_t i = 0; i < leaks.count(); ++i)
        if (!heap::SweptCache::was_given_back(leaks[i])) leaks[count++] = leaks[i];
    leaks.keep_first(count);
    leak_count.store(0, std::memory_order_relaxed);  // relaxed: as above
    if (count == 0) return;
    GC_err_printf("Found %lu leaked objects:\n", count);
    for (std::size_t i = 0; i < count; ++i) {
        const Object object = object_of(reinterpret_cast<const void*>(leaks[i]));
        if (object.start != leaks[i]) continue;
        if (i < most_told) tell_of(leaks[i], object);
        forget_caller(leaks[i]);
        free_disclaimed(thread, leaks[i]);
    }
    if (count > most_told) GC_err_printf("... and %lu more\n", count - most_told);
    leaks.clear();
    if (os::environment("GC_ABORT_ON_LEAK") != nullptr) std::abort();
}

}  // namespace cairn::api::libgc

using namespace cairn::api::libgc;

extern "C" {

void GC_set_find_leak(int value) { GC_find_leak = value; }
int GC_get_find_leak() { return GC_find_leak; }

// How objects of a kind that are reported look to the program.
void GC_register_describe_type_fn(int kind, GC_describe_type_fn describe) {
    if (kind < 0 || kind >= most_kinds) return;
    Locked lock(self());
    describers[kind] = describe;
}

}  // extern "C"
