// What the pass tells of each allocation: remarks for -Rpass=escape, -Rpass-missed=escape and the YAML
// records of -fsave-optimization-record.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "flow.hpp"
#include "llvm/Analysis/OptimizationRemarkEmitter.h"
#include "runtime.hpp"

namespace cairn::escape {

// "does not escape: 24 bytes on the stack". Said before the call is rewritten.
void report_slot(llvm::OptimizationRemarkEmitter& emitter, const Site& site);
// "escapes to heap: stored to global 'g' at file.cpp:3:4"; without an instruction there is no place.
void report_heap(llvm::OptimizationRemarkEmitter& emitter, const Site& site, const Leak& leak);
// "leaking param: p", "p does not escape": -Rpass-analysis=escape.
void report_parameter(llvm::OptimizationRemarkEmitter& emitter, const llvm::Argument& parameter,
                      const Summary& summary);

}  // namespace cairn::escape
