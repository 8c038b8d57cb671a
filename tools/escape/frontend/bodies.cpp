// What functions do with what their parameters point to, as far down as bodies are in this file.
// SPDX-License-Identifier: MIT
#include "clang/AST/Attr.h"
#include "flow.hpp"

namespace cairn::frontend {

namespace {

using namespace clang;

constexpr int most_calls_deep = 12;

// Functions of the C library that keep nothing and return nothing of it.
bool is_harmless(const FunctionDecl* callee) {
    if (!callee->isExternC() || callee->getIdentifier() == nullptr) return false;
    for (const llvm::StringRef known :
         {"printf", "fprintf", "snprintf", "puts", "strlen", "memcmp", "strcmp", "free", "fread", "fwrite",
          "cairn_keep_alive", "cairn_object_size", "cairn_is_collected"})
        if (callee->getName() == known) return true;
    return false;
}

std::string with_reason(const std::string& what, const Leak& inner) {
    return what + " leaks: " + inner.reason;
}

}  // namespace

const Body& Bodies::of(const FunctionDecl* definition) {
    auto& body = bodies_[definition];
    if (body == nullptr) body = std::make_unique<Body>(definition);
    return *body;
}

Verdict Bodies::parameter(const FunctionDecl* callee, int number, SourceLocation call) {
    if (is_harmless(callee)) return {};
    const bool is_self = number == self;
    if (!is_self && number >= int(callee->getNumParams()))
        return Leak{"passed to '" + callee->getNameAsString() + "' as one of any number of arguments", call};
    for (const FunctionDecl* one : callee->redecls())
        if (!is_self && one->getParamDecl(unsigned(number))->hasAttr<NoEscapeAttr>()) return {};
    const FunctionDecl* definition = nullptr;
    if (!callee->hasBody(definition)) definition = nullptr;
    const auto* made = llvm::dyn_cast<CXXConstructorDecl>(callee);
    if (definition == nullptr && made != nullptr && made->isTrivial()) return {};
    if (definition == nullptr || callee->hasAttr<WeakAttr>())
        return Leak{"passed to unknown function '" + callee->getNameAsString() + "'", call};
    const Verdict inside = look_into(definition, number);
    if (!inside) return {};
    const std::string name = is_self ? "'this' of '" + callee->getNameAsString() + "'"
                                     : "parameter '" +
                                           definition->getParamDecl(unsigned(number))->getNameAsString() +
                                           "' of '" + callee->getNameAsString() + "'";
    return Leak{with_reason(name, *inside), call};
}

Verdict Bodies::look_into(const FunctionDecl* definition, int number) {
    const auto key = std::make_pair(definition, number);
    if (const auto found = known_.find(key); found != known_.end()) {
        if (found->second != nullptr) return *found->second;
        return Leak{"the function calls itself", definition->getLocation()};
    }
    if (depth_ >= most_calls_deep) return Leak{"too many calls deep", definition->getLocation()};
    known_[key] = nullptr;  // being looked into
    ++depth_;
    const Body& body = of(definition);
    Flow flow(*this, body, nullptr);
    Verdict verdict;
    if (!body.is_plain()) {
        verdict = Leak{"a coroutine, or jumps by goto", definition->getLocation()};
    } else if (number == self) {
        for (const Expr* name : body.uses_of_this()) {
            verdict = llvm::isa<LambdaExpr>(name) ? Leak{"captured by a closure", name->getBeginLoc()}
                                                  : flow.pointer(name);
            if (verdict) break;
        }
    } else {
        verdict = flow.variable(definition->getParamDecl(unsigned(number)));
    }
    // Members and bases are constructed in place: their `this` is inside of ours.
    if (const auto* constructor = llvm::dyn_cast<CXXConstructorDecl>(definition);
        !verdict && constructor && number == self)
        for (const CXXCtorInitializer* part : constructor->inits()) {
            const auto* made = llvm::dyn_cast<CXXConstructExpr>(part->getInit()->IgnoreImplicit());
            if (made == nullptr) continue;
            verdict = parameter(made->getConstructor(), self, part->getSourceLocation());
            if (verdict) break;
        }
    --depth_;
    known_[key] = std::make_shared<Verdict>(verdict);
    return verdict;
}

Verdict Bodies::construction(const CXXRecordDecl* type, SourceLocation call) {
    if (!type->hasDefinition()) return Leak{"its type is incomplete", call};
    type = type->getDefinition();
    if (type->isAggregate()) return default_parts(type, call);
    const auto check = [&](const CXXConstructorDecl* made) -> Verdict {
        if (made->isDeleted() || made->isTrivial()) return {};
        // Not needed in this file, or it would have been made.
        if (made->isDefaulted() && !made->hasBody()) return {};
        return parameter(made, self, call);
    };
    for (const Decl* member : type->decls()) {
        if (const auto* pattern = llvm::dyn_cast<FunctionTemplateDecl>(member)) {
            for (const FunctionDecl* one : pattern->specializations())
                if (const auto* made = llvm::dyn_cast<CXXConstructorDecl>(one))
                    if (Verdict found = check(made)) return found;
        } else if (const auto* made = llvm::dyn_cast<CXXConstructorDecl>(member)) {
            if (Verdict found = check(made)) return found;
        }
    }
    return {};
}

Verdict Bodies::default_parts(const CXXRecordDecl* type, SourceLocation call) {
    for (const CXXBaseSpecifier& base : type->bases())
        if (const CXXRecordDecl* part = base.getType()->getAsCXXRecordDecl())
            if (Verdict found = construction(part, call)) return found;
    for (const FieldDecl* field : type->fields()) {
        const Type* element = field->getType()->getBaseElementTypeUnsafe();
        if (const CXXRecordDecl* part = element->getAsCXXRecordDecl())
            if (Verdict found = construction(part, call)) return found;
        if (!field->hasInClassInitializer() || field->getInClassInitializer() == nullptr) continue;
        // A default value that is more than a constant may use `this`.
        const Expr* given = field->getInClassInitializer()->IgnoreImplicit();
        if (llvm::isa<CXXConstructExpr, InitListExpr>(given) || !given->HasSideEffects(type->getASTContext()))
            continue;
        return Leak{"default value of '" + field->getNameAsString() + "'", call};
    }
    return {};
}

}  // namespace cairn::frontend
