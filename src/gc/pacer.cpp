// The pacer's arithmetic: sums saturate, ratios are clamped, so that no input makes a decision absurd.
// SPDX-License-Identifier: MIT
#include "gc/pacer.hpp"

#include <algorithm>
#include <cmath>

namespace cairn::gc {

namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20;

// Larger than any work or debt, and far from overflow when added to.
constexpr double most_work = 0x1p62;

constexpr std::uint64_t minus(std::uint64_t a, std::uint64_t b) {
    return a > b ? a - b : 0;
}

constexpr std::uint64_t plus(std::uint64_t a, std::uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

constexpr std::uint64_t sum(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    return plus(plus(a, b), c);
}

// n * numerator / denominator, rounded down.
constexpr std::uint64_t part_of(std::uint64_t n, std::uint64_t numerator, std::uint64_t denominator) {
    const unsigned __int128 result = static_cast<unsigned __int128>(n) * numerator / denominator;
    return result > UINT64_MAX ? UINT64_MAX : static_cast<std::uint64_t>(result);
}

double real(std::uint64_t n) {
    return static_cast<double>(n);
}

std::uint64_t whole(double n) {
    // written so that what is no number becomes 0
    return n > 0 ? static_cast<std::uint64_t>(std::min(n, most_work)) : 0;
}

}  // namespace

// ---- workers ----------------------------------------------------------------------------------------------

WorkerSplit split_workers(unsigned cpus) {
    const double wanted = 0.25 * cpus;
    auto dedicated = static_cast<unsigned>(wanted + 0.5);
    if (cpus == 0 || std::fabs(dedicated / wanted - 1) <= 0.3) return {dedicated, 0};
    if (dedicated > wanted) --dedicated;
    return {dedicated, (wanted - dedicated) / cpus};
}

WorkerPlan plan_workers(unsigned cpus) {
    if (cpus <= 1) return {1, 0.5};  // a fair scheduler gives one program thread as much
    const WorkerSplit split = split_workers(cpus);
    const unsigned threads = split.dedicated + (split.fraction > 0 ? 1 : 0);
    return {threads, static_cast<double>(threads) / cpus};
}

// ---- what allocation owes ---------------------------------------------------------------------------------

std::uint64_t AssistTerms::work_for(std::uint64_t debt_bytes, std::uint64_t allocated) const {
    const std::uint64_t most = whole(real(largest_work) * std::max(real(allocated) / 8192, 1.0));
    return std::min(std::max(whole(real(debt_bytes) * work_per_byte), smallest_work), most);
}

std::int64_t AssistTerms::bytes_for(std::uint64_t work) const {
    return 1 + static_cast<std::int64_t>(whole(real(work) * bytes_per_work));
}

std::uint64_t SweepPace::pages_due(std::uint64_t live_bytes, std::uint64_t bytes) const {
    return whole(pages_per_byte * real(plus(bytes, minus(live_bytes, live_basis))));
}

// ---- the steps --------------------------------------------------------------------------------------------

std::uint64_t percent_goal(std::uint64_t marked, std::uint64_t roots, std::int32_t gc_percent) {
    if (gc_percent < 0) return no_bound;
    return plus(marked, part_of(plus(marked, roots), static_cast<std::uint64_t>(gc_percent), 100));
}

std::uint64_t limit_goal(std::uint64_t limit, const HeapSnapshot& heap, std::uint64_t marked) {
    if (limit == no_bound) return no_bound;
    // What no object can use, and what is to be given back because the limit is passed already.
    const std::uint64_t usable = plus(heap.free_backed_bytes, heap.object_bytes);
    const std::uint64_t other = minus(heap.mapped_ready_bytes, usable);
    const std::uint64_t over = minus(heap.mapped_ready_bytes, limit);
    const std::uint64_t for_objects = minus(limit, plus(other, over));
    if (for_objects == 0) return marked;
    const std::uint64_t headroom = std::max(mib, for_objects / 100 * 3);
    return std::max({minus(for_objects, headroom), headroom, marked});
}

std::uint64_t trigger_for(std::uint64_t marked, std::uint64_t goal, std::uint64_t runway,
                          std::uint64_t not_before, const PacerTuning& tuning) {
    if (goal == no_bound) return no_bound;
    if (marked >= goal) return goal;
    const std::uint64_t range = goal - marked;
    const std::uint64_t lower = std::max(marked + range / 64 * tuning.earliest_trigger_64ths, not_before);
    // 4 MiB are runway enough for any heap, if the last cycles needed no more.
    const std::uint64_t upper = std::max(
        {marked + range / 64 * tuning.latest_trigger_64ths, minus(goal, Pacer::least_heap_bytes), lower});
    return std::min(std::clamp(minus(goal, runway), lower, upper), goal);
}

// ---- between cycles ---------------------------------------------------------------------------------------

void Pacer::configure(const PacerSettings& settings, std::uint64_t now_ns) {
    settings_ = settings;
    if (!has_clock_) last_end_ns_ = now_ns;
    has_clock_ = true;
}

void Pacer::commit(const HeapSnapshot& heap, bool is_sweep_done) {
    global_scan_ = heap.global_scan_bytes;
    const std::uint64_t roots = plus(stack_scan_, global_scan_);
    full_goal_ = plus(percent_goal(minus(full_marked_, full_black_), roots, settings_.gc_percent),
                      full_black_);
    if (settings_.gc_percent >= 0) {
        const auto percent = static_cast<std::uint64_t>(settings_.gc_percent);
        full_goal_ = std::max({full_goal_, part_of(least_heap_bytes, percent, 100),
                               settings_.least_goal_bytes});
    }
    // After young cycles a quarter of the room is left at least.
    const std::uint64_t kept = minus(marked_, full_marked_);
    percent_goal_ = kept == 0 ? full_goal_
                              : std::max(full_goal_, plus(marked_, minus(full_goal_, full_marked_) / 4));
    if (!is_marking_) is_young_ = keeps_marks_ && !wants_full_cycle();
    if (!is_marking_) sweep_floor_ = is_sweep_done ? 0 : plus(heap.live_bytes, sweep_distance_bytes);
    set_goal(heap);
}

void Pacer::set_goal(const HeapSnapshot& heap) {
    const std::uint64_t limit = limit_goal(settings_.memory_limit_bytes, heap, marked_);
    is_limit_goal_ = limit < percent_goal_;
    if (is_limit_goal_) {
        goal_ = limit;
        trigger_ = trigger_for(marked_, goal_, runway(), 0, tuning_);
        return;
    }
    goal_ = std::max(percent_goal_, sweep_floor_);
    if (is_marking_) goal_ = std::max(goal_, latest_goal());
    trigger_ = trigger_for(marked_, goal_, runway(), sweep_floor_, tuning_);
}

bool Pacer::wants_full_cycle() const {
    const std::uint64_t room = minus(full_goal_, full_marked_);
    return is_limit_goal_ || !has_history_ || minus(marked_, full_marked_) > room / 2;
}

// The goal's floor while marking: some runway, however late the cycle began.
std::uint64_t Pacer::latest_goal() const {
    const std::uint64_t grown = minus(triggered_, marked_);
    return plus(triggered_, std::clamp(grown / 32, least_runway_bytes, least_heap_bytes));
}

std::uint64_t Pacer::expected_work() const {
    return sum(is_young_ ? young_scan_ : heap_scan_, stack_scan_, global_scan_);
}

std::uint64_t Pacer::loan() const {
    const double work = real(expected_work());
    const double first_assists = real(tuning_.largest_assist) * cpus_;
    // twice the ratio is the most to pay it back with
    return whole(tuning_.head_start > 0 ? std::min(std::max(work * tuning_.head_start, first_assists), work)
                                        : 0);
}

double Pacer::pace() const {
    return *std::max_element(recent_pace_.begin(), recent_pace_.end());
}

std::uint64_t Pacer::runway() const {
    return whole(pace() * tuning_.runway_margin * real(expected_work()));
}

SweepPace Pacer::sweep_pace(std::uint64_t live_bytes, std::uint64_t pages_in_use,
                            std::uint64_t pages_swept) const {
    // A MiB earlier than the trigger: the last page is swept before the next cycle needs it.
    const std::uint64_t left = minus(trigger_, plus(live_bytes, sweep_distance_bytes));
    const std::uint64_t distance = std::max<std::uint64_t>(left, 8192);
    return {real(minus(pages_in_use, pages_swept)) / real(distance), live_bytes, pages_swept};
}

// ---- a cycle ----------------------------------------------------------------------------------------------

WorkerPlan Pacer::start_cycle(const HeapSnapshot& heap, unsigned cpus, bool is_forced, bool is_young) {
    cpus_ = std::max(cpus, 1u);
    plan_ = plan_workers(cpus_);
    is_forced_ = is_forced;
    is_young_ = is_young;
    is_marking_ = true;
    triggered_ = heap.live_bytes;
    global_scan_ = heap.global_scan_bytes;
    if (!has_history_) {  // nothing better is known than that all lives
        heap_scan_ = heap.heap_scan_bytes;
        stack_scan_ = heap.stack_scan_bytes;
    }
    set_goal(heap);
    start_credit_ = 0;
    loan_per_byte_ = 0;
    if (goal_ != no_bound && goal_ > triggered_) {
        start_credit_ = loan();
        loan_per_byte_ = real(start_credit_) / real(goal_ - triggered_);
    }
    revise(heap, 0);
    return plan_;
}

const AssistTerms& Pacer::revise(const HeapSnapshot& heap, std::uint64_t scan_done) {
    set_goal(heap);
    const double live = real(heap.live_bytes);
    const double done = real(scan_done);
    const double worst = real(sum(heap.heap_scan_bytes, heap.stack_scan_bytes, heap.global_scan_bytes));
    double expected = real(expected_work());
    double goal = real(goal_);
    if (done > expected) {
        // More lives than last time. The heap may grow as if that had been known, up to the hard goal.
        const double triggered = real(triggered_);
        const double extended = (goal - triggered) / std::max(expected, 1.0) * worst + triggered;
        const double percent = settings_.gc_percent < 0 ? 100'000 : settings_.gc_percent;
        goal = std::max(goal, std::min(extended, (1 + percent / 100) * goal));
        expected = worst;
    }
    if (live > goal) {
        goal *= 1.1;
        expected = std::max(expected, worst);
    }
    const double work_left = std::max(expected - done, 1000.0);
    const double bytes_left = std::max(goal - live, 1.0);
    terms_.work_per_byte = work_left / bytes_left + loan_per_byte_;
    terms_.bytes_per_work = 1 / terms_.work_per_byte;
    terms_.smallest_work = tuning_.smallest_assist;
    terms_.largest_work = assist_bound(heap.live_bytes);
    return terms_;
}

// Beyond the goal memory counts more than waiting: the largest assist doubles with each percent, thrice. It
// is then 32 bytes of work for each byte allocated, so the heap grows by 3 % of what is still to be read at
// most.
std::uint64_t Pacer::assist_bound(std::uint64_t live_bytes) const {
    const std::uint64_t over = minus(live_bytes, goal_);
    const std::uint64_t percent_over = part_of(over, 100, std::max<std::uint64_t>(goal_, 1));
    const std::uint64_t factor = std::uint64_t{1} << std::min<std::uint64_t>(percent_over, 3);
    return whole(real(tuning_.largest_assist) * real(factor));
}

void Pacer::end_cycle(const CycleResult& result) {
    learn(result);
    marked_ = result.marked_bytes;
    black_ = std::min(result.black_bytes, marked_);
    keeps_marks_ = result.keeps_marks;
    if (result.is_young) {
        young_scan_ = result.heap_scan_work;
    } else {
        heap_scan_ = result.heap_scan_work;
        full_marked_ = marked_;
        full_black_ = black_;
    }
    stack_scan_ = result.stack_scan_work;
    global_scan_ = result.global_scan_work;
    last_end_ns_ = result.now_ns;
    has_clock_ = true;
    has_history_ = true;
    is_marking_ = false;
    triggered_ = no_bound;
    trigger_ = no_bound;  // until commit()
    start_credit_ = 0;
}

// From the cycle as it was, with assists, follows how much the program would have allocated without them
// while the workers did all the work: its CPUs would have been all that the workers leave.
void Pacer::learn(const CycleResult& result) {
    const double work = real(sum(result.heap_scan_work, result.stack_scan_work, result.global_scan_work));
    const double allocated = real(minus(result.live_at_end, triggered_));
    const double cpu_ns = real(result.duration_ns) * cpus_;
    if (is_forced_ || !is_marking_ || work == 0 || cpu_ns == 0) return;
    if (allocated == 0 && !result.is_stopped) return;
    const double share = result.worker_ns == 0 ? plan_.share : real(result.worker_ns) / cpu_ns;
    const double workers = std::clamp(share, 0.01, 0.95);
    const double all = std::clamp(workers + real(result.assist_ns) / cpu_ns, workers, 0.99);
    const double idle = std::min(real(result.idle_ns) / cpu_ns, 1.0);
    const double bytes_per_work = allocated * (all + idle) / (work * (1 - all));
    recent_pace_[cycles_ % memory_of_cycles] = bytes_per_work * (1 - workers) / workers;
    ++cycles_;
}

}  // namespace cairn::gc
