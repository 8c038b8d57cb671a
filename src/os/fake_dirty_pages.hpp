// Orders of a test to the dirty tracker of the fake operating system.
//
// It compares contents: a page is written when its bytes are no longer those it was armed with. So a
// collector on the fake OS is told the truth, but for stores that change nothing.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace cairn::os::fake {

// Default: not to be had. Forgets all that is armed.
void allow_dirty_tracking(bool is_allowed);
// All that is armed is lost: the next collect() of a range reports it whole and returns false.
void lose_dirty_tracking();
// Pages armed now.
[[nodiscard]] std::size_t armed_pages();

}  // namespace cairn::os::fake
