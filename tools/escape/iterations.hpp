// The rule about loops: one slot of the stack serves every execution of an allocation only if no pointer to
// an earlier object is used once the next one is made.
//
//   1. No followed value is live across the allocation, which is: from it, no use is reached before the value
//      is made anew. (The addresses of the function's own slots are always there, and are harmless: see 2.)
//   2. A slot that is a holder is born anew (its lifetime starts) on every way from the allocation to a read
//      of followed memory, or on every way from a store of a followed value to the allocation.
//
// Why that is enough: take any use of a followed value, and the last execution of the allocation before it.
// By 1 the value was made after that execution, from values of which the same is true, or was read from
// memory. A slot was empty at its birth, which by 2 came after that execution too, or after all stores before
// it; memory from an allocator is known only through a followed value, so it was allocated after it. So all
// of it is of the newest object.
// SPDX-License-Identifier: MIT
#pragma once

#include "flow.hpp"

namespace cairn::escape {

// Whether the objects that `site` makes may be in use two at a time.
bool needs_several(const llvm::CallBase& site, const Flow& flow);

}  // namespace cairn::escape
