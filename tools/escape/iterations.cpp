// The rule about loops, by walks over blocks; the header tells why it is enough.
// SPDX-License-Identifier: MIT
#include "iterations.hpp"

#include "llvm/Analysis/ValueTracking.h"
#include "llvm/IR/CFG.h"
#include "llvm/IR/Module.h"

namespace cairn::escape {

namespace {

using namespace llvm;
using Blocks = SmallPtrSet<const BasicBlock*, 16>;
using Instructions = SmallPtrSet<const Instruction*, 16>;

bool is_before(const Instruction& first, const Instruction& second) {
    return &first != &second && first.getParent() == second.getParent() && first.comesBefore(&second);
}

// Is there a way from `site` back to itself?
bool is_repeated(const CallBase& site) {
    Blocks seen;
    SmallVector<const BasicBlock*, 16> work(successors(site.getParent()));
    while (!work.empty()) {
        const BasicBlock* block = work.pop_back_val();
        if (block == site.getParent()) return true;
        if (seen.insert(block).second) work.append(succ_begin(block), succ_end(block));
    }
    return false;
}

// The last instruction that runs before `use` does: a phi's operands are read at the end of their blocks.
const Instruction& place_of_use(const Use& use) {
    const auto& user = *cast<Instruction>(use.getUser());
    const auto* phi = dyn_cast<PHINode>(&user);
    return phi != nullptr ? *phi->getIncomingBlock(use)->getTerminator() : user;
}

// May `use` be reached from `site` without passing `made`, where its value is made?
bool is_across(const CallBase& site, const Instruction* made, const Use& use) {
    const Instruction& place = place_of_use(use);
    const BasicBlock* home = made == nullptr ? nullptr : made->getParent();
    const bool site_is_before = is_before(site, place);
    const bool made_is_before = made != nullptr && is_before(*made, place);
    if (made_is_before) return site_is_before && is_before(*made, site);
    if (site_is_before) return true;
    // Backwards, to where it is made.
    Blocks seen;
    SmallVector<const BasicBlock*, 16> work(predecessors(place.getParent()));
    while (!work.empty()) {
        const BasicBlock* block = work.pop_back_val();
        if (!seen.insert(block).second) continue;
        const bool has_site = block == site.getParent();
        if (block == home) {
            if (has_site && is_before(*made, site)) return true;
            continue;
        }
        if (has_site) return true;
        work.append(pred_begin(block), pred_end(block));
    }
    return false;
}

bool is_slot_address(const Value& value) {
    return isa<AllocaInst>(getUnderlyingObject(&value, 0));
}

bool has_value_across(const CallBase& site, const Flow& flow) {
    for (const auto& [value, levels] : flow.levels()) {
        if (value == &site || is_slot_address(*value)) continue;
        for (const Use& use : value->uses())
            if (isa<Instruction>(use.getUser()) && is_across(site, dyn_cast<Instruction>(value), use))
                return true;
    }
    return false;
}

// A start of lifetime that is of the whole of `slot`; from LLVM 22 on they all are.
bool is_whole(const IntrinsicInst& start, const AllocaInst& slot) {
    if (start.arg_size() == 1) return true;
    const auto* size = dyn_cast<ConstantInt>(start.getArgOperand(0));
    if (size == nullptr || size->isMinusOne()) return size != nullptr;
    const DataLayout& layout = start.getModule()->getDataLayout();
    return !slot.isArrayAllocation() &&
           size->getZExtValue() >= layout.getTypeAllocSize(slot.getAllocatedType()).getFixedValue();
}

// The instructions after which nothing that `slot` held before is there.
Instructions births_of(const AllocaInst& slot) {
    Instructions births;
    SmallVector<const Value*, 4> names{&slot};
    while (!names.empty())
        for (const User* user : names.pop_back_val()->users()) {
            const auto* start = dyn_cast<IntrinsicInst>(user);
            const auto* part = dyn_cast<GetElementPtrInst>(user);
            if (isa<BitCastInst>(user) || (part != nullptr && part->hasAllZeroIndices()))
                names.push_back(user);
            else if (start != nullptr && start->getIntrinsicID() == Intrinsic::lifetime_start &&
                     is_whole(*start, slot))
                births.insert(start);
        }
    return births;
}

// Reads memory through an address of a holder, or lets somebody read it.
bool is_read(const Instruction& user, const Flow& flow) {
    if (const auto* intrinsic = dyn_cast<IntrinsicInst>(&user))
        if (intrinsic->isLifetimeStartOrEnd() || isa<DbgInfoIntrinsic>(intrinsic)) return false;
    if (!user.mayReadFromMemory() ||
        (isa<LoadInst>(user) && flow.levels().count(const_cast<Instruction*>(&user)) == 0))
        return false;
    for (const Value* operand : user.operands()) {
        const auto found = flow.levels().find(const_cast<Value*>(operand));
        if (found != flow.levels().end() && loaded(found->second) != 0) return true;
    }
    return false;
}

// Is one of `wanted` on a way from `site` on that has none of `births` before it?
bool is_found_after(const CallBase& site, const Instructions& wanted, const Instructions& births) {
    Blocks seen;
    SmallVector<const Instruction*, 16> work{site.getNextNode()};
    while (!work.empty()) {
        const Instruction* at = work.pop_back_val();
        while (births.count(at) == 0 && wanted.count(at) == 0 && !at->isTerminator()) at = at->getNextNode();
        if (wanted.count(at) != 0) return true;
        if (births.count(at) != 0) continue;
        for (const BasicBlock* next : successors(at))
            if (seen.insert(next).second) work.push_back(&next->front());
    }
    return false;
}

// The same backwards: one of `wanted` may have come before `site`, with none of `births` between.
bool is_found_before(const CallBase& site, const Instructions& wanted, const Instructions& births) {
    Blocks seen;
    SmallVector<const Instruction*, 16> work{&site};
    while (!work.empty()) {
        const Instruction* at = work.pop_back_val();
        const BasicBlock* block = at->getParent();
        if (at == &site) at = at->getPrevNode();
        while (at != nullptr && births.count(at) == 0 && wanted.count(at) == 0) at = at->getPrevNode();
        if (at != nullptr && wanted.count(at) != 0) return true;
        if (at != nullptr) continue;
        for (const BasicBlock* before : predecessors(block))
            if (seen.insert(before).second) work.push_back(before->getTerminator());
    }
    return false;
}

bool may_hold_older(const CallBase& site, const AllocaInst& slot, const Flow& flow) {
    const Instructions births = births_of(slot);
    Instructions reads, stores;
    for (const Instruction* user : flow.users())
        if (is_read(*user, flow)) reads.insert(user);
    for (const Instruction* store : flow.stores()) stores.insert(store);
    return is_found_after(site, reads, births) && is_found_before(site, stores, births);
}

}  // namespace

bool needs_several(const CallBase& site, const Flow& flow) {
    if (!is_repeated(site)) return false;
    if (has_value_across(site, flow)) return true;
    for (const auto& [holder, parts] : flow.holders())
        if (const auto* slot = dyn_cast<AllocaInst>(holder))
            if (may_hold_older(site, *slot, flow)) return true;
    return false;
}

}  // namespace cairn::escape
