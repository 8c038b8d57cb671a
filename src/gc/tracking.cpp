// Conservative spans in a concurrent cycle: whether the kernel tracks them, and what becomes of its reports.
//
// Tracking costs the program about a microsecond a page that it writes, and the collector a look at each of
// those pages again. One stop with all CPUs marking costs nothing of that. So a heap that is estimated to be
// marked within 7 ms (CAIRN_GC_STOP_MS) is marked in one stop. If that was wrong, tracking begins in that
// stop, which may take as long for a large heap that was taken for one with few objects; so that counts too.
//
// With tracking, what was written is scanned again beside the program for as long as that makes it less. The
// rest is for stop 2:
//
// - As little as one stop can do, by what was seen last: that stop looks at all of it once, watches nothing
//   any more, and ends the cycle.
// - More: a slice. All CPUs work through written pages, armed again as they are found, until the slice's time
//   is over; then the program runs for a moment, and the next slice goes on where this one ended. The moments
//   get shorter, so each slice takes more away than the program adds: a page is written at most once before
//   it is reported, and the write that makes it so costs about as much as scanning it.
//
// SPDX-License-Identifier: MIT
#include <algorithm>

#include "gc/collector.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"

namespace cairn::gc {

namespace {

// What a stop that was estimated to be short enough may really take before tracking begins, and how long that
// takes for a page.
constexpr std::uint64_t quick_limit(std::uint64_t one_stop_ns) { return one_stop_ns + one_stop_ns / 2; }
constexpr std::uint64_t armed_page_ns = 40;
// Roots are read while objects are marked, and so many bytes of them take as long as one of those.
std::uint64_t objects_worth(const RootSet& roots) { return roots.total_bytes() / 64; }
// Until it was measured: the time to mark an object. And to read a byte in which there is nothing.
constexpr double first_object_ns = 12;
constexpr double empty_byte_ns = 0.06;

// Rounds of scanning written pages beside the program: while they find more than this, and at most so many.
constexpr std::uint64_t few_pages = 512;
constexpr unsigned most_cleanings = 8;

// How long a slice takes, from the request that threads stop, and how long the program runs between two. When
// so many were not enough the program writes faster than they clean: twice as long each time.
constexpr std::uint64_t slice_stop_ns = 1'500'000;
constexpr std::uint64_t slice_rest_ns = 1'000'000;
// The last stop may take as long as so many slices.
constexpr std::uint64_t last_slices = 2;
constexpr unsigned short_slices = 500;
constexpr unsigned slices_of_a_length = 16;
// To ask about all of a heap in which little was written takes all CPUs no longer.
constexpr std::uint64_t looked_at_bytes_a_ns = 2000;

constexpr std::uint64_t chunk_bytes = std::uint64_t{16} << 10;

// Roots worth watching although there are no conservative objects.
constexpr std::uint64_t many_root_bytes = std::uint64_t{1} << 20;

}  // namespace

// ---- which way

// Spans are counted as they are made; the walk tells whether one is left.
bool Collector::has_conservative() {
    return heap_->swept().shared().conservative_spans.value() != 0 &&
           ConservativeWatch::is_needed(*space_.objects);
}

bool Collector::is_quickly_marked() {
    arming_ns_ = 0;
    const std::uint64_t live = heap_->swept().shared().live_bytes.value();
    if (now_.is_young) {
        const std::uint64_t fresh = live > aged_.marked ? live - aged_.marked : 0;
        quick_ns_ = static_cast<std::uint64_t>(static_cast<double>(fresh) * new_byte_speed_.each_ns(0));
        return true;
    }
    // As large a part of what there is as the last time that all was marked.
    const double there = static_cast<double>(now_.objects_at_start);
    const double share = last_full_.objects_at_start <= last_full_.marked_objects
                             ? 1
                             : static_cast<double>(last_full_.marked_objects) /
                                   static_cast<double>(last_full_.objects_at_start);
    const double each_ns = object_speed_.each_ns(first_object_ns);
    const double reading_ns = static_cast<double>(snapshot().heap_scan_bytes) * empty_byte_ns;
    const double root_objects = static_cast<double>(objects_worth(roots_));
    quick_ns_ = static_cast<std::uint64_t>(std::max((there * share + root_objects) * each_ns, reading_ns));
    arming_ns_ = live / os::page_bytes() * armed_page_ns;
    return quick_ns_ + arming_ns_ < one_stop_ns();
}

// Whether a thread of the program that asks for a cycle may run it: as one short stop.
bool Collector::may_run_here(Mode mode) {
    return mode == Mode::concurrent && has_conservative() && is_quickly_marked() && quick_ns_ < one_stop_ns();
}

void Collector::learn_speed(std::uint64_t stop_ns, std::uint64_t objects) {
    constexpr std::uint64_t tells_little = 2000;
    const std::uint64_t fresh = now_.live_at_start > aged_.marked ? now_.live_at_start - aged_.marked : 0;
    const std::uint64_t amount = now_.is_young ? fresh : objects + objects_worth(roots_);
    if (amount < tells_little) return;
    (now_.is_young ? new_byte_speed_ : object_speed_).note(stop_ns, amount);
}

// Decides how conservative spans are marked, and has the kernel watch them and large roots when it must.
Mode Collector::choose_tracking(Mode mode) {
    is_quick_ = is_watching_ = is_watching_roots_ = false;
    conservative_spans_ = heap_->swept().shared().conservative_spans.value();
    if (mode != Mode::concurrent) return mode;
    if (!has_conservative()) {
        if (roots_.total_bytes() < many_root_bytes || !watch_.tracker().start()) return mode;
        is_watching_roots_ = true;
        roots_.prepare_jobs();
        roots_.watch_parts(watch_.tracker());
        return mode;
    }
    if (is_quickly_marked()) {
        is_quick_ = true;
        return mode;
    }
    object_speed_.doubt();
    if (begin_tracking()) return mode;
    now_.why_stw = watch_.reason();
    return Mode::stw;
}

bool Collector::begin_tracking() {
    if (!watch_.begin(*space_.objects)) return false;
    roots_.prepare_jobs();
    roots_.watch_parts(watch_.tracker());
    is_watching_ = is_watching_roots_ = true;
    is_last_look_ = false;
    sliced_pages_ = few_pages;
    now_.ages = true;  // all is armed anew
    return true;
}

void Collector::end_tracking() {
    if (is_watching_ && now_.keeps_marks) watch_.disarm_new(space_);
    else if (is_watching_) watch_.end(*space_.objects);
    if (is_watching_roots_ && !now_.keeps_marks) roots_.unwatch_parts(watch_.tracker());
}

// ---- one stop

// Marks in stop 1 to its end, or so far that it is better to track and go on beside the program.
Mode Collector::drain_quickly(Marker& marker) {
    const std::uint64_t start_ns = os::monotonic_ns();
    const std::uint64_t start_cpu_ns = os::thread_cpu_ns();
    const bool is_hopeless = now_.is_young && quick_ns_ > one_stop_ns();
    if (is_hopeless) new_byte_speed_.doubt();
    const std::uint64_t limit_ns = std::max(quick_limit(one_stop_ns()), arming_ns_) - arming_ns_;
    const bool is_done = !is_hopeless && drain_stopped(marker, start_ns + limit_ns);
    if (!is_done) {
        // They are read in place, so while nobody runs.
        while (marker.scan_next_roots()) {
        }
        add_counts(crew_.close());
        note_progress(marker);
    }
    // By the CPU's time: that others had it says nothing about the next time.
    if (!is_hopeless)
        learn_speed(os::thread_cpu_ns() - start_cpu_ns,
                    marked_objects_.value() + marker.count.marked_objects);
    if (is_done) {
        now_.why_stw = "few conservative objects";
    } else if (begin_tracking()) {
        is_quick_ = false;
        marker.flush();
        return Mode::concurrent;
    } else {
        now_.why_stw = watch_.reason();
        crew_.open(os::cpu_count() - 1);
        (void)drain_stopped(marker, UINT64_MAX);
    }
    now_.is_stw = true;
    return Mode::stw;
}

// ---- written pages

// Has what was written scanned again. True: goes_on(), asked after each slice, never said no.
template <class GoesOn>
bool Collector::rescan_written(Marker& marker, GoesOn goes_on) {
    marker.refresh();
    const Greyer verbs = verbs_of(marker);
    const auto visit = [&](std::uintptr_t low, std::uintptr_t high) {
        marker.add_written(low, high);
        // Asked after the kernel's answer: who adds a finalizer and then writes to the object is seen.
        if (finalizer_.specials().were_added()) finalizer_.mark_dirty(low, high, verbs);
    };
    bool is_all = false;
    now_.dirty_pages += watch_.collect_some(*space_.objects, visit, goes_on, is_all);
    return is_all;
}

// Beside the program, while each round finds clearly less than the one before.
void Collector::clean_ahead(Marker& marker) {
    std::uint64_t before = UINT64_MAX;
    for (unsigned round = 0; round < most_cleanings; ++round) {
        const std::uint64_t counted = now_.dirty_pages;
        (void)rescan_written(marker, [] { return true; });
        scan_changed_roots(marker, Reading::beside_program);
        mark_until_dry(marker);
        const std::uint64_t pages = now_.dirty_pages - counted;
        is_last_look_ = pages <= few_pages && !finalizer_.specials().were_added();
        if (is_last_look_ || pages > before - before / 4) return;
        before = pages;
    }
}

// After a stop 2 that was not the last: whether the next may be, by what was seen. A slice looks where most
// was written, and what it leaves behind is clean.
void Collector::expect_pages(const WrittenLook::Seen& seen) {
    const bool was_last = is_last_look_;
    is_last_look_ = false;
    if (was_last) {
        sliced_pages_ /= 2;
        return;
    }
    sliced_pages_ = std::max(sliced_pages_, seen.pages);
    if (seen.bytes == 0) return;
    const double heap_bytes = static_cast<double>(space_.objects->bounds().extent);
    const double left = static_cast<double>(seen.pages) / static_cast<double>(seen.bytes) * heap_bytes / 2;
    is_last_look_ = left < static_cast<double>(sliced_pages_ * last_slices);
}

// The time by which a stop 2 that began then is to end.
std::uint64_t Collector::slice_end(std::uint64_t start_ns) const {
    const unsigned beyond = now_.rounds > short_slices ? now_.rounds - short_slices : 0;
    const std::uint64_t looking_ns = heap_->swept().shared().live_bytes.value() / looked_at_bytes_a_ns;
    const std::uint64_t length_ns = (is_last_look_ ? slice_stop_ns * last_slices + looking_ns : slice_stop_ns)
                                    << (beyond / slices_of_a_length + (beyond != 0));
    // Where threads took long to stop there is some time left all the same.
    return std::max(start_ns + length_ns, os::monotonic_ns() + length_ns / 2);
}

// In stop 2, after the roots. False: not all was seen, or what it led to is not marked yet.
bool Collector::finish_written(Marker& marker, std::uint64_t start_ns) {
    const std::uint64_t deadline_ns = slice_end(start_ns);
    crew_.open(os::cpu_count() - 1);
    if (!finalizer_.specials().were_added()) {
        marker.refresh();
        watch_.open_look(*space_.objects, pool_,
                         is_last_look_ ? WrittenLook::Kind::last : WrittenLook::Kind::watches_on);
        marker.lead_look(true);
        const bool is_done = drain_stopped(marker, deadline_ns);
        marker.lead_look(false);
        const WrittenLook::Seen seen = watch_.close_look();
        now_.dirty_pages += seen.pages;
        if (!is_done) expect_pages(seen);
        return is_done;
    }
    // What written pages mean for finalizers is found out by one alone.
    const auto drain_slice = [&] {
        while (!marker.drain(chunk_bytes))
            if (os::monotonic_ns() > deadline_ns) return false;
        return os::monotonic_ns() <= deadline_ns;
    };
    return rescan_written(marker, drain_slice) && drain_stopped(marker, deadline_ns);
}

// The program's turn, which gets shorter.
void Collector::rest_between_slices(std::uint64_t resumed_ns) {
    const std::uint64_t rest_ns = slice_rest_ns / (1 + now_.rounds / 16);
    const std::uint64_t ran_ns = os::monotonic_ns() - resumed_ns;
    if (ran_ns < rest_ns) os::sleep_ns(rest_ns - ran_ns);
}

}  // namespace cairn::gc
