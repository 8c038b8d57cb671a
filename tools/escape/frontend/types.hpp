// What the front end asks of types: which are collected, which list their pointers, which hold a Ptr.
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "clang/AST/ASTContext.h"
#include "clang/AST/DeclCXX.h"
#include "clang/AST/DeclTemplate.h"
#include "clang/AST/ExprCXX.h"
#include "llvm/ADT/SmallPtrSet.h"

namespace cairn::frontend {

// `name` of namespace cairn (or std), or a specialisation of it.
[[nodiscard]] bool is_of(const clang::NamedDecl* declaration, llvm::StringRef space, llvm::StringRef name);
// Ptr and AtomicPtr.
[[nodiscard]] bool is_pointer_class(const clang::CXXRecordDecl* record);
// The first template argument of a class template's specialisation, or a null type.
[[nodiscard]] clang::QualType first_argument(const clang::CXXRecordDecl* record);
// The class of which `type` is an object or an array; null for other types.
[[nodiscard]] const clang::CXXRecordDecl* class_of(clang::QualType type);

// A Ptr, an AtomicPtr, or an object with one inside of it.
[[nodiscard]] bool holds_ptr(clang::QualType type);
// What its standard allocator, or that of a container inside of it, allocates and holds a Ptr, or no type.
[[nodiscard]] clang::QualType ptr_behind_allocator(clang::QualType type);
// True if `new` of it does not take malloc's memory.
[[nodiscard]] bool has_own_new(const clang::CXXRecordDecl* record);
// Marked by [[clang::annotate("cairn_unchecked")]].
[[nodiscard]] bool is_unchecked(const clang::Decl* declaration);

class Types {
public:
    explicit Types(clang::ASTContext& context);

    // Says where its pointers are, by `cairn_pointers` or `cairn::pointers_of`.
    [[nodiscard]] const clang::VarDecl* declaration(const clang::CXXRecordDecl* record) const;
    // Objects of it are on the heap: it has such a line, or is Collected, or this file makes it or points at
    // it by a Ptr or a Root.
    [[nodiscard]] bool is_collected(const clang::CXXRecordDecl* record) const;
    // The same of what a raw pointer points to.
    [[nodiscard]] bool points_to_collected(clang::QualType type) const;
    // Surely: its own class says so, it is no guess from other lines of this file.
    [[nodiscard]] bool is_always_collected(const clang::CXXRecordDecl* record) const;

private:
    void add_specialisations(const clang::NamedDecl* pattern);

    llvm::SmallPtrSet<const clang::CXXRecordDecl*, 16> made_;
    llvm::DenseMap<const clang::CXXRecordDecl*, const clang::VarDecl*> declared_outside_;
};

}  // namespace cairn::frontend
