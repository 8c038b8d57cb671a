// What the header tests see of the small collector behind the C interface.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "cairn/cairn.h"

namespace small_collector {

// Calls of cairn_barrier_slow (slot and value) and of cairn_shade (slot nullptr) since the last clear.
extern std::vector<std::pair<void**, void*>> told;

void set_marking(bool is_on);
// The next `count` allocations fail.
void refuse(std::size_t count);
std::size_t object_count();
bool is_object(const void* start);
// How the object was allocated.
struct Allocation {
    std::size_t size = 0;
    cairn_type type{};
    const char* entry = nullptr;
};
Allocation allocation_of(const void* start);
// Forgets every object and call.
void reset();

}  // namespace small_collector
