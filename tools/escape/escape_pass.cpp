// One round: every site is judged on the function as it is, then all that may move is moved.
// SPDX-License-Identifier: MIT
#include "escape_pass.hpp"

#include <memory>
#include <vector>

#include "flow.hpp"
#include "iterations.hpp"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Module.h"
#include "llvm/Transforms/InstCombine/InstCombine.h"
#include "llvm/Transforms/Scalar/DCE.h"
#include "llvm/Transforms/Scalar/DeadStoreElimination.h"
#include "llvm/Transforms/Scalar/EarlyCSE.h"
#include "llvm/Transforms/Scalar/SROA.h"
#include "llvm/Transforms/Scalar/SimplifyCFG.h"
#include "promote.hpp"
#include "report.hpp"
#include "runtime.hpp"

namespace cairn::escape {

namespace {

using namespace llvm;

constexpr unsigned max_rounds = 6;

std::vector<Site> find_sites(Function& function) {
    std::vector<Site> sites;
    for (Instruction& instruction : instructions(function))
        if (auto* call = dyn_cast<CallBase>(&instruction); call != nullptr && entry_of(*call) != Entry::none)
            sites.push_back(read_site(*call));
    return sites;
}

// Why nothing of this function may move; empty: it may.
std::string refusal_of(const Function& function) {
    if (function.callsFunctionThatReturnsTwice()) return "its function calls setjmp";
#if LLVM_VERSION_MAJOR >= 15
    if (function.isPresplitCoroutine()) return "its function is a coroutine";
#else
    if (function.hasFnAttribute("coroutine.presplit")) return "its function is a coroutine";
#endif
    return {};
}

std::string too_large(std::uint64_t bytes, std::uint64_t limit, const char* what) {
    return std::string("it is too large for ") + what + ": " + std::to_string(bytes) + " bytes, limit " +
           std::to_string(limit);
}

class Judge {
public:
    Judge(Function& function, FunctionAnalysisManager& analyses, const Limits& limits, bool has_words)
        : library_(analyses.getResult<TargetLibraryAnalysis>(function)),
          limits_(limits),
          function_(function),
          summaries_(limits.trusts_inline, has_words),
          refusal_(refusal_of(function)),
          frame_(frame_bytes(function)) {}

    // The flow of an object that may move; none: `leak` says why not.
    std::unique_ptr<Flow> judge(const Site& site, Leak& leak) {
        auto flow = std::make_unique<Flow>(summaries_, function_.getParent()->getDataLayout(), 0);
        leak = Leak{nullptr, refusal_.empty() ? site.refusal : refusal_};
        if (!leak.reason.empty()) return nullptr;
        const bool stays = flow->follow(*site.call, object_address);
        if (!limits_.is_forced) {
            leak = flow->leak();
            if (!stays) return nullptr;
            if (needs_several(*site.call, *flow))
                leak = Leak{nullptr, "lives beyond the loop iteration that allocates it"};
        }
        if (leak.reason.empty()) leak.reason = limit_of(site);
        if (!leak.reason.empty()) return nullptr;
        frame_ += site.bytes;
        return flow;
    }

private:
    std::string limit_of(const Site& site) {
        if (site.bytes > limits_.object_bytes)
            return too_large(site.bytes, limits_.object_bytes, "the stack");
        if (site.bytes > limits_.recursive_bytes && may_recurse(function_, library_))
            return too_large(site.bytes, limits_.recursive_bytes, "a function that may call itself");
        if (frame_ + site.bytes > limits_.frame_bytes)
            return too_large(frame_ + site.bytes, limits_.frame_bytes, "its function's frame");
        return {};
    }

    const TargetLibraryInfo& library_;
    const Limits& limits_;
    Function& function_;
    Summaries summaries_;
    std::string refusal_;
    std::uint64_t frame_;
};

void clean_up(Function& function, FunctionAnalysisManager& analyses) {
    FunctionPassManager passes;
#if LLVM_VERSION_MAJOR >= 16
    passes.addPass(SROAPass(SROAOptions::ModifyCFG));
#else
    passes.addPass(SROAPass());
#endif
    passes.addPass(EarlyCSEPass(true));
    passes.addPass(InstCombinePass());
    passes.addPass(SimplifyCFGPass());
    passes.addPass(DSEPass());
    passes.addPass(DCEPass());
    analyses.invalidate(function, passes.run(function, analyses));
}

void report_parameters(Function& function, OptimizationRemarkEmitter& emitter, const Limits& limits) {
    if (function.getSubprogram() == nullptr || !emitter.allowExtraAnalysis("escape")) return;
    Summaries summaries(limits.trusts_inline, true);
    for (Argument& parameter : function.args())
        if (parameter.getType()->isPointerTy() && !parameter.hasStructRetAttr())
            report_parameter(emitter, parameter,
                             summaries.parameter(function, parameter.getArgNo(), object_address, 0));
}

}  // namespace

bool EscapePass::run_once(Function& function, FunctionAnalysisManager& analyses, bool is_last) {
    struct Move {
        Site site;
        std::unique_ptr<Flow> flow;
    };
    std::vector<Move> moves;
    OptimizationRemarkEmitter emitter(&function);
    const bool has_words = tells_ == Tells::everything && emitter.allowExtraAnalysis("escape");
    Judge judge(function, analyses, limits_, has_words);
    struct Stay {
        Site site;
        Leak leak;
    };
    std::vector<Stay> stays;
    for (Site& site : find_sites(function)) {
        Leak leak;
        if (auto flow = judge.judge(site, leak)) moves.push_back({std::move(site), std::move(flow)});
        else stays.push_back({std::move(site), std::move(leak)});
    }
    if (tells_ == Tells::everything && (moves.empty() || is_last))
        for (const Stay& stay : stays) report_heap(emitter, stay.site, stay.leak);
    for (const Move& move : moves) report_slot(emitter, move.site);
    for (const Move& move : moves) promote(move.site, *move.flow);
    return !moves.empty();
}

PreservedAnalyses EscapePass::run(Function& function, FunctionAnalysisManager& analyses) {
    if (limits_.is_off || function.hasOptNone()) return PreservedAnalyses::all();
    bool is_changed = false;
    for (unsigned round = 1; round <= max_rounds; ++round) {
        if (!run_once(function, analyses, round == max_rounds)) break;
        is_changed = true;
        analyses.invalidate(function, PreservedAnalyses::none());
        drop_barriers(function);
        clean_up(function, analyses);
    }
    if (is_changed) {
        Summaries summaries(limits_.trusts_inline, false);
        if (!limits_.is_forced) end_lifetimes(function, summaries);
    }
    is_changed |= drop_flag_loads(function);
    if (tells_ == Tells::everything) {
        OptimizationRemarkEmitter emitter(&function);
        report_parameters(function, emitter, limits_);
    }
    return is_changed ? PreservedAnalyses::none() : PreservedAnalyses::all();
}

}  // namespace cairn::escape
