// The walk into calls: intrinsics, the runtime, parameters that are not captured, bodies that are here.
// SPDX-License-Identifier: MIT
#include "flow.hpp"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/Module.h"
#include "places.hpp"
#include "runtime.hpp"

namespace cairn::escape {

using namespace llvm;

namespace {

constexpr unsigned max_depth = 12;

std::string shown(const Function& function) {
    return "'" + readable(function) + "'";
}

std::string why_unknown(const CallBase& call) {
    const auto* callee = dyn_cast<Function>(call.getCalledOperand()->stripPointerCasts());
    if (callee == nullptr) return "passed to a call through a pointer";
    if (callee->getName() == "__cxa_throw") return "thrown";
    if (callee->isDeclaration()) return "passed to unknown function " + shown(*callee);
    return "passed to " + shown(*callee) + ", which was not inlined and which another file may define too";
}

bool is_harmless(Intrinsic::ID id) {
    switch (id) {
    case Intrinsic::lifetime_start:
    case Intrinsic::lifetime_end:
    case Intrinsic::invariant_start:
    case Intrinsic::invariant_end:
    case Intrinsic::objectsize:
    case Intrinsic::is_constant:
    case Intrinsic::assume:
    case Intrinsic::prefetch:
    case Intrinsic::memset:
    case Intrinsic::experimental_noalias_scope_decl: return true;
    default: return false;
    }
}

}  // namespace

void Flow::visit_call(CallBase& call, Use& use, Levels levels) {
    if (call.isCallee(&use)) return leaks(call, "called as a function");
    if (auto* intrinsic = dyn_cast<IntrinsicInst>(&call))
        if (visit_intrinsic(*intrinsic, use, levels)) return;
    if (call.isBundleOperand(&use)) return leaks(call, "used in a way that is not followed: operand bundle");
    if (call.isMustTailCall()) return leaks(call, "passed to a call that takes this function's place");
    if (call.isInlineAsm()) return visit_assembly(call, levels);
    visit_argument(call, call.getArgOperandNo(&use), levels);
}

bool Flow::visit_intrinsic(IntrinsicInst& call, Use& use, Levels levels) {
    const Intrinsic::ID id = call.getIntrinsicID();
    if (is_harmless(id) || isa<DbgInfoIntrinsic>(call)) return true;
    if (id == Intrinsic::launder_invariant_group || id == Intrinsic::strip_invariant_group ||
        id == Intrinsic::ptr_annotation || id == Intrinsic::ptrmask) {
        taint(call, levels);
        return true;
    }
    if (isa<MemTransferInst>(call)) {
        visit_copy(call, call.getArgOperandNo(&use), levels);
        return true;
    }
    return false;
}

// memcpy and its kin: argument 0 is the target, 1 the source, 2 the size. What is copied may be read as any
// type.
void Flow::visit_copy(CallBase& call, unsigned argument, Levels levels) {
    if (argument != 1) return;
    Value& source = *call.getArgOperand(1);
    Value& target = *call.getArgOperand(0);
    const auto* size = dyn_cast<ConstantInt>(call.getArgOperand(2));
    const std::uint64_t bytes = size != nullptr ? size->getZExtValue() : UINT32_MAX;
    APInt offset(layout_.getIndexTypeSizeInBits(source.getType()), 0);
    const auto found = holders_.find(source.stripAndAccumulateConstantOffsets(layout_, offset, true));
    const std::int64_t first = offset.getSExtValue();
    bool is_exact = found != holders_.end();
    if (is_exact)
        for (const HeldAt& part : found->second) is_exact = is_exact && part.offset >= first;
    if (!is_exact) {
        const Levels moved = content(source, levels, bytes);
        if (moved != 0) hold(call, target, {0, bytes, moved | as_integer});
        return;
    }
    const llvm::SmallVector<HeldAt, 2> parts = found->second;  // hold() may add to it
    for (const HeldAt& part : parts)
        if (part.offset < first + static_cast<std::int64_t>(bytes))
            hold(call, target, {part.offset - first, part.bytes, part.levels | as_integer});
}

// An empty text does nothing, whatever it is said to do: it keeps its operands alive, or hides them.
void Flow::visit_assembly(CallBase& call, Levels levels) {
    const auto* text = cast<InlineAsm>(call.getCalledOperand());
    if (text->getAsmString() != StringRef()) return leaks(call, "used by inline assembly");
    if (!call.getType()->isVoidTy()) taint(call, reached(levels));
}

void Flow::visit_argument(CallBase& call, unsigned argument, Levels levels) {
    if (!call.getType()->isVoidTy() && call.paramHasAttr(argument, Attribute::Returned)) taint(call, levels);
    switch (treatment_of(called_name(call))) {
    case Treatment::keeps_nothing: return;
    case Treatment::copies_content: return visit_copy(call, argument, levels);
    case Treatment::unknown: break;
    }
    if (call.isByValArgument(argument)) {
        if (loaded(levels) == 0) return;  // a copy of the object
        return leaks(call, [&] { return why_unknown(call); });
    }
    if (levels == object_address && call.doesNotCapture(argument)) return;
    auto* callee = dyn_cast<Function>(call.getCalledOperand()->stripPointerCasts());
    const bool is_plain = callee != nullptr && !callee->isVarArg() && callee->arg_size() == call.arg_size() &&
                          callee->getFunctionType() == call.getFunctionType();
    if (is_plain && summaries_.is_body_known(*callee)) return visit_body(call, *callee, argument, levels);
    // Who only reads and cannot throw has no way out but its result.
    if (call.doesNotCapture(argument) && call.onlyReadsMemory() && call.doesNotThrow())
        return taint(call, call.getType()->isVoidTy() ? 0 : reached(levels));
    leaks(call, [&] { return why_unknown(call); });
}

void Flow::visit_body(CallBase& call, Function& callee, unsigned argument, Levels levels) {
    if (depth_ >= max_depth) return leaks(call, "passed through too many calls to follow");
    const Summary summary = summaries_.parameter(callee, argument, levels, depth_ + 1);
    if (!summary.leaks) return taint(call, call.getType()->isVoidTy() ? 0 : summary.returned);
    leaks(call, [&] {
        std::string place = place_of(*summary.leak.at);
        if (!place.empty()) place = " at " + place;
        return "argument " + std::to_string(argument) + " of " + shown(callee) +
               " leaks: " + summary.leak.reason + place;
    });
}

bool Summaries::is_body_known(const Function& function) const {
    if (function.isDeclaration() || function.hasFnAttribute(Attribute::Naked)) return false;
    return function.hasExactDefinition() || (trusts_inline_ && !function.isInterposable());
}

Summary Summaries::parameter(Function& function, unsigned index, Levels levels, unsigned depth) {
    const Key key{&function, index, levels};
    const std::pair<Function*, unsigned> short_key{&function, index << 5 | levels};
    if (const auto found = known_.find(short_key); found != known_.end()) return found->second;
    for (std::size_t i = 0; i < open_.size(); ++i) {
        if (open_[i].key != key) continue;
        for (std::size_t above = i; above < open_.size(); ++above)
            open_[above].lowest = std::min(open_[above].lowest, i);
        return {false, {}, open_[i].returned};
    }
    const std::size_t mine = open_.size();
    open_.push_back({key, mine + 1, 0});
    Summary summary;
    for (bool is_stable = false; !is_stable;) {
        Flow flow(*this, function.getParent()->getDataLayout(), depth);
        summary.leaks = !flow.follow(*function.getArg(index), levels);
        summary.leak = flow.leak();
        summary.returned = flow.returned();
        is_stable =
            summary.leaks || (summary.returned & ~open_[mine].returned) == 0 || open_[mine].lowest > mine;
        open_[mine].returned |= summary.returned;
    }
    const bool is_final = open_[mine].lowest >= mine;
    open_.pop_back();
    if (is_final || summary.leaks) known_[short_key] = summary;
    return summary;
}

}  // namespace cairn::escape
