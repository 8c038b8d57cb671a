// The other side of the case table: bodies that are not seen, and the count of heap objects.
//
// The link wraps cairn_alloc and its kin (--wrap), so the count is exact whatever the allocator batches.
// Prints `name value objects` a case; the whole is compared by table.py.
// SPDX-License-Identifier: MIT
#include <cstdio>

#include "cases.hpp"

static unsigned long objects;

extern "C" {
void* __real_cairn_alloc(size_t size, const cairn_type* type);
void* __real_cairn_alloc_heap(size_t size, const cairn_type* type);
void* __real_cairn_alloc_finalized(size_t size, const cairn_type* type);
void* __real_cairn_alloc_array(size_t count, const cairn_type* type);
void* __wrap_cairn_alloc(size_t size, const cairn_type* type) {
    ++objects;
    return __real_cairn_alloc(size, type);
}
void* __wrap_cairn_alloc_heap(size_t size, const cairn_type* type) {
    ++objects;
    return __real_cairn_alloc_heap(size, type);
}
void* __wrap_cairn_alloc_finalized(size_t size, const cairn_type* type) {
    ++objects;
    return __real_cairn_alloc_finalized(size, type);
}
void* __wrap_cairn_alloc_array(size_t count, const cairn_type* type) {
    ++objects;
    return __real_cairn_alloc_array(count, type);
}
}

static Vec3* kept;
static std::uintptr_t number;

long elsewhere(Vec3* p) {
    kept = p;
    return static_cast<long>(p->x + p->y);
}
long elsewhere_kept_nothing(const Vec3* p CAIRN_NOESCAPE) {
    return static_cast<long>(p->x + p->y + p->z);
}
long elsewhere_bytes(const void* p CAIRN_NOESCAPE) {
    return *static_cast<const char*>(p);
}
long elsewhere_shape(const Shape* shape) {
    return shape->area();
}
long elsewhere_function(const std::function<long()>& function) {
    return function();
}
long elsewhere_holder(const Holder& holder) {
    return static_cast<long>(holder.vec->x) + holder.number;
}
void elsewhere_number(std::uintptr_t address) {
    number = address;
}
long elsewhere_ring(const Node* node CAIRN_NOESCAPE) {
    return node->next->next->value * 10 + node->next->value;
}
long Circle::area() const {
    return 3 * radius * radius;
}
Elsewhere::Elsewhere(long value) : value(value) {}

int main() {
    const bool with_cycles = std::getenv("CASES_COLLECT") == nullptr;
    for (unsigned i = 0; i < case_count; ++i) {
        objects = 0;
        const long value = cases[i].run();
        const unsigned long made = objects;
        if (with_cycles) cairn::collect();  // what is on the stack must not disturb a cycle
        std::printf("%s %ld %lu %u %u\n", cases[i].name, value, made, cases[i].with_pass, cases[i].without);
    }
    return kept != nullptr && number != 1 ? 0 : 1;
}
