// What a span's slots hold, who frees them and how writes into them are noticed: the table the design turns
// on.
//
//   kind          slots hold                scanned        writes noticed by      freed by
//   explicit_free malloc's objects          never          nobody                 free()
//   noscan        no pointers               never          nobody                 sweep
//   typed         a known pointer map       by the map     the write barrier      sweep
//   conservative  anything                  every word     the kernel (dirty)     sweep
//   manual        stacks, work buffers      by the owner   -                      the owner
//
// Go's noscan bit is the second and third row.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cairn::heap {

enum class ObjectKind : std::uint8_t { explicit_free, noscan, typed, conservative, manual };

inline constexpr std::size_t object_kind_count = 5;

constexpr bool is_swept(ObjectKind kind) {
    return kind == ObjectKind::noscan || kind == ObjectKind::typed || kind == ObjectKind::conservative;
}

constexpr bool may_hold_pointers(ObjectKind kind) {
    return kind == ObjectKind::typed || kind == ObjectKind::conservative;
}

// Swept kinds counted from 0, for tables that have a column for each.
inline constexpr std::size_t swept_kind_count = 3;
constexpr std::size_t swept_index(ObjectKind kind) {
    return static_cast<std::size_t>(kind) - static_cast<std::size_t>(ObjectKind::noscan);
}

constexpr std::string_view name_of(ObjectKind kind) {
    constexpr std::string_view names[object_kind_count] = {"explicit", "noscan", "typed", "conservative",
                                                           "manual"};
    return names[static_cast<std::size_t>(kind)];
}

}  // namespace cairn::heap
