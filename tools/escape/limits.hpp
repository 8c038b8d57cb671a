// How much may move to a stack: C++ stacks do not grow, and threads have small ones.
//
//   object      16 KiB, 1 KiB in a function that may call itself
//   frame       64 KiB, what the function has already included
//
// CAIRN_ESCAPE_MAX in the compiler's environment sets the first: a number of bytes, with K or M after it;
// `64K` is Go's. CAIRN_ESCAPE_MAX_RECURSIVE and CAIRN_ESCAPE_MAX_FRAME set the others, CAIRN_ESCAPE=off moves
// nothing.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/IR/Function.h"

namespace cairn::escape {

struct Limits {
    std::uint64_t object_bytes = 16 * 1024;
    std::uint64_t recursive_bytes = 1024;
    std::uint64_t frame_bytes = 64 * 1024;
    bool is_off = false;
    bool trusts_inline = false;  // CAIRN_ESCAPE_TRUST_INLINE: inline functions are the same in every file
    bool is_forced = false;      // CAIRN_ESCAPE_FORCE: move what must not be; for the test of the tests
};
Limits read_limits();

// May there be two frames of `function` on one stack? Functions whose bodies are not here may call anything,
// those of the C library only what they are given.
bool may_recurse(const llvm::Function& function, const llvm::TargetLibraryInfo& library);

// Bytes of the stack slots that `function` has.
std::uint64_t frame_bytes(const llvm::Function& function);

}  // namespace cairn::escape
