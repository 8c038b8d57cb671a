// Reading memory that may not be there: another thread can unmap it, or take the right to read away.
//
// copy_readable() is safe at any moment and slow (a page costs about as much as copying it thrice).
// is_readable() is a fast look that is true as long as nobody runs who could change it.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::os {

// Laid out as the OS wants it.
struct Piece {
    void* start;
    std::size_t bytes;
};
inline constexpr std::size_t pieces_max = 64;  // of one copy_readable()

// Copies the pieces one after the other to `to`, up to the first byte that cannot be read.
// Returns: the bytes copied. Needs: room for all pieces, at most pieces_max of them.
[[nodiscard]] std::size_t copy_readable(void* to, const Piece* pieces, std::size_t count);

// Whether the 8 bytes at `address`, and so the rest of their OS page, can be read now.
[[nodiscard]] bool is_readable(std::uintptr_t address);

}  // namespace cairn::os
