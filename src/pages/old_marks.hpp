// Old marks: which objects young cycles take for old, when others that survived one are not to be.
//
// The mark bits say that after every cycle (object_map.hpp); but a cycle whose survivors stay young needs
// marks for them too, until they are swept. So the sweep after a cycle that ages notes what it keeps here,
// and the sweep after one that does not leaves only the marks that stand here.
//
//   words   8 bytes a KiB of the window, a bit every 16 bytes of heap: as the map's mark words
//
// One mapping over a window of arenas, which the OS backs as it is written: 0.8 % of the heap. Outside of it
// every survivor ages, which keeps garbage for longer and nothing else: it was made after the last cycle that
// aged, so the page of whatever it holds, or is held by, was written since and is looked at. The same is true
// of an object in a place whose bit is left over from one that was freed, or from a run not yet handed out.
//
// Floor: pages. cover() by who runs cycles, while nothing is to be swept; word() by who sweeps the span.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "os/memory.hpp"
#include "pages/object_map.hpp"

namespace cairn::pages {

class OldMarks {
public:
    constexpr OldMarks() = default;

    // True when the window holds [bounds.low, + extent) now. What was noted before is lost when it had to be
    // opened anew: was_noted() says so.
    bool cover(const ObjectMap::Bounds& bounds);
    // All that is old is noted, or will be by the sweep that follows.
    [[nodiscard]] bool was_noted() const { return was_noted_; }
    void set_noted(bool is_noted) { was_noted_ = is_noted; }

    // The word of the marks of an address; nullptr outside of the window.
    [[nodiscard]] std::uint64_t* word(std::uintptr_t address) const {
        return address - low_ < extent_ ? words_ + ((address - low_) >> pair_shift) : nullptr;
    }

private:
    std::uint64_t* words_ = nullptr;  // [owner] who runs cycles changes it, as all; sweepers read
    std::uintptr_t low_ = 0;
    std::uintptr_t extent_ = 0;
    bool was_noted_ = false;
    os::Stat memory_;                 // [atomic]
};

}  // namespace cairn::pages
