// Declares the one type that may name private fields of the heap: the table for readers outside the process.
//
// A class whose state such a reader needs says `friend struct base::HeapFields;`. It is defined in
// observe/heap_fields.hpp, takes addresses and offsets, and reads nothing.
// SPDX-License-Identifier: MIT
#pragma once

namespace cairn::base {

struct HeapFields;

}  // namespace cairn::base
