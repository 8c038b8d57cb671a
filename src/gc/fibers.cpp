// The set of fibers: who is in which list, and who may touch a fiber now.
// SPDX-License-Identifier: MIT
#include "gc/fibers.hpp"

#include "base/check.hpp"
#include "base/os_calls.hpp"

namespace cairn::gc {

namespace {

constexpr std::uint32_t resting = static_cast<std::uint32_t>(FiberState::resting);
constexpr std::uint32_t claimed = static_cast<std::uint32_t>(FiberState::claimed);
constexpr std::uint32_t awaited = static_cast<std::uint32_t>(FiberState::awaited);
constexpr std::uint32_t entered = static_cast<std::uint32_t>(FiberState::entered);

bool announce_wait(FiberRecord& fiber) {
    std::uint32_t state = claimed;
    // relaxed, twice: take() orders
    return fiber.state.compare_exchange_strong(state, awaited, std::memory_order_relaxed,
                                               std::memory_order_relaxed);  // relaxed: as above
}

// Makes a resting fiber the caller's; waits for the collector. Nothing to do for one that is entered.
void take(FiberRecord& fiber) {
    for (;;) {
        std::uint32_t state = resting;
        // acquire, twice: pairs with leave() and release(): the stack is as its last user left it
        if (fiber.state.compare_exchange_strong(state, entered, std::memory_order_acquire,
                                                std::memory_order_acquire))  // acquire: as above
            return;
        if (state == entered) return;
        if (state == awaited || announce_wait(fiber)) base::os_wait(fiber.state, awaited);
    }
}

}  // namespace

bool FiberSet::is_scanned_locked(const FiberRecord& fiber) const {
    // relaxed, twice: both change under the lock or with the world stopped
    return fiber.scanned_cycle.load(std::memory_order_relaxed) == cycle_.load(std::memory_order_relaxed);
}

FiberSet::Fibers& FiberSet::list_of_locked(const FiberRecord& fiber) {
    if (!fiber.is_tracked) return untracked_;
    return is_scanned_locked(fiber) ? scanned_ : to_scan_;
}

void FiberSet::add(FiberRecord& fiber, os::MemoryRange stack, bool is_tracked) {
    CAIRN_CHECK(!fiber.is_listed);
    fiber.stack = {(stack.low + sizeof(void*) - 1) & ~(sizeof(void*) - 1),
                   stack.high & ~(sizeof(void*) - 1)};
    fiber.left_at.forget();
    fiber.is_tracked = is_tracked;
    fiber.state.store(resting, std::memory_order_relaxed);      // relaxed: the lock publishes the record
    fiber.scanned_cycle.store(0, std::memory_order_relaxed);    // relaxed: as above
    base::Guard guard(lock_);
    fiber.is_listed = true;
    list_of_locked(fiber).push_front(&fiber);
}

void FiberSet::remove(FiberRecord& fiber) {
    take(fiber);
    base::Guard guard(lock_);
    if (!fiber.is_listed) return;
    list_of_locked(fiber).remove(&fiber);
    fiber.is_listed = false;
}

void FiberSet::enter(FiberRecord& fiber) {
    take(fiber);
    // relaxed, twice: who scanned it released it to take(); the cycle changes in stops only
    if (fiber.scanned_cycle.load(std::memory_order_relaxed) == cycle_.load(std::memory_order_relaxed))
        mark_unscanned(fiber);
}

__attribute__((noinline)) void FiberSet::mark_unscanned(FiberRecord& fiber) {
    base::Guard guard(lock_);
    if (!fiber.is_listed || !is_scanned_locked(fiber)) return;
    scanned_.remove(&fiber);
    fiber.scanned_cycle.store(0, std::memory_order_relaxed);  // relaxed: under the lock
    to_scan_.push_front(&fiber);
}

void FiberSet::begin_cycle() {
    to_scan_.take_all(scanned_);
    // relaxed: the world is stopped. Never 0, which means never.
    const std::uint32_t next = cycle_.load(std::memory_order_relaxed) + 1;
    cycle_.store(next == 0 ? 1 : next, std::memory_order_relaxed);  // relaxed: as above
}

FiberRecord* FiberSet::claim_next() {
    base::Guard guard(lock_);
    // Those that run now go to the end: each is looked at once.
    for (std::size_t left = to_scan_.count(); left > 0; --left) {
        FiberRecord* fiber = to_scan_.pop_front();
        to_scan_.push_back(fiber);
        std::uint32_t state = resting;
        // acquire: pairs with leave(); relaxed: not ours then
        if (fiber->state.compare_exchange_strong(state, claimed, std::memory_order_acquire,
                                                 std::memory_order_relaxed))  // relaxed: as above
            return fiber;
    }
    return nullptr;
}

void FiberSet::release(FiberRecord& fiber) {
    {
        base::Guard guard(lock_);
        to_scan_.remove(&fiber);
        // relaxed, twice: under the lock; take() sees it by the exchange below
        fiber.scanned_cycle.store(cycle_.load(std::memory_order_relaxed), std::memory_order_relaxed);
        scanned_.push_back(&fiber);
    }
    // release: we have read the stack; pairs with take()
    if (fiber.state.exchange(resting, std::memory_order_release) == awaited)
        base::os_wake(fiber.state, true);
}

const FiberRecord* FiberSet::find(std::uintptr_t address) const {
    for (const Fibers* list : {&to_scan_, &scanned_, &untracked_}) {
        for (const FiberRecord* fiber = list->first(); fiber != nullptr; fiber = Fibers::next(fiber))
            if (fiber->stack.contains(address)) return fiber;
    }
    return nullptr;
}

std::size_t FiberSet::count() const {
    base::Guard guard(lock_);
    return to_scan_.count() + scanned_.count() + untracked_.count();
}

void FiberSet::reset_in_child(const FiberRecord* survivor) {
    lock_.reset_after_fork();
    for (FiberRecord* fiber = to_scan_.first(); fiber != nullptr; fiber = Fibers::next(fiber)) {
        const std::uint32_t state = fiber->state.load(std::memory_order_relaxed);  // relaxed: one thread
        // The collector's claim died with its thread. One that another thread ran on stays entered for good.
        if (fiber != survivor && (state == claimed || state == awaited))
            fiber->state.store(resting, std::memory_order_relaxed);  // relaxed: one thread
    }
}

}  // namespace cairn::gc
