// Pacer: when to start a cycle, and how much marking each allocated byte owes, so that marking ends just as
// the heap reaches its goal.
//
//   marked            trigger                    goal             hard goal
//     |------------------|------------------------|---------------|
//     what lived         marking begins           it should end   assists pay any price
//                        |<------ runway -------->|
//
// 1  goal: marked + (traced + stacks + globals) * percent / 100, or what the memory limit leaves if less;
//    traced is marked without what was allocated during the cycle.
// 2  runway: what the program allocates while the workers alone do the marking expected. It is learnt: the
//    most of the last five cycles.
// 3  trigger: goal - runway, but not before 45/64 of the way from marked to goal (cycles would follow too
//    closely) and not after 61/64 (nothing would be left for surprises).
// 4  while marking: work left / bytes left is what each allocated byte owes; workers' progress is credit that
//    pays for it, assists pay the rest. Marking thus keeps up whatever the program does.
// 5  a cycle that keeps the marks of the one before and marks only what is new (young) leaves the goal where
//    the last full cycle put it: what young cycles keep may be garbage by now. When that takes half of the
//    room to the goal, the next cycle is a full one.
// 6  the sweep has until the next trigger: pages left / bytes until then is what each allocated byte owes.
//
// Invariants: marked <= trigger <= goal, but for what a goal below marked forces: trigger = goal. Every ratio
// is finite and above zero.
//
// Order of calls: configure, commit, then again and again start_cycle, revise..., end_cycle, commit;
// configure and commit may come at any time. Pure: a snapshot in, a decision out; no clock, no globals, no
// atomics.
//
// Differs from Go:
//   - Few CPUs have one ordinary worker thread, not a fraction on each CPU: the system's scheduler shares a
//     CPU more smoothly than we could. Hence the workers' share is measured, not assumed to be 25 %.
//   - An assist does 8 KiB of work at least, not 64, and 32 KiB at most while the goal is not passed: a
//     thread waits some 10 to 40 us in one allocation, where Go's waits 100 and more. The rest of a larger
//     debt stays with the thread and is paid by its next allocations.
//   - Workers wake up later than the program allocates. So a cycle starts with credit for 1/32 of its work,
//     and at least one assist of each CPU; all allocation of the cycle pays it back. Without it the first
//     allocations would always assist.
//   - What is allocated while marking counts as marked, but gets no percent: it is not known to live. With
//     it, as in Go, a program that allocates fast pays for its garbage twice.
//   - A late start (one large object jumped over the trigger) gets a runway in proportion to the heap, up to
//     4 MiB; 64 KiB would ask of each byte allocated next a thousand bytes of marking.
//
// Floor: gc. Needs: calls serialised by who moves cycles on. Source: Go mgcpacer.go (BSD-3)
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace cairn::gc {

inline constexpr std::uint64_t no_bound = UINT64_MAX;

// ---- workers ----------------------------------------------------------------------------------------------

// Go's division of 25 % of the CPUs: whole workers, and a share of each other CPU where that is too coarse.
struct WorkerSplit {
    unsigned dedicated;
    double fraction;
};
[[nodiscard]] WorkerSplit split_workers(unsigned cpus);

// Ours: all fractions together are one more ordinary thread.
struct WorkerPlan {
    unsigned threads = 1;  // at least one
    double share = 0.5;    // of all CPUs, if the scheduler is fair to them; above 0, below 1
};
[[nodiscard]] WorkerPlan plan_workers(unsigned cpus);

// ---- what comes in ----------------------------------------------------------------------------------------

struct PacerSettings {
    std::int32_t gc_percent = 100;                // below zero: off, only the limit's goal counts
    std::uint64_t memory_limit_bytes = no_bound;  // compared with what the process has mapped and backed
    std::uint64_t least_goal_bytes = 0;           // as if the program had asked for a heap so large
};

// Choices of ours that a measurement may move.
struct PacerTuning {
    // No trigger before so many 64ths of the way from marked to goal. Lower: assists are rarer where the
    // program allocates faster than its workers mark. The price is memory, for what is made during a cycle
    // outlives it: with a part f of the way for the runway the heap settles 1 / (1 - f) times larger.
    std::uint64_t earliest_trigger_64ths = 45;
    std::uint64_t latest_trigger_64ths = 61;
    // The runway is longer by this than the last cycles needed: on programs that vary by 10 % it makes
    // assists ten times rarer, for 1 % of the heap (tests/simulation).
    double runway_margin = 1.1;
    // The loan each cycle starts with, of the work expected, if that is more than an assist of each CPU; 0:
    // none.
    double head_start = 1.0 / 32;
    std::uint64_t smallest_assist = 8 * 1024;  // scan work; less is all overhead
    std::uint64_t largest_assist = 32 * 1024;  // scan work per 8 KiB allocated, while the goal is not passed
};

// Bytes at one moment. Sums may be a little out of step with each other: all differences are guarded.
struct HeapSnapshot {
    std::uint64_t live_bytes = 0;         // marked by the last cycle, and allocated since
    std::uint64_t heap_scan_bytes = 0;    // the part of live that a marker has to read
    std::uint64_t stack_scan_bytes = 0;   // of all stacks, now
    std::uint64_t global_scan_bytes = 0;  // module data and registered ranges, now
    std::uint64_t mapped_ready_bytes = 0; // all the process has mapped and may touch
    std::uint64_t free_backed_bytes = 0;  // in free pages not returned to the system
    std::uint64_t object_bytes = 0;       // allocated - freed: what lives and what is not yet swept
};

struct CycleResult {
    std::uint64_t now_ns = 0;
    std::uint64_t marked_bytes = 0;      // black ones included
    std::uint64_t black_bytes = 0;       // allocated while marking: nobody knows yet whether they live
    std::uint64_t heap_scan_work = 0;    // bytes read in objects,
    std::uint64_t stack_scan_work = 0;   // on stacks, in the first scan alone,
    std::uint64_t global_scan_work = 0;  // in other roots
    std::uint64_t live_at_end = 0;       // live_bytes before it becomes marked_bytes
    std::uint64_t duration_ns = 0;       // from the first stop's end to the last stop's start
    std::uint64_t worker_ns = 0;         // CPU time of workers in it; 0: not measured, as planned
    std::uint64_t assist_ns = 0;         // CPU time of assists in it
    std::uint64_t idle_ns = 0;           // CPU time of marking on CPUs that had nothing else to do
    bool is_stopped = false;             // all of it in one stop: nobody could allocate, no runway was needed
    bool is_young = false;               // it began with the marks of the one before
    bool keeps_marks = false;            // the next one may be young
};

// ---- what comes out ---------------------------------------------------------------------------------------

// What allocation owes while marking; a copy for each thread's use, constant until the next revise().
//
//   a thread's balance in bytes sinks by what it allocates; below zero it takes work_for(-balance,
//   allocated), pays as much as it can with the workers' credit, does the rest, and adds bytes_for(what was
//   paid and done).
struct AssistTerms {
    double work_per_byte = 1;
    double bytes_per_work = 1;
    std::uint64_t smallest_work = 0;
    std::uint64_t largest_work = no_bound;

    // Work to do now for a debt: at least smallest_work, so that a few allocations are free afterwards; at
    // most largest_work for each 8 KiB of the `allocated` bytes that led here, so that who asks for little
    // never waits for long.
    [[nodiscard]] std::uint64_t work_for(std::uint64_t debt_bytes, std::uint64_t allocated = 0) const;
    // Bytes that `work` pays for, and one more, so that no debt is left of rounding alone.
    [[nodiscard]] std::int64_t bytes_for(std::uint64_t work) const;
};

// What allocation owes while the last cycle's garbage is not yet swept.
struct SweepPace {
    double pages_per_byte = 0;      // 0: nothing is owed
    std::uint64_t live_basis = 0;   // live_bytes and pages swept when it was made
    std::uint64_t pages_basis = 0;

    // Pages that should have been swept since the basis before another `bytes` are allocated.
    [[nodiscard]] std::uint64_t pages_due(std::uint64_t live_bytes, std::uint64_t bytes) const;
    // True: sweep one more span first. `caller_pages`: what the caller is about to sweep anyway.
    [[nodiscard]] bool owes(std::uint64_t live_bytes, std::uint64_t bytes, std::uint64_t pages_swept,
                            std::uint64_t caller_pages) const {
        const std::uint64_t done = pages_swept > pages_basis ? pages_swept - pages_basis : 0;
        const std::uint64_t due = pages_due(live_bytes, bytes);
        return due > caller_pages && done < due - caller_pages;
    }
};

// ---- the steps, each for itself ---------------------------------------------------------------------------

// Step 1, the percent's part, without the floor.
[[nodiscard]] std::uint64_t percent_goal(std::uint64_t marked, std::uint64_t roots, std::int32_t gc_percent);
// Step 1, the limit's part: what the limit leaves for objects, less 3 % (at least 1 MiB) for surprises; never
// below `marked`.
[[nodiscard]] std::uint64_t limit_goal(std::uint64_t limit, const HeapSnapshot& heap, std::uint64_t marked);
// Step 3. `not_before`: sweeping should be over by then.
[[nodiscard]] std::uint64_t trigger_for(std::uint64_t marked, std::uint64_t goal, std::uint64_t runway,
                                        std::uint64_t not_before, const PacerTuning& tuning);

class Pacer {
public:
    static constexpr std::uint64_t least_heap_bytes = 4 << 20;        // the goal's floor at 100 percent
    static constexpr std::uint64_t forced_period_ns = 120'000'000'000;
    static constexpr std::uint64_t least_runway_bytes = 64 * 1024;
    static constexpr std::uint64_t sweep_distance_bytes = 1 << 20;

    constexpr Pacer() = default;

    // Takes effect with the next commit(). The clock of forced cycles starts with the first call.
    void configure(const PacerSettings& settings, std::uint64_t now_ns);
    void tune(const PacerTuning& tuning) { tuning_ = tuning; }

    // Sets goal and trigger for the time until the next cycle: after end_cycle(), when sweeping ends, after
    // configure(), and now and then under a memory limit, whose goal moves with what is mapped.
    void commit(const HeapSnapshot& heap, bool is_sweep_done);
    // A cycle begins with its first stop. `is_forced`: by a call or the clock, not by the trigger; it teaches
    // nothing about the runway.
    // `is_young`: it begins with the marks of the one before.
    WorkerPlan start_cycle(const HeapSnapshot& heap, unsigned cpus, bool is_forced, bool is_young = false);
    // What allocation owes from now on. `scan_done`: all scan work of the cycle so far. To be called at least
    // every few hundred KiB allocated or scanned.
    const AssistTerms& revise(const HeapSnapshot& heap, std::uint64_t scan_done);
    // The mark phase is over.
    void end_cycle(const CycleResult& result);

    [[nodiscard]] bool should_start(std::uint64_t live_bytes) const {
        return !is_marking_ && trigger_ != no_bound && live_bytes >= trigger_;
    }
    // When the clock alone starts a cycle; no_bound when the percent is off.
    [[nodiscard]] std::uint64_t next_forced_at() const {
        return settings_.gc_percent < 0 ? no_bound : last_end_ns_ + forced_period_ns;
    }
    // For the time until the next cycle; made when sweeping begins.
    [[nodiscard]] SweepPace sweep_pace(std::uint64_t live_bytes, std::uint64_t pages_in_use,
                                       std::uint64_t pages_swept) const;

    [[nodiscard]] std::uint64_t goal() const { return goal_; }
    [[nodiscard]] std::uint64_t trigger() const { return trigger_; }
    [[nodiscard]] std::uint64_t marked() const { return marked_; }
    [[nodiscard]] std::uint64_t runway() const;
    [[nodiscard]] std::uint64_t expected_work() const;
    [[nodiscard]] bool is_limit_goal() const { return is_limit_goal_; }
    // Young cycles have kept too much, or memory is short: all is to be marked anew.
    [[nodiscard]] bool wants_full_cycle() const;
    [[nodiscard]] const AssistTerms& terms() const { return terms_; }
    // Scan work to lend the workers' credit when a cycle has started.
    [[nodiscard]] std::uint64_t start_credit() const { return start_credit_; }
    // Bytes the program allocates while the workers alone scan one; what the runway is made of.
    [[nodiscard]] double pace() const;

private:
    static constexpr std::size_t memory_of_cycles = 5;

    void set_goal(const HeapSnapshot& heap);
    [[nodiscard]] std::uint64_t latest_goal() const;
    [[nodiscard]] std::uint64_t assist_bound(std::uint64_t live_bytes) const;
    [[nodiscard]] std::uint64_t loan() const;
    void learn(const CycleResult& result);

    PacerSettings settings_;                   // [owner]
    PacerTuning tuning_;                       // [owner]
    WorkerPlan plan_;                          // [owner]
    AssistTerms terms_;                        // [owner]
    std::array<double, memory_of_cycles> recent_pace_{};  // [owner] the next to replace is at cycles_ % 5
    std::uint64_t cycles_ = 0;                 // [owner] that taught a pace
    std::uint64_t marked_ = 0;                 // [owner] by the last cycle
    std::uint64_t black_ = 0;                  // [owner] of it, allocated during that cycle
    std::uint64_t full_marked_ = 0;            // [owner] marked_ and black_ of the last full cycle
    std::uint64_t full_black_ = 0;             // [owner]
    std::uint64_t full_goal_ = 0;              // [owner] what follows from these, limit aside
    std::uint64_t heap_scan_ = 0;              // [owner] scan work of the last full cycle
    std::uint64_t young_scan_ = 0;             // [owner] and of the last young one
    std::uint64_t stack_scan_ = 0;             // [owner]
    std::uint64_t global_scan_ = 0;            // [owner] now
    std::uint64_t percent_goal_ = least_heap_bytes;  // [owner]
    std::uint64_t sweep_floor_ = 0;            // [owner] no trigger before: sweeping is not done
    std::uint64_t goal_ = least_heap_bytes;    // [owner]
    std::uint64_t trigger_ = no_bound;         // [owner] until the first commit nothing starts
    std::uint64_t triggered_ = no_bound;       // [owner] live bytes when the present cycle began
    std::uint64_t start_credit_ = 0;           // [owner]
    std::uint64_t last_end_ns_ = 0;            // [owner]
    double loan_per_byte_ = 0;                 // [owner] part of work_per_byte that pays start_credit_ back
    unsigned cpus_ = 1;                        // [owner] of the present cycle
    bool has_clock_ = false;                   // [owner] last_end_ns_ is a time
    bool has_history_ = false;                 // [owner] a cycle has ended
    bool is_limit_goal_ = false;               // [owner]
    bool is_forced_ = false;                   // [owner] the present cycle
    bool is_marking_ = false;                  // [owner]
    bool keeps_marks_ = false;                 // [owner] the next cycle may be young
    bool is_young_ = false;                    // [owner] the present cycle, or the next as far as is known
};

}  // namespace cairn::gc
