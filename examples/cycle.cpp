// A graph full of cycles: a city whose streets lead both ways, rebuilt again and again.
//
// Reference counting would leak every one of these graphs, and so would unique_ptr; here a graph is gone when
// its last door is forgotten.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <random>

#include "cairn/cairn.hpp"

struct Place;

struct Street {
    cairn::Ptr<Place> ends[2];
    cairn::Ptr<Street> next_at[2];  // the next street of either end
    int metres = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Street::ends, &Street::next_at);
};

struct Place {
    cairn::Ptr<Street> streets;
    bool is_visited = false;
    static constexpr auto cairn_pointers = cairn::pointers(&Place::streets);
};

void connect(Place* a, Place* b, int metres) {
    Street* street = cairn::make<Street>();
    street->metres = metres;
    Place* ends[2] = {a, b};
    for (int side = 0; side < 2; ++side) {
        street->ends[side] = ends[side];
        street->next_at[side] = ends[side]->streets;
        ends[side]->streets = street;
    }
}

// A ring of places with short cuts; any place is a door to all of it.
Place* build_city(int places, std::mt19937& random) {
    auto* all = cairn::make_array<cairn::Ptr<Place>>(static_cast<std::size_t>(places));
    for (int i = 0; i < places; ++i) all[i] = cairn::make<Place>();
    for (int i = 0; i < places; ++i) connect(all[i], all[(i + 1) % places], 100);
    for (int i = 0; i < places; ++i)
        connect(all[i], all[static_cast<int>(random() % static_cast<unsigned>(places))], 300);
    return all[0];
}

int count_places(Place* door) {
    auto* queue = cairn::make_array<cairn::Ptr<Place>>(1 << 16);
    int head = 0, tail = 0;
    queue[tail++] = door;
    door->is_visited = true;
    while (head < tail) {
        Place* place = queue[head++];
        for (const Street* street = place->streets; street != nullptr;) {
            const int side = street->ends[0] == place ? 0 : 1;
            Place* other = street->ends[1 - side];
            if (!other->is_visited) {
                other->is_visited = true;
                queue[tail++] = other;
            }
            street = street->next_at[side];
        }
    }
    return tail;
}

int main() {
    constexpr int places = 5000, cities = 100;
    std::mt19937 random(1);
    for (int i = 0; i < cities; ++i)
        if (count_places(build_city(places, random)) != places) return 1;
    cairn::collect();
    const cairn::Stats stats = cairn::stats();
    std::printf("%d cities of %d places and %d streets: %.0f MB allocated, %.1f MB live at the end\n", cities,
                places, 2 * places, static_cast<double>(stats.allocated_bytes) / 1e6,
                static_cast<double>(stats.heap_live_bytes) / 1e6);
    std::printf("%llu cycles, the longest stop took %.0f us\n", static_cast<unsigned long long>(stats.cycles),
                static_cast<double>(stats.stop_max_ns) / 1e3);
    return stats.heap_live_bytes < stats.allocated_bytes / 10 ? 0 : 1;
}
