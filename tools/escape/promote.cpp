// One call at a time; then what the slots of a function do not need.
// SPDX-License-Identifier: MIT
#include "promote.hpp"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Analysis/ValueTracking.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"

namespace cairn::escape {

namespace {

using namespace llvm;

constexpr const char* slot_mark = "cairn.slot";

void start_lifetime(IRBuilder<>& builder, Value* slot, std::uint64_t bytes) {
#if LLVM_VERSION_MAJOR >= 22
    (void)bytes;
    builder.CreateLifetimeStart(slot);
#else
    builder.CreateLifetimeStart(slot, builder.getInt64(bytes));
#endif
}

void end_lifetime(IRBuilder<>& builder, Value* slot, std::uint64_t bytes) {
#if LLVM_VERSION_MAJOR >= 22
    (void)bytes;
    builder.CreateLifetimeEnd(slot);
#else
    builder.CreateLifetimeEnd(slot, builder.getInt64(bytes));
#endif
}

// As the markers of older LLVMs want it.
Value* slot_address(IRBuilder<>& builder, AllocaInst& slot) {
#if LLVM_VERSION_MAJOR >= 16
    (void)builder;
    return &slot;
#else
    return builder.CreatePointerCast(&slot, builder.getInt8PtrTy());
#endif
}

// The one start of lifetime of a slot that has no end yet; none: it is not as promote() made it.
Instruction* start_without_end(const AllocaInst& slot) {
    Instruction* start = nullptr;
    SmallVector<const Value*, 4> names{&slot};
    while (!names.empty())
        for (const User* user : names.pop_back_val()->users()) {
            const auto* part = dyn_cast<GetElementPtrInst>(user);
            if (isa<BitCastInst>(user) || (part != nullptr && part->hasAllZeroIndices()))
                names.push_back(user);
            const auto* marker = dyn_cast<IntrinsicInst>(user);
            if (marker == nullptr || !marker->isLifetimeStartOrEnd()) continue;
            if (start != nullptr || marker->getIntrinsicID() == Intrinsic::lifetime_end) return nullptr;
            start = const_cast<IntrinsicInst*>(marker);
        }
    return start;
}

// The last instruction that touches the slot, if all do so in the block of `start` and what follows is plain
// code.
Instruction* last_user(const Instruction& start, const Flow& flow) {
    Instruction* last = nullptr;
    if (!flow.holders().empty()) return nullptr;
    for (Instruction* user : flow.users()) {
        if (user->getParent() != start.getParent() || user->isTerminator() || isa<PHINode>(user))
            return nullptr;
        if (last == nullptr || last->comesBefore(user)) last = user;
    }
    return last != nullptr && start.comesBefore(last) ? last : nullptr;
}

void end_at_exits(AllocaInst& slot, std::uint64_t bytes) {
    for (BasicBlock& block : *slot.getFunction()) {
        Instruction* exit = block.getTerminator();
        const bool is_exit = isa<ReturnInst>(exit) || isa<ResumeInst>(exit);
        if (!is_exit || block.getTerminatingMustTailCall() != nullptr) continue;
        IRBuilder<> here(exit);
        end_lifetime(here, slot_address(here, slot), bytes);
    }
}

void drop_tail_marks(const Flow& flow) {
    for (Instruction* user : flow.users())
        if (auto* call = dyn_cast<CallInst>(user))
            if (call->isTailCall() && !call->isMustTailCall()) call->setTailCallKind(CallInst::TCK_None);
}

AllocaInst* slot_behind(Value* pointer) {
    return dyn_cast<AllocaInst>(getUnderlyingObject(pointer, 0));
}

// A call that does nothing when its first argument is a slot of the stack.
bool is_idle_on_slot(const CallBase& call) {
    const StringRef name = called_name(call);
    const bool is_known = name == "cairn_barrier_slow" || name == "cairn_shade" || name == "cairn_free";
    return is_known && call.arg_size() > 0 && slot_behind(call.getArgOperand(0)) != nullptr;
}

bool is_flag(const Value* pointer) {
    return pointer->stripPointerCasts()->getName() == "cairn_barrier_active";
}

}  // namespace

void promote(const Site& site, const Flow& flow) {
    CallBase* call = site.call;
    Function& function = *call->getFunction();
    BasicBlock& entry = function.getEntryBlock();
    IRBuilder<> at_entry(&entry, entry.getFirstInsertionPt());
    AllocaInst* slot = at_entry.CreateAlloca(ArrayType::get(at_entry.getInt8Ty(), site.bytes));
    slot->setAlignment(Align(site.align));
    slot->setMetadata(slot_mark, MDNode::get(function.getContext(), {}));
    drop_tail_marks(flow);
    IRBuilder<> here(call);
    Value* memory = here.CreatePointerCast(slot, call->getType());
    start_lifetime(here, memory, site.bytes);
    if (site.is_zeroed) here.CreateMemSet(memory, here.getInt8(0), site.bytes, Align(site.align));
    call->replaceAllUsesWith(memory);
    call->eraseFromParent();
}

void end_lifetimes(Function& function, Summaries& summaries) {
    const DataLayout& layout = function.getParent()->getDataLayout();
    for (Instruction& instruction : function.getEntryBlock()) {
        auto* slot = dyn_cast<AllocaInst>(&instruction);
        if (slot == nullptr || slot->isArrayAllocation()) continue;
        Instruction* start = start_without_end(*slot);
        if (start == nullptr) continue;
        const std::uint64_t bytes = layout.getTypeAllocSize(slot->getAllocatedType()).getFixedValue();
        Flow flow(summaries, layout, 0);
        if (!flow.follow(*slot, object_address)) continue;
        if (Instruction* last = last_user(*start, flow)) {
            IRBuilder<> after(last->getNextNode());
            end_lifetime(after, slot_address(after, *slot), bytes);
        } else {
            end_at_exits(*slot, bytes);
        }
    }
}

bool drop_barriers(Function& function) {
    bool is_changed = false;
    for (Instruction& instruction : make_early_inc_range(instructions(function))) {
        if (auto* call = dyn_cast<CallInst>(&instruction); call != nullptr && is_idle_on_slot(*call)) {
            call->eraseFromParent();
            is_changed = true;
        } else if (auto* store = dyn_cast<StoreInst>(&instruction)) {
            AllocaInst* slot = slot_behind(store->getPointerOperand());
            if (slot != nullptr && slot->hasMetadata(slot_mark) && !store->isVolatile() &&
                store->getOrdering() == AtomicOrdering::Monotonic)
                store->setAtomic(AtomicOrdering::NotAtomic);
        }
    }
    return is_changed;
}

bool drop_flag_loads(Function& function) {
    bool is_changed = false;
    for (Instruction& instruction : make_early_inc_range(instructions(function)))
        if (auto* load = dyn_cast<LoadInst>(&instruction))
            if (load->use_empty() && is_flag(load->getPointerOperand())) {
                load->eraseFromParent();
                is_changed = true;
            }
    return is_changed;
}

}  // namespace cairn::escape
