// Loops over temporary objects: what the escape pass takes away, in ns a step.
//
// The same source is compiled with and without the pass (bench/escape.py) and has a twin in go/main.go.
// With BY_HAND the objects are local variables, as somebody writes who knows. Every loop prints its sum too,
// which must be the same everywhere.
// SPDX-License-Identifier: MIT
#include <cairn/cairn.hpp>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace {

struct Vec3 {
    double x, y, z;
};
struct Buffer {
    unsigned char bytes[256];
};

#ifdef BY_HAND
template <class T, class... Args>
T made(Args... args) {
    return T{args...};
}
template <class T>
T* at(T& object) {
    return &object;
}
#else
template <class T, class... Args>
[[gnu::always_inline]] inline T* made(Args... args) {
    return cairn::make<T>(args...);
}
template <class T>
T* at(T* object) {
    return object;
}
#endif

auto add(const Vec3* a, const Vec3* b) {
    return made<Vec3>(a->x + b->x, a->y + b->y, a->z + b->z);
}
auto scale(const Vec3* a, double k) {
    return made<Vec3>(a->x * k, a->y * k, a->z * k);
}

}  // namespace

[[gnu::noinline]] double dot(const Vec3* a, const Vec3* b) {
    return a->x * b->x + a->y * b->y + a->z * b->z;
}
[[gnu::noinline]] void fill(Buffer* buffer, long seed) {
    for (int i = 0; i < 256; i += 8) *reinterpret_cast<long*>(buffer->bytes + i) = seed + i;
}

namespace {

// Three temporaries a step, all code inlined.
double temporaries(long steps) {
    double sum = 0;
    for (long i = 0; i < steps; ++i) {
        auto p = made<Vec3>(static_cast<double>(i), 1., 2.);
        auto half = scale(at(p), 0.5);
        auto q = add(at(p), at(half));
        sum += at(q)->x + at(q)->y + at(q)->z;
    }
    return sum;
}
// Two a step, read by a function that is called.
double passed(long steps) {
    double sum = 0;
    for (long i = 0; i < steps; ++i) {
        auto p = made<Vec3>(static_cast<double>(i), 1., 2.);
        auto q = made<Vec3>(1., 2., 3.);
        sum += dot(at(p), at(q));
    }
    return sum;
}
// A buffer of 256 bytes a step, written by a function that is called.
double buffers(long steps) {
    long sum = 0;
    for (long i = 0; i < steps; ++i) {
        auto buffer = made<Buffer>();
        fill(at(buffer), i);
        sum += at(buffer)->bytes[i & 255];
    }
    return static_cast<double>(sum);
}

struct Loop {
    const char* name;
    double (*run)(long steps);
};
constexpr Loop loops[] = {{"temporaries", temporaries}, {"passed", passed}, {"buffers", buffers}};

double seconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

int main(int count, char** words) {
    const long steps = count > 1 ? std::atol(words[1]) : 5'000'000;
    for (const Loop& loop : loops) {
        double best = 1e9, sum = 0;
        for (int repeat = 0; repeat < 5; ++repeat) {
            const double begin = seconds();
            sum = loop.run(steps);
            const double taken = seconds() - begin;
            if (taken < best) best = taken;
        }
        std::printf("%s %.3f %.17g\n", loop.name, best * 1e9 / static_cast<double>(steps), sum);
    }
}
