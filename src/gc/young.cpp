// Young cycles: the marks of the last cycle stay, and only what is new is marked ("sticky mark bits").
//
// Most objects die young. So a cycle may begin with the old ones marked, and looks only into those that were
// written since: what lived through one cycle lives, for the collector, until the next full one.
//
//   end of a cycle    every marked object leads to marked objects only. Still stopped, the pages of old
//                     objects are armed: the kernel notices who writes there. The sweep leaves the marks
//   between           new objects are not marked. A slot of an old one that the program frees and is given
//                     again stays marked: whatever is written there is seen like any write into the old one
//   young cycle       in stop 1, the marked objects of all pages that were written or never armed are scanned
//                     again, then the roots; all that is white is marked, and is old from there on
//   full cycle        all marks are cleared in stop 1, or before it where they are many
//
//   unaged            where most of what young cycles keep dies by and by, survivors stay young: the sweep
//                     leaves the marks of old objects alone (pages/old_marks.hpp), and nothing is armed
//                     again. What is old became so in the last cycle that aged, a full one mostly, and any
//                     store that made it lead to something younger came after that: its page is reported
//
// A page is armed when nearly all slots of its spans are marked. Others are allocated from, so most of them
// would be written anyway, and a fault costs more than a look at a page.
//
// Young cycles begin while what they keep is less than half of what the heap may grow (pacer.hpp). They are
// marked in one stop as long as that is short, and end as concurrent ones when it is not.
//
// Needs: all writes into objects that are scanned are seen by pages, so heaps with barriered kinds have full
// cycles alone; a mode that is concurrent; a kernel that tracks.
//
// Floor: gc. Source: Demers et al. 1990 ("sticky mark bits"); pages as in Boehm, Demers & Shenker 1991.
// SPDX-License-Identifier: MIT
#include <algorithm>

#include "gc/collector.hpp"
#include "os/process.hpp"

namespace cairn::gc {

using base::Guard;
using MarksLeft = heap::SweptShared::MarksLeft;

namespace {

// What a page that was armed costs whoever writes it first.
constexpr std::uint64_t fault_ns = 1000;
// Bits of this size and more are not cleared in a stop.
constexpr std::uint64_t many_bit_bytes = std::uint64_t{2} << 20;

}  // namespace

// Before a cycle; nobody is stopped.
void Collector::choose_age(Mode mode) {
    const bool is_possible = settings_.young != Young::never && environment_->client != nullptr &&
                             mode == Mode::concurrent && watch_.tracker().start();
    heap::SweptShared& shared = heap_->swept().shared();
    bool wants_full = true;
    bool is_unaged = settings_.young == Young::always_unaged;
    {
        Guard guard(lock_);
        // relaxed: looked at again in stop 1
        const bool was_old_freed = was_old_freed_.load(std::memory_order_relaxed);
        wants_full = now_.is_forced || was_old_freed || pacer_.wants_full_cycle() ||
                     (settings_.young == Young::by_yield && !age_policy_.prefers_young());
        is_unaged |= settings_.young == Young::by_yield && !age_policy_.ages_survivors();
    }
    const bool has_marks = shared.has_marks();
    now_.is_young = is_possible && has_marks && !wants_full;
    notes_old_ = is_possible && is_unaged && shared.old_marks.cover(space_.objects->bounds());
    now_.ages = !now_.is_young || !notes_old_ || !shared.old_marks.was_noted();
    may_keep_marks_ = is_possible;
    clears_marks_ = has_marks && !now_.is_young;
    if (is_possible) watch_.follow(*space_.objects);
}

// Where that takes too long for a stop; false: the world could not be stopped. A thread inside the runtime
// may be sweeping a span by its marks still, though none is left to be swept. So all are stopped once before.
bool Collector::clear_marks_ahead(Mutator* self) {
    if (!clears_marks_ || space_.objects->ready_bytes() < many_bit_bytes) return true;
    if (!world_.stop_all(self == nullptr ? nullptr : &self->thread, self != nullptr)) return false;
    world_.resume_all();
    clear_marks();
    return true;
}

// Needs: nobody sweeps.
void Collector::clear_marks() {
    if (!clears_marks_) return;
    clears_marks_ = false;
    // relaxed: nobody sweeps
    heap_->swept().shared().marks_left.store(MarksLeft::none, std::memory_order_relaxed);
    space_.objects->clear_marks();
}

// In stop 1 of a young cycle: what may lead from old objects to new ones.
void Collector::scan_written_since(Marker& marker) {
    now_.dirty_pages += watch_.visit_written(*space_.objects, [&](std::uintptr_t low, std::uintptr_t high) {
        marker.add_written(low, high);
    });
}

// What a full cycle tells of the young ones before it: of what they kept, did most die by and by? That
// garbage kept more of its kind, so survivors had better stay young.
void Collector::learn_fate() {
    if (now_.is_young || !last_.is_young) return;
    const std::uint64_t kept = last_.marked - std::min(last_.marked, last_full_.marked);
    age_policy_.note_fate(kept, last_.marked - std::min(last_.marked, now_.marked));
}

// In a cycle's last stop, all marked: decides whether the marks stay, and arms what is old.
void Collector::keep_marks() {
    const std::uint64_t freed = now_.live_at_end > now_.marked ? now_.live_at_end - now_.marked : 0;
    const std::uint64_t made = now_.live_at_end > last_.marked ? now_.live_at_end - last_.marked : 0;
    const std::uint64_t cost_ns = os::thread_cpu_ns() - now_.worker_cpu_ns + assist_ns_.value() -
                                  now_.assist_ns + last_.armed_pages * fault_ns;
    if (may_keep_marks_) {
        learn_fate();
        age_policy_.note(now_.is_young, made, freed, cost_ns);
    }
    now_.keeps_marks =
        may_keep_marks_ && (settings_.young != Young::by_yield || age_policy_.wants_young_cycles());
    heap::SweptShared& shared = heap_->swept().shared();
    MarksLeft left = MarksLeft::noted;
    if (!now_.keeps_marks) left = MarksLeft::none;
    else if (now_.ages) left = notes_old_ ? MarksLeft::all_and_noted : MarksLeft::all;
    shared.marks_left.store(left, std::memory_order_relaxed);  // relaxed: the world is stopped
    shared.old_marks.set_noted(left >= MarksLeft::all_and_noted);
    if (left == MarksLeft::none || left == MarksLeft::noted) return;
    if (!is_watching_) now_.armed_pages = watch_.arm_old(space_);
    // A young cycle in one stop has armed what it found written.
    if (!is_watching_roots_ && !now_.is_young) roots_.watch_parts(watch_.tracker());
}

}  // namespace cairn::gc
