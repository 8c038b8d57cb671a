// The walk: from each expression that holds the address, or names a part of the object, to who uses it.
// SPDX-License-Identifier: MIT
#include "flow.hpp"

#include "clang/AST/Attr.h"
#include "clang/AST/StmtCXX.h"
#include "types.hpp"

namespace cairn::frontend {

namespace {

using namespace clang;

Leak leak(std::string reason, const Stmt* where) {
    return {std::move(reason), where->getBeginLoc()};
}
Leak not_followed(const Stmt* where) {
    return leak("used in a way that is not followed", where);
}

// An expression around a value that changes nothing about it.
bool is_wrapping(const Stmt* user) {
    return llvm::isa<ParenExpr, ExprWithCleanups, ConstantExpr, CXXBindTemporaryExpr>(user);
}

// True for an argument of a conditional that only decides.
bool is_condition(const Stmt* user, const Expr* value) {
    const auto* choice = llvm::dyn_cast<ConditionalOperator>(user);
    return choice != nullptr && choice->getCond() == value;
}

const CXXMethodDecl* method_of(const MemberExpr* member) {
    return llvm::dyn_cast<CXXMethodDecl>(member->getMemberDecl());
}

std::string named(const NamedDecl* what) {
    return "'" + what->getNameAsString() + "'";
}

}  // namespace

Verdict Flow::pointer(const Expr* address) {
    for (;;) {
        if (const ValueDecl* target = body_.initialised(address)) return initialises(target, address);
        const Stmt* user = body_.parent(address);
        if (user == nullptr) return not_followed(address);
        if (const auto* to = llvm::dyn_cast<CastExpr>(user)) return cast(to);
        if (is_condition(user, address)) return {};
        const auto* binary = llvm::dyn_cast<BinaryOperator>(user);
        if (binary != nullptr) return operand(binary, address);
        if (is_wrapping(user) || llvm::isa<ConditionalOperator>(user)) {
            address = llvm::cast<Expr>(user);
            continue;
        }
        if (const auto* unary = llvm::dyn_cast<UnaryOperator>(user)) {
            if (unary->getOpcode() == UO_Deref) return part(unary);
            return unary->getOpcode() == UO_LNot ? Verdict{} : not_followed(user);
        }
        if (const auto* member = llvm::dyn_cast<MemberExpr>(user))
            return method_of(member) != nullptr ? method(member) : part(member);
        if (const auto* element = llvm::dyn_cast<ArraySubscriptExpr>(user)) return part(element);
        if (llvm::isa<ReturnStmt>(user)) return leak("returned", user);
        if (llvm::isa<CXXThrowExpr>(user)) return leak("thrown", user);
        if (llvm::isa<CXXDeleteExpr>(user)) return {};
        if (llvm::isa<LambdaExpr>(user)) return leak("captured by a closure", user);
        if (llvm::isa<CallExpr, CXXConstructExpr>(user)) return argument(llvm::cast<Expr>(user), address);
        if (llvm::isa<InitListExpr>(user)) return leak("stored in another object", user);
        // A statement of its own: the value is dropped.
        return llvm::isa<Expr>(user) ? not_followed(user) : Verdict{};
    }
}

Verdict Flow::cast(const CastExpr* to) {
    switch (to->getCastKind()) {
    case CK_NoOp:
    case CK_BitCast:
    case CK_DerivedToBase:
    case CK_UncheckedDerivedToBase:
    case CK_BaseToDerived:
    case CK_ConstructorConversion: return pointer(to);
    case CK_PointerToBoolean:
    case CK_ToVoid: return {};
    case CK_PointerToIntegral: return leak("its address is converted to an integer", to);
    default: return not_followed(to);
    }
}

Verdict Flow::operand(const BinaryOperator* operation, const Expr* value) {
    if (operation->isComparisonOp() || operation->isLogicalOp()) return {};
    if (operation->getOpcode() == BO_Comma)
        return operation->getRHS() == value ? pointer(operation) : Verdict{};
    if (operation->getOpcode() == BO_Assign) return assigned(operation);
    if (operation->isAdditiveOp())
        return operation->getType()->isPointerType() ? pointer(operation) : Verdict{};
    return not_followed(operation);
}

Verdict Flow::part(const Expr* inside) {
    for (;;) {
        if (const ValueDecl* target = body_.initialised(inside)) return initialises(target, inside);
        const Stmt* user = body_.parent(inside);
        if (user == nullptr) return not_followed(inside);
        if (const auto* to = llvm::dyn_cast<CastExpr>(user)) {
            const CastKind kind = to->getCastKind();
            if (kind == CK_LValueToRValue || kind == CK_ToVoid)
                return {};  // its contents are not its address
            if (kind == CK_ArrayToPointerDecay) return pointer(to);
            if (kind != CK_NoOp && kind != CK_DerivedToBase && kind != CK_UncheckedDerivedToBase &&
                kind != CK_BaseToDerived)
                return not_followed(to);
            inside = to;
            continue;
        }
        if (is_condition(user, inside)) return {};
        if (is_wrapping(user) || llvm::isa<ConditionalOperator>(user)) {
            inside = llvm::cast<Expr>(user);
            continue;
        }
        if (const auto* member = llvm::dyn_cast<MemberExpr>(user)) {
            if (method_of(member) != nullptr) return method(member);
            inside = member;
            continue;
        }
        return other_use_of_part(user, inside);
    }
}

Verdict Flow::other_use_of_part(const Stmt* user, const Expr* inside) {
    if (const auto* unary = llvm::dyn_cast<UnaryOperator>(user)) {
        if (unary->getOpcode() == UO_AddrOf) return pointer(unary);
        if (unary->isPrefix() && unary->isIncrementDecrementOp()) return part(unary);
        return unary->isIncrementDecrementOp() ? Verdict{} : not_followed(user);
    }
    if (const auto* binary = llvm::dyn_cast<BinaryOperator>(user)) {
        if (binary->isAssignmentOp() && binary->getLHS() == inside) return part(binary);
        if (binary->getOpcode() != BO_Comma) return not_followed(user);
        return binary->getRHS() == inside ? part(binary) : Verdict{};
    }
    if (llvm::isa<ReturnStmt>(user)) return leak("returned", user);
    if (llvm::isa<LambdaExpr>(user)) return leak("captured by a closure", user);
    if (llvm::isa<CallExpr, CXXConstructExpr>(user)) return argument(llvm::cast<Expr>(user), inside);
    return llvm::isa<Expr>(user) ? not_followed(user) : Verdict{};
}

Verdict Flow::initialises(const ValueDecl* target, const Expr* value) {
    const auto* local = llvm::dyn_cast<VarDecl>(target);
    if (local == nullptr) return leak("stored in member " + named(target), value);
    if (!local->hasLocalStorage()) return leak("stored to static " + named(local), value);
    if (llvm::isa<DecompositionDecl>(local)) return leak("taken apart by a structured binding", value);
    const QualType type = local->getType();
    // A reference to the object, not to a pointer that holds its address.
    if (type->isReferenceType() ? value->isGLValue() && !llvm::isa<MaterializeTemporaryExpr>(value)
                                : type->isPointerType())
        return variable(local);
    // What a structured binding or a class copies of it is not its address.
    return leak("stored in " + named(local), value);
}

Verdict Flow::assigned(const BinaryOperator* assignment) {
    const Expr* left = assignment->getLHS()->IgnoreParens();
    if (const auto* name = llvm::dyn_cast<DeclRefExpr>(left)) {
        const auto* target = llvm::dyn_cast<VarDecl>(name->getDecl());
        if (target == nullptr) return not_followed(assignment);
        if (!target->hasLocalStorage()) return leak("stored to global " + named(target), assignment);
        if (!target->getType()->isPointerType()) return leak("stored through " + named(target), assignment);
        if (place_ != nullptr && body_.outlives_round(target, place_))
            return leak("lives beyond the loop iteration that allocates it: assigned to " + named(target),
                        assignment);
        if (Verdict found = variable(target)) return found;
        return use_of_pointer(assignment);
    }
    if (const auto* member = llvm::dyn_cast<MemberExpr>(left))
        return leak("stored to field " + named(member->getMemberDecl()), assignment);
    return leak("stored to memory through a pointer", assignment);
}

Verdict Flow::variable(const VarDecl* variable) {
    if (!seen_.insert(variable).second) return {};
    const bool is_reference = variable->getType()->isReferenceType();
    for (const Expr* name : body_.uses(variable)) {
        if (llvm::isa<LambdaExpr>(name)) return leak("captured by a closure", name);
        if (Verdict found = is_reference ? part(name) : use_of_pointer(name)) return found;
    }
    return {};
}

Verdict Flow::use_of_pointer(const Expr* name) {
    const Stmt* user = body_.parent(name);
    if (user == nullptr || body_.initialised(name) != nullptr) return not_followed(name);
    if (llvm::isa<ParenExpr>(user)) return use_of_pointer(llvm::cast<Expr>(user));
    if (const auto* to = llvm::dyn_cast<CastExpr>(user)) {
        if (to->getCastKind() == CK_LValueToRValue) return pointer(to);
        if (to->getCastKind() == CK_NoOp) return use_of_pointer(to);
        return to->getCastKind() == CK_ToVoid ? Verdict{} : not_followed(to);
    }
    if (const auto* binary = llvm::dyn_cast<BinaryOperator>(user)) {
        if (binary->isAssignmentOp() && binary->getLHS() == name) return {};
        if (binary->getOpcode() == BO_Comma && binary->getLHS() == name) return {};
    }
    // Its arguments are references to pointers.
    const auto* stored = llvm::dyn_cast<CXXOperatorCallExpr>(user);
    const auto* how = stored ? llvm::dyn_cast_or_null<CXXMethodDecl>(stored->getDirectCallee()) : nullptr;
    if (how != nullptr && is_pointer_class(how->getParent())) return leak("stored in a cairn::Ptr", user);
    if (const auto* unary = llvm::dyn_cast<UnaryOperator>(user))
        if (unary->isIncrementDecrementOp())
            return unary->isPrefix() ? use_of_pointer(unary) : pointer(unary);
    return llvm::isa<Expr>(user) ? leak("the address of a variable that holds it is taken", name) : Verdict{};
}

Verdict Flow::unique_owner(const VarDecl* owner) {
    for (const Expr* name : body_.uses(owner)) {
        if (llvm::isa<LambdaExpr>(name)) return leak("captured by a closure", name);
        if (Verdict found = use_of_owner(name)) return found;
    }
    return {};
}

Verdict Flow::use_of_owner(const Expr* name) {
    const Stmt* user = body_.parent(name);
    while (user != nullptr && (llvm::isa<ImplicitCastExpr>(user) || is_wrapping(user)))
        user = body_.parent(user);
    if (user == nullptr) return not_followed(name);
    if (const auto* call = llvm::dyn_cast<CXXOperatorCallExpr>(user)) {
        if (call->getOperator() == OO_Arrow) return pointer(call);
        if (call->getOperator() == OO_Star) return part(call);
    }
    if (const auto* member = llvm::dyn_cast<MemberExpr>(user)) {
        const auto* call = llvm::dyn_cast_or_null<CXXMemberCallExpr>(body_.parent(member));
        if (call != nullptr && llvm::isa<CXXConversionDecl>(member->getMemberDecl())) return {};
        if (call != nullptr && member->getMemberNameInfo().getAsString() == "get") return pointer(call);
    }
    return leak("given away", user);
}

Verdict Flow::method(const MemberExpr* member) {
    const CXXMethodDecl* callee = method_of(member);
    const auto* call = llvm::dyn_cast_or_null<CXXMemberCallExpr>(body_.parent(member));
    if (callee->isStatic()) return {};
    if (call == nullptr) return not_followed(member);
    if (callee->isVirtual() && !member->hasQualifier() && !callee->hasAttr<FinalAttr>() &&
        !callee->getParent()->hasAttr<FinalAttr>())
        return leak("virtual call of " + named(callee), call);
    return bodies_.parameter(callee, Bodies::self, call->getBeginLoc());
}

Verdict Flow::argument(const Expr* call, const Expr* value) {
    if (const auto* made = llvm::dyn_cast<CXXConstructExpr>(call)) {
        const CXXConstructorDecl* callee = made->getConstructor();
        if (callee->isTrivial()) return {};
        for (unsigned i = 0; i < made->getNumArgs(); ++i)
            if (made->getArg(i) == value) return bodies_.parameter(callee, int(i), call->getBeginLoc());
        return not_followed(call);
    }
    const auto* direct = llvm::cast<CallExpr>(call);
    const FunctionDecl* callee = direct->getDirectCallee();
    if (callee == nullptr) return leak("passed to a function that is not known", call);
    const auto* member = llvm::dyn_cast<CXXMethodDecl>(callee);
    const bool is_operator = llvm::isa<CXXOperatorCallExpr>(call) && member != nullptr && !member->isStatic();
    for (unsigned i = 0; i < direct->getNumArgs(); ++i) {
        if (direct->getArg(i) != value) continue;
        if (member != nullptr && member->isVirtual()) return leak("virtual call of " + named(callee), call);
        if (is_operator && member->isTrivial()) return {};
        if (is_operator && callee->getOverloadedOperator() == OO_Equal &&
            is_pointer_class(member->getParent()))
            return i == 0 ? part(call) : leak("stored in a cairn::Ptr", call);
        return bodies_.parameter(callee, int(i) - (is_operator ? 1 : 0), call->getBeginLoc());
    }
    return not_followed(call);
}

}  // namespace cairn::frontend
