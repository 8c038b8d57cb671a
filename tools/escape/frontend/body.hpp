// One function's body, indexed: who uses each expression, where each variable is used, which loop holds what.
//
// Closures are not entered: to their function they are one use of each variable that they capture.
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "clang/AST/DeclCXX.h"
#include "clang/AST/ExprCXX.h"
#include "clang/AST/Stmt.h"
#include "llvm/ADT/DenseMap.h"

namespace cairn::frontend {

class Body {
public:
    using Uses = std::vector<const clang::Expr*>;

    // `function` is a definition.
    explicit Body(const clang::FunctionDecl* function);

    // False for coroutines and bodies with labels, where the order of things is not the text's.
    [[nodiscard]] bool is_plain() const { return is_plain_; }
    // The statement around `inner`; none around the body and around initialisers of members.
    [[nodiscard]] const clang::Stmt* parent(const clang::Stmt* inner) const { return parents_.lookup(inner); }
    // The variable or member that `value` initialises.
    [[nodiscard]] const clang::ValueDecl* initialised(const clang::Stmt* value) const {
        return initialised_.lookup(value);
    }
    // Whether `value` initialises something that is not known by name: a base, another constructor's object.
    [[nodiscard]] bool is_outermost(const clang::Stmt* value) const { return parents_.count(value) == 0; }
    // References to it, and the closures that capture it.
    [[nodiscard]] const Uses& uses(const clang::ValueDecl* variable) const;
    [[nodiscard]] const Uses& uses_of_this() const { return this_; }
    // Calls, news and constructions: in the order of the text.
    [[nodiscard]] const Uses& places() const { return places_; }
    // True when `variable` outlives a round of the innermost loop around `place`.
    [[nodiscard]] bool outlives_round(const clang::VarDecl* variable, const clang::Stmt* place) const;

private:
    void walk(const clang::Stmt* statement, const clang::Stmt* loop);
    void walk_child(const clang::Stmt* parent, const clang::Stmt* child, const clang::Stmt* loop);
    void walk_closure(const clang::LambdaExpr* closure, const clang::Stmt* loop);
    void note(const clang::Stmt* statement, const clang::Stmt* loop);

    llvm::DenseMap<const clang::Stmt*, const clang::Stmt*> parents_, loops_;
    llvm::DenseMap<const clang::Stmt*, const clang::ValueDecl*> initialised_;
    llvm::DenseMap<const clang::ValueDecl*, Uses> uses_;
    llvm::DenseMap<const clang::VarDecl*, const clang::Stmt*> declared_in_;
    Uses this_, places_;
    bool is_plain_ = true;
};

}  // namespace cairn::frontend
