// The walk over uses: values, loads, stores and returns. Calls are in calls.cpp.
// SPDX-License-Identifier: MIT
#include "flow.hpp"

#include "llvm/Demangle/Demangle.h"
#include "llvm/IR/Operator.h"
#include "runtime.hpp"

namespace cairn::escape {

namespace {

using namespace llvm;

constexpr unsigned max_steps = 4000;
constexpr unsigned max_bases = 16;

// "global 'x'", for messages.
std::string name_of(const GlobalValue& global) {
    return "global '" + demangle(global.getName().str()) + "'";
}

// An empty address that nothing is stored at.
bool is_nothing(const Value& base) {
    return isa<ConstantPointerNull>(base) || isa<UndefValue>(base);
}

// Values that a pointer may be the address of, with any offset. False: too many to tell.
bool find_bases(Value& pointer, SmallPtrSetImpl<Value*>& bases) {
    SmallVector<Value*, 8> work{&pointer};
    SmallPtrSet<Value*, 8> seen;
    while (!work.empty()) {
        Value* value = work.pop_back_val()->stripInBoundsOffsets();
        if (!seen.insert(value).second) continue;
        if (seen.size() > max_bases) return false;
        if (auto* offset = dyn_cast<GEPOperator>(value)) work.push_back(offset->getPointerOperand());
        else if (auto* phi = dyn_cast<PHINode>(value)) work.append(phi->op_begin(), phi->op_end());
        else if (auto* freeze = dyn_cast<FreezeInst>(value)) work.push_back(freeze->getOperand(0));
        else if (auto* choice = dyn_cast<SelectInst>(value))
            work.append({choice->getTrueValue(), choice->getFalseValue()});
        else bases.insert(value);
    }
    return true;
}

// The access is to an object of a plain type, by the language's rules: not to a pointer, not to bytes.
bool is_plain_access(const Instruction& access) {
    const MDNode* tag = access.getMetadata(LLVMContext::MD_tbaa);
    if (tag == nullptr || tag->getNumOperands() < 3) return false;
    const auto* type = dyn_cast_or_null<MDNode>(tag->getOperand(1));
    const auto* name = type == nullptr || type->getNumOperands() == 0
                           ? nullptr
                           : dyn_cast_or_null<MDString>(type->getOperand(0));
    if (name == nullptr) return false;
    for (const StringRef plain : {"bool", "short", "int", "long", "long long", "__int128", "float", "double"})
        if (name->getString() == plain) return true;
    return false;
}

// The levels of a value as they are in memory once `store` has been done. A store that does not say what it
// stores may be the rest of a copy, which is read as any type; clang never says it of atomic ones.
Levels as_stored(const StoreInst& store, Levels levels) {
    const bool is_untold = !store.isAtomic() && !store.hasMetadata(LLVMContext::MD_tbaa);
    return is_untold || is_plain_access(store) ? levels | as_integer : levels;
}

std::string why_elsewhere(const Value& base) {
    if (const auto* global = dyn_cast<GlobalValue>(&base)) return "stored to " + name_of(*global);
    if (const auto* argument = dyn_cast<Argument>(&base))
        return "stored through parameter " + std::to_string(argument->getArgNo());
    if (const auto* call = dyn_cast<CallBase>(&base)) {
        if (called_name(*call) == "__cxa_allocate_exception") return "thrown";
        if (entry_of(*call) != Entry::none) return "stored in an object with a finalizer";
    }
    return "stored to memory through a pointer";
}

}  // namespace

bool Flow::follow(Value& root, Levels levels) {
    root_ = &root;
    taint(root, levels);
    while (is_alive() && !work_.empty()) {
        Value* value = work_.pop_back_val();
        const Levels reach = levels_.lookup(value);
        for (Use& use : value->uses()) {
            auto* user = dyn_cast<Instruction>(use.getUser());
            if (user == nullptr) continue;
            if (++steps_ > max_steps) leaks(*user, "used in too many places to follow");
            users_.insert(user);
            visit(use, reach);
            if (!is_alive()) break;
        }
    }
    check_differences();
    return is_alive();
}

void Flow::leaks(const Instruction& at, const char* reason) {
    leaks(at, [&] { return std::string(reason); });
}

void Flow::leaks(const Instruction& at, function_ref<std::string()> reason) {
    if (is_alive()) leak_ = {&at, summaries_.has_words() ? reason() : std::string()};
}

void Flow::taint(Value& value, Levels levels) {
    if (levels == 0) return;
    // An object that holds its own address: who has the one has the other.
    if ((levels & object_address) != 0 && holders_.count(root_) != 0) levels |= levels_.lookup(root_);
    Levels& known = levels_[&value];
    if ((known | levels) == known) return;
    known |= levels;
    work_.push_back(&value);
}

// A holder holds more than before: everything that was concluded from it is looked at again.
void Flow::follow_again() {
    const Levels of_root = holders_.count(root_) != 0 ? levels_.lookup(root_) : 0;
    for (auto& [value, levels] : levels_) {
        if ((levels & object_address) != 0) levels |= of_root;
        work_.push_back(value);
    }
}

// What a load of `bytes` through `pointer` gives.
Levels Flow::content(Value& pointer, Levels levels, std::uint64_t bytes) {
    APInt offset(layout_.getIndexTypeSizeInBits(pointer.getType()), 0);
    Value* base = pointer.stripAndAccumulateConstantOffsets(layout_, offset, true);
    const auto found = holders_.find(base);
    if (found == holders_.end()) return loaded(levels);
    Levels all = 0;  // a part says what lies there
    const std::int64_t first = offset.getSExtValue();
    for (const HeldAt& part : found->second)
        if (part.offset < 0 || (part.offset < first + static_cast<std::int64_t>(bytes) &&
                                first < part.offset + static_cast<std::int64_t>(part.bytes)))
            all |= part.levels;
    return (all & ~as_integer) > object_address ? all : all & ~as_integer;
}

void Flow::visit(Use& use, Levels levels) {
    auto& user = *cast<Instruction>(use.getUser());
    const unsigned operand = use.getOperandNo();
    switch (user.getOpcode()) {
    case Instruction::GetElementPtr:
        if (operand != 0) return leaks(user, "its address is converted to an integer");
        return taint(user, levels);
    case Instruction::BitCast:
    case Instruction::AddrSpaceCast:
    case Instruction::Freeze:
    case Instruction::PHI:
    case Instruction::Select:
    case Instruction::IntToPtr:
    case Instruction::PtrToInt:
    case Instruction::ExtractValue:
    case Instruction::InsertValue:
    case Instruction::ExtractElement:
    case Instruction::InsertElement:
    case Instruction::ShuffleVector: return taint(user, levels);
    case Instruction::ICmp: return;
    case Instruction::And:
    case Instruction::Sub: return visit_integer(user);
    case Instruction::Load: {
        if ((levels & as_integer) == 0 && is_plain_access(user) && !user.getType()->isPointerTy()) return;
        const auto bytes = layout_.getTypeStoreSize(user.getType()).getFixedValue();
        return taint(user, content(*use.get(), levels, bytes));
    }
    case Instruction::Store: {
        auto& store = cast<StoreInst>(user);
        const auto bytes = layout_.getTypeStoreSize(store.getValueOperand()->getType()).getFixedValue();
        if (operand == 0) hold(user, *store.getPointerOperand(), {0, bytes, as_stored(store, levels)});
        return;
    }
    case Instruction::AtomicRMW:
    case Instruction::AtomicCmpXchg: {
        Value& pointer = *user.getOperand(0);
        const auto bytes = layout_.getTypeStoreSize(user.getOperand(1)->getType()).getFixedValue();
        taint(user, operand == 0 ? content(pointer, levels, bytes) : levels);
        if (operand != 0) hold(user, pointer, {0, bytes, levels | as_integer});
        return;
    }
    case Instruction::Ret: return visit_return(user, levels);
    case Instruction::Resume: return leaks(user, "thrown");
    case Instruction::Call:
    case Instruction::Invoke: return visit_call(cast<CallBase>(user), use, levels);
    default:
        return leaks(
            user, [&] { return std::string("used in a way that is not followed: ") + user.getOpcodeName(); });
    }
}

// An address as an integer may be tested for its alignment, and subtracted from another one.
void Flow::visit_integer(Instruction& user) {
    if (user.getOpcode() == Instruction::Sub) {
        differences_.insert(&user);
        return;
    }
    bool is_test = isa<ConstantInt>(user.getOperand(1));
    for (const User* then : user.users()) is_test = is_test && isa<ICmpInst>(then);
    if (!is_test) leaks(user, "its address is converted to an integer");
}

// The distance between two values that are followed alike gives nobody more than he has.
void Flow::check_differences() {
    for (Instruction* each : differences_)
        if (((levels_.lookup(each->getOperand(0)) ^ levels_.lookup(each->getOperand(1))) & all_distances) !=
            0)
            leaks(*each, "its address is converted to an integer");
}

void Flow::visit_return(const Instruction& user, Levels levels) {
    if (isa<Argument>(root_)) returned_ |= levels;
    else leaks(user, (levels & object_address) != 0 ? "returned" : "returned (inside an object)");
}

// A value of `part.levels` is stored at `pointer` + `part.offset`: into holders, or out of sight.
void Flow::hold(const Instruction& at, Value& pointer, HeldAt part) {
    stores_.insert(&at);
    APInt offset(layout_.getIndexTypeSizeInBits(pointer.getType()), 0);
    Value* base = pointer.stripAndAccumulateConstantOffsets(layout_, offset, true);
    const std::int64_t place = offset.getSExtValue() + part.offset;
    if (hold_in(at, *base, {place < 0 ? -1 : place, part.bytes, part.levels})) return;
    SmallPtrSet<Value*, 8> bases;
    if (!find_bases(pointer, bases)) return leaks(at, "stored to memory through a pointer");
    for (Value* each : bases)
        if (!is_nothing(*each) && !hold_in(at, *each, {-1, part.bytes, part.levels}))
            return leaks(at, [&] { return why_elsewhere(*each); });
}

// False: `base` is not memory of this function's own.
bool Flow::hold_in(const Instruction&, Value& base, const HeldAt& part) {
    const auto* call = dyn_cast<CallBase>(&base);
    const bool is_own = isa<AllocaInst>(base) || (call != nullptr && is_private_memory(*call));
    if (!is_own) return false;
    auto& parts = holders_[&base];
    if (llvm::is_contained(parts, part)) return true;
    parts.push_back(part);
    taint(base, stored(part.levels));
    follow_again();
    return true;
}

}  // namespace cairn::escape
