// One side of a program in two files: what it makes goes to functions whose bodies are in there.cpp.
//
// Prints a value and how many heap objects it took (the link wraps cairn_alloc, counted.cpp). Without LTO the
// pass cannot see what there.cpp does, so every object is on the heap; with it only what is kept is.
// SPDX-License-Identifier: MIT
#include "lto.hpp"

#include <cstdio>

volatile long rounds = 1000;

int main() {
    double sum = 0;
    for (long i = 0; i < rounds; ++i) {
        const Vec3* p = cairn::make<Vec3>(static_cast<double>(i), 2., 3.);  // stack
        sum += length(p) + other_of(p, p)->y;
        const Link* link = cairn::make<Link>(p, i);  // stack
        sum += first_of(link)->x;
    }
    const unsigned long passed = objects;
    for (int i = 0; i < 3; ++i) keep(cairn::make<Vec3>(1., 2., 3.));  // heap
    std::printf("%.17g %lu %lu\n", sum + length(kept()), passed, objects - passed);
}
