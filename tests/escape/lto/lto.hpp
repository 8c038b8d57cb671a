// What the two files of the LTO test know of each other.
// SPDX-License-Identifier: MIT
#pragma once

#include "cairn/cairn.hpp"

struct Vec3 {
    double x, y, z;
};
struct Link {
    const Vec3* vec;
    long number;
};

double length(const Vec3* p);
const Vec3* other_of(const Vec3* p, const Vec3* q);
const Vec3* first_of(const Link* link);
void keep(const Vec3* p);
const Vec3* kept();

extern unsigned long objects;  // made on the heap so far
