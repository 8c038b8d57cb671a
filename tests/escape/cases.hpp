// Types of the case table, and functions whose bodies the pass does not see (elsewhere.cpp).
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "cairn/cairn.hpp"

#define NOINLINE [[gnu::noinline]]

struct Vec3 {
    double x = 0, y = 0, z = 0;
};
struct Node {
    cairn::Ptr<Node> next;
    long value = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Node::next);
};
struct AtomicNode {
    cairn::AtomicPtr<Node> next;
    static constexpr auto cairn_pointers = cairn::pointers(&AtomicNode::next);
};
struct Holder {
    Vec3* vec;
    long number;
};
template <unsigned long bytes>
struct Bytes {
    char at[bytes];
};
struct alignas(64) Aligned {
    long value[8];
};
struct WithDestructor {
    long value = 5;
    ~WithDestructor() { value = 0; }
};
struct Shape {
    virtual long area() const = 0;
};
struct Square final : Shape {
    explicit Square(long side) : side(side) {}
    long area() const override { return side * side; }
    long side;
};
struct Circle final : Shape {
    explicit Circle(long radius) : radius(radius) {}
    long area() const override;
    long radius;
};
struct Thrower {
    explicit Thrower(long value) : value(value) {
        if (value == 4) throw 4;
    }
    long value;
};
struct Elsewhere {
    explicit Elsewhere(long value);
    long value;
};

inline void put_inline(Holder& holder, Vec3* p) {
    holder.vec = p;
}

long elsewhere(Vec3* p);
long elsewhere_kept_nothing(const Vec3* p CAIRN_NOESCAPE);
long elsewhere_bytes(const void* p CAIRN_NOESCAPE);
long elsewhere_shape(const Shape* shape);
long elsewhere_function(const std::function<long()>& function);
long elsewhere_holder(const Holder& holder);
void elsewhere_number(std::uintptr_t number);
long elsewhere_ring(const Node* node CAIRN_NOESCAPE);

// A case, and the heap objects of one run of it with and without the pass.
struct Case {
    const char* name;
    long (*run)();
    unsigned with_pass, without;
};
extern const Case cases[];
extern const unsigned case_count;
