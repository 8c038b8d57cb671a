// What becomes of an object: the verdict on cairn::make, and advice for new and make_unique.
//
// Advice is a warning, so it is given only when certain: one variable holds the object and is never given
// another, its address goes nowhere, its constructors are known to keep nothing, it is at most 1 KiB.
// SPDX-License-Identifier: MIT
#include "checks.hpp"

namespace cairn::frontend {

namespace {

using namespace clang;

constexpr int most_bytes = 1024;

// The variable that `place` initialises, below casts and copies that are none.
const VarDecl* variable_of(const Body& body, const Expr* place) {
    const Stmt* value = place;
    while (value != nullptr) {
        if (const ValueDecl* found = body.initialised(value)) return llvm::dyn_cast<VarDecl>(found);
        value = body.parent(value);
        if (!llvm::isa_and_nonnull<ImplicitCastExpr, ExprWithCleanups, MaterializeTemporaryExpr,
                                   CXXBindTemporaryExpr, ParenExpr, CXXConstructExpr>(value))
            return nullptr;
    }
    return nullptr;
}

// Never assigned to after its initialisation.
bool keeps_its_value(const Body& body, const VarDecl* variable) {
    for (const Expr* use : body.uses(variable)) {
        const auto* read = llvm::dyn_cast_or_null<CastExpr>(body.parent(use));
        if (read == nullptr || read->getCastKind() != CK_LValueToRValue) return false;
    }
    return true;
}

bool is_deleted(const Body& body, const VarDecl* variable) {
    for (const Expr* use : body.uses(variable)) {
        const Stmt* user = body.parent(use);
        while (llvm::isa_and_nonnull<CastExpr, ParenExpr>(user)) user = body.parent(user);
        if (llvm::isa_and_nonnull<CXXDeleteExpr>(user)) return true;
    }
    return false;
}

bool is_small(const Report& report, QualType type) {
    if (type->isIncompleteType() || type->isDependentType()) return false;
    return report.context().getTypeSizeInChars(type).getQuantity() <= most_bytes;
}

Verdict construction(Bodies& bodies, QualType type, SourceLocation where) {
    const CXXRecordDecl* record = class_of(type);
    return record == nullptr ? Verdict{} : bodies.construction(record, where);
}

void advise_local(Report& report, const VarDecl* variable, QualType type, SourceLocation where,
                  const std::string& what) {
    report.warn(where,
                what + " '" + variable->getNameAsString() +
                    "' does not escape: it could be a local variable '" + report.spell(type) + "'",
                "could-be-local");
}

void advise_new(Report& report, Bodies& bodies, const Body& body, const CXXNewExpr* made) {
    const QualType type = made->getAllocatedType();
    const FunctionDecl* allocator = made->getOperatorNew();
    const VarDecl* variable = variable_of(body, made);
    if (variable == nullptr || !variable->hasLocalStorage() || made->isArray() ||
        made->getNumPlacementArgs() != 0 || allocator == nullptr ||
        !allocator->isReplaceableGlobalAllocationFunction() || !is_small(report, type) ||
        !variable->getType()->isPointerType() ||
        !report.context().hasSameUnqualifiedType(variable->getType()->getPointeeType(), type))
        return;
    const CXXRecordDecl* record = class_of(type);
    const bool dies_quietly = record == nullptr || record->hasTrivialDestructor();
    if (!keeps_its_value(body, variable) || !(dies_quietly || is_deleted(body, variable))) return;
    if (Flow(bodies, body, made).variable(variable) || construction(bodies, type, made->getBeginLoc()))
        return;
    if (is_unchecked(variable)) return;
    advise_local(report, variable, type, made->getBeginLoc(), "new " + report.spell(type));
}

void advise_unique(Report& report, Bodies& bodies, const Body& body, const CallExpr* call) {
    const VarDecl* variable = variable_of(body, call);
    const QualType type = first_argument(call->getType()->getAsCXXRecordDecl());
    if (variable == nullptr || !variable->hasLocalStorage() || type.isNull() || type->isArrayType() ||
        !report.context().hasSameUnqualifiedType(variable->getType(), call->getType()) ||
        !is_small(report, type) || has_own_new(class_of(type)) || is_unchecked(variable))
        return;
    if (Flow(bodies, body, call).unique_owner(variable) || construction(bodies, type, call->getBeginLoc()))
        return;
    advise_local(report, variable, type, call->getBeginLoc(), "std::make_unique<" + report.spell(type) + ">");
}

// True when a reference bound to the object is `variable`: auto& x = *make<T>().
bool is_bound(const Body& body, const CallExpr* call, const VarDecl*& variable) {
    const auto* object = llvm::dyn_cast_or_null<UnaryOperator>(body.parent(call));
    if (object == nullptr || object->getOpcode() != UO_Deref) return false;
    variable = llvm::dyn_cast_or_null<VarDecl>(body.initialised(object));
    return variable != nullptr && variable->getType()->isReferenceType();
}

Verdict fate(Bodies& bodies, const Body& body, const CallExpr* call, QualType type, bool is_heap) {
    const SourceLocation where = call->getBeginLoc();
    if (is_heap) return Leak{"make_heap asks for it", where};
    if (!body.is_plain()) return Leak{"a coroutine, or jumps by goto: not followed", where};
    if (Verdict found = Flow(bodies, body, call).pointer(call)) return found;
    const CXXRecordDecl* record = class_of(type);
    if (record != nullptr && !record->hasTrivialDestructor())
        return Leak{"its type has a destructor, so it gets a finalizer", where};
    return construction(bodies, type, where);
}

void tell_verdict(Report& report, Bodies& bodies, const Body& body, const CallExpr* call, bool is_heap) {
    const QualType type = call->getType()->getPointeeType();
    const VarDecl* variable = variable_of(body, call);
    const bool is_reference = is_bound(body, call, variable);
    const Verdict leak = fate(bodies, body, call, type, is_heap);
    const std::string name = variable == nullptr ? "" : "'" + variable->getNameAsString() + "' ";
    const std::string what = name + (name.empty() ? report.spell(type) : "(" + report.spell(type) + ")");
    if (!leak) return report.remark(call->getBeginLoc(), what + " does not escape", false);
    const std::string why = leak->reason + " at " + report.spell(leak->where);
    if (is_reference)
        report.remark(call->getBeginLoc(), "moved to heap: " + variable->getNameAsString() + ": " + why,
                      true);
    else report.remark(call->getBeginLoc(), what + " escapes to heap: " + why, true);
}

}  // namespace

void advise(Report& report, Bodies& bodies, const Body& body, const Expr* place) {
    if (const auto* made = llvm::dyn_cast<CXXNewExpr>(place)) {
        if (report.options().advice && body.is_plain()) advise_new(report, bodies, body, made);
        return;
    }
    const auto* call = llvm::dyn_cast<CallExpr>(place);
    const FunctionDecl* callee = call == nullptr ? nullptr : call->getDirectCallee();
    if (is_of(callee, "std", "make_unique")) {
        if (report.options().advice && body.is_plain()) advise_unique(report, bodies, body, call);
        return;
    }
    if (!report.options().verdicts) return;
    const bool is_heap = is_of(callee, "cairn", "make_heap");
    if (is_heap || is_of(callee, "cairn", "make")) tell_verdict(report, bodies, body, call, is_heap);
}

}  // namespace cairn::frontend
