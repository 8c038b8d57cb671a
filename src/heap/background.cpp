// One loop: look, give back, sleep.
// SPDX-License-Identifier: MIT
#include "heap/background.hpp"

#include "base/check.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"

namespace cairn::heap {

namespace {

constexpr std::uint64_t look_ns = 250'000'000;        // between looks while nothing is due
constexpr std::uint64_t patience_ns = 5'000'000'000;  // without work before the thread ends
constexpr std::uint64_t retry_ns = 1'000'000'000;     // after the OS refused a thread
// free pages that may stay when there is no thread
constexpr std::uint64_t unattended_bytes = std::uint64_t{16} << 20;
// far more than a thread needs from its last look to its exit
constexpr unsigned ending_yields = 1000;

}  // namespace

void Background::start_if_needed() {
    if (has_thread_ && try_start()) return;
    // No thread to be had (CAIRN_BACKGROUND=off, RLIMIT_NPROC, seccomp): whoever frees returns half of the
    // free pages once they outweigh the used ones.
    const std::uint64_t free_bytes = heap_->spans().backed_free_bytes();
    if (free_bytes > heap_->spans().in_use_bytes() + unattended_bytes)
        (void)heap_->spans().scavenge(free_bytes / 2, true);
}

// True when a thread runs, or soon will.
bool Background::try_start() {
    // seq_cst: what was freed is visible before is_ending_ is read; pairs with the store in loop(), so that
    // either the thread sees the pages or this sees that it ends
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (unsigned i = 0; os::is_background_running(); ++i) {
        // relaxed: ordered by the fence
        if (!is_ending_.load(std::memory_order_relaxed) || i == ending_yields) return true;
        os::yield_cpu();
    }
    const std::uint64_t retry_at_ns = retry_at_ns_.load(std::memory_order_relaxed);  // relaxed: a time, alone
    if (retry_at_ns != 0 && os::monotonic_ns() < retry_at_ns) return false;
    for (unsigned i = 0; i < 2; ++i) {
        if (os::spawn_background(&Background::run, this) || os::is_background_running()) return true;
        os::yield_cpu();  // false also where another thread is at it
    }
    retry_at_ns_.store(os::monotonic_ns() + retry_ns, std::memory_order_relaxed);  // relaxed: a time, alone
    return false;
}

void Background::run(void* self) {
    static_cast<Background*>(self)->loop();
}

std::uint64_t Background::backlog(std::uint64_t now_ns) {
    SpanAlloc& spans = heap_->spans();
    const std::uint64_t in_use = spans.in_use_bytes();
    pages::ScavengeGoals goals;
    goals.retain_bytes = goal_.update(in_use, now_ns, os::page_bytes());
    goals.limit_bytes = pages::limit_goal(spans.memory_limit());
    return pages::scavenge_backlog(goals, in_use + spans.backed_free_bytes(), spans.ready_bytes());
}

void Background::release_batch(std::uint64_t backlog_bytes) {
    const std::uint64_t start_cpu_ns = os::thread_cpu_ns();
    std::uint64_t released = 0;
    std::uint64_t worked_ns = 0;
    do {
        const std::size_t step = heap_->spans().scavenge(pages::ScavengePacer::quantum_bytes, false);
        if (step == 0) break;
        released += step;
        worked_ns = os::thread_cpu_ns() - start_cpu_ns;
    } while (released < backlog_bytes && !pages::ScavengePacer::is_batch_done(worked_ns, released));
    const std::uint64_t now_ns = os::monotonic_ns();
    const std::uint64_t left = backlog_bytes > released ? backlog_bytes - released : 0;
    const std::uint64_t sleep_ns =
        pacer_.sleep_after({worked_ns, now_ns - last_batch_end_ns_, released, left});
    last_batch_end_ns_ = now_ns;
    if (traces_ && released > 0) trace(released);
    // Nothing could be released although something is due: only density holds it back, so look again later.
    os::background_sleep(released == 0 ? look_ns : sleep_ns);
}

void Background::trace(std::uint64_t released_bytes) const {
    const SpanAlloc::Usage usage = heap_->spans().usage();
    base::Message line;
    line << "scav " << released_bytes / 1024 << " KiB work (bg), " << usage.returned_bytes / 1024
         << " KiB now, " << usage.in_use_bytes * 100 / (usage.in_use_bytes + usage.free_bytes + 1)
         << "% util";
    base::report(line.view());
}

void Background::loop() {
    // relaxed: a freer that reads the old value only waits
    is_ending_.store(false, std::memory_order_relaxed);
    std::uint64_t last_work_ns = os::monotonic_ns();
    std::uint64_t last_drain_ns = last_work_ns;
    last_batch_end_ns_ = last_work_ns;
    while (true) {
        const std::uint64_t now_ns = os::monotonic_ns();
        if (now_ns - last_drain_ns >= look_ns) {
            heap_->drain(false);
            heap_->spans().advance_generation();
            last_drain_ns = now_ns;
        }
        const std::uint64_t due = backlog(now_ns);
        if (due >= pages::ScavengePacer::quantum_bytes) {
            last_work_ns = now_ns;
            release_batch(due);
            continue;
        }
        pacer_.rest();
        if (now_ns - last_work_ns > patience_ns && !heap_->spans().has_excess()) {
            // seq_cst: before the last look; see start_if_needed()
            is_ending_.store(true, std::memory_order_seq_cst);
            std::atomic_thread_fence(std::memory_order_seq_cst);  // seq_cst: pairs with try_start()
            if (!heap_->spans().has_excess()) return;
            // relaxed: a freer that reads the old value only waits
            is_ending_.store(false, std::memory_order_relaxed);
        }
        os::background_sleep(look_ns);
    }
}

}  // namespace cairn::heap
