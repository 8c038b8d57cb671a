// The exported table of heap_fields.h: the rows of observe/heap_fields.hpp over this process's heap.
// SPDX-License-Identifier: MIT
#include <array>
#include <cstddef>

#include "api/runtime.hpp"
#include "cairn/heap_fields.h"
#include "observe/heap_fields.hpp"

namespace cairn::api {

namespace {

constexpr cairn_heap_field field_of(const observe::HeapRow& row) {
    cairn_heap_field field{};
    for (std::size_t i = 0; i < row.name.size() && i + 1 < sizeof field.name; ++i)
        field.name[i] = row.name[i];
    field.address = row.address;
    field.number = row.number;
    return field;
}

template <std::size_t... counts>
constexpr auto join(const std::array<observe::HeapRow, counts>&... parts) {
    std::array<cairn_heap_field, (counts + ...)> fields{};
    std::size_t at = 0;
    const auto add = [&](const auto& part) {
        for (const observe::HeapRow& row : part) fields[at++] = field_of(row);
    };
    (add(parts), ...);
    return fields;
}

using Fields = base::HeapFields;
constinit const auto fields =
    join(Fields::sizes(), Fields::pages_and_spans(), Fields::caches(), Fields::places(runtime.heap));

}  // namespace

}  // namespace cairn::api

extern "C" {
constinit const struct cairn_heap_table cairn_heap_table = {
    CAIRN_HEAP_TABLE_MAGIC, CAIRN_HEAP_TABLE_VERSION,   sizeof(cairn_heap_field),
    cairn::api::fields.size(), cairn::api::fields.data(), "0.1.0"};
}
