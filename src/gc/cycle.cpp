// One cycle, step by step: the two stops and what lies between them.
// SPDX-License-Identifier: MIT
#include <algorithm>

#include "gc/collector.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"

namespace cairn::gc {

using base::Guard;

namespace {

// Scan work between two looks at the clock, the pacer and the other markers.
constexpr std::uint64_t chunk_bytes = std::uint64_t{64} << 10;
constexpr std::uint64_t stopped_chunk_bytes = std::uint64_t{16} << 10;
// How long stop 2 may mark before it is given up, and how often that may happen in a cycle.
constexpr std::uint64_t stop_budget_ns = 150'000;
constexpr unsigned most_rounds = 8;
// What a helper is at when a stop ends takes no longer, if it has a CPU.
constexpr std::uint64_t helper_piece_ns = 100'000;
// Marked sooner by one CPU than a second one wakes up.
constexpr std::uint64_t alone_ns = 200'000;
// Looks for work of the helpers' before the clock is looked at.
constexpr unsigned most_looks = 1000;

constexpr std::uint64_t throttle_slack_bytes = std::uint64_t{1} << 20;

constexpr Mode effective(Mode mode, bool is_inline) {
    return mode == Mode::concurrent && is_inline ? Mode::stw : mode;
}

}  // namespace

HeapSnapshot Collector::snapshot() {
    heap::SpanAlloc& spans = heap_->spans();
    HeapSnapshot now;
    now.live_bytes = heap_->swept().shared().live_bytes.value();
    // Which part has pointers is not counted as it is allocated; as in the last full cycle is a good guess.
    now.heap_scan_bytes =
        last_full_.marked == 0 ? now.live_bytes
                               : static_cast<std::uint64_t>(static_cast<double>(now.live_bytes) *
                                                            static_cast<double>(last_full_.scanned_bytes) /
                                                            static_cast<double>(last_full_.marked));
    now.stack_scan_bytes = stack_bytes_.load(std::memory_order_relaxed);  // relaxed: an amount alone
    now.global_scan_bytes = roots_.total_bytes();
    now.mapped_ready_bytes = spans.ready_bytes();
    now.free_backed_bytes = spans.backed_free_bytes();
    now.object_bytes = spans.in_use_bytes();
    return now;
}

// Needs: lock_.
void Collector::commit_pace(bool is_sweep_done) {
    pacer_.commit(snapshot(), is_sweep_done);
    const bool is_off = settings_.mode == Mode::off;
    // relaxed: a threshold
    trigger_.store(is_off ? UINT64_MAX : pacer_.trigger(), std::memory_order_relaxed);
    // Room for what threads take between two looks; beyond it the collector is not keeping up at all.
    const std::uint64_t goal = pacer_.goal();
    const bool is_bounded = !is_off && goal < UINT64_MAX / 2 && !pacer_.is_limit_goal();
    throttle_at_.store(is_bounded ? goal + goal / 8 + throttle_slack_bytes : UINT64_MAX,
                       std::memory_order_relaxed);  // relaxed: a threshold
}

// The client wants no cycle now. It is asked again when the heap has grown by an eighth; until then nobody
// waits for one.
void Collector::put_off() {
    const std::uint64_t live = heap_->swept().shared().live_bytes.value();
    // relaxed, both: thresholds
    trigger_.store(live + live / 8 + throttle_slack_bytes, std::memory_order_relaxed);
    throttle_at_.store(UINT64_MAX, std::memory_order_relaxed);  // relaxed: as above
}

void Collector::finish_sweep() {
    while (sweeper_.sweep_one() != 0) {
    }
    while (!sweeper_.is_done()) os::yield_cpu();
}

// ---- stop 1

void Collector::scan_threads(Marker& marker) {
    std::uint64_t bytes = 0;
    unsigned threads = 0;
    const auto scan = [&](std::uintptr_t low, std::uintptr_t high) {
        bytes += high - low;
        marker.push_roots(low, high);
    };
    world_.for_each([&](ThreadRecord& thread) {
        ++threads;
        World::for_each_root_range(thread, scan);
        storage_.visit(thread, scan);
    });
    world_.fibers().visit_unscanned(scan, true);
    now_.stack_bytes = bytes;
    stack_bytes_.store(bytes, std::memory_order_relaxed);  // relaxed: as in snapshot()
    now_.threads = threads;
}

// True: the world is stopped, and marking has begun.
bool Collector::begin_marking(Mutator* self) {
    const std::uint64_t start_ns = os::monotonic_ns();
    if (!stop_settled(self == nullptr ? nullptr : &self->thread)) return false;
    heap::Centrals& centrals = heap_->swept().centrals();
    heap::SweptShared& shared = centrals.shared();
    // A library was loaded just now, or the first conservative objects were made that nobody watches.
    const bool is_watched = now_.is_stw || is_quick_ || is_watching_;
    // relaxed: the threads are stopped
    const bool is_too_old = now_.is_young && was_old_freed_.load(std::memory_order_relaxed);
    if ((!is_watched && shared.conservative_spans.value() != conservative_spans_) || is_too_old ||
        !roots_.is_current() || !storage_.is_current()) {
        resume_settled();
        return false;
    }
    CAIRN_CHECK(sweeper_.is_done());
    was_old_freed_.store(false, std::memory_order_relaxed);  // relaxed: as above
    clear_marks();
    centrals.reset_unswept();

    started_.fetch_add(1, std::memory_order_release);  // release: see collect()
    now_.number = started_.load(std::memory_order_relaxed);  // relaxed: ours
    now_.start_ns = start_ns;
    now_.live_at_start = shared.live_bytes.value();
    marked_bytes_.subtract(marked_bytes_.value());
    marked_objects_.subtract(marked_objects_.value());
    scanned_bytes_.subtract(scanned_bytes_.value());
    shared.black_bytes.subtract(shared.black_bytes.value());
    pool_.clear_overflow();

    // relaxed, both: the threads are stopped, and going on synchronises
    shared.allocates_black.store(true, std::memory_order_relaxed);
    is_marking_.store(true, std::memory_order_relaxed);  // relaxed: as above
    *environment_->barrier_flag = 1;
    world_.for_each([](ThreadRecord& thread) {
        Mutator& mutator = Mutator::of(thread);
        mutator.cache.mark_runs();
        mutator.assist_balance = 0;
    });
    {
        Guard guard(lock_);
        plan_ = pacer_.start_cycle(snapshot(), os::cpu_count(), now_.is_forced, now_.is_young);
        terms_ = pacer_.terms();
        now_.goal = pacer_.goal();
        // relaxed: an amount alone
        credit_.store(static_cast<std::int64_t>(pacer_.start_credit()), std::memory_order_relaxed);
    }
    limit(CpuLimiter::Phase::mark);
    finalizer_.begin_mark();
    roots_.prepare_jobs();
    roots_.cells().begin_epoch();
    world_.fibers().begin_cycle();
    tell(CycleEvent::marks);
    return true;
}

// ---- between the stops

void Collector::scan_roots(Marker& marker, Reading reading) {
    for (std::size_t job = 0; job < roots_.job_count(); ++job)
        roots_.visit_job(job, reading, roots_tracker(), Marker::push_root_words, &marker);
    now_.root_bytes = roots_.total_bytes();
}

void Collector::scan_changed_roots(Marker& marker, Reading reading) {
    for (std::size_t job = 0; job < roots_.job_count(); ++job)
        roots_.visit_changed(job, reading, roots_tracker(), true, Marker::push_root_words, &marker);
}

Greyer Collector::verbs_of(Marker& marker) {
    Greyer verbs;
    verbs.context = &marker;
    verbs.grey = [](void* context, std::uintptr_t word) { static_cast<Marker*>(context)->push(word); };
    verbs.scan_object = [](void* context, std::uintptr_t object) {
        static_cast<Marker*>(context)->scan_fields(object);
    };
    return verbs;
}

void Collector::add_counts(const MarkCount& count) {
    marked_bytes_.add(count.marked_bytes);
    marked_objects_.add(count.marked_objects);
    scanned_bytes_.add(count.scanned_bytes);
}

// Counts what the marker did since the last call: credit for the program, and news for the pacer.
void Collector::note_progress(Marker& marker) {
    add_counts(marker.count);
    // relaxed: an amount alone
    credit_.fetch_add(static_cast<std::int64_t>(marker.count.scanned_bytes), std::memory_order_relaxed);
    marker.count = {};
    if (is_marking()) limit(CpuLimiter::Phase::mark);
    Guard guard(lock_);
    terms_ = pacer_.revise(snapshot(), scanned_bytes_.value());
}

void Collector::mark_until_dry(Marker& marker) {
    const Greyer verbs = verbs_of(marker);
    crew_.open(plan_.threads - 1);
    for (;;) {
        const bool is_dry = marker.drain(chunk_bytes);
        note_progress(marker);
        if (!is_dry || finalizer_.ephemerons().advance(verbs) != 0) continue;
        flush_shared_grey();
        if (!pool_.is_dry()) continue;
        // acq_rel's other half: an assist that ends has put back what it had left. Others may begin: stop 2
        // decides.
        if (assisting_.load(std::memory_order_acquire) == 0 && crew_.is_idle() && pool_.is_dry()) break;
        os::yield_cpu();
    }
    add_counts(crew_.close());
}

void Collector::mark_concurrently(Marker& marker) {
    crew_.hire(plan_.threads - 1);
    scan_roots(marker, Reading::beside_program);
    while (finalizer_.run_root_job(verbs_of(marker))) {
    }
    mark_until_dry(marker);
    if (is_watching_) clean_ahead(marker);
}

// ---- stop 2

// The helpers have all there is: until one of them gives some away.
void Collector::wait_for_work() {
    pool_.begin_hunger();
    for (unsigned looks = 0; looks < most_looks && pool_.is_dry() && !crew_.is_idle(); ++looks)
        base::cpu_pause();
    pool_.end_hunger();
}

// Marks until nothing is left; false: the deadline came first.
bool Collector::drain_stopped(Marker& marker, std::uint64_t deadline_ns) {
    const Greyer verbs = verbs_of(marker);
    for (;;) {
        const bool is_dry = marker.drain(stopped_chunk_bytes);
        if (is_dry && environment_->client != nullptr && scan_all_deferred(marker)) continue;
        if (is_dry && finalizer_.ephemerons().advance(verbs) == 0) {
            flush_shared_grey();
            if (pool_.is_dry() && crew_.is_idle()) {
                add_counts(crew_.close());
                if (pool_.is_dry()) return true;
            }
        }
        if (os::monotonic_ns() > deadline_ns) return false;
        if (is_dry) wait_for_work();
    }
}

// Words were dropped for want of memory: all roots and every marked object are scanned again, until nothing
// is dropped.
void Collector::rescan_overflow(Marker& marker) {
    while (pool_.has_overflowed()) {
        pool_.clear_overflow();
        ++now_.overflows;
        scan_threads(marker);
        scan_roots(marker, Reading::while_stopped);
        push_client_roots(marker, false);
        finalizer_.mark_all(verbs_of(marker));
        finalizer_.ephemerons().begin_mark();
        (void)drain_stopped(marker, UINT64_MAX);
        heap_->spans().addresses().for_each_span_start([&](std::uintptr_t, const heap::Span* span) {
            if (span == nullptr || !heap::may_hold_pointers(span->kind)) return;
            marker.rescan(span->base, span->end());
            (void)drain_stopped(marker, UINT64_MAX);
        });
    }
}

// All roots that may have changed since they were scanned. Needs: the world stopped.
void Collector::rescan_roots(Marker& marker) {
    marker.refresh();
    world_.for_each([&](ThreadRecord& thread) { hand_over(Mutator::of(thread).barrier); });
    flush_shared_grey();
    scan_threads(marker);
    roots_.prepare_jobs();
    scan_changed_roots(marker, Reading::while_stopped);
    push_client_roots(marker, false);
}

// With writes known by the barrier only what roots lead to is left. False: too much for this stop.
bool Collector::finish_barriered(Marker& marker) {
    const bool is_last = now_.rounds == most_rounds;
    return drain_stopped(marker, is_last ? UINT64_MAX : os::monotonic_ns() + stop_budget_ns);
}

bool Collector::try_finish(Marker& marker) {
    const std::uint64_t start_ns = os::monotonic_ns();
    if (!stop_settled(nullptr)) {
        os::sleep_ns(1'000'000);  // somebody could not be stopped: again, later
        return false;
    }
    if (!roots_.is_current() || !storage_.is_current()) {  // a library was loaded meanwhile
        resume_settled();
        note_stop(os::monotonic_ns() - start_ns);
        (void)roots_.refresh();
        (void)storage_.refresh();
        return false;
    }
    rescan_roots(marker);
    if (!(is_watching_ ? finish_written(marker, start_ns) : finish_barriered(marker))) {
        ++now_.rounds;
        // A thread that goes on would take a helper's CPU in the middle of a piece. But nobody waits long for
        // one that has lost it already: it may as well end its piece beside the program.
        crew_.dismiss();
        (void)crew_.await_helpers(helper_piece_ns);
        marker.flush();
        const std::uint64_t resumed_ns = os::monotonic_ns();
        resume_settled();
        note_stop(resumed_ns - start_ns);
        add_counts(crew_.close());
        if (!pool_.is_dry()) mark_until_dry(marker);
        if (is_watching_) rest_between_slices(resumed_ns);
        return false;
    }
    finish_stopped(marker);
    now_.stop2_ns = os::monotonic_ns() - start_ns;
    resume_settled();
    note_stop(now_.stop2_ns);
    return true;
}

// All is marked: white from here on. Needs: the world stopped.
void Collector::finish_stopped(Marker& marker) {
    rescan_overflow(marker);
    if (environment_->client != nullptr) {
        ClientSink sink(*this, marker);
        environment_->client->all_marked(sink);
    }
    tell(CycleEvent::has_marked);
    if (settings_.verifies) check_marks();
    note_progress(marker);
    heap::Centrals& centrals = heap_->swept().centrals();
    heap::SweptShared& shared = centrals.shared();
    // relaxed, both: the threads are stopped, and going on synchronises
    shared.allocates_black.store(false, std::memory_order_relaxed);
    is_marking_.store(false, std::memory_order_relaxed);  // relaxed: as above
    *environment_->barrier_flag = 0;
    now_.mark_ns = os::monotonic_ns() - now_.start_ns;
    now_.live_at_end = shared.live_bytes.value();
    const CycleReport& before = now_.is_young ? aged_ : CycleReport{};
    now_.marked = before.marked + marked_bytes_.value() + shared.black_bytes.value();
    now_.marked_objects = before.marked_objects + marked_objects_.value();
    now_.scanned_bytes = scanned_bytes_.value();

    std::atomic<std::uint32_t>& generation = heap_->spans().sweep_generation;
    // relaxed, both: the threads are stopped, and going on synchronises
    generation.store(generation.load(std::memory_order_relaxed) + 2, std::memory_order_relaxed);
    shared.live_bytes.add(now_.marked - shared.live_bytes.value());
    keep_marks();
    begin_sweep();
    world_.for_each([](ThreadRecord& thread) { Mutator::of(thread).cache.sweep_stale(); });
    (void)centrals.rehome_strays();
    retire_gone();
    if (environment_->client != nullptr) environment_->client->ended();
}

// What threads had that ended without a word. Needs: the world stopped, and what they cached is swept.
void Collector::retire_gone() {
    while (ThreadRecord* thread = world_.take_gone()) {
        Mutator& gone = Mutator::of(*thread);
        gone.cache.release_all();
        stacks_.flush(gone.stacks, false);
        heap_->spans().flush(gone.local);
        threads_.subtract(1);
        Guard guard(lock_);
        spare_mutators_.push_front(&gone);
    }
}

void Collector::begin_sweep() {
    Guard guard(lock_);
    CycleResult result;
    result.now_ns = os::monotonic_ns();
    result.marked_bytes = now_.marked;
    result.black_bytes = heap_->swept().shared().black_bytes.value();
    const std::uint64_t roots = 2 * (now_.stack_bytes + now_.root_bytes);  // scanned in both stops
    result.heap_scan_work = now_.scanned_bytes > roots ? now_.scanned_bytes - roots : 0;
    result.stack_scan_work = now_.stack_bytes;
    result.global_scan_work = now_.root_bytes;
    result.live_at_end = now_.live_at_end;
    result.duration_ns = now_.mark_ns;
    result.worker_ns = os::thread_cpu_ns() - now_.worker_cpu_ns;
    result.assist_ns = assist_ns_.value() - now_.assist_ns;
    result.is_stopped = now_.is_stw;
    result.is_young = now_.is_young;
    result.keeps_marks = now_.keeps_marks;
    pacer_.end_cycle(result);
    now_.worker_cpu_ns = result.worker_ns;
    now_.assist_ns = result.assist_ns;
    worker_ns_.add(result.worker_ns);
    dirty_pages_.add(now_.dirty_pages);
    last_ = now_;
    if (!now_.is_young) last_full_ = now_;
    if (now_.ages) aged_ = now_;
    if (now_.is_forced) ++forced_cycles_;
    commit_pace(false);
    const std::uint64_t pages = heap_->spans().in_use_bytes() / base::page_bytes;
    sweeper_.begin(pacer_.sweep_pace(now_.marked, pages, sweeper_.pages_swept()));
}

// Tells the limiter what comes next, and everybody what it says.
void Collector::limit(CpuLimiter::Phase phase) {
    Guard guard(lock_);
    CpuTime spent;
    const std::uint64_t assisted = assist_ns_.value();
    spent.assist_ns = assisted - limited_assist_ns_;
    limited_assist_ns_ = assisted;
    const double share = plan_.share > 0 ? plan_.share : 0.25;
    limiter_.enter(phase, os::monotonic_ns(), spent, share);
    is_limiting_.store(limiter_.is_limiting(), std::memory_order_relaxed);  // relaxed: a hint
}

void Collector::note_stop(std::uint64_t ns) {
    phases_.fetch_add(1, std::memory_order_relaxed);  // relaxed: only wakes throttled threads
    base::os_wake(phases_, true);
    Guard guard(lock_);
    stop_times_.add(ns);
}

// ---- all of it

// Before the first stop: what kind of cycle it will be. False: none runs now.
bool Collector::prepare_cycle(bool is_forced, Runner runner, Mode& mode) {
    {
        Guard guard(lock_);
        mode = effective(settings_.mode, runner == Runner::program_alone);
    }
    is_declined_ = mode == Mode::off || !may_begin();
    if (is_declined_) {
        declined_.fetch_add(1, std::memory_order_relaxed);  // relaxed: finish_cycle() publishes it
        return false;
    }
    now_ = {};
    now_.is_forced = is_forced;
    now_.worker_cpu_ns = os::thread_cpu_ns();
    now_.assist_ns = assist_ns_.value();
    heap::SweptShared& shared = heap_->swept().shared();
    for (const base::Counter& objects : shared.objects) now_.objects_made += objects.value();
    now_.objects_made -= std::min(now_.objects_made, shared.freed_objects.value());
    now_.objects_at_start =
        last_.marked_objects + now_.objects_made - std::min(now_.objects_made, last_.objects_made);
    choose_age(mode);
    return true;
}

Collector::Ended Collector::run_cycle(bool is_forced, Runner runner, Mutator* self) {
    finish_sweep();
    Mode mode = Mode::off;
    if (!prepare_cycle(is_forced, runner, mode)) return Ended::done;
    if (runner == Runner::program && !may_run_here(mode)) return Ended::not_yet;
    // What is not known to be a root might be one.
    if (!roots_.refresh() || !storage_.refresh() || !clear_marks_ahead(self)) return Ended::not_yet;
    mode = choose_tracking(mode);
    if ((mode == Mode::stw && self == nullptr) || is_quick_ || is_watching_) crew_.hire(os::cpu_count() - 1);
    const std::uint64_t start_ns = os::monotonic_ns();
    now_.is_stw = mode == Mode::stw;
    tell(CycleEvent::begins);
    if (!begin_marking(self)) {
        end_tracking();
        return Ended::not_yet;
    }
    // Now, since to wake them takes about as long as what comes before there is work for them.
    if (mode == Mode::stw || (is_quick_ && quick_ns_ > alone_ns)) crew_.open(os::cpu_count() - 1);
    Marker marker(space_);
    if (now_.is_young) scan_written_since(marker);
    scan_threads(marker);
    push_client_roots(marker, true);
    if (mode == Mode::stw || is_quick_) mode = mark_stopped(marker, mode);
    if (mode == Mode::stw) finish_stopped(marker);
    marker.flush();
    now_.stop1_ns = os::monotonic_ns() - start_ns;
    resume_settled();
    note_stop(now_.stop1_ns);
    if (mode == Mode::stw) {
        conclude_cycle();
        return Ended::done;
    }
    if (runner == Runner::program) {
        now_.worker_cpu_ns = os::thread_cpu_ns() - now_.worker_cpu_ns;
        return Ended::half_way;
    }
    go_on_concurrently();
    return Ended::done;
}

// All in stop 1, if it does not take too long.
Mode Collector::mark_stopped(Marker& marker, Mode mode) {
    now_.root_bytes = roots_.total_bytes();
    root_jobs_.offer(pool_, now_.is_young ? &watch_.tracker() : nullptr, now_.ages);
    while (finalizer_.run_root_job(verbs_of(marker))) {
    }
    if (mode != Mode::stw) return drain_quickly(marker);
    (void)drain_stopped(marker, UINT64_MAX);
    return mode;
}

void Collector::go_on_concurrently() {
    Marker marker(space_);
    mark_concurrently(marker);
    while (!try_finish(marker)) {
    }
    marker.flush();
    conclude_cycle();
}

void Collector::conclude_cycle() {
    tell(CycleEvent::sweeps);
    limit(CpuLimiter::Phase::off);
    end_tracking();
    trace_cycle();
}

// One line, Go's fields first: what happened when, how long the stops were, how the heap went.
void Collector::trace_cycle() const {
    if (!settings_.traces) return;
    const std::uint64_t stop2_us = now_.stop2_ns / 1000;
    base::Message line;
    line << "gc " << now_.number << ": " << now_.stop1_ns / 1000 << "+" << now_.mark_ns / 1000 << "+"
         << stop2_us << " us clock, " << now_.assist_ns / 1000 << "/" << now_.worker_cpu_ns / 1000
         << " us cpu (assist/worker), " << now_.live_at_start / 1024 << "->" << now_.live_at_end / 1024
         << "->" << now_.marked / 1024 << " KiB, " << now_.goal / 1024 << " KiB goal, "
         << now_.stack_bytes / 1024 << " KiB stacks, " << now_.root_bytes / 1024 << " KiB roots, "
         << now_.marked_objects << " objects, " << now_.dirty_pages << " dirty pages, " << now_.threads
         << " threads, " << now_.rounds << " rounds, " << (now_.is_young ? "young " : "")
         << (now_.ages ? "" : "unaged ") << (now_.is_stw ? "stw" : "concurrent")
         << (now_.is_forced ? " (forced)" : "");
    if (now_.overflows != 0) line << ", " << now_.overflows << " times all again for want of memory";
    if (*now_.why_stw != '\0') line << ": " << now_.why_stw;
    base::report(line.view());
}

}  // namespace cairn::gc
