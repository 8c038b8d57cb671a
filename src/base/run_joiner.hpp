// Run joiner: runs of memory that come in rising order, those that touch as one.
//
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace cairn::base {

// Calls visit(low, high) for each joined run, the last at flush().
template <class Visit>
class RunJoiner {
public:
    explicit RunJoiner(Visit visit) : visit_(visit) {}

    void add(std::uintptr_t low, std::uintptr_t high) {
        if (low == high_) {
            high_ = high;
            return;
        }
        flush();
        low_ = low;
        high_ = high;
    }
    void flush() {
        if (high_ != 0) visit_(low_, high_);
        high_ = 0;
    }

private:
    Visit visit_;
    std::uintptr_t low_ = 0;
    std::uintptr_t high_ = 0;  // 0: there is none
};

}  // namespace cairn::base
