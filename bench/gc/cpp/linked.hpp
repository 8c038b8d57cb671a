// A heap of live objects of 64 bytes, linked at random: a ring through all of them and one more link each.
//
// They are allocated in order and linked in another one, so following them misses every cache.
// SPDX-License-Identifier: MIT
#pragma once

#include "policy.hpp"
#include "record.hpp"

namespace bench {

struct Linked {
    policy::Field<Linked> next, other;
    std::uint64_t key;
    std::uint64_t rest[5] = {};
    static constexpr auto cairn_pointers = policy::pointers<Linked>(&Linked::next, &Linked::other);
    explicit Linked(std::uint64_t k) : next(nullptr), other(nullptr), key(k) {}
};
static_assert(sizeof(Linked) == 64);

// Returns one of them; from it all are reached. `noinline`: the table must not stay on the caller's stack.
[[gnu::noinline]] inline Linked* link(std::uint32_t count) {
    policy::Field<Linked>* table = policy::make_array<policy::Field<Linked>>(count);
    Random random(count);
    for (std::uint32_t i = 0; i < count; ++i) table[i] = policy::make<Linked>(i);
    for (std::uint32_t i = count - 1; i > 0; --i) {
        const std::uint32_t j = random.below(i + 1);
        Linked* here = table[i];
        Linked* there = table[j];
        table[i] = there;
        table[j] = here;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        Linked* object = table[i];
        Linked* next = table[i + 1 == count ? 0 : i + 1];
        Linked* other = table[random.below(count)];
        object->next = next;
        object->other = other;
    }
    Linked* first = table[0];
    policy::release_array(table);
    return first;
}

// Goes round the ring: proves that all of them are still there.
inline std::uint64_t round_trip(const Linked* first, std::uint32_t count) {
    std::uint64_t sum = 0;
    const Linked* at = first;
    for (std::uint32_t i = 0; i < count; ++i) {
        const Linked* other = at->other;
        sum = sum * 31 + at->key + other->key;
        const Linked* next = at->next;
        at = next;
    }
    return at == first ? sum : 0;
}

}  // namespace bench
