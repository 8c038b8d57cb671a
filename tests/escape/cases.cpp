// The case table: what may live on the stack, what may not, and why.
//
// A line with `make` ends with what the pass must say of it: `// stack`, or `// heap: words of the reason`.
// Each case returns a value; case_list.cpp says how many heap objects one run makes. table.py compiles this
// file with each clang there is and compares.
// SPDX-License-Identifier: MIT
#include "cases.hpp"

#include <any>
#include <csetjmp>
#include <list>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "cairn/containers.hpp"

using cairn::make;

namespace {

Vec3* global_vec;
Node* global_node;
thread_local Vec3* thread_vec;
volatile bool never;
volatile int ten = 10, five = 5;  // loops are not to be unrolled

}  // namespace

// Not static: the optimiser could then change their parameters.
NOINLINE long read_vec(const Vec3* p) {
    return static_cast<long>(p->x + p->y + p->z);
}
NOINLINE void leak_vec(Vec3* p) {
    global_vec = p;
}
NOINLINE Vec3* same(Vec3* p) {
    p->x += 1;
    return p;
}
NOINLINE Vec3** boxed(Vec3* p) {
    auto** box = static_cast<Vec3**>(std::malloc(sizeof(Vec3*)));
    *box = p;
    return box;
}
NOINLINE long sum_list(const Node* p) {
    return p == nullptr ? 0 : p->value + sum_list(p->next);
}
NOINLINE long read_ring(const Node* p) {
    return p->next->next->value * 10 + p->next->value;
}
NOINLINE void put(Holder& holder, Vec3* p) {
    holder.vec = p;
}
NOINLINE long read_held(const Holder& holder) {
    return read_vec(holder.vec);
}
NOINLINE void leak_held(const Holder& holder) {
    global_vec = holder.vec;
}

// ---- one object

long c01_local() {
    auto* p = make<Vec3>(1., 2., 3.);  // stack
    return static_cast<long>(p->x + p->y + p->z);
}
NOINLINE Vec3* made_and_returned() {
    return make<Vec3>(1., 2., 3.);  // heap: returned
}
long c02_returned() {
    return read_vec(made_and_returned());
}
long c03_global() {
    global_vec = make<Vec3>(4., 5., 6.);  // heap: stored to global
    return read_vec(global_vec);
}
long c03b_thread_local() {
    thread_vec = make<Vec3>(4., 5., 6.);  // heap: stored to
    return read_vec(thread_vec);
}
long c04_unknown() {
    auto* p = make<Vec3>(1., 1., 1.);  // heap: passed to unknown function 'elsewhere(Vec3*)'
    return elsewhere(p);
}
long c05a_known() {
    auto* p = make<Vec3>(1., 2., 4.);  // stack
    return read_vec(p);
}
long c05b_noescape() {
    auto* p = make<Vec3>(1., 2., 5.);  // stack
    return elsewhere_kept_nothing(p);
}
long c05c_leaks() {
    auto* p = make<Vec3>(1., 2., 6.);  // heap: argument 0 of
    leak_vec(p);
    return read_vec(global_vec);
}
long c06_result() {
    auto* p = make<Vec3>(1., 2., 7.);  // stack
    return read_vec(same(p));
}
long c06b_result_kept() {
    auto* p = make<Vec3>(1., 2., 7.);  // heap: stored to global
    global_vec = same(p);
    return read_vec(global_vec);
}
long c06c_box() {
    auto* p = make<Vec3>(1., 2., 8.);  // stack
    Vec3** box = boxed(p);
    const long value = read_vec(*box);
    std::free(box);
    return value;
}
long c06d_box_kept() {
    auto* p = make<Vec3>(1., 2., 8.);  // heap: stored to global
    Vec3** box = boxed(p);
    global_vec = *box;
    std::free(box);
    return read_vec(global_vec);
}

// ---- calls through tables and closures

long c07a_virtual() {
    Shape* s = make<Square>(3);  // heap: passed to
    return elsewhere_shape(s);
}
long c07b_final() {
    auto* s = make<Square>(3);  // stack
    return s->area();
}
long c07c_body_elsewhere() {
    auto* s = make<Circle>(3);  // heap: passed to unknown function 'Circle::area() const'
    return s->area();
}
long c08a_function_away() {
    auto* p = make<Vec3>(2., 2., 2.);  // heap: passed to
    return elsewhere_function([p] { return read_vec(p); });
}
long c08b_lambda() {
    auto* p = make<Vec3>(2., 2., 3.);  // stack
    const auto f = [p] { return read_vec(p); };
    return f();
}
long c08c_function_here() {
    auto* p = make<Vec3>(2., 2., 4.);  // stack
    const std::function<long()> f = [p] { return read_vec(p); };
    return f();
}

// ---- sizes

NOINLINE long c09a_length(long n) {
    char* b = cairn::make_array<char>(n);  // heap: its size is not a constant
    b[n / 2] = 3;
    return b[n / 2] + b[0];
}
long c09a_length_100() {
    return c09a_length(100);
}
long c09b_array() {
    long* b = cairn::make_array<long>(100);  // stack
    b[7] = 3;
    return elsewhere_bytes(b) + b[7] + b[8];
}
NOINLINE long fill(char* bytes, int count) {
    for (int i = 0; i < count; ++i) bytes[i] = static_cast<char>(i + never);
    return bytes[count / 2 + 9];
}
long c10a_64k() {
    auto* b = make<Bytes<65536>>();  // heap-16K: it is too large for the stack: 65536 bytes, limit 16384
    return fill(b->at, 65536);
}
long c10b_65k() {
    auto* b = make<Bytes<65537>>();  // heap: it is too large for the stack: 65537 bytes
    return fill(b->at, 65537);
}
long c10c_2k() {
    auto* b = make<Bytes<2048>>();  // heap: a function that may call itself
    b->at[5] = 3;
    return elsewhere_bytes(b) + b->at[5];
}
long c10d_2k_leaf() {
    auto* b = make<Bytes<2048>>();  // stack
    return fill(b->at, 2048);
}
long c10e_aligned() {
    auto* p = make<Aligned>();  // stack
    return static_cast<long>(reinterpret_cast<std::uintptr_t>(p) % 64 == 0) + elsewhere_bytes(p);
}
// One after the other in the same place: a lifetime ends with the last use. table.py looks at the frame.
long c10f_scratch() {
    auto* a = make<Bytes<1000>>();  // stack
    long sum = fill(a->at, 1000);
    auto* b = make<Bytes<1000>>();  // stack
    sum += fill(b->at, 1000);
    auto* c = make<Bytes<1000>>();  // stack
    return sum + fill(c->at, 1000);
}
long c10g_frame() {
    auto* a = make<Bytes<15000>>();  // stack
    auto* b = make<Bytes<15000>>();  // stack
    auto* c = make<Bytes<15000>>();  // stack
    auto* d = make<Bytes<15000>>();  // stack
    auto* e = make<Bytes<15000>>();  // heap: it is too large for its function's frame: 75000 bytes
    long sum = 0;
    for (int i = 0; i < five; ++i)
        for (auto* each : {a, b, c, d, e}) sum += fill(each->at, 15000);
    return sum;
}

// ---- loops

long c11a_loop() {
    long sum = 0;
    for (int i = 0; i < ten; ++i) {
        auto* p = make<Vec3>(double(i), 2., 3.);  // stack
        sum += read_vec(p);
    }
    return sum;
}
long c11b_carried() {
    long sum = 0;
    auto* prev = make<Vec3>(0., 0., 0.);  // stack
    for (int i = 0; i < ten; ++i) {
        auto* p = make<Vec3>(double(i), 0., 0.);  // heap: lives beyond the loop iteration
        sum += read_vec(prev);
        prev = p;
    }
    return sum + read_vec(prev);
}
long c11c_after_loop() {
    Vec3* p = nullptr;
    for (int i = 0;; ++i) {
        p = make<Vec3>(double(i), 0., 0.);  // stack
        if (read_vec(p) == 6) break;
    }
    return read_vec(p);
}
long c11d_zeroed() {
    long sum = 0;
    for (int i = 0; i < ten; ++i) {
        auto* p = make<Vec3>();  // stack
        sum += elsewhere_kept_nothing(p);
        p->x = 7;
        sum += elsewhere_kept_nothing(p);
    }
    return sum;
}
long c11e_carried_in_memory() {
    Holder holder{nullptr, 0};
    long sum = 0;
    for (int i = 0; i < ten; ++i) {
        auto* p = make<Vec3>(double(i), 0., 0.);  // heap: lives beyond the loop iteration
        if (holder.vec != nullptr) sum += read_held(holder);
        put_inline(holder, p);
    }
    return sum;
}
long c11f_holder_of_the_round() {
    long sum = 0;
    for (int i = 0; i < ten; ++i) {
        Holder holder{nullptr, i};
        auto* p = make<Vec3>(double(i), 0., 0.);  // stack
        put_inline(holder, p);
        sum += read_held(holder);
    }
    return sum;
}
long c11g_inner_loop() {
    long sum = 0;
    for (int i = 0; i < five; ++i) {
        Vec3* last = nullptr;
        for (int k = 0; k < five; ++k) {
            auto* p = make<Vec3>(double(k), 1., 0.);  // heap: lives beyond the loop iteration
            if (last != nullptr) sum += read_vec(last);
            last = p;
        }
    }
    return sum;
}
long c12a_list() {
    Node* first = nullptr;
    for (int i = 0; i < ten; ++i)
        first = make<Node>(first, long(i));  // heap: lives beyond the loop iteration
    return sum_list(first);
}
long c12b_two() {
    auto* y = make<Node>(nullptr, 3L);  // stack
    auto* x = make<Node>(y, 4L);        // stack
    return sum_list(x);
}
long c12c_barrier() {
    auto* x = make<Node>(nullptr, 3L);  // stack
    auto* y = make<Node>(nullptr, 4L);  // stack
    x->next = y;
    return x->next->value + x->value;
}
long c12d_ring() {
    auto* x = make<Node>(nullptr, 3L);  // stack
    auto* y = make<Node>(nullptr, 4L);  // stack
    x->next = y;
    y->next = x;
    return read_ring(x);
}
long c12e_self() {
    auto* x = make<Node>(nullptr, 3L);  // stack
    x->next = x;
    return read_ring(x);
}
long c12f_ring_kept() {
    auto* x = make<Node>(nullptr, 3L);  // heap: stored to global
    auto* y = make<Node>(nullptr, 4L);  // heap: stored to global
    x->next = y;
    y->next = x;
    global_node = x;
    return read_ring(x);
}
long c12g_ring_away() {
    auto* x = make<Node>(nullptr, 3L);  // heap: passed to unknown function
    auto* y = make<Node>(nullptr, 4L);  // heap: passed to unknown function
    x->next = y;
    y->next = x;
    return elsewhere_ring(x);
}
long c13_cold() {
    auto* x = make<Node>(nullptr, 3L);  // heap: stored to global
    if (never) global_node = x;
    return x->value;
}
NOINLINE long c14_recursion(int depth) {
    auto* p = make<Vec3>(double(depth), 0., 0.);  // stack
    return depth == 0 ? 0 : c14_recursion(depth - 1) + read_vec(p);
}
long c14_recursion_50() {
    return c14_recursion(50);
}
long c15_phi() {
    Vec3* p = never ? make<Vec3>(1., 0., 0.)   // stack
                    : make<Vec3>(2., 0., 0.);  // stack
    return read_vec(p);
}

// ---- destructors, constructors, exceptions

long c16a_destructor() {
    auto* p = make<WithDestructor>();  // heap: its type has a destructor
    return p->value;
}
long c16b_finalizer() {
    auto* p = make<Vec3>(1., 2., 3.);  // heap: passed to unknown function 'cairn_set_finalizer'
    cairn_set_finalizer(
        p, [](void*, void*) {}, nullptr);
    return read_vec(p);
}
long c16c_heap() {
    auto* p = cairn::make_heap<Vec3>(1., 2., 3.);  // heap: make_heap asks for it
    return read_vec(p);
}
long c16d_weak() {
    auto* p = make<Vec3>(1., 2., 3.);  // heap: passed to unknown function 'cairn_weak_create'
    const cairn::Weak<Vec3> weak = p;
    return weak.get() == p;
}
long c16e_freed() {
    auto* p = make<Vec3>(1., 2., 3.);  // stack
    const long value = read_vec(p);
    cairn::explicit_free(p);
    return value;
}
long c16f_kept_alive() {
    auto* p = make<Vec3>(1., 2., 3.);  // stack
    const long value = read_vec(p);
    cairn::keep_alive(p);
    return value;
}
long c17a_throwing_constructor() {
    try {
        return make<Thrower>(3)->value;  // stack
    } catch (const std::exception&) {
        return -1;
    }
}
long c17b_constructor_elsewhere() {
    return make<Elsewhere>(3L)->value;  // heap: passed to unknown function 'Elsewhere::Elsewhere(long)'
}
long c17c_try() {
    long value = 0;
    try {
        auto* p = make<Vec3>(1., 2., 3.);  // stack
        value = read_vec(p);
        if (elsewhere_kept_nothing(p) == 0) throw std::runtime_error("none");
    } catch (const std::exception&) {
        value = -1;
    }
    return value;
}
long c17d_thrown() {
    try {
        throw make<Vec3>(1., 2., 3.);  // heap: thrown
    } catch (Vec3* p) {
        return read_vec(p);
    }
}

// ---- addresses as numbers

long c18a_number() {
    auto* p = make<Vec3>(1., 2., 3.);  // heap: passed to
    elsewhere_number(reinterpret_cast<std::uintptr_t>(p));
    return read_vec(p);
}
long c18b_compared() {
    auto* p = make<Vec3>(1., 2., 3.);  // stack
    return p == global_vec ? 1 : read_vec(p);
}
long c18c_hidden() {
    auto* p = make<Vec3>(1., 2., 3.);  // heap: used in a way that is not followed: xor
    elsewhere_number(reinterpret_cast<std::uintptr_t>(p) ^ 0x5555);
    return read_vec(p);
}
long c18d_byte() {
    auto* p = make<Vec3>(1., 2., 3.);  // heap: its address is converted to an integer
    elsewhere_number(static_cast<unsigned char>(reinterpret_cast<std::uintptr_t>(p)));
    return read_vec(p);
}

// ---- through memory

NOINLINE void through_parameter(Holder* out) {
    out->vec = make<Vec3>(1., 2., 3.);  // heap: stored through parameter 0
}
long c19_parameter() {
    Holder holder{nullptr, 1};
    through_parameter(&holder);
    return read_held(holder);
}
long c20a_holder() {
    auto* p = make<Vec3>(1., 2., 9.);  // stack
    const Holder holder{p, 1};
    return read_held(holder) + elsewhere_kept_nothing(p);
}
long c20b_holder_leaks() {
    auto* p = make<Vec3>(1., 2., 9.);  // heap: argument 0 of
    const Holder holder{p, 1};
    leak_held(holder);
    return read_vec(p);
}
long c20c_holder_away() {
    auto* p = make<Vec3>(1., 2., 9.);  // heap: passed to unknown function 'elsewhere_holder
    const Holder holder{p, 1};
    return elsewhere_holder(holder);
}
long c20d_holder_copied() {
    auto* p = make<Vec3>(1., 2., 9.);  // heap: passed to unknown function 'elsewhere_holder
    const Holder holder{p, 1};
    Holder copies[3] = {holder, holder, holder};
    return elsewhere_holder(copies[1]);
}
long c20e_put_elsewhere() {
    Holder holder{nullptr, 1};
    auto* p = make<Vec3>(1., 2., 9.);  // heap: stored through parameter 0
    put(holder, p);
    return read_held(holder);
}
long c20f_any() {
    auto* p = make<Vec3>(1., 2., 10.);  // stack
    const std::any any = p;
    return read_vec(*std::any_cast<Vec3*>(&any));
}
long c20g_pair() {
    auto* p = make<Vec3>(1., 2., 11.);  // stack
    const std::pair<int, Vec3*> pair{3, p};
    return pair.first + read_vec(pair.second);
}
long c20h_unique() {
    auto* p = make<Vec3>(1., 2., 12.);  // stack
    const auto held = std::make_unique<Vec3*>(p);
    return read_vec(*held);
}
long c21_setjmp() {
    std::jmp_buf place;
    auto* p = make<Vec3>(1., 2., 3.);  // heap: its function calls setjmp
    if (setjmp(place) != 0) return 0;
    return read_vec(p);
}
long c22_memcpy() {
    auto* p = make<Vec3>(1., 2., 3.);  // stack
    auto* q = make<Vec3>();            // stack
    std::memcpy(q, p, sizeof *p);
    return read_vec(q) + elsewhere_kept_nothing(p);
}
long c22b_bytes_of_pointers() {
    struct Three {
        Vec3* p[3];
    };
    struct Numbers {
        long n[3];
    };
    auto* p = make<Vec3>(1., 2., 3.);  // heap: passed to unknown function 'elsewhere_number
    const Three three{{p, nullptr, p}};
    Numbers numbers;
    std::memcpy(&numbers, &three, sizeof three);
    elsewhere_number(numbers.n[2 - never]);
    return read_vec(three.p[0]);
}
long c22c_copied_holder() {
    auto* p = make<Vec3>(1., 2., 3.);  // stack
    Holder holders[4] = {{nullptr, 1}, {p, 2}, {nullptr, 3}, {nullptr, 4}};
    Holder other[4];
    std::memcpy(other, holders, sizeof holders);
    return read_held(other[1]) + other[2].number;
}
long c23_atomic() {
    auto* p = make<AtomicNode>();       // stack
    auto* q = make<Node>(nullptr, 5L);  // stack
    p->next.store(q);
    return p->next.load()->value;
}
long c24_static() {
    static Vec3* kept = make<Vec3>(1., 2., 3.);  // heap: stored to global
    return read_vec(kept);
}
