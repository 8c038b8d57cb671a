// Builds the index of a body in one walk.
// SPDX-License-Identifier: MIT
#include "body.hpp"

#include "clang/AST/StmtCXX.h"

namespace cairn::frontend {

namespace {

using namespace clang;

// True for what a loop does once, before its first round.
bool is_before_rounds(const Stmt* loop, const Stmt* part) {
    if (const auto* counted = llvm::dyn_cast<ForStmt>(loop)) return part == counted->getInit();
    const auto* ranged = llvm::dyn_cast<CXXForRangeStmt>(loop);
    return ranged != nullptr && (part == ranged->getInit() || part == ranged->getRangeStmt() ||
                                 part == ranged->getBeginStmt() || part == ranged->getEndStmt());
}

bool is_loop(const Stmt* statement) {
    return llvm::isa<ForStmt, WhileStmt, DoStmt, CXXForRangeStmt>(statement);
}

}  // namespace

Body::Body(const FunctionDecl* function) {
    if (const auto* constructor = llvm::dyn_cast<CXXConstructorDecl>(function))
        for (const CXXCtorInitializer* part : constructor->inits()) {
            if (part->getAnyMember() != nullptr) initialised_[part->getInit()] = part->getAnyMember();
            walk(part->getInit(), nullptr);
        }
    if (function->getBody() != nullptr) walk(function->getBody(), nullptr);
}

const Body::Uses& Body::uses(const ValueDecl* variable) const {
    static const Uses none;
    const auto found = uses_.find(variable);
    return found == uses_.end() ? none : found->second;
}

bool Body::outlives_round(const VarDecl* variable, const Stmt* place) const {
    const Stmt* loop = loops_.lookup(place);
    if (loop == nullptr) return false;
    for (const Stmt* around = declared_in_.lookup(variable); around != nullptr;
         around = loops_.lookup(around))
        if (around == loop) return false;
    return true;
}

void Body::note(const Stmt* statement, const Stmt* loop) {
    if (const auto* declared = llvm::dyn_cast<DeclStmt>(statement)) {
        for (const Decl* one : declared->decls())
            if (const auto* variable = llvm::dyn_cast<VarDecl>(one)) {
                declared_in_[variable] = loop;
                if (variable->getInit() != nullptr) initialised_[variable->getInit()] = variable;
            }
    } else if (const auto* reference = llvm::dyn_cast<DeclRefExpr>(statement)) {
        uses_[reference->getDecl()].push_back(reference);
    } else if (const auto* self = llvm::dyn_cast<CXXThisExpr>(statement)) {
        this_.push_back(self);
    } else if (llvm::isa<CallExpr, CXXNewExpr, CXXConstructExpr>(statement)) {
        places_.push_back(llvm::cast<Expr>(statement));
    } else if (llvm::isa<LabelStmt, CoroutineBodyStmt, CoroutineSuspendExpr, CoreturnStmt>(statement)) {
        is_plain_ = false;
    }
}

void Body::walk_child(const Stmt* parent, const Stmt* child, const Stmt* loop) {
    if (child == nullptr) return;
    parents_[child] = parent;
    walk(child, loop);
}

void Body::walk_closure(const LambdaExpr* closure, const Stmt* loop) {
    auto value = closure->capture_init_begin();
    for (const LambdaCapture& capture : closure->captures()) {
        const Expr* given = *value++;
        if (capture.capturesThis()) this_.push_back(closure);
        if (!capture.capturesVariable()) continue;
        if (closure->isInitCapture(&capture)) walk_child(closure, given, loop);
        else uses_[capture.getCapturedVar()].push_back(closure);
    }
}

void Body::walk(const Stmt* statement, const Stmt* loop) {
    note(statement, loop);
    loops_[statement] = loop;
    if (const auto* closure = llvm::dyn_cast<LambdaExpr>(statement)) return walk_closure(closure, loop);
    if (const auto* given = llvm::dyn_cast<CXXDefaultInitExpr>(statement))
        return walk_child(statement, given->getExpr(), loop);
    for (const Stmt* child : statement->children()) {
        const bool repeats = is_loop(statement) && child != nullptr && !is_before_rounds(statement, child);
        walk_child(statement, child, repeats ? statement : loop);
    }
}

}  // namespace cairn::frontend
