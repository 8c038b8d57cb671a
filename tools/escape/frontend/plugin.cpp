// The front-end plugin: what clang loads by -fplugin=, before or without any optimisation.
//
// After the file is parsed its own text is walked: declarations for types, bodies for what is made in them.
//
//   -fplugin-arg-cairn-escape      a remark for each cairn::make, in the pass's words
//   -fplugin-arg-cairn-no-advice   no advice on new and make_unique
//   -fplugin-arg-cairn-error       warnings are errors
// SPDX-License-Identifier: MIT
#include <optional>

#include "checks.hpp"
#include "clang/Basic/Version.h"
#include "clang/Frontend/CompilerInstance.h"
#include "clang/Frontend/FrontendPluginRegistry.h"
#include "running_clang.hpp"

namespace cairn::frontend {

namespace {

using namespace clang;

class Walk : public RecursiveASTVisitor<Walk> {
public:
    explicit Walk(Report& report) : report_(report), types_(report.context()) {}

    // Names that RecursiveASTVisitor gives.
    bool shouldVisitTemplateInstantiations() const { return true; }  // NOLINT
    bool VisitCXXRecordDecl(CXXRecordDecl* record) {                 // NOLINT
        if (record->isThisDeclarationADefinition() && !record->isDependentContext() && !record->isLambda())
            check_fields(report_, types_, record);
        return true;
    }
    bool VisitDeclaratorDecl(DeclaratorDecl* declared) {  // NOLINT
        if (llvm::isa<VarDecl, FieldDecl>(declared) && !declared->getDeclContext()->isDependentContext())
            check_container(report_, declared);
        return true;
    }
    bool VisitExplicitCastExpr(ExplicitCastExpr* cast) {  // NOLINT
        if (!cast->getType()->isDependentType()) check_allocation(report_, cast);
        return true;
    }
    bool VisitFunctionDecl(FunctionDecl* function) {  // NOLINT
        if (function->doesThisDeclarationHaveABody()) look_into(function);
        return true;
    }
    bool VisitLambdaExpr(LambdaExpr* closure) {  // NOLINT
        look_into(closure->getCallOperator());
        return true;
    }

private:
    void look_into(const FunctionDecl* function) {
        if (function->isDependentContext() || function->getBody() == nullptr) return;
        const Body& body = bodies_.of(function);
        for (const Expr* place : body.places()) {
            check_allocation(report_, place);
            check_thread(report_, types_, body, place);
            advise(report_, bodies_, body, place);
        }
    }

    Report& report_;
    Types types_;
    Bodies bodies_;
};

class Consumer : public ASTConsumer {
public:
    explicit Consumer(Options options) : options_(options) {}

    void HandleTranslationUnit(ASTContext& context) override {
        if (context.getDiagnostics().hasErrorOccurred()) return;
        Report report(context, options_);
        Walk walk(report);
        for (Decl* one : context.getTranslationUnitDecl()->decls())
            if (report.is_ours(one)) walk.TraverseDecl(one);
    }

private:
    Options options_;
};

class Action : public PluginASTAction {
public:
    std::unique_ptr<ASTConsumer> CreateASTConsumer(CompilerInstance&, llvm::StringRef) override {
        return std::make_unique<Consumer>(options_);
    }
    bool ParseArgs(const CompilerInstance& compiler, const std::vector<std::string>& arguments) override {
        for (const std::string& argument : arguments) {
            if (argument == "escape") options_.verdicts = true;
            else if (argument == "no-advice") options_.advice = false;
            else if (argument == "error") options_.errors = true;
            else {
                DiagnosticsEngine& told = compiler.getDiagnostics();
                told.Report(told.getCustomDiagID(
                    DiagnosticsEngine::Error,
                    "-fplugin-arg-cairn-%0: unknown; valid are escape, no-advice, error"))
                    << argument;
                return false;
            }
        }
        return true;
    }
    // Before code is made: that may change what the parser built.
    ActionType getActionType() override { return AddBeforeMainAction; }

private:
    Options options_;
};

// In another clang not even a virtual function can be called: then it is as if no plugin were loaded.
struct Registration {
    std::optional<FrontendPluginRegistry::Add<Action>> entry;
    Registration() {
        if (is_own_clang("cairn-frontend", CLANG_VERSION_MAJOR)) entry.emplace("cairn", "Cairn's checks");
    }
};
const Registration registration;

}  // namespace

}  // namespace cairn::frontend
