// Arming and disarming.
// SPDX-License-Identifier: MIT
#include "gc/conservative_watch.hpp"

namespace cairn::gc {

bool ConservativeWatch::is_needed(const pages::ObjectMap& objects) {
    const pages::ObjectMap::Bounds bounds = objects.bounds();
    // The first run ends the walk.
    return !for_each_run(objects, bounds.low, bounds.low + bounds.extent,
                         [](std::uintptr_t, std::size_t) { return false; });
}

bool ConservativeWatch::begin(const pages::ObjectMap& objects) {
    if (!tracker_.start()) return false;
    // A run that cannot be watched is reported as written whole by collect(): slower, never wrong.
    for_all_runs(objects, [&](std::uintptr_t base, std::size_t bytes) {
        if (tracker_.watch(base, bytes)) (void)tracker_.arm(base, bytes);
    });
    cursor_ = 0;
    return true;
}

void ConservativeWatch::end(const pages::ObjectMap& objects) {
    for_all_runs(objects, [&](std::uintptr_t base, std::size_t bytes) { tracker_.disarm(base, bytes); });
}

}  // namespace cairn::gc
