// Getters and setters of the Boehm collector's options.
//
// Those of variables that are part of the interface write the same ones. What has no meaning here (rates of
// incremental marking, limits of time) is kept and given back.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include "api/libgc.hpp"

namespace cairn::api::libgc {

namespace {

// [owner] All: settings of the program's, made before its threads.
constinit bool is_incremental = false;
constinit bool has_no_automatic_cycles = false;
constinit int manual_vdb_allowed = 0;
constinit GC_word allocd_bytes_per_finalizer = 10000;
constinit int pages_executable = 0;
constinit size_t min_bytes_allocd = 1;
constinit int rate = 10;
constinit int max_prior_attempts = 3;
constinit int force_unmap_on_gcollect = 0;
constinit GC_timeval_s time_limit_tv{15, 0};

}  // namespace
}  // namespace cairn::api::libgc

using namespace cairn::api::libgc;

extern "C" {

// ---- variables

void GC_set_finalize_on_demand(int value) { GC_finalize_on_demand = value; }
int GC_get_finalize_on_demand() { return GC_finalize_on_demand; }
void GC_set_java_finalization(int value) { GC_java_finalization = value; }
int GC_get_java_finalization() { return GC_java_finalization; }
void GC_set_finalizer_notifier(GC_finalizer_notifier_proc value) { GC_finalizer_notifier = value; }
GC_finalizer_notifier_proc GC_get_finalizer_notifier() { return GC_finalizer_notifier; }
void GC_set_dont_expand(int value) { GC_dont_expand = value; }
int GC_get_dont_expand() { return GC_dont_expand; }
void GC_set_full_freq(int value) { GC_full_freq = value; }
int GC_get_full_freq() { return GC_full_freq; }
void GC_set_non_gc_bytes(GC_word value) { GC_non_gc_bytes = value; }
GC_word GC_get_non_gc_bytes() { return GC_non_gc_bytes; }
void GC_set_max_retries(GC_word value) { GC_max_retries = value; }
GC_word GC_get_max_retries() { return GC_max_retries; }
void GC_set_dont_precollect(int value) { GC_dont_precollect = value; }
int GC_get_dont_precollect() { return GC_dont_precollect; }
void GC_set_time_limit(unsigned long value) { GC_time_limit = value; }
unsigned long GC_get_time_limit() { return GC_time_limit; }
void GC_set_oom_fn(GC_oom_func value) { GC_oom_fn = value; }
GC_oom_func GC_get_oom_fn() { return GC_oom_fn; }

// ---- kept

void GC_set_manual_vdb_allowed(int value) { manual_vdb_allowed = value; }
int GC_get_manual_vdb_allowed() { return manual_vdb_allowed; }
void GC_set_allocd_bytes_per_finalizer(GC_word value) { allocd_bytes_per_finalizer = value; }
GC_word GC_get_allocd_bytes_per_finalizer() { return allocd_bytes_per_finalizer; }
void GC_set_pages_executable(int value) { pages_executable = value; }
int GC_get_pages_executable() { return pages_executable; }
void GC_set_min_bytes_allocd(size_t value) { min_bytes_allocd = value; }
size_t GC_get_min_bytes_allocd() { return min_bytes_allocd; }
void GC_set_rate(int value) { rate = value; }
int GC_get_rate() { return rate; }
void GC_set_max_prior_attempts(int value) { max_prior_attempts = value; }
int GC_get_max_prior_attempts() { return max_prior_attempts; }
void GC_set_force_unmap_on_gcollect(int value) { force_unmap_on_gcollect = value; }
int GC_get_force_unmap_on_gcollect() { return force_unmap_on_gcollect; }
void GC_set_time_limit_tv(GC_timeval_s value) { time_limit_tv = value; }
GC_timeval_s GC_get_time_limit_tv() { return time_limit_tv; }

// ---- with consequences

void GC_set_no_dls(int value) { GC_no_dls = value; }
int GC_get_no_dls() { return GC_no_dls; }

// Before the start only: objects have their size from then on.
void GC_set_all_interior_pointers(int value) {
    GC_all_interior_pointers = value != 0 ? 1 : 0;
    if (!cairn::api::gc_runtime.is_started()) return;
    extra_bytes = value != 0 ? 1 : 0;
}
int GC_get_all_interior_pointers() { return GC_all_interior_pointers; }

void GC_set_free_space_divisor(GC_word value) {
    GC_free_space_divisor = value;
    if (cairn::api::gc_runtime.is_started()) read_settings();
}
GC_word GC_get_free_space_divisor() { return GC_free_space_divisor; }

int GC_get_parallel() { return GC_parallel; }
void GC_set_markers_count(unsigned) {}

void GC_enable_incremental() {
    (void)self();
    is_incremental = true;
}
int GC_is_incremental_mode() { return is_incremental ? 1 : 0; }
int GC_incremental_protection_needs() { return GC_PROTECTS_NONE; }

void GC_set_disable_automatic_collection(int value) {
    has_no_automatic_cycles = value != 0;
    {
        cairn::gc::InRuntime in(self());
        (void)collector().set_gc_percent(value != 0 ? -1 : cairn::api::runtime.options.gc_percent);
    }
    if (value == 0) read_settings();
}
int GC_get_disable_automatic_collection() { return has_no_automatic_cycles ? 1 : 0; }

}  // extern "C"
