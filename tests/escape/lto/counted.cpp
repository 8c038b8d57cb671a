// Counts heap objects. Never part of the LTO: the pass looks for calls of cairn_alloc.
// SPDX-License-Identifier: MIT
#include "lto.hpp"

unsigned long objects;

extern "C" {
void* __real_cairn_alloc(size_t size, const cairn_type* type);
void* __wrap_cairn_alloc(size_t size, const cairn_type* type) {
    ++objects;
    return __real_cairn_alloc(size, type);
}
}
