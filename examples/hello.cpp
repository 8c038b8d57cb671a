// Hello, collected heap: a list that nobody frees.
// SPDX-License-Identifier: MIT
#include <cstdio>

#include "cairn/cairn.hpp"

struct Line {
    cairn::Ptr<Line> next;
    int number = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Line::next);
};

// A list of `count` lines, the first one first.
Line* make_list(int count) {
    Line* first = nullptr;
    for (int number = count; number > 0; --number) first = cairn::make<Line>(first, number);
    return first;
}

int main() {
    Line* kept = make_list(3);
    for (int i = 0; i < 10'000; ++i) (void)make_list(100);  // nobody holds these: they free themselves
    cairn::collect();

    for (const Line* line = kept; line != nullptr; line = line->next) std::printf("line %d\n", line->number);
    const cairn::Stats stats = cairn::stats();
    std::printf("%.1f MB were allocated, %.1f MB are live\n",
                static_cast<double>(stats.allocated_bytes) / 1e6,
                static_cast<double>(stats.heap_live_bytes) / 1e6);
    return stats.heap_live_bytes < 1'000'000 ? 0 : 1;
}
