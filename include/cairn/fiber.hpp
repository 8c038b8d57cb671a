// A stack for a fiber, with a guard page, known to the collector.
//
// Any library's switch will do; say it just before it happens:
//
//   cairn::FiberStack stack(64 << 10);
//   stack.switch_here();                          // then the switch onto [stack.low(), stack.high())
//   cairn::FiberStack::switch_to_thread();        // on the fiber, then the switch back
//
// While the fiber rests, what its stack held when it was left keeps objects alive. Destroy it when the fiber
// is over, or will never be resumed: C++ objects on it are not destroyed.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>

#include "cairn/cairn.hpp"

namespace cairn {

class FiberStack {
public:
    // At least 2 KiB, at most 1 GiB; rounded up to a power of two, the guard included.
    explicit FiberStack(std::size_t bytes) {
        if (cairn_stack_alloc(&stack_, bytes) != 0) out_of_memory();
        fiber_ = cairn_fiber_create(stack_.low, stack_.size, CAIRN_FIBER_TRACKED);
        if (fiber_ == nullptr) {
            cairn_stack_free(&stack_);
            out_of_memory();
        }
    }
    FiberStack(const FiberStack&) = delete;
    FiberStack& operator=(const FiberStack&) = delete;
    // Needs: no thread runs on it.
    ~FiberStack() {
        cairn_fiber_destroy(fiber_);
        cairn_stack_free(&stack_);
    }

    [[nodiscard]] void* low() const noexcept { return stack_.low; }
    [[nodiscard]] void* high() const noexcept { return static_cast<char*>(stack_.low) + stack_.size; }
    [[nodiscard]] std::size_t size() const noexcept { return stack_.size; }

    // This thread goes on here, or on its own stack again.
    void switch_here() const noexcept { cairn_fiber_switch(fiber_); }
    static void switch_to_thread() noexcept { cairn_fiber_switch(nullptr); }

private:
    cairn_stack stack_{};
    cairn_fiber* fiber_ = nullptr;
};

}  // namespace cairn
