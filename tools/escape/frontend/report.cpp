// How things are said: clang's own diagnostics, so that carets, colours and -fdiagnostics-* work.
// SPDX-License-Identifier: MIT
#include "checks.hpp"
#include "clang/Basic/SourceManager.h"

namespace cairn::frontend {

using namespace clang;

void Report::say(DiagnosticsEngine::Level level, SourceLocation where, std::string text) {
    const SourceManager& source = context_.getSourceManager();
    where = source.getExpansionLoc(where);
    if (source.isInSystemHeader(where)) return;
    bool& before = said_[{where.getRawEncoding(), unsigned(llvm::hash_value(text))}];
    if (before) return;
    before = true;
    DiagnosticsEngine& engine = context_.getDiagnostics();
    // `%0`: the text may hold signs that mean something to the engine.
    engine.Report(where, engine.getDiagnosticIDs()->getCustomDiagID(DiagnosticIDs::Level(level), "%0"))
        << text;
}

void Report::warn(SourceLocation where, const std::string& text, const char* check) {
    say(options_.errors ? DiagnosticsEngine::Error : DiagnosticsEngine::Warning, where,
        text + " [cairn-" + check + "]");
}

void Report::remark(SourceLocation where, const std::string& text, bool is_missed) {
    say(DiagnosticsEngine::Remark, where,
        text + (is_missed ? " [-Rpass-missed=escape]" : " [-Rpass=escape]"));
}

std::string Report::spell(QualType type) const {
    return type.getAsString(PrintingPolicy(context_.getLangOpts()));
}

std::string Report::spell(SourceLocation where) const {
    const SourceManager& source = context_.getSourceManager();
    const PresumedLoc place = source.getPresumedLoc(source.getExpansionLoc(where));
    if (place.isInvalid()) return "?";
    return std::string(place.getFilename()) + ":" + std::to_string(place.getLine()) + ":" +
           std::to_string(place.getColumn());
}

bool Report::is_ours(const Decl* declaration) const {
    const SourceManager& source = context_.getSourceManager();
    const SourceLocation where = source.getExpansionLoc(declaration->getLocation());
    if (where.isInvalid() || source.isInSystemHeader(where)) return false;
    const auto* space = llvm::dyn_cast<NamespaceDecl>(declaration);
    return space == nullptr || space->getName() != "cairn";
}

}  // namespace cairn::frontend
