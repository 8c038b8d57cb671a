// Summary tree: repair from the leaves upward, and its check.
// SPDX-License-Identifier: MIT
#include "pages/summary.hpp"

#include "base/check.hpp"

namespace cairn::pages {

// Repairs the parents of children `first`..`last` of `level`, then goes up. A template, so that the sizes in
// merge() are constants: this is most of what an allocation costs.
template <unsigned level>
void SummaryTree::refresh_from(std::size_t first, std::size_t last) {
    const Summary* children = inner_ + first_of[level];
    if constexpr (level == 1) {
        root_ = merge(children, pages_at(level));
    } else {
        Summary* parents = inner_ + first_of[level - 1];
        bool is_changed = false;
        for (std::size_t i = first / fanout; i <= last / fanout; ++i) {
            const Summary merged = merge(children + i * fanout, pages_at(level));
            is_changed |= parents[i] != merged;
            parents[i] = merged;
        }
        if (is_changed) refresh_from<level - 1>(first / fanout, last / fanout);
    }
}

void SummaryTree::refresh(std::size_t first, std::size_t last) {
    refresh_from<leaf_level>(first, last);
}

void SummaryTree::verify() const {
    for (unsigned level = leaf_level; level > 0; --level) {
        const std::size_t parent_count = std::size_t{1} << 3 * (level - 1);
        for (std::size_t i = 0; i < parent_count; ++i) {
            const Summary parent = level == 1 ? root_ : at(level - 1, i);
            CAIRN_CHECK(parent == merge(inner_ + first_of[level] + i * fanout, pages_at(level)));
        }
    }
}

}  // namespace cairn::pages
