// What the front end tells: mistakes with the collector's pointers, objects that could be local variables.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "clang/AST/RecursiveASTVisitor.h"
#include "clang/Basic/Diagnostic.h"
#include "flow.hpp"
#include "types.hpp"

namespace cairn::frontend {

struct Options {
    bool verdicts = false;  // a remark for each cairn::make
    bool advice = true;     // new and make_unique
    bool errors = false;    // warnings are errors
};

// Warnings and remarks, each once a place: templates are looked at once an instance.
class Report {
public:
    Report(clang::ASTContext& context, Options options) : context_(context), options_(options) {}

    // `check` is what the message is known by: "raw-field" becomes [cairn-raw-field].
    void warn(clang::SourceLocation where, const std::string& text, const char* check);
    void remark(clang::SourceLocation where, const std::string& text, bool is_missed);
    [[nodiscard]] std::string spell(clang::QualType type) const;
    [[nodiscard]] std::string spell(clang::SourceLocation where) const;
    // True for the program's own text: not a system's header, not Cairn's.
    [[nodiscard]] bool is_ours(const clang::Decl* declaration) const;
    [[nodiscard]] clang::ASTContext& context() const { return context_; }
    [[nodiscard]] const Options& options() const { return options_; }

private:
    void say(clang::DiagnosticsEngine::Level level, clang::SourceLocation where, std::string text);

    clang::ASTContext& context_;
    Options options_;
    llvm::DenseMap<std::pair<unsigned, unsigned>, bool> said_;
};

// Fields of a class with a `cairn_pointers` line: raw pointers, and Ptrs that the line leaves out.
void check_fields(Report& report, const Types& types, const clang::CXXRecordDecl* record);
// A variable or field of a standard container that keeps Ptrs in malloc's memory.
void check_container(Report& report, const clang::DeclaratorDecl* holder);
// `new`, make_unique, make_shared, a cast of malloc: memory with a Ptr in it that nobody scans.
void check_allocation(Report& report, const clang::Expr* place);
// A thread that is given a collected object by a pointer in malloc's memory.
void check_thread(Report& report, const Types& types, const Body& body, const clang::Expr* place);
// What becomes of an object that `place` makes.
void advise(Report& report, Bodies& bodies, const Body& body, const clang::Expr* place);

}  // namespace cairn::frontend
