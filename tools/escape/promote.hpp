// The rewriting: a call of the allocator becomes a slot of the frame.
//
// The slot is in the entry block, so that a loop uses one for all its rounds; where the call stood, the
// slot's lifetime starts and its bytes become zero; it ends after the last use where all are in one block,
// else where the function ends, so that slots share the frame's bytes. Calls that take the address lose their
// `tail` mark, which would say that they touch no slot of their caller's. Stores to a slot need no barrier:
// stacks are scanned.
// SPDX-License-Identifier: MIT
#pragma once

#include "flow.hpp"
#include "runtime.hpp"

namespace cairn::escape {

void promote(const Site& site, const Flow& flow);

// Ends the lifetime of every slot that has but a start. After the cleaning up: then uses lie together.
void end_lifetimes(llvm::Function& function, Summaries& summaries);

// Removes what slots do not need: barriers, frees, the strength of atomic stores. True: something changed.
bool drop_barriers(llvm::Function& function);
// Removes tests of the barrier's flag of which nothing is left but the load. True: something changed.
bool drop_flag_loads(llvm::Function& function);

}  // namespace cairn::escape
