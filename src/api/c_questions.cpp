// The C interface's questions that stop the world: is the heap whole, and who holds an object.
//
// Floor: api.
// SPDX-License-Identifier: MIT
#include <dlfcn.h>

#include "api/gc_runtime.hpp"
#include "cairn/cairn.h"
#include "gc/verify.hpp"

namespace cairn::api {
namespace {

// The root set does not keep apart what was registered and what is static data; the loader knows.
gc::RootKind kind_of(const gc::HolderStep& root) {
    Dl_info info;
    const bool is_outside = root.kind == gc::RootKind::static_data &&
                            dladdr(reinterpret_cast<const void*>(root.holder), &info) == 0;
    return is_outside ? gc::RootKind::range : root.kind;
}

cairn_step step_of(const gc::HolderStep& found) {
    return {found.is_root ? gc::name_of(kind_of(found)).data() : "object",
            reinterpret_cast<const void*>(found.holder), found.offset, found.type_name};
}

}  // namespace
}  // namespace cairn::api

using namespace cairn::api;

extern "C" {

CAIRN_API size_t cairn_who_holds(const void* object, void (*visit)(const cairn_step* step, void* context),
                                 void* context) noexcept {
    cairn::gc::Mutator* thread = current_mutator();
    if (thread == nullptr) return 0;
    cairn::gc::HolderPath path;
    if (!gc_runtime.collector.find_holders(*thread, object, path)) return 0;
    for (size_t i = 0; i < path.length(); ++i) {
        const cairn_step step = step_of(path[i]);
        if (visit != nullptr) visit(&step, context);
    }
    return path.length();
}

CAIRN_API void cairn_verify(void) noexcept {
    cairn::gc::Mutator* thread = current_mutator();
    if (thread != nullptr) (void)gc_runtime.collector.verify(*thread);
}

}  // extern "C"
