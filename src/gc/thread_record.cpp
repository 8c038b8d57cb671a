// Which of a thread's stacks an address lies in.
// SPDX-License-Identifier: MIT
#include "gc/thread_record.hpp"

namespace cairn::gc {

ThreadRecord::Place ThreadRecord::place_of(std::uintptr_t sp) const {
    if (fiber != nullptr && fiber->stack.contains(sp)) return Place::fiber;
    if (stack.contains(sp)) return Place::own_stack;
    if (previous_stack.contains(sp)) return Place::previous_stack;
    if (context != nullptr && context->alternate_stack.contains(sp)) return Place::alternate_stack;
    // The first thread's stack grows; its limit may have been raised since the thread was attached.
    const os::MemoryRange mapping = os::mapping_of(sp);
    return mapping.contains(stack.high - 1) && sp < stack.high ? Place::own_stack : Place::elsewhere;
}

os::MemoryRange ThreadRecord::unknown_stack(std::uintptr_t sp) {
    constexpr std::size_t bytes_max = std::size_t{64} << 20;  // the mapping may be of more than this stack
    os::MemoryRange mapping = os::mapping_of(sp);
    if (mapping.high - sp > bytes_max) mapping.high = sp + bytes_max;
    return mapping;
}

__attribute__((no_sanitize("address"))) std::uintptr_t ThreadRecord::lowest_into(os::MemoryRange left,
                                                                                 os::MemoryRange memory) {
    std::uintptr_t lowest = 0;
    for (std::uintptr_t at = memory.low; at + sizeof(void*) <= memory.high; at += sizeof(void*)) {
        const std::uintptr_t word = *reinterpret_cast<const volatile std::uintptr_t*>(at);
        if (left.contains(word) && (lowest == 0 || word < lowest)) lowest = word;
    }
    return lowest;
}

}  // namespace cairn::gc
