// Pointers where the collector does not look: in malloc's memory, and in the closure of a thread.
// SPDX-License-Identifier: MIT
#include "checks.hpp"
#include "clang/Basic/SourceManager.h"

namespace cairn::frontend {

namespace {

using namespace clang;

std::string unscanned(const Report& report, QualType type) {
    const std::string name = report.spell(type);
    return "'" + name + "' holds a cairn::Ptr, and malloc's memory is not scanned: ";
}

bool is_malloc(const Expr* value) {
    const auto* call = llvm::dyn_cast<CallExpr>(value->IgnoreParenImpCasts());
    const FunctionDecl* callee = call == nullptr ? nullptr : call->getDirectCallee();
    if (callee == nullptr || callee->getIdentifier() == nullptr || !callee->isExternC()) return false;
    for (const llvm::StringRef known : {"malloc", "calloc", "realloc", "aligned_alloc", "reallocarray"})
        if (callee->getName() == known) return true;
    return false;
}

QualType template_argument(const FunctionDecl* function) {
    const TemplateArgumentList* list = function->getTemplateSpecializationArgs();
    if (list == nullptr || list->size() == 0 || (*list)[0].getKind() != TemplateArgument::Type) return {};
    return (*list)[0].getAsType();
}

bool starts_thread(const Expr* place) {
    if (const auto* made = llvm::dyn_cast<CXXConstructExpr>(place)) {
        const CXXConstructorDecl* callee = made->getConstructor();
        return callee->getTemplateSpecializationArgs() != nullptr &&
               (is_of(callee->getParent(), "std", "thread") || is_of(callee->getParent(), "std", "jthread"));
    }
    const auto* call = llvm::dyn_cast<CallExpr>(place);
    return call != nullptr && is_of(call->getDirectCallee(), "std", "async");
}

// What the caller wrote, below copies, temporaries and casts.
const Expr* written(const Expr* value) {
    for (;;) {
        const Expr* inner = value->IgnoreParenImpCasts()->IgnoreUnlessSpelledInSource();
        if (const auto* made = llvm::dyn_cast<CXXConstructExpr>(inner);
            made != nullptr && made->getNumArgs() == 1)
            inner = made->getArg(0);
        else if (const auto* call = llvm::dyn_cast<CallExpr>(inner);
                 call != nullptr && call->getNumArgs() == 1 && is_of(call->getDirectCallee(), "std", "move"))
            inner = call->getArg(0);
        if (inner == value) return value;
        value = inner;
    }
}

// Looks at what one thread is given.
class ThreadCheck {
public:
    ThreadCheck(Report& report, const Types& types, const Body& body, const Expr* place)
        : report_(report), types_(types), body_(body), place_(place) {}

    void argument(const Expr* given) {
        const Expr* value = written(given);
        if (const auto* closure = llvm::dyn_cast<LambdaExpr>(value)) return captures(closure);
        const auto* name = llvm::dyn_cast<DeclRefExpr>(value);
        const auto* variable = name == nullptr ? nullptr : llvm::dyn_cast<VarDecl>(name->getDecl());
        if (variable != nullptr && variable->getInit() != nullptr && !is_pointer(value->getType()))
            if (const auto* closure = llvm::dyn_cast<LambdaExpr>(written(variable->getInit())))
                return captures(closure);
        if (is_pointer(value->getType()) && !is_kept(variable)) warn(value->getBeginLoc(), value->getType());
    }

private:
    void captures(const LambdaExpr* closure) {
        auto value = closure->capture_init_begin();
        for (const LambdaCapture& capture : closure->captures()) {
            const Expr* given = *value++;
            if (capture.capturesThis()) {
                const QualType type = given->getType();
                if (type->isPointerType() &&
                    types_.is_always_collected(type->getPointeeType()->getAsCXXRecordDecl()))
                    warn(capture.getLocation(), type);
            } else if (capture.capturesVariable() && capture.getCaptureKind() == LCK_ByCopy) {
                const auto* variable = llvm::dyn_cast<VarDecl>(capture.getCapturedVar());
                if (variable != nullptr && is_pointer(variable->getType()) && !is_kept(variable))
                    warn(capture.getLocation(), variable->getType());
            }
        }
    }

    [[nodiscard]] bool is_pointer(QualType type) const {
        const CXXRecordDecl* record = type->getAsCXXRecordDecl();
        return is_of(record, "cairn", "Ptr") || types_.points_to_collected(type);
    }

    // Used again below: the frame keeps the object until then. Or it never was this heap's.
    [[nodiscard]] bool is_kept(const VarDecl* variable) const {
        if (variable == nullptr) return false;
        const SourceManager& source = report_.context().getSourceManager();
        for (const Expr* use : body_.uses(variable))
            if (source.isBeforeInTranslationUnit(place_->getEndLoc(), use->getBeginLoc())) return true;
        if (variable->hasGlobalStorage()) return true;
        const Expr* given = variable->getInit();
        const auto* address = given == nullptr ? nullptr : llvm::dyn_cast<UnaryOperator>(written(given));
        return address != nullptr && address->getOpcode() == UO_AddrOf;
    }

    void warn(SourceLocation where, QualType type) const {
        const QualType target =
            type->isPointerType() ? type->getPointeeType() : first_argument(type->getAsCXXRecordDecl());
        const std::string name = report_.spell(target.getUnqualifiedType());
        report_.warn(
            where,
            "a thread is given the collected '" + name +
                "' by a pointer in malloc's memory, which keeps nothing alive: give it a cairn::Root<" +
                name + ">",
            "thread-capture");
    }

    Report& report_;
    const Types& types_;
    const Body& body_;
    const Expr* place_;
};

}  // namespace

void check_container(Report& report, const DeclaratorDecl* holder) {
    if (llvm::isa<ParmVarDecl>(holder) || holder->getType()->isDependentType() || is_unchecked(holder))
        return;
    const QualType element = ptr_behind_allocator(holder->getType());
    if (element.isNull()) return;
    report.warn(holder->getLocation(),
                unscanned(report, element) + "give '" + holder->getNameAsString() +
                    "' a cairn::allocator, or cairn::Root elements",
                "ptr-in-malloc");
}

void check_allocation(Report& report, const Expr* place) {
    const char* advice = "make it with cairn::make, or hold a cairn::Root";
    if (const auto* made = llvm::dyn_cast<CXXNewExpr>(place)) {
        const FunctionDecl* allocator = made->getOperatorNew();
        if (allocator != nullptr && allocator->isReplaceableGlobalAllocationFunction() &&
            holds_ptr(made->getAllocatedType()))
            report.warn(made->getBeginLoc(), unscanned(report, made->getAllocatedType()) + advice,
                        "ptr-in-malloc");
    } else if (const auto* call = llvm::dyn_cast<CallExpr>(place)) {
        const FunctionDecl* callee = call->getDirectCallee();
        const bool is_shared = is_of(callee, "std", "make_shared");
        if (!is_shared && !is_of(callee, "std", "make_unique")) return;
        const QualType type = template_argument(callee);
        if (holds_ptr(type) && (is_shared || !has_own_new(class_of(type))))
            report.warn(call->getBeginLoc(), unscanned(report, type) + advice, "ptr-in-malloc");
    } else if (const auto* cast = llvm::dyn_cast<ExplicitCastExpr>(place)) {
        if (cast->getType()->isPointerType() && is_malloc(cast->getSubExpr()) &&
            holds_ptr(cast->getType()->getPointeeType()))
            report.warn(cast->getBeginLoc(), unscanned(report, cast->getType()->getPointeeType()) + advice,
                        "ptr-in-malloc");
    }
}

void check_thread(Report& report, const Types& types, const Body& body, const Expr* place) {
    if (!starts_thread(place)) return;
    ThreadCheck check(report, types, body, place);
    if (const auto* made = llvm::dyn_cast<CXXConstructExpr>(place)) {
        for (const Expr* argument : made->arguments()) check.argument(argument);
    } else {
        for (const Expr* argument : llvm::cast<CallExpr>(place)->arguments()) check.argument(argument);
    }
}

}  // namespace cairn::frontend
