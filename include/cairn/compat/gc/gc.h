/* The Boehm collector's main header: the names of libgc 8.2.2, answered by Cairn's libgc.so.1.
   A program compiled with this header or with the original runs on either library.

   Invariants the caller may rely on: objects never move; memory of GC_malloc is zero; every word of an
   object, of static data, of the stacks and registers of known threads that points into an object keeps it
   alive.

   What is supported, and how options map to Cairn's: docs/libgc.md.
   SPDX-License-Identifier: MIT */
#ifndef GC_H
#define GC_H

#include <stddef.h>
#include "gc_version.h"

#if defined(GC_THREADS) || defined(GC_PTHREADS) || defined(_REENTRANT)
#ifndef GC_THREADS
#define GC_THREADS 1
#endif
#ifndef GC_PTHREADS
#define GC_PTHREADS 1
#endif
#include <pthread.h>
#include <signal.h>
#endif

#ifdef __cplusplus
#define GC_NOTHROW noexcept
extern "C" {
#else
#define GC_NOTHROW
#endif

#define GC_API extern __attribute__((visibility("default")))
#define GC_CALL
#define GC_CALLBACK
#define GC_ATTR_MALLOC __attribute__((malloc))
#define GC_ATTR_ALLOC_SIZE(n) __attribute__((alloc_size(n)))

typedef unsigned long GC_word;
typedef long GC_signed_word;
typedef void* GC_PTR;

/* ---- callbacks */

typedef void* (*GC_oom_func)(size_t bytes);
typedef void (*GC_on_heap_resize_proc)(GC_word heap_bytes);
typedef void (*GC_finalization_proc)(void* object, void* data);
typedef void (*GC_finalizer_notifier_proc)(void);
typedef void (*GC_warn_proc)(char* format, GC_word argument);
typedef void (*GC_abort_func)(const char* message);
typedef int (*GC_stop_func)(void);
typedef void* (*GC_fn_type)(void* data);
typedef int (*GC_has_static_roots_func)(const char* library, void* start, size_t bytes);
typedef void (*GC_await_finalize_proc)(void* object);

/* In the order of a cycle: START, a stop (PRE_STOP_WORLD, a THREAD_SUSPENDED for each thread,
   POST_STOP_WORLD), MARK_START, MARK_END, the end of the stop (PRE_START_WORLD, THREAD_UNSUSPENDED,
   POST_START_WORLD), RECLAIM_START, RECLAIM_END, END. A concurrent cycle has two stops or more, with
   MARK_START in the first and MARK_END in the last. Called by whichever thread runs the cycle, which may be
   the collector's own. */
typedef enum {
    GC_EVENT_START,
    GC_EVENT_MARK_START,
    GC_EVENT_MARK_END,
    GC_EVENT_RECLAIM_START,
    GC_EVENT_RECLAIM_END,
    GC_EVENT_END,
    GC_EVENT_PRE_STOP_WORLD,
    GC_EVENT_POST_STOP_WORLD,
    GC_EVENT_PRE_START_WORLD,
    GC_EVENT_POST_START_WORLD,
    GC_EVENT_THREAD_SUSPENDED,
    GC_EVENT_THREAD_UNSUSPENDED
} GC_EventType;
typedef void (*GC_on_collection_event_proc)(GC_EventType event);
typedef void (*GC_on_thread_event_proc)(GC_EventType event, void* thread);

/* ---- variables that are part of the interface; the setters write the same ones */

GC_API GC_word GC_gc_no;
GC_API int GC_parallel;
GC_API GC_oom_func GC_oom_fn;
GC_API GC_on_heap_resize_proc GC_on_heap_resize;
GC_API int GC_find_leak;
GC_API int GC_all_interior_pointers;
GC_API int GC_finalize_on_demand;
GC_API int GC_java_finalization;
GC_API GC_finalizer_notifier_proc GC_finalizer_notifier;
GC_API int GC_dont_gc;
GC_API int GC_dont_expand;
GC_API int GC_use_entire_heap;
GC_API int GC_full_freq;
GC_API GC_word GC_non_gc_bytes;
GC_API int GC_no_dls;
GC_API GC_word GC_free_space_divisor;
GC_API GC_word GC_max_retries;
GC_API char* GC_stackbottom;
GC_API int GC_dont_precollect;
GC_API unsigned long GC_time_limit;
GC_API void (*GC_same_obj_print_proc)(void*, void*);
GC_API void (*GC_is_valid_displacement_print_proc)(void*);
GC_API void (*GC_is_visible_print_proc)(void*);

/* ---- start */

GC_API void GC_init(void);
GC_API int GC_is_init_called(void);
GC_API void GC_deinit(void);
GC_API unsigned GC_get_version(void);
#define GC_INIT() GC_init()

/* ---- allocation */

GC_API void* GC_malloc(size_t bytes) GC_ATTR_MALLOC GC_ATTR_ALLOC_SIZE(1);
GC_API void* GC_malloc_atomic(size_t bytes) GC_ATTR_MALLOC GC_ATTR_ALLOC_SIZE(1);
GC_API void* GC_malloc_uncollectable(size_t bytes) GC_ATTR_MALLOC GC_ATTR_ALLOC_SIZE(1);
GC_API void* GC_malloc_atomic_uncollectable(size_t bytes) GC_ATTR_MALLOC GC_ATTR_ALLOC_SIZE(1);
GC_API void* GC_malloc_stubborn(size_t bytes) GC_ATTR_MALLOC GC_ATTR_ALLOC_SIZE(1);
GC_API void* GC_malloc_ignore_off_page(size_t bytes) GC_ATTR_MALLOC GC_ATTR_ALLOC_SIZE(1);
GC_API void* GC_malloc_atomic_ignore_off_page(size_t bytes) GC_ATTR_MALLOC GC_ATTR_ALLOC_SIZE(1);
GC_API void* GC_memalign(size_t alignment, size_t bytes) GC_ATTR_MALLOC GC_ATTR_ALLOC_SIZE(2);
GC_API int GC_posix_memalign(void** object, size_t alignment, size_t bytes);
GC_API char* GC_strdup(const char* text) GC_ATTR_MALLOC;
GC_API char* GC_strndup(const char* text, size_t most) GC_ATTR_MALLOC;
GC_API void* GC_realloc(void* object, size_t bytes) GC_ATTR_ALLOC_SIZE(2);
GC_API void GC_free(void* object);
GC_API void* GC_malloc_many(size_t bytes) GC_ATTR_MALLOC;
#define GC_NEXT(object) (*(void**)(object))

/* Says that a store into an object of GC_malloc_stubborn is over: nothing to do here. */
GC_API void GC_change_stubborn(const void* object);
GC_API void GC_end_stubborn_change(const void* object);
GC_API void GC_ptr_store_and_dirty(void* slot, const void* value);

/* The start of the object that an address points into, or NULL; whether it points into the heap at all. */
GC_API void* GC_base(void* address);
GC_API int GC_is_heap_ptr(const void* address);
GC_API size_t GC_size(const void* object);

/* Variants that note where they were called from when leaks are looked for; else they are the plain ones. */
GC_API void* GC_debug_malloc(size_t bytes, const char* file, int line) GC_ATTR_MALLOC;
GC_API void* GC_debug_malloc_atomic(size_t bytes, const char* file, int line) GC_ATTR_MALLOC;
GC_API void* GC_debug_malloc_uncollectable(size_t bytes, const char* file, int line) GC_ATTR_MALLOC;
GC_API void* GC_debug_malloc_atomic_uncollectable(size_t bytes, const char* file, int line) GC_ATTR_MALLOC;
GC_API void* GC_debug_malloc_stubborn(size_t bytes, const char* file, int line) GC_ATTR_MALLOC;
GC_API void* GC_debug_malloc_ignore_off_page(size_t bytes, const char* file, int line) GC_ATTR_MALLOC;
GC_API void* GC_debug_malloc_atomic_ignore_off_page(size_t bytes, const char* file, int line) GC_ATTR_MALLOC;
GC_API char* GC_debug_strdup(const char* text, const char* file, int line) GC_ATTR_MALLOC;
GC_API char* GC_debug_strndup(const char* text, size_t most, const char* file, int line) GC_ATTR_MALLOC;
GC_API void* GC_debug_realloc(void* object, size_t bytes, const char* file, int line);
GC_API void GC_debug_free(void* object);
GC_API void GC_debug_change_stubborn(const void* object);
GC_API void GC_debug_end_stubborn_change(const void* object);
GC_API void GC_debug_ptr_store_and_dirty(void* slot, const void* value);
GC_API void* GC_debug_malloc_replacement(size_t bytes) GC_ATTR_MALLOC;
GC_API void* GC_debug_realloc_replacement(void* object, size_t bytes);
GC_API void GC_debug_register_displacement(size_t offset);

/* With GC_DEBUG the macros note where they stand. */
#define GC_EXTRAS __FILE__, __LINE__
#ifdef GC_DEBUG
#define GC_MALLOC(bytes) GC_debug_malloc(bytes, GC_EXTRAS)
#define GC_MALLOC_ATOMIC(bytes) GC_debug_malloc_atomic(bytes, GC_EXTRAS)
#define GC_MALLOC_UNCOLLECTABLE(bytes) GC_debug_malloc_uncollectable(bytes, GC_EXTRAS)
#define GC_MALLOC_ATOMIC_UNCOLLECTABLE(bytes) GC_debug_malloc_atomic_uncollectable(bytes, GC_EXTRAS)
#define GC_MALLOC_IGNORE_OFF_PAGE(bytes) GC_debug_malloc_ignore_off_page(bytes, GC_EXTRAS)
#define GC_MALLOC_ATOMIC_IGNORE_OFF_PAGE(bytes) GC_debug_malloc_atomic_ignore_off_page(bytes, GC_EXTRAS)
#define GC_REALLOC(object, bytes) GC_debug_realloc(object, bytes, GC_EXTRAS)
#define GC_STRDUP(text) GC_debug_strdup(text, GC_EXTRAS)
#define GC_STRNDUP(text, most) GC_debug_strndup(text, most, GC_EXTRAS)
#define GC_FREE(object) GC_debug_free(object)
#else
#define GC_MALLOC(bytes) GC_malloc(bytes)
#define GC_MALLOC_ATOMIC(bytes) GC_malloc_atomic(bytes)
#define GC_MALLOC_UNCOLLECTABLE(bytes) GC_malloc_uncollectable(bytes)
#define GC_MALLOC_ATOMIC_UNCOLLECTABLE(bytes) GC_malloc_atomic_uncollectable(bytes)
#define GC_MALLOC_IGNORE_OFF_PAGE(bytes) GC_malloc_ignore_off_page(bytes)
#define GC_MALLOC_ATOMIC_IGNORE_OFF_PAGE(bytes) GC_malloc_atomic_ignore_off_page(bytes)
#define GC_REALLOC(object, bytes) GC_realloc(object, bytes)
#define GC_STRDUP(text) GC_strdup(text)
#define GC_STRNDUP(text, most) GC_strndup(text, most)
#define GC_FREE(object) GC_free(object)
#endif
#define GC_MALLOC_STUBBORN(bytes) GC_MALLOC(bytes)
#define GC_CHANGE_STUBBORN(object) GC_change_stubborn(object)
#define GC_END_STUBBORN_CHANGE(object) GC_end_stubborn_change(object)
#define GC_NEW(type) ((type*)GC_MALLOC(sizeof(type)))
#define GC_NEW_ATOMIC(type) ((type*)GC_MALLOC_ATOMIC(sizeof(type)))
#define GC_NEW_UNCOLLECTABLE(type) ((type*)GC_MALLOC_UNCOLLECTABLE(sizeof(type)))
#define GC_NEW_STUBBORN(type) GC_NEW(type)
#define GC_REGISTER_DISPLACEMENT(offset) GC_register_displacement(offset)
#define GC_PTR_STORE(slot, value) (*(void**)(slot) = (void*)(value))
#define GC_PTR_STORE_AND_DIRTY(slot, value) GC_ptr_store_and_dirty(slot, value)

/* ---- roots */

GC_API void GC_add_roots(void* low, void* high);
GC_API void GC_remove_roots(void* low, void* high);
GC_API void GC_clear_roots(void);
GC_API void GC_exclude_static_roots(void* low, void* high);
GC_API void GC_clear_exclusion_table(void);
GC_API void GC_register_displacement(size_t offset);
GC_API void GC_set_no_dls(int value);
GC_API int GC_get_no_dls(void);
GC_API void GC_set_all_interior_pointers(int value);
GC_API int GC_get_all_interior_pointers(void);
GC_API void GC_register_has_static_roots_callback(GC_has_static_roots_func wants);
GC_API void* GC_dlopen(const char* path, int flags);

/* ---- collections */

GC_API void GC_gcollect(void);
GC_API void GC_gcollect_and_unmap(void);
GC_API int GC_try_to_collect(GC_stop_func stop);
GC_API int GC_collect_a_little(void);
GC_API void GC_disable(void);
GC_API void GC_enable(void);
GC_API int GC_is_disabled(void);
GC_API void GC_enable_incremental(void);
GC_API int GC_is_incremental_mode(void);
GC_API int GC_incremental_protection_needs(void);
GC_API void GC_start_incremental_collection(void);
GC_API void GC_set_stop_func(GC_stop_func stop);
GC_API GC_stop_func GC_get_stop_func(void);
GC_API void GC_set_disable_automatic_collection(int value);
GC_API int GC_get_disable_automatic_collection(void);
GC_API void GC_set_manual_vdb_allowed(int value);
GC_API int GC_get_manual_vdb_allowed(void);
GC_API void GC_start_mark_threads(void);
#define GC_PROTECTS_POINTER_HEAP 1
#define GC_PROTECTS_PTRFREE_HEAP 2
#define GC_PROTECTS_STATIC_DATA 4
#define GC_PROTECTS_STACK 8
#define GC_PROTECTS_NONE 0
#define GC_TIME_UNLIMITED 999999

/* ---- settings */

GC_API int GC_expand_hp(size_t bytes);
GC_API void GC_set_max_heap_size(GC_word bytes);
GC_API GC_word GC_get_gc_no(void);
GC_API int GC_get_parallel(void);
GC_API void GC_set_markers_count(unsigned count);
GC_API void GC_set_oom_fn(GC_oom_func call);
GC_API GC_oom_func GC_get_oom_fn(void);
GC_API void GC_set_on_heap_resize(GC_on_heap_resize_proc call);
GC_API GC_on_heap_resize_proc GC_get_on_heap_resize(void);
GC_API void GC_set_on_collection_event(GC_on_collection_event_proc call);
GC_API GC_on_collection_event_proc GC_get_on_collection_event(void);
GC_API void GC_set_on_thread_event(GC_on_thread_event_proc call);
GC_API GC_on_thread_event_proc GC_get_on_thread_event(void);
GC_API void GC_set_find_leak(int value);
GC_API int GC_get_find_leak(void);
GC_API void GC_set_dont_expand(int value);
GC_API int GC_get_dont_expand(void);
GC_API void GC_set_full_freq(int value);
GC_API int GC_get_full_freq(void);
GC_API void GC_set_non_gc_bytes(GC_word value);
GC_API GC_word GC_get_non_gc_bytes(void);
GC_API void GC_set_free_space_divisor(GC_word value);
GC_API GC_word GC_get_free_space_divisor(void);
GC_API void GC_set_max_retries(GC_word value);
GC_API GC_word GC_get_max_retries(void);
GC_API void GC_set_dont_precollect(int value);
GC_API int GC_get_dont_precollect(void);
struct GC_timeval_s {
    unsigned long tv_ms;
    unsigned long tv_nsec;
};
GC_API void GC_set_time_limit(unsigned long milliseconds);
GC_API unsigned long GC_get_time_limit(void);
GC_API void GC_set_time_limit_tv(struct GC_timeval_s limit);
GC_API struct GC_timeval_s GC_get_time_limit_tv(void);
GC_API void GC_set_allocd_bytes_per_finalizer(GC_word value);
GC_API GC_word GC_get_allocd_bytes_per_finalizer(void);
GC_API void GC_set_pages_executable(int value);
GC_API int GC_get_pages_executable(void);
GC_API void GC_set_min_bytes_allocd(size_t value);
GC_API size_t GC_get_min_bytes_allocd(void);
GC_API void GC_set_rate(int value);
GC_API int GC_get_rate(void);
GC_API void GC_set_max_prior_attempts(int value);
GC_API int GC_get_max_prior_attempts(void);
GC_API void GC_set_force_unmap_on_gcollect(int value);
GC_API int GC_get_force_unmap_on_gcollect(void);
GC_API void GC_set_warn_proc(GC_warn_proc call);
GC_API GC_warn_proc GC_get_warn_proc(void);
GC_API void GC_ignore_warn_proc(char* format, GC_word argument);
GC_API void GC_set_log_fd(int file);
GC_API void GC_set_abort_func(GC_abort_func call);
GC_API GC_abort_func GC_get_abort_func(void);
GC_API void GC_abort_on_oom(void);

/* ---- statistics */

struct GC_prof_stats_s {
    GC_word heapsize_full;
    GC_word free_bytes_full;
    GC_word unmapped_bytes;
    GC_word bytes_allocd_since_gc;
    GC_word allocd_bytes_before_gc;
    GC_word non_gc_bytes;
    GC_word gc_no;
    GC_word markers_m1;
    GC_word bytes_reclaimed_since_gc;
    GC_word reclaimed_bytes_before_gc;
    GC_word expl_freed_bytes_since_gc;
    GC_word obtained_from_os_bytes;
};
GC_API size_t GC_get_heap_size(void);
GC_API size_t GC_get_free_bytes(void);
GC_API size_t GC_get_unmapped_bytes(void);
GC_API size_t GC_get_bytes_since_gc(void);
GC_API size_t GC_get_expl_freed_bytes_since_gc(void);
GC_API size_t GC_get_total_bytes(void);
GC_API size_t GC_get_obtained_from_os_bytes(void);
GC_API size_t GC_get_memory_use(void);
GC_API void GC_get_heap_usage_safe(GC_word* heap, GC_word* unused, GC_word* unmapped, GC_word* since_gc,
                                   GC_word* total);
GC_API size_t GC_get_prof_stats(struct GC_prof_stats_s* stats, size_t bytes);
GC_API size_t GC_get_prof_stats_unsafe(struct GC_prof_stats_s* stats, size_t bytes);
GC_API size_t GC_get_size_map_at(int granules);
GC_API void GC_start_performance_measurement(void);
GC_API unsigned long GC_get_full_gc_total_time(void);
GC_API void GC_dump(void);
GC_API void GC_dump_named(const char* name);
GC_API void GC_dump_regions(void);
GC_API void GC_dump_finalization(void);

/* ---- finalizers. The old call and its data are returned where asked for; NULL takes a finalizer away. */

GC_API void GC_register_finalizer(void* object, GC_finalization_proc call, void* data,
                                  GC_finalization_proc* old_call, void** old_data);
GC_API void GC_register_finalizer_ignore_self(void* object, GC_finalization_proc call, void* data,
                                              GC_finalization_proc* old_call, void** old_data);
GC_API void GC_register_finalizer_no_order(void* object, GC_finalization_proc call, void* data,
                                           GC_finalization_proc* old_call, void** old_data);
GC_API void GC_register_finalizer_unreachable(void* object, GC_finalization_proc call, void* data,
                                              GC_finalization_proc* old_call, void** old_data);
GC_API void GC_debug_register_finalizer(void* object, GC_finalization_proc call, void* data,
                                        GC_finalization_proc* old_call, void** old_data);
GC_API void GC_debug_register_finalizer_ignore_self(void* object, GC_finalization_proc call, void* data,
                                                    GC_finalization_proc* old_call, void** old_data);
GC_API void GC_debug_register_finalizer_no_order(void* object, GC_finalization_proc call, void* data,
                                                 GC_finalization_proc* old_call, void** old_data);
GC_API void GC_debug_register_finalizer_unreachable(void* object, GC_finalization_proc call, void* data,
                                                    GC_finalization_proc* old_call, void** old_data);
GC_API int GC_should_invoke_finalizers(void);
GC_API int GC_invoke_finalizers(void);
GC_API void GC_set_finalize_on_demand(int value);
GC_API int GC_get_finalize_on_demand(void);
GC_API void GC_set_java_finalization(int value);
GC_API int GC_get_java_finalization(void);
GC_API void GC_set_finalizer_notifier(GC_finalizer_notifier_proc call);
GC_API GC_finalizer_notifier_proc GC_get_finalizer_notifier(void);
GC_API void GC_set_await_finalize_proc(GC_await_finalize_proc call);
GC_API GC_await_finalize_proc GC_get_await_finalize_proc(void);

#define GC_REGISTER_FINALIZER(o, f, d, of, od) GC_register_finalizer(o, f, d, of, od)
#define GC_REGISTER_FINALIZER_IGNORE_SELF(o, f, d, of, od) GC_register_finalizer_ignore_self(o, f, d, of, od)
#define GC_REGISTER_FINALIZER_NO_ORDER(o, f, d, of, od) GC_register_finalizer_no_order(o, f, d, of, od)
#define GC_REGISTER_FINALIZER_UNREACHABLE(o, f, d, of, od) GC_register_finalizer_unreachable(o, f, d, of, od)

/* ---- links that become NULL when their object is unreachable: short ones before finalizers, long after */

#define GC_SUCCESS 0
#define GC_DUPLICATE 1
#define GC_NO_MEMORY 2
#define GC_UNIMPLEMENTED 3
#define GC_NO_THREADS GC_UNIMPLEMENTED
#define GC_NOT_FOUND 4

GC_API int GC_register_disappearing_link(void** link);
GC_API int GC_general_register_disappearing_link(void** link, const void* object);
GC_API int GC_move_disappearing_link(void** link, void** new_link);
GC_API int GC_unregister_disappearing_link(void** link);
GC_API int GC_register_long_link(void** link, const void* object);
GC_API int GC_move_long_link(void** link, void** new_link);
GC_API int GC_unregister_long_link(void** link);
#define GC_GENERAL_REGISTER_DISAPPEARING_LINK(link, object) \
    GC_general_register_disappearing_link(link, GC_base((void*)(object)))
#define GC_REGISTER_LONG_LINK(link, object) GC_register_long_link(link, GC_base((void*)(object)))

typedef enum { GC_TOGGLE_REF_DROP, GC_TOGGLE_REF_STRONG, GC_TOGGLE_REF_WEAK } GC_ToggleRefStatus;
typedef GC_ToggleRefStatus (*GC_toggleref_func)(void* object);
GC_API void GC_set_toggleref_func(GC_toggleref_func call);
GC_API GC_toggleref_func GC_get_toggleref_func(void);
GC_API int GC_toggleref_add(void* object, int is_strong);

/* A pointer in a form that keeps nothing alive, to be revealed under the lock. */
typedef GC_word GC_hidden_pointer;
#define GC_HIDE_POINTER(pointer) (~(GC_hidden_pointer)(pointer))
#define GC_REVEAL_POINTER(hidden) ((void*)GC_HIDE_POINTER(hidden))
#if defined(I_HIDE_POINTERS) || defined(GC_I_HIDE_POINTERS)
#define HIDE_POINTER(pointer) GC_HIDE_POINTER(pointer)
#define REVEAL_POINTER(hidden) GC_REVEAL_POINTER(hidden)
#endif

GC_API void* GC_call_with_alloc_lock(GC_fn_type call, void* data);
GC_API void GC_alloc_lock(void);
GC_API void GC_alloc_unlock(void);

/* ---- threads */

struct GC_stack_base {
    void* mem_base;
};
typedef void* (*GC_stack_base_func)(struct GC_stack_base* base, void* data);
GC_API void* GC_call_with_stack_base(GC_stack_base_func call, void* data);
GC_API int GC_get_stack_base(struct GC_stack_base* base);
GC_API void* GC_get_my_stackbottom(struct GC_stack_base* base);
GC_API void GC_set_stackbottom(void* thread, const struct GC_stack_base* base);
GC_API void GC_allow_register_threads(void);
GC_API int GC_register_my_thread(const struct GC_stack_base* base);
GC_API int GC_unregister_my_thread(void);
GC_API int GC_thread_is_registered(void);
GC_API void GC_register_altstack(void* stack, GC_word bytes, void* alternate, GC_word alternate_bytes);
GC_API void* GC_do_blocking(GC_fn_type call, void* data);
GC_API void* GC_call_with_gc_active(GC_fn_type call, void* data);
GC_API void GC_set_suspend_signal(int signal);
GC_API void GC_set_thr_restart_signal(int signal);
GC_API int GC_get_suspend_signal(void);
GC_API int GC_get_thr_restart_signal(void);
GC_API void GC_stop_world_external(void);
GC_API void GC_start_world_external(void);
GC_API void GC_set_handle_fork(int value);
GC_API void GC_atfork_prepare(void);
GC_API void GC_atfork_parent(void);
GC_API void GC_atfork_child(void);

#ifdef GC_PTHREADS
GC_API int GC_pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                             void* argument);
GC_API int GC_pthread_join(pthread_t thread, void** result);
GC_API int GC_pthread_detach(pthread_t thread);
GC_API int GC_pthread_cancel(pthread_t thread);
GC_API void GC_pthread_exit(void* result) __attribute__((noreturn));
GC_API int GC_pthread_sigmask(int how, const sigset_t* set, sigset_t* old);
#endif

/* ---- pointer arithmetic with a look */

GC_API void* GC_same_obj(void* first, void* second);
GC_API void* GC_pre_incr(void** pointer, ptrdiff_t bytes);
GC_API void* GC_post_incr(void** pointer, ptrdiff_t bytes);
GC_API void* GC_is_visible(void* pointer);
GC_API void* GC_is_valid_displacement(void* pointer);

static inline __attribute__((always_inline)) void GC_reachable_here(const void* pointer) {
    __asm__ volatile("" : : "X"(pointer) : "memory");
}
#define GC_reachable_here(pointer) (GC_reachable_here)((const void*)(pointer))
GC_API void GC_noop1(GC_word value);

#ifdef __cplusplus
}
#endif

#if defined(GC_PTHREADS) && !defined(GC_NO_THREAD_REDIRECTS)
#include "gc_pthread_redirects.h"
#endif
#endif
