// Loops over temporary objects: what the escape pass takes away, in ns a step.
//
// The same source is compiled with and without the pass (bench/escape.py) and has a twin in go/main.go. Every
// loop prints its sum too, which must be the same everywhere.
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

Vec3* add(const Vec3* a, const Vec3* b) {
    return cairn::make<Vec3>(a->x + b->x, a->y + b->y, a->z + b->z);
}
Vec3* scale(const Vec3* a, double k) {
    return cairn::make<Vec3>(a->x * k, a->y * k, a->z * k);
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
        const Vec3* p = cairn::make<Vec3>(static_cast<double>(i), 1., 2.);
        const Vec3* q = add(p, scale(p, 0.5));
        sum += q->x + q->y + q->z;
    }
    return sum;
}
// Two a step, read by a function that is called.
double passed(long steps) {
    double sum = 0;
    for (long i = 0; i < steps; ++i) {
        const Vec3* p = cairn::make<Vec3>(static_cast<double>(i), 1., 2.);
        const Vec3* q = cairn::make<Vec3>(1., 2., 3.);
        sum += dot(p, q);
    }
    return sum;
}
// A buffer of 256 bytes a step, written by a function that is called.
double buffers(long steps) {
    long sum = 0;
    for (long i = 0; i < steps; ++i) {
        auto* buffer = cairn::make<Buffer>();
        fill(buffer, i);
        sum += buffer->bytes[i & 255];
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
