// Limits from the environment, and the search for a way that a function calls itself.
// SPDX-License-Identifier: MIT
#include "limits.hpp"

#include <cstdlib>

#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/DataLayout.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/raw_ostream.h"
#include "runtime.hpp"

namespace cairn::escape {

namespace {

using namespace llvm;

constexpr unsigned max_functions = 200;

void read_size(const char* name, std::uint64_t& bytes) {
    const char* text = std::getenv(name);
    if (text == nullptr || *text == '\0') return;
    char* end = nullptr;
    const std::uint64_t number = std::strtoull(text, &end, 10);
    const std::uint64_t unit = *end == 'K' ? 1024 : *end == 'M' ? 1024 * 1024 : 1;
    if (unit != 1) ++end;
    const bool is_number = *text >= '0' && *text <= '9' && *end == '\0';
    if (is_number && number <= UINT32_MAX / unit) bytes = number * unit;
    else
        errs() << "cairn-escape: " << name << "=" << text << " is no size such as 1024, 16K or 1M; ignored\n";
}

bool is_set(const char* name) {
    const char* text = std::getenv(name);
    return text != nullptr && StringRef(text) == "1";
}

// Runtime functions that call nothing of the program's. (A finalizer runs on a thread of its own.)
bool calls_nobody(const Function& function, const TargetLibraryInfo& library) {
    const StringRef name = function.getName();
    LibFunc known;
    return function.isIntrinsic() || library.getLibFunc(function, known) ||
           treatment_of(name) != Treatment::unknown || name.take_front(6) == "cairn_" ||
           name.take_front(6) == "__cxa_" || name == "_ZSt9terminatev" ||
           name.take_front(10) == "_ZSt20__thr";
}

// False: a call through a pointer, or one that is given a function, or too much to look at.
bool add_callees(const Function& function, SmallVectorImpl<const Function*>& callees) {
    for (const Instruction& instruction : instructions(function)) {
        const auto* call = dyn_cast<CallBase>(&instruction);
        if (call == nullptr || call->isInlineAsm()) continue;
        const auto* callee = dyn_cast<Function>(call->getCalledOperand()->stripPointerCasts());
        if (callee == nullptr) return false;
        const bool is_end = callee->doesNotReturn() && callee->hasFnAttribute(Attribute::Cold);
        if (is_end) continue;  // an error on its way out
        if (callee->isDeclaration() && callee->getName().take_front(6) != "__cxa_")
            for (const Value* argument : call->args())
                if (isa<Function>(argument->stripPointerCasts())) return false;
        callees.push_back(callee);
    }
    return true;
}

}  // namespace

Limits read_limits() {
    Limits limits;
    read_size("CAIRN_ESCAPE_MAX", limits.object_bytes);
    read_size("CAIRN_ESCAPE_MAX_RECURSIVE", limits.recursive_bytes);
    read_size("CAIRN_ESCAPE_MAX_FRAME", limits.frame_bytes);
    if (limits.frame_bytes < limits.object_bytes) limits.frame_bytes = limits.object_bytes;
    const char* state = std::getenv("CAIRN_ESCAPE");
    limits.is_off = state != nullptr && StringRef(state) == "off";
    limits.trusts_inline = is_set("CAIRN_ESCAPE_TRUST_INLINE");
    limits.is_forced = is_set("CAIRN_ESCAPE_FORCE");
    return limits;
}

bool may_recurse(const Function& function, const TargetLibraryInfo& library) {
    if (function.doesNotRecurse()) return false;
    SmallVector<const Function*, 32> work;
    SmallPtrSet<const Function*, 32> seen;
    if (!add_callees(function, work)) return true;
    while (!work.empty()) {
        const Function* callee = work.pop_back_val();
        if (callee == &function) return true;
        if (!seen.insert(callee).second || calls_nobody(*callee, library)) continue;
        if (callee->isDeclaration() || seen.size() > max_functions || !add_callees(*callee, work))
            return true;
    }
    return false;
}

std::uint64_t frame_bytes(const Function& function) {
    const DataLayout& layout = function.getParent()->getDataLayout();
    std::uint64_t bytes = 0;
    for (const Instruction& instruction : function.getEntryBlock())
        if (const auto* slot = dyn_cast<AllocaInst>(&instruction))
            if (const auto* count = dyn_cast<ConstantInt>(slot->getArraySize()))
                bytes +=
                    layout.getTypeAllocSize(slot->getAllocatedType()).getFixedValue() * count->getZExtValue();
    return bytes;
}

}  // namespace cairn::escape
