// Where an object's address goes inside one function: every use of it is followed, and what is not known to
// be harmless is a leak.
//
//   1. The address flows through casts, offsets, phis, selects, and integers that only carry it.
//   2. A store into memory of this function's own, which nothing else points into, makes that memory a
//   holder;    all uses of the holder's address are followed too, and what is loaded from it is the address
//   again.
//   3. A call is harmless if its parameter is not captured, or if following it through the callee's body says
//      so (Summaries); what the callee may return is followed on.
//   4. A store anywhere else, a return, a throw, an unknown call or operation is the leak, with its reason.
//
// The result also tells what was met on the way: for the rule about loops and for the rewriting.
// Invariant: a value that is not in levels() never is, nor leads by loads to, the object.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <tuple>

#include "levels.hpp"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/IR/DataLayout.h"
#include "llvm/IR/InstrTypes.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"

namespace cairn::escape {

class Summaries;

// Why an object has to be on the heap, and the instruction that says so. Without words where nobody asked.
struct Leak {
    const llvm::Instruction* at = nullptr;
    std::string reason;
};

// Part of a holder that has a followed value in it. `offset` < 0: anywhere.
struct HeldAt {
    std::int64_t offset;
    std::uint64_t bytes;
    Levels levels;
    bool operator==(const HeldAt& other) const {
        return offset == other.offset && bytes == other.bytes && levels == other.levels;
    }
};

class Flow {
public:
    Flow(Summaries& summaries, const llvm::DataLayout& layout, unsigned depth)
        : summaries_(summaries), layout_(layout), depth_(depth) {}

    // Follows `root`, an allocation or a parameter. False: it leaks.
    bool follow(llvm::Value& root, Levels levels);

    const Leak& leak() const { return leak_; }
    // What a return statement gave back, when `root` is a parameter.
    Levels returned() const { return returned_; }
    const llvm::MapVector<llvm::Value*, Levels>& levels() const { return levels_; }
    // Memory that holds the address; the root itself may be among them.
    const llvm::MapVector<llvm::Value*, llvm::SmallVector<HeldAt, 2>>& holders() const { return holders_; }
    // Every instruction that takes a followed value.
    const llvm::SmallPtrSetImpl<llvm::Instruction*>& users() const { return users_; }
    // Those that store one in a holder.
    const llvm::SmallPtrSetImpl<const llvm::Instruction*>& stores() const { return stores_; }

private:
    bool is_alive() const { return leak_.at == nullptr; }
    void leaks(const llvm::Instruction& at, const char* reason);
    void leaks(const llvm::Instruction& at, llvm::function_ref<std::string()> reason);
    void taint(llvm::Value& value, Levels levels);
    void follow_again();
    Levels content(llvm::Value& pointer, Levels levels, std::uint64_t bytes);

    void visit(llvm::Use& use, Levels levels);
    void visit_integer(llvm::Instruction& user);
    void check_differences();
    void visit_return(const llvm::Instruction& user, Levels levels);

    void visit_call(llvm::CallBase& call, llvm::Use& use, Levels levels);
    bool visit_intrinsic(llvm::IntrinsicInst& call, llvm::Use& use, Levels levels);
    void visit_copy(llvm::CallBase& call, unsigned argument, Levels levels);
    void visit_assembly(llvm::CallBase& call, Levels levels);
    void visit_argument(llvm::CallBase& call, unsigned argument, Levels levels);
    void visit_body(llvm::CallBase& call, llvm::Function& callee, unsigned argument, Levels levels);

    void hold(const llvm::Instruction& at, llvm::Value& pointer, HeldAt part);
    bool hold_in(const llvm::Instruction& at, llvm::Value& base, const HeldAt& part);

    Summaries& summaries_;
    const llvm::DataLayout& layout_;
    unsigned depth_;
    llvm::Value* root_ = nullptr;
    Leak leak_;
    Levels returned_ = 0;
    unsigned steps_ = 0;
    llvm::MapVector<llvm::Value*, Levels> levels_;
    llvm::MapVector<llvm::Value*, llvm::SmallVector<HeldAt, 2>> holders_;
    llvm::SmallPtrSet<llvm::Instruction*, 16> users_;
    llvm::SmallPtrSet<const llvm::Instruction*, 4> stores_;
    llvm::SmallPtrSet<llvm::Instruction*, 4> differences_;
    llvm::SmallVector<llvm::Value*, 16> work_;
};

// What becomes of a parameter, worked out from the body of the function.
struct Summary {
    bool leaks = false;
    Leak leak;
    Levels returned = 0;
};

// Summaries of callees, for as long as no function changes. A function that is met while it is being followed
// is taken to keep nothing, which is then found out where it was met first, and to return what is known so
// far; it is followed again until that is all. What rests on such an answer is not remembered.
class Summaries {
public:
    Summaries(bool trusts_inline, bool has_words) : trusts_inline_(trusts_inline), has_words_(has_words) {}

    // Reasons are put into words, which takes longer than finding them.
    bool has_words() const { return has_words_; }
    // The body that runs when `function` is called is the one that is here.
    bool is_body_known(const llvm::Function& function) const;
    Summary parameter(llvm::Function& function, unsigned index, Levels levels, unsigned depth);

private:
    using Key = std::tuple<llvm::Function*, unsigned, Levels>;
    struct Open {
        Key key;
        std::size_t lowest;  // the lowest entry of `open_` that the answer took for granted
        Levels returned;     // what it is known to return
    };

    bool trusts_inline_;
    bool has_words_;
    llvm::SmallVector<Open, 8> open_;
    llvm::DenseMap<std::pair<llvm::Function*, unsigned>, Summary> known_;
};

}  // namespace cairn::escape
