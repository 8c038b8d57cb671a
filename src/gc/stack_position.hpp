// How far a stack is in use, and what its owner had in registers when it stopped using it.
//
// A function that notes a position returns before the stack comes to rest, and its frame, with the registers
// of its callers that it saved there, is overwritten by whatever the owner calls next. So the frames that are
// about to end are copied: the lowest `copied_words` words, room for the function and for wrappers around it.
//
//   sp                                     high
//    | note() | wrappers | the owner's frames
//    |<- copied ->|                             a root, beside [sp, high)
//
// Source: the hazards in which a value lives in a callee-saved register only: Boehm, "Space Efficient
// Conservative Garbage Collection", 1993; the copy is ours.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "os/threads.hpp"

namespace cairn::gc {

struct StackPosition {
    static constexpr std::size_t copied_words = 64;
    // A switch to another stack saves registers below where the position was noted: at most so much.
    static constexpr std::size_t switch_bytes = 512;

    std::uintptr_t sp = 0;                     // [owner] 0: not known
    std::uintptr_t copied[copied_words] = {};  // [owner]

    [[nodiscard]] bool is_known() const { return sp != 0; }
    void forget() { sp = 0; }
    // Notes the caller's position. `stack` is the stack it runs on, or any other when that is not known.
    // Needs: the caller saved all registers in its own frame (__builtin_unwind_init()).
    void note(const os::MemoryRange& stack);

    template <class Visit>
    void visit_copied(Visit visit) const {
        const auto low = reinterpret_cast<std::uintptr_t>(copied);
        visit(low, low + sizeof copied);
    }
};

}  // namespace cairn::gc
