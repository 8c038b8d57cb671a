// Types are asked by their canonical form; answers come from what the parser has, no text is looked at.
// SPDX-License-Identifier: MIT
#include "types.hpp"

#include "clang/AST/Attr.h"

namespace cairn::frontend {

namespace {

using namespace clang;

constexpr int most_levels = 16;  // of classes inside of classes

bool holds_ptr_within(QualType type, int levels) {
    const CXXRecordDecl* record = class_of(type);
    if (record == nullptr) return false;
    if (is_pointer_class(record)) return true;
    record = record->getDefinition();
    if (record == nullptr || levels == 0 || record->isDependentContext()) return false;
    for (const CXXBaseSpecifier& base : record->bases())
        if (holds_ptr_within(base.getType(), levels - 1)) return true;
    for (const FieldDecl* field : record->fields())
        if (holds_ptr_within(field->getType(), levels - 1)) return true;
    return false;
}

}  // namespace

bool is_of(const NamedDecl* declaration, llvm::StringRef space, llvm::StringRef name) {
    if (declaration == nullptr || declaration->getIdentifier() == nullptr || declaration->getName() != name)
        return false;
    const DeclContext* around = declaration->getDeclContext()->getEnclosingNamespaceContext();
    while (around->isInlineNamespace()) around = around->getParent();
    const auto* found = llvm::dyn_cast<NamespaceDecl>(around);
    return found != nullptr && found->getName() == space &&
           found->getDeclContext()->getRedeclContext()->isTranslationUnit() &&
           declaration->getDeclContext()->getRedeclContext()->isFileContext();
}

bool is_pointer_class(const CXXRecordDecl* record) {
    return is_of(record, "cairn", "Ptr") || is_of(record, "cairn", "AtomicPtr");
}

QualType first_argument(const CXXRecordDecl* record) {
    const auto* special = llvm::dyn_cast_or_null<ClassTemplateSpecializationDecl>(record);
    if (special == nullptr || special->getTemplateArgs().size() == 0) return {};
    const TemplateArgument& first = special->getTemplateArgs()[0];
    return first.getKind() == TemplateArgument::Type ? first.getAsType() : QualType();
}

const CXXRecordDecl* class_of(QualType type) {
    return type.isNull() ? nullptr : type->getBaseElementTypeUnsafe()->getAsCXXRecordDecl();
}

bool holds_ptr(QualType type) {
    return holds_ptr_within(type, most_levels);
}

QualType ptr_behind_allocator(QualType type) {
    const auto* record = llvm::dyn_cast_or_null<ClassTemplateSpecializationDecl>(class_of(type));
    if (record == nullptr || !record->isInStdNamespace()) return {};
    const auto look = [](const TemplateArgument& one) -> QualType {
        if (one.getKind() != TemplateArgument::Type) return {};
        const CXXRecordDecl* argument = class_of(one.getAsType());
        if (!is_of(argument, "std", "allocator")) return ptr_behind_allocator(one.getAsType());
        const QualType element = first_argument(argument);
        return !element.isNull() && holds_ptr(element) ? element : ptr_behind_allocator(element);
    };
    for (const TemplateArgument& argument : record->getTemplateArgs().asArray()) {
        if (argument.getKind() != TemplateArgument::Pack) {
            if (const QualType found = look(argument); !found.isNull()) return found;
            continue;
        }
        for (const TemplateArgument& one : argument.pack_elements())
            if (const QualType found = look(one); !found.isNull()) return found;
    }
    return {};
}

bool has_own_new(const CXXRecordDecl* record) {
    if (record == nullptr || !record->hasDefinition()) return false;
    record = record->getDefinition();
    for (const CXXMethodDecl* method : record->methods())
        if (method->getOverloadedOperator() == OO_New) return true;
    for (const CXXBaseSpecifier& base : record->bases())
        if (has_own_new(base.getType()->getAsCXXRecordDecl())) return true;
    return false;
}

bool is_unchecked(const Decl* declaration) {
    for (const auto* note : declaration->specific_attrs<AnnotateAttr>())
        if (note->getAnnotation() == "cairn_unchecked") return true;
    return false;
}

Types::Types(ASTContext& context) {
    const auto look_up = [&context](const DeclContext* where, llvm::StringRef name) {
        return where->lookup(DeclarationName(&context.Idents.get(name)));
    };
    for (const NamedDecl* space : look_up(context.getTranslationUnitDecl(), "cairn")) {
        const auto* inside = llvm::dyn_cast<NamespaceDecl>(space);
        if (inside == nullptr) continue;
        for (const char* name :
             {"Ptr", "AtomicPtr", "Root", "make", "make_heap", "make_array", "pointers_of"})
            for (const NamedDecl* pattern : look_up(inside, name)) add_specialisations(pattern);
    }
}

void Types::add_specialisations(const NamedDecl* pattern) {
    const auto add = [this](const TemplateArgumentList& arguments) {
        if (arguments.size() == 0 || arguments[0].getKind() != TemplateArgument::Type) return;
        if (const CXXRecordDecl* made = arguments[0].getAsType()->getAsCXXRecordDecl())
            made_.insert(made->getCanonicalDecl());
    };
    if (const auto* classes = llvm::dyn_cast<ClassTemplateDecl>(pattern)) {
        for (const auto* one : classes->specializations()) add(one->getTemplateArgs());
    } else if (const auto* functions = llvm::dyn_cast<FunctionTemplateDecl>(pattern)) {
        for (const auto* one : functions->specializations())
            if (one->getTemplateSpecializationArgs() != nullptr) add(*one->getTemplateSpecializationArgs());
    } else if (const auto* variables = llvm::dyn_cast<VarTemplateDecl>(pattern)) {
        for (const auto* one : variables->specializations()) {
            if (!one->isExplicitSpecialization() || one->getTemplateArgs().size() == 0) continue;
            const TemplateArgument& first = one->getTemplateArgs()[0];
            const CXXRecordDecl* record =
                first.getKind() == TemplateArgument::Type ? first.getAsType()->getAsCXXRecordDecl() : nullptr;
            if (record != nullptr) declared_outside_[record->getCanonicalDecl()] = one;
        }
    }
}

const VarDecl* Types::declaration(const CXXRecordDecl* record) const {
    if (record == nullptr) return nullptr;
    if (const auto found = declared_outside_.find(record->getCanonicalDecl());
        found != declared_outside_.end())
        return found->second;
    if (!record->hasDefinition()) return nullptr;
    for (const Decl* member : record->getDefinition()->decls()) {
        const auto* variable = llvm::dyn_cast<VarDecl>(member);
        if (variable != nullptr && variable->getIdentifier() != nullptr &&
            variable->getName() == "cairn_pointers")
            return variable;
    }
    return nullptr;
}

bool Types::is_always_collected(const CXXRecordDecl* record) const {
    if (record == nullptr || !record->hasDefinition()) return false;
    record = record->getDefinition();
    if (declaration(record) != nullptr || is_of(record, "cairn", "Collected")) return true;
    for (const CXXBaseSpecifier& base : record->bases()) {
        const CXXRecordDecl* one = base.getType()->getAsCXXRecordDecl();
        if (one != nullptr && (is_of(one, "cairn", "Collected") || is_always_collected(one))) return true;
    }
    return false;
}

bool Types::is_collected(const CXXRecordDecl* record) const {
    return record != nullptr && (made_.count(record->getCanonicalDecl()) != 0 || is_always_collected(record));
}

bool Types::points_to_collected(QualType type) const {
    if (type.isNull() || !type->isPointerType()) return false;
    return is_collected(type->getPointeeType()->getAsCXXRecordDecl());
}

}  // namespace cairn::frontend
