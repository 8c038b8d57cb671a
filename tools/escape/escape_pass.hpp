// The pass over one function: find the allocations, follow each, move those that stay inside, clean up, and
// once more, since what was moved lets others be seen through.
// SPDX-License-Identifier: MIT
#pragma once

#include "limits.hpp"
#include "llvm/IR/PassManager.h"

namespace cairn::escape {

// What to say: the early run inside the inliner's walk sees functions before all is known of them.
enum class Tells { moved, everything };

class EscapePass : public llvm::PassInfoMixin<EscapePass> {
public:
    EscapePass(const Limits& limits, Tells tells) : limits_(limits), tells_(tells) {}
    llvm::PreservedAnalyses run(llvm::Function& function, llvm::FunctionAnalysisManager& analyses);

private:
    bool run_once(llvm::Function& function, llvm::FunctionAnalysisManager& analyses, bool is_last);

    Limits limits_;
    Tells tells_;
};

}  // namespace cairn::escape
