// The plugin: where in clang's pipeline the pass runs, and what is said when it cannot.
//
//   late in the scalar optimiser   inside the inliner's walk: callees are done, callers still inline; silent
//   before the vectoriser          every function that is left, once; tells why objects are on the heap
//   at the end of a full LTO link  bodies of other files are here
//
// A plugin is of one clang major. Another one refuses it by itself or is told apart by its version text.
// SPDX-License-Identifier: MIT
#include "escape_pass.hpp"
#include "llvm/Config/llvm-config.h"
#include "llvm/Passes/PassBuilder.h"
#if LLVM_VERSION_MAJOR >= 22
#include "llvm/Plugins/PassPlugin.h"
#else
#include "llvm/Passes/PassPlugin.h"
#endif
#include "llvm/Support/raw_ostream.h"
#include "running_clang.hpp"

namespace cairn::escape {

namespace {

using namespace llvm;

// Tells at -O0 that nothing will happen: no other part of the pipeline does.
class NothingMoves : public PassInfoMixin<NothingMoves> {
public:
    PreservedAnalyses run(Module&, ModuleAnalysisManager&) {
        errs() << "cairn-escape: nothing is moved to the stack at -O0; compile with -O1 or more\n";
        return PreservedAnalyses::all();
    }
    static bool isRequired() { return true; }
};

template <class Pass>
FunctionPassManager functions(Pass pass) {
    FunctionPassManager passes;
    passes.addPass(std::move(pass));
    return passes;
}

void add_passes(PassBuilder& builder) {
    if (!is_own_clang("cairn-escape", LLVM_VERSION_MAJOR)) return;
    const Limits limits = read_limits();
    if (limits.is_off) return;
    builder.registerPipelineStartEPCallback([](ModulePassManager& passes, OptimizationLevel level) {
        if (level == OptimizationLevel::O0) passes.addPass(NothingMoves());
    });
    builder.registerScalarOptimizerLateEPCallback([limits](FunctionPassManager& passes, OptimizationLevel) {
        passes.addPass(EscapePass(limits, Tells::moved));
    });
    builder.registerVectorizerStartEPCallback([limits](FunctionPassManager& passes, OptimizationLevel) {
        passes.addPass(EscapePass(limits, Tells::everything));
    });
#if LLVM_VERSION_MAJOR >= 15
    builder.registerFullLinkTimeOptimizationLastEPCallback(
        [limits](ModulePassManager& passes, OptimizationLevel) {
            passes.addPass(createModuleToFunctionPassAdaptor(EscapePass(limits, Tells::everything)));
        });
#endif
    builder.registerPipelineParsingCallback(
        [limits](StringRef name, FunctionPassManager& passes, ArrayRef<PassBuilder::PipelineElement>) {
            if (name != "cairn-escape") return false;
            passes.addPass(EscapePass(limits, Tells::everything));
            return true;
        });
}

}  // namespace

}  // namespace cairn::escape

extern "C" LLVM_ATTRIBUTE_WEAK llvm::PassPluginLibraryInfo llvmGetPassPluginInfo() {
    return {LLVM_PLUGIN_API_VERSION, "cairn-escape", "0.1", cairn::escape::add_passes};
}
