// Where the address of an object goes, read off the source: default deny, in Go's words.
//
// Order within a function is not looked at: whatever a variable is once given, it always may hold. An object
// that is stored in another one escapes, a call's result is never followed, virtual calls are unknown. So it
// says "escapes" more often than the pass, which sees optimised code; what it lets pass does not escape.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "body.hpp"
#include "clang/AST/ASTContext.h"
#include "llvm/ADT/SmallPtrSet.h"

namespace cairn::frontend {

struct Leak {
    std::string reason;
    clang::SourceLocation where;
};
// Nothing: it does not escape.
using Verdict = std::optional<Leak>;

// The bodies of a translation unit, and what is known of their parameters.
class Bodies {
public:
    static constexpr int self = -1;  // the parameter number of `this`

    const Body& of(const clang::FunctionDecl* definition);
    // What a call does with the object that its parameter `number` points or refers to.
    Verdict parameter(const clang::FunctionDecl* callee, int number, clang::SourceLocation call);
    // What the constructors that a new `type` may run do with it.
    Verdict construction(const clang::CXXRecordDecl* type, clang::SourceLocation call);

private:
    Verdict look_into(const clang::FunctionDecl* definition, int number);
    Verdict default_parts(const clang::CXXRecordDecl* type, clang::SourceLocation call);

    llvm::DenseMap<const clang::FunctionDecl*, std::unique_ptr<Body>> bodies_;
    llvm::DenseMap<std::pair<const clang::FunctionDecl*, int>, std::shared_ptr<Verdict>> known_;
    int depth_ = 0;
};

// The walk over one body, for one object.
class Flow {
public:
    // `place` is where the object is made: the loop around it counts. Null for parameters.
    Flow(Bodies& bodies, const Body& body, const clang::Stmt* place)
        : bodies_(bodies), body_(body), place_(place) {}

    // The value of `address` points to the object.
    Verdict pointer(const clang::Expr* address);
    // `inside` names the object or a part of it.
    Verdict part(const clang::Expr* inside);
    // `variable` holds its address, or is a reference to it.
    Verdict variable(const clang::VarDecl* variable);
    // `owner` is a std::unique_ptr of it.
    Verdict unique_owner(const clang::VarDecl* owner);

private:
    Verdict initialises(const clang::ValueDecl* target, const clang::Expr* value);
    Verdict assigned(const clang::BinaryOperator* assignment);
    Verdict use_of_pointer(const clang::Expr* name);
    Verdict use_of_owner(const clang::Expr* name);
    Verdict cast(const clang::CastExpr* to);
    Verdict operand(const clang::BinaryOperator* operation, const clang::Expr* value);
    Verdict argument(const clang::Expr* call, const clang::Expr* value);
    Verdict method(const clang::MemberExpr* member);
    Verdict other_use_of_part(const clang::Stmt* user, const clang::Expr* inside);

    Bodies& bodies_;
    const Body& body_;
    const clang::Stmt* place_;
    llvm::SmallPtrSet<const clang::VarDecl*, 8> seen_;
};

}  // namespace cairn::frontend
