// Arming and disarming.
// SPDX-License-Identifier: MIT
#include "gc/conservative_watch.hpp"

namespace cairn::gc {

bool ConservativeWatch::is_needed(const pages::ObjectMap& objects) {
    bool is_found = false;
    for_each_run(objects, [&](std::uintptr_t, std::size_t) { is_found = true; });
    return is_found;
}

bool ConservativeWatch::begin(const pages::ObjectMap& objects) {
    if (!tracker_.start()) return false;
    // A run that cannot be watched is reported as written whole by collect(): slower, never wrong.
    for_each_run(objects, [&](std::uintptr_t base, std::size_t bytes) {
        if (tracker_.watch(base, bytes)) (void)tracker_.arm(base, bytes);
    });
    return true;
}

void ConservativeWatch::end(const pages::ObjectMap& objects) {
    for_each_run(objects, [&](std::uintptr_t base, std::size_t bytes) { tracker_.disarm(base, bytes); });
}

}  // namespace cairn::gc
