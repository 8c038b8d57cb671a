// Start, threads, allocation, settings: what the program calls.
// SPDX-License-Identifier: MIT
#include "gc/collector.hpp"

#include <cstring>
#include <new>

#include "os/memory.hpp"
#include "os/process.hpp"
#include "os/threads.hpp"

namespace cairn::gc {

using base::Guard;

namespace {

// A large object is zeroed in pieces of this size, so that a stop need not wait for a gigabyte.
constexpr std::size_t zeroed_piece_bytes = std::size_t{256} << 10;

// Spans swept at most for pages of a new one, so that nobody waits long.
constexpr unsigned reclaim_budget = 32;

// How long who waits for a cycle sleeps when it finds nothing to mark.
constexpr std::uint64_t dry_nap_ns = 50'000;

}  // namespace

bool Collector::start(heap::Heap& heap, const CollectorSettings& settings,
                      const CollectorEnvironment& environment) {
    heap_ = &heap;
    environment_ = &environment;
    settings_ = settings;
    heap::SpanAlloc& spans = heap.spans();
    if (!heap.swept().start(spans)) return false;
    pool_.initialize(spans.metadata());
    stacks_.initialize(spans);
    space_ = {&spans.addresses(), &spans.objects(), &heap.swept().centrals().shapes(), &pool_,
              &deferred_, environment.client, watch_.look(), &root_jobs_};
    deferred_.initialize(spans.metadata());
    crew_.initialize(space_);
    // Clients of older collectors know no fibers of ours, and have alternate stacks that may not be written:
    // asymptote's lies in a frame that has returned.
    if (!world_.initialize(0, {}, environment.client == nullptr)) return false;
    roots_.initialize(spans.metadata());
    root_jobs_.initialize(roots_);
    storage_.initialize(spans.metadata());
    finalizer_.initialize(spans, spans.objects(), environment.phase, environment.runner);
    sweeper_.initialize(
        heap.swept(),
        [](void* self, heap::Span& span) { static_cast<Collector*>(self)->finalizer_.sweep(span); }, this,
        settings.poisons);
    Guard guard(lock_);
    const std::uint64_t now_ns = os::monotonic_ns();
    pacer_.configure(settings_.pace(), now_ns);
    limiter_.set_cpus(os::cpu_count(), now_ns);
    commit_pace(true);
    return true;
}

// ---- threads

Mutator* Collector::attach() {
    Mutator* mutator = nullptr;
    {
        Guard guard(lock_);
        mutator = spare_mutators_.pop_front();
        if (mutator == nullptr) {
            pages::Metadata& metadata = heap_->spans().metadata();
            void* memory = metadata.allocate(sizeof(Mutator), base::cache_line_bytes);
            if (memory == nullptr) return nullptr;
            mutator = new (memory) Mutator;
        }
    }
    // Numbers that differ between threads are enough.
    const auto seed = reinterpret_cast<std::uintptr_t>(mutator) ^ os::monotonic_ns();
    if (!mutator->cache.attach(heap_->swept().centrals(), &mutator->local, seed)) {
        Guard guard(lock_);
        spare_mutators_.push_front(mutator);
        return nullptr;
    }
    mutator->assist_balance = 0;
    mutator->barrier.count = 0;
    // A fork may have cut its last thread off in the middle of these.
    mutator->is_allocating = false;
    mutator->is_in_finalizer = false;
    mutator->is_leaving_section.store(false, std::memory_order_relaxed);  // relaxed: nobody looks yet
    world_.attach(mutator->thread);
    threads_.add(1);
    return mutator;
}

void Collector::detach(Mutator& mutator) {
    {
        InRuntime inside(mutator);
        mutator.cache.release_all();
        stacks_.flush(mutator.stacks, !is_marking());
        hand_over(mutator.barrier);
        heap_->spans().flush(mutator.local);
    }
    world_.detach(mutator.thread);
    threads_.subtract(1);
    Guard guard(lock_);
    spare_mutators_.push_front(&mutator);
}

// ---- allocation

void Collector::reclaim(std::size_t bytes, std::size_t pages) {
    if (sweeper_.is_done()) return;
    if (bytes != 0) sweeper_.pay_debt(bytes);
    if (pages != 0) (void)sweeper_.reclaim(pages, reclaim_budget);
}

// What was just taken counts: towards the next cycle, or as debt to the one that marks.
void Collector::after_allocation(Mutator& mutator, std::size_t bytes) {
    const std::uint64_t live = heap_->swept().shared().live_bytes.value();
    if (is_marking()) {
        mutator.assist_balance -= static_cast<std::int64_t>(bytes);
        if (mutator.assist_balance < 0) assist(mutator, bytes);
    } else {
        if (!is_over_trigger()) return;
        if (!ensure_thread()) return collect_inline(mutator);
        if (collect_here(mutator)) return;
        turn_.request(Turn::cycle_wanted);
    }
    // relaxed: a threshold alone
    if (live > throttle_at_.load(std::memory_order_relaxed)) throttle(mutator);
}

// Without a thread of ours the one who allocates runs the cycle, with the world stopped. Inside the runtime.
__attribute__((noinline)) void Collector::collect_inline(Mutator& mutator) {
    if (!turn_.try_take()) return;
    __builtin_unwind_init();  // this frame has all registers of the callers
    World::note_position(mutator.thread);
    if (run_cycle(true, Runner::program_alone, &mutator) == Ended::done) finish_cycle();
    turn_.end();
}

// A cycle that is one short stop is run by the thread that has allocated too much: to wake another one, which
// stops this one and wakes it again, may take longer. The sweep is the other one's. Inside the runtime.
// False: somebody else is to run it.
__attribute__((noinline)) bool Collector::collect_here(Mutator& mutator) {
    __builtin_unwind_init();  // as above
    World::note_position(mutator.thread);
    if (!turn_.try_take()) return false;
    Ended ended = Ended::not_yet;
    if (is_over_trigger() && can_afford_cycle()) ended = run_cycle(false, Runner::program, &mutator);
    if (ended == Ended::not_yet) {
        turn_.end();
        return false;
    }
    is_half_way_ = ended == Ended::half_way;
    turn_.hand_over();
    return true;
}

// The mutator outran the collector, which waits for a CPU: it gets ours for a while.
void Collector::throttle(Mutator& mutator) {
    constexpr std::uint64_t patience_ns = 2'000'000;
    const std::uint32_t phase = phases_.load(std::memory_order_relaxed);  // relaxed: a hint
    World::enter_blocking(mutator.thread);
    os::wait_for(phases_, phase, patience_ns);
    World::leave_blocking(mutator.thread);
}

void* Collector::allocate_small(Mutator& mutator, unsigned shape) {
    for (int attempt = 0;; ++attempt) {
        {
            InRuntime inside(mutator);
            void* object = mutator.cache.allocate_slow(shape);
            if (const std::size_t bytes = mutator.cache.take_cached_bytes()) after_allocation(mutator, bytes);
            if (object != nullptr || attempt == 1) return object;
        }
        collect(mutator);
    }
}

// Outside of the runtime between two pieces, so that a stop comes through.
void Collector::zero_in_pieces(Mutator& mutator, heap::Span& span) {
    for (std::uintptr_t at = span.base; at < span.end(); at += zeroed_piece_bytes) {
        InRuntime inside(mutator);
        const std::size_t bytes = span.end() - at < zeroed_piece_bytes ? span.end() - at : zeroed_piece_bytes;
        std::memset(reinterpret_cast<void*>(at), 0, bytes);
    }
}

void* Collector::allocate_large(Mutator& mutator, std::size_t bytes, std::size_t alignment,
                                heap::ShapeId shape, bool is_zeroed) {
    if (bytes > heap::max_request_bytes) return nullptr;
    if (bytes >= heap::doubtful_bytes && !os::would_grant(bytes)) return nullptr;
    heap::Span* span = nullptr;
    for (int attempt = 0; span == nullptr; ++attempt) {
        {
            InRuntime inside(mutator);
            span = heap_->swept().make_large(bytes, alignment, shape, &mutator.local);
        }
        if (span == nullptr && attempt == 1) return nullptr;
        if (span == nullptr) collect(mutator);
    }
    if ((is_zeroed || !heap::is_unzeroed_shape(shape)) && span->needs_zero) zero_in_pieces(mutator, *span);
    InRuntime inside(mutator);
    void* object = heap_->swept().publish_large(span);
    after_allocation(mutator, span->bytes());
    return object;
}

void Collector::free(Mutator& mutator, void* object) {
    const bool may_reuse = !mutator.is_interrupted() && !settings_.poisons;
    InRuntime inside(mutator);
    const CollectedObject found = find(object);
    if (!found) return;
    finalizer_.forget_object(reinterpret_cast<void*>(found.start));
    // While marking nothing is freed.
    heap::Span& span = *found.span;
    heap::SweptShared& shared = heap_->swept().shared();
    const std::size_t bytes = span.is_large() ? span.bytes() : span.slot_bytes;
    if (is_marking()) return shared.given_back_bytes.add(bytes);
    ensure_swept(span, heap_->spans());
    if (!space_.objects->is_allocated(found.start)) return;
    if (!span.is_large()) {
        // What others may still use, or should find poisoned, waits for its span's sweep.
        if (may_reuse && !mutator.cache.may_be_tiny_block(span.shape)) {
            mutator.cache.make_active(span.shape);
            (void)mutator.cache.give_back(span.shape, found.start);
            return;
        }
        if (heap::may_hold_pointers(span.kind))
            std::memset(reinterpret_cast<void*>(found.start), 0, bytes);
        return shared.given_back_bytes.add(bytes);
    }
    std::uint32_t swept = shared.generation();
    // acq_rel: as try_acquire_for_sweep(), against another free of the same object; relaxed: then it is
    // that's
    if (!span.sweep_generation.compare_exchange_strong(swept, swept - 1, std::memory_order_acq_rel,
                                                       std::memory_order_relaxed))
        return;
    // A stale word in an old object may name what will be here; a young cycle would not see that word.
    // relaxed: a cycle that begins stops this thread first
    if (space_.objects->is_marked(span.base)) was_old_freed_.store(true, std::memory_order_relaxed);
    space_.objects->clear_run(span.base, 1, pages::granule_bytes);
    span.alloc_count = 0;
    shared.live_bytes.subtract(bytes);
    shared.freed_bytes.add(bytes);
    shared.given_back_bytes.add(bytes);
    shared.freed_objects.add(1);
    heap_->spans().free(&span);
}

CollectedObject Collector::find(const void* address) const {
    return object_at(heap_->spans(), *space_.objects, reinterpret_cast<std::uintptr_t>(address));
}

// ---- cycles and settings

void Collector::collect(Mutator& mutator) {
    // The next cycle to begin is the first whose marking comes after this call.
    // acquire: see begin_marking()
    const std::uint32_t target = started_.load(std::memory_order_acquire) + 1;
    if (!ensure_thread()) {
        InRuntime inside(mutator);
        collect_inline(mutator);
        return;
    }
    // relaxed: phases_ orders what is added to it
    const std::uint32_t declined = declined_.load(std::memory_order_relaxed);
    turn_.request(Turn::cycle_wanted | Turn::cycle_forced);
    // A signal handler that interrupts the wait must not allocate: the collector may be at our cache.
    const bool was_allocating = mutator.is_allocating;
    mutator.is_allocating = true;
    World::enter_blocking(mutator.thread);
    for (;;) {
        const std::uint32_t phase = phases_.load(std::memory_order_acquire);  // acquire: the cycle's effects
        // relaxed, both: phases_ orders them
        const std::uint32_t done = completed_.load(std::memory_order_relaxed);
        if (static_cast<std::int32_t>(done - target) >= 0) break;
        if (declined_.load(std::memory_order_relaxed) != declined) break;  // relaxed: as above
        if (!is_marking()) {
            base::os_wait(phases_, phase);
            continue;
        }
        World::leave_blocking(mutator.thread);
        const bool is_dry = help_mark(mutator);
        World::enter_blocking(mutator.thread);
        if (is_dry) os::wait_for(phases_, phase, dry_nap_ns);
    }
    World::leave_blocking(mutator.thread);
    mutator.is_allocating = was_allocating;
}

int Collector::set_gc_percent(int percent) {
    Guard guard(lock_);
    const int before = settings_.gc_percent;
    settings_.gc_percent = percent < 0 ? -1 : percent;
    pacer_.configure(settings_.pace(), os::monotonic_ns());
    if (!is_marking()) commit_pace(sweeper_.is_done());
    return before;
}

std::uint64_t Collector::set_memory_limit(std::uint64_t bytes) {
    Guard guard(lock_);
    const std::uint64_t before = settings_.memory_limit;
    settings_.memory_limit = bytes;
    pacer_.configure(settings_.pace(), os::monotonic_ns());
    if (!is_marking()) commit_pace(sweeper_.is_done());
    return before;
}

void Collector::set_least_goal(std::uint64_t bytes) {
    Guard guard(lock_);
    settings_.least_goal_bytes = bytes;
    pacer_.configure(settings_.pace(), os::monotonic_ns());
    if (!is_marking()) commit_pace(sweeper_.is_done());
}

Mode Collector::set_mode(Mode mode) {
    Guard guard(lock_);
    const Mode before = settings_.mode;
    settings_.mode = mode;
    if (!is_marking()) commit_pace(sweeper_.is_done());
    return before;
}

CollectorStats Collector::stats() {
    heap::SweptShared& shared = heap_->swept().shared();
    CollectorStats all;
    all.cycles = completed_.load(std::memory_order_relaxed);  // relaxed: a statistic
    all.live_bytes = shared.live_bytes.value();
    all.assist_ns = assist_ns_.value();
    all.worker_ns = worker_ns_.value();
    all.dirty_pages = dirty_pages_.value();
    all.barrier_flushes = barrier_flushes_.value();
    all.allocated_bytes = shared.allocated_bytes.value();
    for (const base::Counter& objects : shared.objects) all.allocated_objects += objects.value();
    all.freed_bytes = sweeper_.freed_bytes() + shared.freed_bytes.value();
    all.freed_objects = sweeper_.freed_objects() + shared.freed_objects.value();
    all.threads = threads_.value();
    Guard guard(lock_);
    all.forced_cycles = forced_cycles_;
    all.stops = stop_times_;
    all.marked_bytes = last_.marked;
    all.marked_objects = last_.marked_objects;
    all.scanned_bytes = last_.scanned_bytes;
    all.mark_ns = last_.mark_ns;
    all.goal_bytes = pacer_.goal();
    all.trigger_bytes = pacer_.trigger();
    all.gc_percent = settings_.gc_percent;
    all.memory_limit = settings_.memory_limit;
    all.mode = settings_.mode;
    return all;
}

// ---- the collector's thread

bool Collector::ensure_thread() {
    // relaxed: a hint
    if (worker_.load(std::memory_order_relaxed) == Worker::running) return true;
    Worker none = Worker::none;
    // acq_rel: one starts it; relaxed: another does
    if (!worker_.compare_exchange_strong(none, Worker::running, std::memory_order_acq_rel,
                                         std::memory_order_relaxed))
        return true;
    if (os::spawn_thread(&Collector::thread_entry, this, "cairn-gc")) return true;
    worker_.store(Worker::none, std::memory_order_release);  // release: the next may try
    return false;
}

void Collector::thread_entry(void* self) { static_cast<Collector*>(self)->run_thread(); }

void Collector::run_thread() {
    constexpr std::uint64_t nap_ns = 1'000'000'000;
    constexpr std::uint64_t retry_ns = 10'000'000;
    for (;;) {
        std::uint32_t wanted = turn_.take_requests();
        if ((wanted & Turn::turn_given) != 0) {
            if (turn_.is_handed()) take_over();
            wanted &= ~Turn::turn_given;
            if (wanted == 0) continue;
        }
        bool is_forced = (wanted & Turn::cycle_forced) != 0;
        if (wanted == 0) {
            std::uint64_t forced_at = 0;
            {
                Guard guard(lock_);
                forced_at = pacer_.next_forced_at();
            }
            if (os::monotonic_ns() < forced_at) {
                turn_.wait_for_request(nap_ns);
                continue;
            }
            is_forced = true;
        }
        // Asked for while the last cycle was about to begin, which has served it.
        if (!is_forced && !is_over_trigger()) continue;
        if (!is_forced && !can_afford_cycle()) {
            os::sleep_ns(retry_ns);
            turn_.request(wanted);
            continue;
        }
        turn_.take_by_collector([this] { take_over(); });
        const bool is_done = run_cycle(is_forced, Runner::own_thread, nullptr) == Ended::done;
        if (is_done) finish_cycle();
        turn_.end();
        finalizer_.runner().start_if_wanted();
        if (is_done) continue;
        os::sleep_ns(retry_ns);
        turn_.request(wanted | Turn::cycle_wanted);
    }
}

// What a thread of the program began.
void Collector::take_over() {
    if (is_half_way_) {
        now_.worker_cpu_ns = os::thread_cpu_ns() - now_.worker_cpu_ns;
        go_on_concurrently();
    }
    finish_cycle();
    turn_.end();
    finalizer_.runner().start_if_wanted();
}

// False: the last cycles are not paid for yet; the program goes on meanwhile.
bool Collector::can_afford_cycle() {
    limit(CpuLimiter::Phase::off);
    Guard guard(lock_);
    return limiter_.can_afford_cycle();
}

// Sweeps all, and says so.
void Collector::finish_cycle() {
    finish_sweep();
    tell(CycleEvent::ends);
    stacks_.trim();
    {
        Guard guard(lock_);
        commit_pace(true);
        if (is_declined_ && settings_.mode != Mode::off) put_off();
    }
    // relaxed, both: ours
    completed_.store(started_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    phases_.fetch_add(1, std::memory_order_release);  // release: the cycle's effects, to collect()
    base::os_wake(phases_, true);
    finalizer_.runner().wake();
}

// ---- fork

// No cycle runs, nobody is inside our code, nobody attaches: until after_fork_*().
void Collector::before_fork(Mutator* self) {
    if (self != nullptr) World::enter_blocking(self->thread);
    turn_.take();
    if (self != nullptr) World::leave_blocking(self->thread);
    fork_gate.close(self == nullptr ? nullptr : &self->thread);
    // A thread that cannot be stopped may be inside: the child then risks what any fork risks.
    if (world_.stop_all(self == nullptr ? nullptr : &self->thread)) world_.resume_all();
    if constexpr (base::debug_build) base::note_fork(true);
    world_.lock_for_fork();  // a thread may be on its way into the list
    lock_.lock();
    roots_.lock();
    finalizer_.lock_for_fork();
    stacks_.lock();
}

void Collector::after_fork_parent() {
    stacks_.unlock();
    finalizer_.unlock_after_fork();
    roots_.unlock();
    lock_.unlock();
    world_.unlock_after_fork();
    if constexpr (base::debug_build) base::note_fork(false);
    fork_gate.open();
    turn_.end();
}

void Collector::after_fork_child(Mutator* survivor) {
    roots_.reset_locks_after_fork();
    finalizer_.reset_in_child();
    lock_.reset_after_fork();
    grey_lock_.reset_after_fork();
    pool_.reset_lock_after_fork();
    deferred_.reset_lock_after_fork();
    heap_->swept().reset_locks_after_fork();
    sweeper_.reset_after_fork();
    stacks_.reset_lock_after_fork();
    crew_.reset_in_child();
    watch_.after_fork_child();
    // relaxed, all: the child has one thread
    worker_.store(Worker::none, std::memory_order_relaxed);
    assisting_.store(0, std::memory_order_relaxed);  // relaxed: as above
    turn_.reset_requests();
    // What the threads that are not here had cached goes home.
    world_.for_each([&](ThreadRecord& thread) {
        Mutator& other = Mutator::of(thread);
        if (&other == survivor) return;
        other.cache.release_all();
        stacks_.flush(other.stacks, false);
        heap_->spans().flush(other.local);
        spare_mutators_.push_front(&other);
        threads_.subtract(1);
    });
    world_.reset_in_child(survivor == nullptr ? nullptr : &survivor->thread);
    if constexpr (base::debug_build) base::note_fork(false);
    fork_gate.open();
    turn_.end();
}

}  // namespace cairn::gc
