// Classes that say where their pointers are: the collector believes them, so the line has to be complete.
// SPDX-License-Identifier: MIT
#include "checks.hpp"

namespace cairn::frontend {

namespace {

using namespace clang;

// What a `cairn_pointers` line lists.
struct Listed {
    llvm::SmallPtrSet<const FieldDecl*, 8> fields;
    llvm::SmallPtrSet<const CXXRecordDecl*, 4> bases;
    unsigned found = 0;
};

void collect(const Stmt* statement, Listed& listed) {
    if (statement == nullptr) return;
    if (const auto* name = llvm::dyn_cast<DeclRefExpr>(statement)) {
        if (const auto* field = llvm::dyn_cast<FieldDecl>(name->getDecl())) {
            listed.fields.insert(field->getCanonicalDecl());
            ++listed.found;
        } else if (const auto* base = llvm::dyn_cast<VarTemplateSpecializationDecl>(name->getDecl())) {
            const TemplateArgument& first = base->getTemplateArgs()[0];
            if (!is_of(base, "cairn", "base") || first.getKind() != TemplateArgument::Type) return;
            if (const CXXRecordDecl* record = first.getAsType()->getAsCXXRecordDecl())
                listed.bases.insert(record->getCanonicalDecl());
            ++listed.found;
        }
    }
    for (const Stmt* child : statement->children()) collect(child, listed);
}

// The call of cairn::pointers, if `line` is nothing but one whose arguments are all understood.
bool understand(const VarDecl* line, Listed& listed) {
    const Expr* given = line->getAnyInitializer();
    if (given == nullptr) return false;
    const auto* call = llvm::dyn_cast<CallExpr>(given->IgnoreImplicit());
    if (call == nullptr || !is_of(call->getDirectCallee(), "cairn", "pointers")) return false;
    for (const Expr* argument : call->arguments()) collect(argument, listed);
    return listed.found == call->getNumArgs();
}

// A base as a whole, or each of its fields by itself.
bool is_listed(const CXXRecordDecl* base, const Listed& listed) {
    if (listed.bases.count(base->getCanonicalDecl()) != 0) return true;
    if (!base->hasDefinition() || is_pointer_class(base)) return false;
    base = base->getDefinition();
    for (const FieldDecl* field : base->fields())
        if (holds_ptr(field->getType()) && listed.fields.count(field->getCanonicalDecl()) == 0) return false;
    for (const CXXBaseSpecifier& one : base->bases())
        if (holds_ptr(one.getType()) && !is_listed(one.getType()->getAsCXXRecordDecl(), listed)) return false;
    return true;
}

void check_raw_fields(Report& report, const Types& types, const CXXRecordDecl* record) {
    for (const FieldDecl* field : record->fields()) {
        const Type* element = field->getType()->getBaseElementTypeUnsafe();
        if (!types.points_to_collected(QualType(element, 0)) || is_unchecked(field)) continue;
        const QualType target = element->getPointeeType();
        report.warn(field->getLocation(),
                    "raw pointer field '" + field->getNameAsString() + "' to collected type '" +
                        report.spell(target) + "' in '" + record->getNameAsString() +
                        "', whose cairn_pointers line makes the collector look at listed fields alone: "
                        "it keeps nothing alive; use cairn::Ptr<" +
                        report.spell(target) + ">",
                    "raw-field");
    }
}

}  // namespace

void check_fields(Report& report, const Types& types, const CXXRecordDecl* record) {
    const VarDecl* line = types.declaration(record);
    if (line == nullptr || is_unchecked(record)) return;
    check_raw_fields(report, types, record);
    Listed listed;
    if (!understand(line, listed)) return;
    const auto warn = [&](SourceLocation where, const std::string& what) {
        report.warn(where,
                    what + " of '" + record->getNameAsString() +
                        "' holds a cairn::Ptr and is not in its cairn_pointers line: the collector does "
                        "not see it",
                    "unlisted-field");
    };
    for (const FieldDecl* field : record->fields())
        if (holds_ptr(field->getType()) && listed.fields.count(field->getCanonicalDecl()) == 0 &&
            !field->isAnonymousStructOrUnion() && !is_unchecked(field))
            warn(field->getLocation(), "field '" + field->getNameAsString() + "'");
    for (const CXXBaseSpecifier& base : record->bases()) {
        const CXXRecordDecl* parent = base.getType()->getAsCXXRecordDecl();
        if (parent != nullptr && holds_ptr(base.getType()) && !is_listed(parent, listed))
            warn(base.getBeginLoc(), "base '" + parent->getNameAsString() + "'");
    }
}

}  // namespace cairn::frontend
