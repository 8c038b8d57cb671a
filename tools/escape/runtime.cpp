// The names of include/cairn/cairn.h and of the C++ library that mean something to the pass, in tables.
// SPDX-License-Identifier: MIT
#include "runtime.hpp"

#include "llvm/Demangle/Demangle.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/GlobalVariable.h"
#include "llvm/IR/Instructions.h"

namespace cairn::escape {

namespace {

struct NamedEntry {
    llvm::StringRef name;
    Entry entry;
};
constexpr NamedEntry entries[] = {
    {"cairn_alloc", Entry::object},
    {"cairn_alloc_array", Entry::array},
    {"cairn_alloc_noscan", Entry::noscan},
    {"cairn_alloc_conservative", Entry::conservative},
    {"cairn_alloc_finalized", Entry::finalized},
    {"cairn_alloc_heap", Entry::heap},
};

struct NamedTreatment {
    llvm::StringRef name;
    Treatment treatment;
};
constexpr NamedTreatment treatments[] = {
    {"cairn_barrier_slow", Treatment::keeps_nothing},
    {"cairn_shade", Treatment::keeps_nothing},
    {"cairn_clear_many", Treatment::keeps_nothing},
    {"cairn_free", Treatment::keeps_nothing},
    {"cairn_object_size", Treatment::keeps_nothing},
    {"cairn_is_collected", Treatment::keeps_nothing},
    {"cairn_store_many", Treatment::copies_content},
    {"free", Treatment::keeps_nothing},
    {"_ZdlPv", Treatment::keeps_nothing},
    {"_ZdlPvm", Treatment::keeps_nothing},
    {"_ZdlPvSt11align_val_t", Treatment::keeps_nothing},
    {"_ZdlPvmSt11align_val_t", Treatment::keeps_nothing},
    {"_ZdaPv", Treatment::keeps_nothing},
    {"_ZdaPvm", Treatment::keeps_nothing},
};

// The members of cairn_type that are read here.
enum Member : unsigned { size_member = 0, align_member = 1, name_member = 6, member_count = 8 };

const llvm::ConstantStruct* descriptor(const llvm::Value* argument) {
    const auto* variable = llvm::dyn_cast<llvm::GlobalVariable>(argument->stripPointerCasts());
    if (variable == nullptr || !variable->isConstant() || !variable->hasDefinitiveInitializer())
        return nullptr;
    const auto* fields = llvm::dyn_cast<llvm::ConstantStruct>(variable->getInitializer());
    return fields != nullptr && fields->getNumOperands() == member_count ? fields : nullptr;
}

// 0: not known.
std::uint64_t constant(const llvm::Value* value) {
    const auto* number = llvm::dyn_cast<llvm::ConstantInt>(value);
    return number == nullptr ? 0 : number->getValue().getLimitedValue();
}

std::string text_of(const llvm::Value* pointer) {
    const auto* variable = llvm::dyn_cast<llvm::GlobalVariable>(pointer->stripInBoundsConstantOffsets());
    if (variable == nullptr || !variable->hasDefinitiveInitializer()) return {};
    const llvm::Constant* data = variable->getInitializer();
    while (llvm::isa<llvm::ConstantStruct>(data))
        data = llvm::cast<llvm::ConstantStruct>(data)->getOperand(0);
    const auto* array = llvm::dyn_cast<llvm::ConstantDataArray>(data);
    return array != nullptr && array->isCString() ? array->getAsCString().str() : std::string();
}

// Size and alignment of a typed allocation, from its descriptor.
void read_type(Site& site, const llvm::ConstantStruct& type) {
    const std::uint64_t align = constant(type.getOperand(align_member));
    const std::uint64_t first = constant(site.call->getArgOperand(0));
    site.type = text_of(type.getOperand(name_member));
    site.bytes = first;
    if (align == 0 || (align & (align - 1)) != 0) site.refusal = "its type's descriptor has no alignment";
    else if (align > site.align) site.align = align;
    if (!llvm::isa<llvm::ConstantInt>(site.call->getArgOperand(0))) {
        site.refusal = "its size is not a constant";
    } else if (site.entry == Entry::array) {
        const std::uint64_t element = constant(type.getOperand(size_member));
        if (element != 0 && first > UINT32_MAX / element) site.refusal = "it is too large for the stack";
        else site.bytes = first * element;
    }
}

}  // namespace

llvm::StringRef called_name(const llvm::CallBase& call) {
    const auto* function = llvm::dyn_cast<llvm::Function>(call.getCalledOperand()->stripPointerCasts());
    return function == nullptr ? llvm::StringRef() : function->getName();
}

std::string readable(const llvm::Function& function) {
    return llvm::demangle(function.getName().str());
}

Entry entry_of(const llvm::CallBase& call) {
    const llvm::StringRef name = called_name(call);
    for (const NamedEntry& known : entries)
        if (name == known.name) return known.entry;
    return Entry::none;
}

Site read_site(llvm::CallBase& call) {
    Site site;
    site.call = &call;
    site.entry = entry_of(call);
    const unsigned wanted = site.entry == Entry::noscan || site.entry == Entry::conservative ? 1 : 2;
    if (call.arg_size() != wanted || !call.getType()->isPointerTy() || !llvm::isa<llvm::CallInst>(call)) {
        site.refusal = "it is not allocated as cairn.h says";
    } else if (wanted == 1) {
        site.is_zeroed = site.entry == Entry::conservative;
        site.bytes = constant(call.getArgOperand(0));
        if (!llvm::isa<llvm::ConstantInt>(call.getArgOperand(0))) site.refusal = "its size is not a constant";
    } else if (const llvm::ConstantStruct* type = descriptor(call.getArgOperand(1))) {
        read_type(site, *type);
    } else {
        site.refusal = "its type's descriptor is not known here";
    }
    if (site.entry == Entry::finalized) site.refusal = "its type has a destructor, so it gets a finalizer";
    if (site.entry == Entry::heap) site.refusal = "make_heap asks for it";
    if (site.bytes == 0) site.bytes = 1;
    return site;
}

Treatment treatment_of(llvm::StringRef function) {
    for (const NamedTreatment& known : treatments)
        if (function == known.name) return known.treatment;
    return Treatment::unknown;
}

bool is_private_memory(const llvm::CallBase& call) {
    const Entry entry = entry_of(call);
    // A finalizer reads the object later.
    if (entry != Entry::none) return entry != Entry::finalized;
    const llvm::StringRef name = called_name(call);
    return name == "malloc" || name == "calloc" || name == "_Znwm" || name == "_Znam" ||
           name == "_ZnwmSt11align_val_t";
}

}  // namespace cairn::escape
