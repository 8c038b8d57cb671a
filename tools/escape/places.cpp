// The walk out of headers.
// SPDX-License-Identifier: MIT
#include "places.hpp"

#include "llvm/IR/DebugInfoMetadata.h"
#include "llvm/Support/Path.h"

namespace cairn::escape {

namespace {

using namespace llvm;

bool is_library(StringRef file) {
    const StringRef folder = sys::path::filename(sys::path::parent_path(file));
    if (folder == "cairn") {
        const StringRef name = sys::path::filename(file);
        for (const StringRef own :
             {"cairn.hpp", "cairn.h", "ptr.hpp", "layout.hpp", "containers.hpp", "fiber.hpp"})
            if (name == own) return true;
    }
    return file.contains("/include/c++/") || file.contains("/include/x86_64-linux-gnu/c++/");
}

}  // namespace

DebugLoc user_location(const DebugLoc& location) {
    const DILocation* best = location.get();
    while (best != nullptr && is_library(best->getFilename()) && best->getInlinedAt() != nullptr)
        best = best->getInlinedAt();
    return DebugLoc(best);
}

std::string place_of(const DebugLoc& location) {
    const DebugLoc seen = user_location(location);
    if (!seen) return {};
    return seen->getFilename().str() + ":" + std::to_string(seen.getLine()) + ":" +
           std::to_string(seen.getCol());
}

std::string place_of(const Instruction& instruction) {
    return place_of(instruction.getDebugLoc());
}

}  // namespace cairn::escape
