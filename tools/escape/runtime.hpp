// What the pass knows of Cairn's runtime: which calls allocate, what they allocate, and which keep nothing.
//
// An allocation may move to a stack when its size is a constant and its type's descriptor can be read: the
// alignment stands there. The finalized kind never moves, since its destructor runs on another thread some
// time after; nor does make_heap, which asks for the heap.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "llvm/ADT/StringRef.h"
#include "llvm/IR/Function.h"
#include "llvm/IR/InstrTypes.h"

namespace cairn::escape {

enum class Entry { none, object, array, noscan, conservative, finalized, heap };

// One call that allocates a collected object.
struct Site {
    llvm::CallBase* call = nullptr;
    Entry entry = Entry::none;
    std::uint64_t bytes = 0;
    std::uint64_t align = 16;
    bool is_zeroed = true;
    std::string type;     // as the descriptor names it; empty: unknown
    std::string refusal;  // why it stays on the heap whatever becomes of it; empty: it may move
};

// The called function's name; empty for calls through a pointer.
llvm::StringRef called_name(const llvm::CallBase& call);
// The function as people write it.
std::string readable(const llvm::Function& function);

Entry entry_of(const llvm::CallBase& call);
Site read_site(llvm::CallBase& call);

// What a runtime function does with a pointer that it is given.
enum class Treatment {
    unknown,
    keeps_nothing,   // nor anything found through it
    copies_content,  // memmove(argument 0, argument 1, argument 2)
};
Treatment treatment_of(llvm::StringRef function);

// Memory that nothing else points into: its contents are reached through the call's result alone.
bool is_private_memory(const llvm::CallBase& call);

}  // namespace cairn::escape
