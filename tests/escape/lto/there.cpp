// The other side: bodies that only a link sees together with their callers. None is inlined.
// SPDX-License-Identifier: MIT
#include "lto.hpp"

static const Vec3* kept_vec;

[[gnu::noinline]] double length(const Vec3* p) {
    return p->x + p->y * p->z;
}
[[gnu::noinline]] const Vec3* other_of(const Vec3* p, const Vec3* q) {
    return p->x > 5 ? p : q;
}
[[gnu::noinline]] const Vec3* first_of(const Link* link) {
    return link->vec;
}
[[gnu::noinline]] void keep(const Vec3* p) {
    kept_vec = p;
}
[[gnu::noinline]] const Vec3* kept() {
    return kept_vec;
}
