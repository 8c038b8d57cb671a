// Places in the user's source: where an instruction came from, libraries' headers left out.
//
// What is inlined has a chain of places, from the header's line out to the caller's. A reader wants the first
// one in the sources of the program: not in Cairn's headers, and not in the C++ library's.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "llvm/IR/DebugLoc.h"
#include "llvm/IR/Instruction.h"

namespace cairn::escape {

// Empty when nothing is known.
llvm::DebugLoc user_location(const llvm::DebugLoc& location);

// "file.cpp:12:5"; empty when not known.
std::string place_of(const llvm::DebugLoc& location);
std::string place_of(const llvm::Instruction& instruction);

}  // namespace cairn::escape
