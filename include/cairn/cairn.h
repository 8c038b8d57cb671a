// Cairn for C and for language runtimes: a heap whose objects free themselves, collected beside the program.
//
// Pointers are plain pointers; objects never move; a pointer into an object, or one past its end, keeps it.
// What lies on a stack or in a register of an attached thread is found by itself. What lies in static data or
// in malloc's memory is not: give it a root (cairn_root_create, cairn_roots_*). Threads attach by themselves.
//
// A type says once what its objects hold:
//   CAIRN_NOSCAN        no pointers into this heap;
//   CAIRN_TYPED         pointers at the words of `pointer_map`: every store into one goes through
//                       cairn_store() (bulk: cairn_store_many, cairn_clear_many), or an object may be lost;
//   CAIRN_CONSERVATIVE  anything, written in any way: the kernel says which pages were written.
// Every function may be called from any thread at any time, but not from a signal handler that interrupted
// one of them. None throws. A function whose parameter is CAIRN_NOESCAPE keeps nothing of it.
// SPDX-License-Identifier: MIT
#ifndef CAIRN_CAIRN_H
#define CAIRN_CAIRN_H

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#define CAIRN_NOESCAPE __attribute__((noescape))
#else
#define CAIRN_NOESCAPE
#endif
#ifdef __cplusplus
#define CAIRN_NOEXCEPT noexcept
#else
#define CAIRN_NOEXCEPT
#endif
#define CAIRN_API __attribute__((visibility("default")))
#define CAIRN_ALLOCATOR(...) \
    __attribute__((malloc, warn_unused_result, assume_aligned(16), alloc_size(__VA_ARGS__)))

#ifdef __cplusplus
extern "C" {
#endif

// ---- types

enum { CAIRN_NOSCAN = 1, CAIRN_TYPED = 2, CAIRN_CONSERVATIVE = 3 };

// A type, as a constant that lives as long as its objects (keep a library loaded while they live).
typedef struct cairn_type {
    uint32_t size;       // of one object, or of one element of an array
    uint32_t align;      // a power of two; 16 is given anyway
    uint32_t kind;       // CAIRN_NOSCAN, CAIRN_TYPED or CAIRN_CONSERVATIVE
    uint32_t map_words;  // words the map covers: size / 8
    // Bit i of element i / 64: word i holds a pointer or NULL. NULL when the kind is not CAIRN_TYPED.
    const uint64_t* pointer_map;
    void (*destroy)(void* object);  // called by cairn_alloc_finalized's finalizer; NULL: none
    const char* name;               // for reports
    uint32_t* shape;                // a cell of the runtime's: one a type, zero at first, never NULL
} cairn_type;

// ---- allocation: zeroed unless it says otherwise, aligned to 16 bytes or more; NULL when out of memory

CAIRN_API void* cairn_alloc(size_t size, const cairn_type* type) CAIRN_NOEXCEPT CAIRN_ALLOCATOR(1);
// The same, but never moved to the stack by the escape pass.
CAIRN_API void* cairn_alloc_heap(size_t size, const cairn_type* type) CAIRN_NOEXCEPT CAIRN_ALLOCATOR(1);
// The same; type->destroy runs when the object is unreachable.
CAIRN_API void* cairn_alloc_finalized(size_t size, const cairn_type* type) CAIRN_NOEXCEPT CAIRN_ALLOCATOR(1);
// `count` elements of type->size. NULL also when the product overflows. A count of 0 gives an object too.
CAIRN_API void* cairn_alloc_array(size_t count, const cairn_type* type) CAIRN_NOEXCEPT
    __attribute__((malloc, warn_unused_result, assume_aligned(16)));
// No pointers, not zeroed.
CAIRN_API void* cairn_alloc_noscan(size_t size) CAIRN_NOEXCEPT CAIRN_ALLOCATOR(1);
// Anything, zeroed.
CAIRN_API void* cairn_alloc_conservative(size_t size) CAIRN_NOEXCEPT CAIRN_ALLOCATOR(1);
// Frees now what the program knows to be unreachable. Its finalizer is forgotten, its cleanups run, weak
// handles of it become NULL. NULL is ignored; an address that is no object of this heap is ignored too.
// Its memory is used again at once: a small object's by this thread's next allocations of its kind and size,
// a large one's by anybody's. But while a cycle marks nothing is freed: the next cycle takes the object.
CAIRN_API void cairn_free(void* object CAIRN_NOESCAPE) CAIRN_NOEXCEPT;

// ---- storing a pointer into a CAIRN_TYPED object

// Not zero while a cycle marks. Written with every thread stopped; read it relaxed.
extern CAIRN_API volatile unsigned char cairn_barrier_active;
// Notes that `*slot` is about to be overwritten by `value`. Either may be no address of this heap.
CAIRN_API void cairn_barrier_slow(void** slot CAIRN_NOESCAPE, void* value CAIRN_NOESCAPE) CAIRN_NOEXCEPT;
// Notes a pointer that is about to be the first value of a slot, or was just taken out of one.
CAIRN_API void cairn_shade(void* value CAIRN_NOESCAPE) CAIRN_NOEXCEPT;
// memmove for words of which any may be a pointer; zeroing of such words. `bytes` is a multiple of 8.
CAIRN_API void cairn_store_many(void* target CAIRN_NOESCAPE, const void* source CAIRN_NOESCAPE,
                                size_t bytes) CAIRN_NOEXCEPT;
CAIRN_API void cairn_clear_many(void* target CAIRN_NOESCAPE, size_t bytes) CAIRN_NOEXCEPT;

typedef void* __attribute__((may_alias)) cairn_slot;

// *slot = value, seen by the collector. `slot` is the address of a pointer field of any type.
static inline void cairn_store(void* slot CAIRN_NOESCAPE, void* value) CAIRN_NOEXCEPT {
    // relaxed: it changes while all threads are stopped, and the stop orders it
    if (__builtin_expect(__atomic_load_n(&cairn_barrier_active, __ATOMIC_RELAXED), 0))
        cairn_barrier_slow((void**)slot, value);
    // relaxed: the collector reads whole words and only asks which object they name
    __atomic_store_n((cairn_slot*)slot, value, __ATOMIC_RELAXED);
}

// The object that `pointer` points into is reachable at least until here.
static inline void cairn_keep_alive(const void* pointer CAIRN_NOESCAPE) CAIRN_NOEXCEPT {
    __asm__ volatile("" : : "r"(pointer) : "memory");
}

// ---- roots: what keeps objects alive from outside the heap

// A cell outside the heap whose value keeps an object alive. Read it as you like, write it by cairn_store().
// NULL: no memory.
CAIRN_API void** cairn_root_create(void* initial) CAIRN_NOEXCEPT;
CAIRN_API void cairn_root_destroy(void** root CAIRN_NOESCAPE) CAIRN_NOEXCEPT;
// Every aligned word in [low, high) may hold a pointer. Ranges may be removed in parts. Not 0: no memory.
CAIRN_API int cairn_roots_add_range(const void* low, const void* high) CAIRN_NOEXCEPT;
CAIRN_API void cairn_roots_remove_range(const void* low CAIRN_NOESCAPE,
                                        const void* high CAIRN_NOESCAPE) CAIRN_NOEXCEPT;
// Never scans [low, high), whatever range or module it lies in. Not 0: no memory.
CAIRN_API int cairn_roots_exclude(const void* low, const void* high) CAIRN_NOEXCEPT;
// The writable static data of the program or library that `address` lies in, NULL: of all there are and will
// be. Not 0: there is no such module, or no memory.
CAIRN_API int cairn_roots_add_module(const void* address CAIRN_NOESCAPE) CAIRN_NOEXCEPT;

// ---- weak handles

typedef struct cairn_weak cairn_weak;

// A handle of the object that `object` points into; the address itself is what get gives back. One handle an
// address, counted: destroy it as often as it was created or copied. NULL: no object, or no memory.
CAIRN_API cairn_weak* cairn_weak_create(void* object) CAIRN_NOEXCEPT;
CAIRN_API cairn_weak* cairn_weak_copy(cairn_weak* weak) CAIRN_NOEXCEPT;
CAIRN_API void cairn_weak_destroy(cairn_weak* weak CAIRN_NOESCAPE) CAIRN_NOEXCEPT;
// The address while the object is alive, then NULL for ever. NULL for NULL.
CAIRN_API void* cairn_weak_get(cairn_weak* weak CAIRN_NOESCAPE) CAIRN_NOEXCEPT;

// A map with weak keys; a value lives while its key does, even if it refers to the key.
typedef struct cairn_ephemerons cairn_ephemerons;

CAIRN_API cairn_ephemerons* cairn_ephemerons_create(void) CAIRN_NOEXCEPT;
CAIRN_API void cairn_ephemerons_destroy(cairn_ephemerons* map CAIRN_NOESCAPE) CAIRN_NOEXCEPT;
CAIRN_API void* cairn_ephemerons_get(cairn_ephemerons* map CAIRN_NOESCAPE,
                                     const void* key CAIRN_NOESCAPE) CAIRN_NOEXCEPT;
// Not 0: the key is no object, or no memory.
CAIRN_API int cairn_ephemerons_set(cairn_ephemerons* map CAIRN_NOESCAPE, void* key,
                                   void* value) CAIRN_NOEXCEPT;
// Not 0: it was there.
CAIRN_API int cairn_ephemerons_remove(cairn_ephemerons* map CAIRN_NOESCAPE,
                                      const void* key CAIRN_NOESCAPE) CAIRN_NOEXCEPT;
// Keys that are alive as far as is known.
CAIRN_API size_t cairn_ephemerons_count(cairn_ephemerons* map CAIRN_NOESCAPE) CAIRN_NOEXCEPT;

// ---- finalizers and cleanups

// Calls function(object, argument) once, when the object is unreachable; it is alive again until that returns
// and the next cycle. What it refers to lives as long. One an object, the last one set; NULL takes it back.
// `object` is an object's first byte. A ring of objects that has a finalizer in it is never freed.
// Not 0: no object, or no memory.
CAIRN_API int cairn_set_finalizer(void* object, void (*function)(void* object, void* argument),
                                  void* argument) CAIRN_NOEXCEPT;
// Calls function(argument) after the object is gone. Any number an object; `argument` is kept alive, so it
// may not refer to the object. 0: no object, or no memory; else what cancel takes.
CAIRN_API uint64_t cairn_add_cleanup(void* object, void (*function)(void* argument),
                                     void* argument) CAIRN_NOEXCEPT;
// Not 0: it will not run.
CAIRN_API int cairn_cancel_cleanup(uint64_t cleanup) CAIRN_NOEXCEPT;

// Who calls them: a thread of Cairn's (at first), or cairn_run_finalizers() and nobody else.
enum { CAIRN_FINALIZER_THREAD = 0, CAIRN_FINALIZER_DRAIN = 1 };
CAIRN_API int cairn_finalizer_mode(int mode) CAIRN_NOEXCEPT;
// Calls up to `max` of what is due, on this thread; how many it called.
CAIRN_API size_t cairn_run_finalizers(size_t max) CAIRN_NOEXCEPT;
// At exit, calls the finalizers of all objects that still have one. Off at first. Returns what was set.
CAIRN_API int cairn_finalize_at_exit(int on) CAIRN_NOEXCEPT;

// ---- the collector

enum { CAIRN_GC_OFF = 0, CAIRN_GC_STW = 1, CAIRN_GC_CONCURRENT = 2 };
enum { CAIRN_ASK = -2 };  // as a setting: changes nothing

// A whole cycle, sweeping included. Finalizers found due have been queued, not run.
CAIRN_API void cairn_collect(void) CAIRN_NOEXCEPT;
// The heap may grow by this percentage of what was live before the next cycle; negative: no cycles but those
// that the memory limit or cairn_collect asks for. Returns what was set.
CAIRN_API int cairn_gc_percent(int percent) CAIRN_NOEXCEPT;
// Soft limit of all memory, in bytes; UINT64_MAX: none; 0 changes nothing. Returns what was set.
CAIRN_API uint64_t cairn_memory_limit(uint64_t bytes) CAIRN_NOEXCEPT;
// How cycles run from the next on. Returns what was set.
CAIRN_API int cairn_gc_mode(int mode) CAIRN_NOEXCEPT;

// What happened so far. Set `size` to sizeof(cairn_stats_t) before the call: an older library fills what it
// knows and sets `size` to that.
typedef struct cairn_stats_t {
    size_t size;
    uint64_t cycles, forced_cycles;
    uint64_t stops, stop_last_ns, stop_max_ns, stop_total_ns;
    uint64_t stop_p50_ns, stop_p99_ns, stop_p999_ns;  // upper bounds, from a histogram
    uint64_t heap_live_bytes;                         // allocated and not known to be dead
    uint64_t heap_marked_bytes;                       // live at the end of the last marking
    uint64_t heap_goal_bytes, heap_trigger_bytes;
    uint64_t heap_objects;
    uint64_t allocated_bytes, allocated_objects, freed_bytes, freed_objects;  // in total
    uint64_t mapped_bytes, released_bytes;                                    // from the OS; given back to it
    uint64_t assist_ns, worker_ns;
    uint64_t dirty_pages, barrier_flushes;
    uint64_t finalizers_queued, finalizers_run;
    uint64_t memory_limit_bytes;
    int32_t gc_percent, mode;
    uint64_t threads;
} cairn_stats_t;
CAIRN_API void cairn_stats(cairn_stats_t* stats CAIRN_NOESCAPE) CAIRN_NOEXCEPT;

// ---- threads

// A thread attaches by itself when it first calls Cairn, or when pthread_create starts it in a program linked
// with libcairn; it detaches at its end. By hand: for threads started otherwise that hold pointers
// given to them before their first call. Not 0: no memory.
CAIRN_API int cairn_attach_thread(void) CAIRN_NOEXCEPT;
CAIRN_API void cairn_detach_thread(void) CAIRN_NOEXCEPT;
// Between the two the thread touches nothing of this heap and is not disturbed by stops; its stack still
// counts as of begin. They nest.
CAIRN_API void cairn_blocking_begin(void) CAIRN_NOEXCEPT;
CAIRN_API void cairn_blocking_end(void) CAIRN_NOEXCEPT;

// ---- fibers: stacks that a program switches between by itself

typedef struct cairn_fiber cairn_fiber;

// Memory for a stack, with a guard below. [low, low + size) may be used; the rest is for cairn_stack_free().
typedef struct cairn_stack {
    void* low;
    size_t size;
    uint64_t kept[4];
} cairn_stack;
// 2 KiB to 1 GiB, rounded up to a power of two, guard included. Not 0: no memory.
CAIRN_API int cairn_stack_alloc(cairn_stack* stack CAIRN_NOESCAPE, size_t size) CAIRN_NOEXCEPT;
CAIRN_API void cairn_stack_free(const cairn_stack* stack CAIRN_NOESCAPE) CAIRN_NOEXCEPT;
// Makes [low, low + size) known as a fiber's stack, whoever owns the memory. TRACKED: every switch is told by
// cairn_fiber_switch(). SILENT: none is; then all of the stack that was ever touched counts, in every stop.
// NULL: no memory.
enum { CAIRN_FIBER_TRACKED = 0, CAIRN_FIBER_SILENT = 1 };
CAIRN_API cairn_fiber* cairn_fiber_create(void* low, size_t size, int kind) CAIRN_NOEXCEPT;
// The fiber runs no more; its stack keeps nothing alive.
CAIRN_API void cairn_fiber_destroy(cairn_fiber* fiber CAIRN_NOESCAPE) CAIRN_NOEXCEPT;
// Says right before the switch that this thread goes on with `to`; NULL: with its own stack.
CAIRN_API void cairn_fiber_switch(cairn_fiber* to) CAIRN_NOEXCEPT;
// The fiber this thread runs on as far as was told; NULL: its own stack.
CAIRN_API cairn_fiber* cairn_fiber_current(void) CAIRN_NOEXCEPT;

// ---- asking

// The first byte of the object that `pointer` points into, its size as allocated (rounded up to its class);
// NULL and 0 for any other address.
CAIRN_API void* cairn_object_base(const void* pointer) CAIRN_NOEXCEPT;
CAIRN_API size_t cairn_object_size(const void* pointer CAIRN_NOESCAPE) CAIRN_NOEXCEPT;
CAIRN_API int cairn_is_collected(const void* pointer CAIRN_NOESCAPE) CAIRN_NOEXCEPT;

// One step of a path from a root to an object, root first.
typedef struct cairn_step {
    const char* what;    // "stack", "register", "handle", "range", "static data", "finalizer", "object", ...
    const void* holder;  // first byte of the range or object
    size_t offset;       // of the word that points on
    const char* type;    // of an object, if known; else NULL
} cairn_step;
// Finds who keeps the object alive, a shortest path. Returns the number of steps; 0: nobody, or no object.
// Stops the world; `visit` runs afterwards.
CAIRN_API size_t cairn_who_holds(const void* object, void (*visit)(const cairn_step* step, void* context),
                                 void* context) CAIRN_NOEXCEPT;
// Checks every structure of the heap with the world stopped; a fault ends the program with its reason.
CAIRN_API void cairn_verify(void) CAIRN_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
