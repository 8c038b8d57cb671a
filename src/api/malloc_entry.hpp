// What operator new and the statistics calls share with malloc: the same heap by internal names.
//
// Going through these instead of malloc's own symbols keeps a program that replaces malloc, but not new,
// whole.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace cairn::api {

// As malloc and free; nullptr with errno ENOMEM.
[[nodiscard]] void* allocate(std::size_t bytes);
[[nodiscard]] void* allocate_aligned(std::size_t bytes, std::size_t alignment);
void release(void* address);

}  // namespace cairn::api
