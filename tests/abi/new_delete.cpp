// All forms of operator new and delete: plain, array, nothrow, sized, aligned, and without memory.
//
// Forms are paired the way compilers pair them; with absurd sizes the new_handler is asked, then bad_alloc
// comes.
// run: timeout=60
// SPDX-License-Identifier: MIT
#include "check.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {

constexpr size_t sizes[] = {0,   1,    8,    15,     16,     24,     48,      64,       100,
                            500, 1024, 4096, 10'000, 32'768, 32'769, 100'000, 2'000'000};

bool is_usable(void* p, size_t bytes) {
    if (p == nullptr || malloc_usable_size(p) < bytes) return false;
    fill_block(p, bytes, 1);
    return block_holds(p, bytes, 1) && is_aligned(p, bytes >= 16 ? 16 : 1);
}

void plain_forms() {
    for (size_t bytes : sizes) {
        void* p = ::operator new(bytes);
        CHECK_AT(is_usable(p, bytes), bytes);
        ::operator delete(opaque(p));
        p = ::operator new(bytes);
        ::operator delete(opaque(p), bytes);
        p = ::operator new[](bytes);
        CHECK_AT(is_usable(p, bytes), bytes);
        ::operator delete[](opaque(p));
        p = ::operator new[](bytes);
        ::operator delete[](opaque(p), bytes);
    }
    void* a = ::operator new(0);
    void* b = ::operator new(0);
    CHECK(a != nullptr && b != nullptr && a != b);
    ::operator delete(a);
    ::operator delete(b);
}

void nothrow_forms() {
    for (size_t bytes : sizes) {
        void* p = ::operator new(bytes, std::nothrow);
        CHECK_AT(is_usable(p, bytes), bytes);
        ::operator delete(opaque(p), std::nothrow);
        p = ::operator new[](bytes, std::nothrow);
        CHECK_AT(is_usable(p, bytes), bytes);
        ::operator delete[](opaque(p), std::nothrow);
    }
}

void aligned_forms() {
    for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 2) {
        const std::align_val_t align{alignment};
        for (size_t bytes : sizes) {
            void* p = ::operator new(bytes, align);
            CHECK_AT(is_usable(p, bytes) && is_aligned(p, alignment), alignment);
            ::operator delete(opaque(p), align);
            p = ::operator new[](bytes, align);
            CHECK_AT(is_usable(p, bytes) && is_aligned(p, alignment), alignment);
            ::operator delete[](opaque(p), align);
            p = ::operator new(bytes, align);
            ::operator delete(opaque(p), bytes, align);
            p = ::operator new[](bytes, align);
            ::operator delete[](opaque(p), bytes, align);
            p = ::operator new(bytes, align, std::nothrow);
            CHECK_AT(is_usable(p, bytes) && is_aligned(p, alignment), alignment);
            ::operator delete(opaque(p), align, std::nothrow);
            p = ::operator new[](bytes, align, std::nothrow);
            CHECK_AT(is_usable(p, bytes) && is_aligned(p, alignment), alignment);
            ::operator delete[](opaque(p), align, std::nothrow);
        }
    }
}

void deleting_null_does_nothing() {
    ::operator delete(opaque(nullptr));
    ::operator delete[](opaque(nullptr));
    ::operator delete (opaque(nullptr), size_t{8});
    ::operator delete[](opaque(nullptr), size_t{8});
    ::operator delete(opaque(nullptr), std::nothrow);
    ::operator delete[](opaque(nullptr), std::nothrow);
    ::operator delete (opaque(nullptr), std::align_val_t{64});
    ::operator delete[](opaque(nullptr), std::align_val_t{64});
    ::operator delete (opaque(nullptr), size_t{8}, std::align_val_t{64});
    ::operator delete[](opaque(nullptr), size_t{8}, std::align_val_t{64});
    CHECK(true);
}

template <class Request>
bool throws_bad_alloc(Request request) {
    try {
        opaque(request());
    } catch (const std::bad_alloc&) {
        return true;
    }
    return false;
}

// libstdc++ 12 rounds a size near SIZE_MAX up to nothing in its aligned forms: a preload can do better.
void absurd_sizes_throw() {
    const char* preload = getenv("LD_PRELOAD");
    const bool is_plain_run = preload == nullptr || *preload == 0;
    for (size_t bytes : {SIZE_MAX, SIZE_MAX - 15, static_cast<size_t>(PTRDIFF_MAX), size_t{1} << 62}) {
        const size_t n = opaque_size(bytes);
        const std::align_val_t align{64};
        CHECK_AT(throws_bad_alloc([=] { return ::operator new(n); }), bytes);
        CHECK_AT(throws_bad_alloc([=] { return ::operator new[](n); }), bytes);
        CHECK_AT(::operator new(n, std::nothrow) == nullptr, bytes);
        CHECK_AT(::operator new[](n, std::nothrow) == nullptr, bytes);
        if (is_plain_run && bytes > SIZE_MAX - 64) continue;
        CHECK_AT(throws_bad_alloc([=] { return ::operator new(n, align); }), bytes);
        CHECK_AT(throws_bad_alloc([=] { return ::operator new[](n, align); }), bytes);
        CHECK_AT(::operator new(n, align, std::nothrow) == nullptr, bytes);
        CHECK_AT(::operator new[](n, align, std::nothrow) == nullptr, bytes);
    }
}

int handler_calls;
void handler_that_gives_up_at_three() {
    if (++handler_calls == 3) std::set_new_handler(nullptr);
}
void handler_that_throws() {
    ++handler_calls;
    throw std::bad_alloc();
}

void new_handler_is_called() {
    const size_t absurd = opaque_size(static_cast<size_t>(PTRDIFF_MAX));
    const std::align_val_t align{4096};
    const auto calls_of = [](void (*handler)(), auto request) {
        handler_calls = 0;
        std::set_new_handler(handler);
        const bool has_failed = request();
        std::set_new_handler(nullptr);
        return has_failed ? handler_calls : -1;
    };
    const auto plain = [=] { return throws_bad_alloc([=] { return ::operator new(absurd); }); };
    const auto array = [=] { return throws_bad_alloc([=] { return ::operator new[](absurd); }); };
    const auto aligned = [=] { return throws_bad_alloc([=] { return ::operator new(absurd, align); }); };
    const auto quiet = [=] { return ::operator new(absurd, std::nothrow) == nullptr; };
    const auto quiet_array = [=] { return ::operator new[](absurd, std::nothrow) == nullptr; };
    const auto quiet_aligned = [=] { return ::operator new(absurd, align, std::nothrow) == nullptr; };
    CHECK(calls_of(handler_that_gives_up_at_three, plain) == 3);
    CHECK(calls_of(handler_that_gives_up_at_three, array) == 3);
    CHECK(calls_of(handler_that_gives_up_at_three, aligned) == 3);
    CHECK(calls_of(handler_that_gives_up_at_three, quiet) == 3);
    CHECK(calls_of(handler_that_gives_up_at_three, quiet_array) == 3);
    CHECK(calls_of(handler_that_gives_up_at_three, quiet_aligned) == 3);
    CHECK(calls_of(handler_that_throws, plain) == 1);
    CHECK(calls_of(handler_that_throws, aligned) == 1);
    CHECK(calls_of(handler_that_throws, quiet) == 1);  // nothrow swallows what the handler throws
    CHECK(calls_of(handler_that_throws, quiet_aligned) == 1);
}

void handler_that_lifts_the_limit() {
    ++handler_calls;
    rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_AS, &limit);
}

// A handler that finds memory makes the request succeed.
void new_handler_can_help() {
    rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = 128 << 20;
    setrlimit(RLIMIT_AS, &limit);
    std::set_new_handler(handler_that_lifts_the_limit);
    void* p = nullptr;
    try {
        p = opaque(::operator new (size_t{512} << 20));
    } catch (const std::bad_alloc&) {
    }
    CHECK(p != nullptr);
    ::operator delete(p);
    std::set_new_handler(nullptr);
    handler_that_lifts_the_limit();
}

struct Counted {
    static inline int live = 0;
    std::string text = "a text that is longer than the small string buffer";
    Counted() { ++live; }
    ~Counted() { --live; }
};
struct alignas(256) Wide {
    char bytes[300];
    Wide() { memset(bytes, 3, sizeof bytes); }
};

void expressions() {
    Counted* one = new Counted;
    Counted* many = new Counted[100];
    CHECK(Counted::live == 101);
    delete one;
    delete[] many;
    CHECK(Counted::live == 0);
    Wide* wide = new Wide;
    Wide* wides = new Wide[5];
    CHECK(is_aligned(wide, 256) && is_aligned(wides, 256));
    delete wide;
    delete[] wides;
    auto shared = std::make_shared<Wide>();
    CHECK(is_aligned(shared.get(), 256));
    std::vector<std::unique_ptr<Counted>> owners;
    for (int i = 0; i < 1000; ++i) owners.push_back(std::make_unique<Counted>());
    CHECK(Counted::live == 1000);
    owners.clear();
    CHECK(Counted::live == 0);
    std::vector<int> grown;
    for (int i = 0; i < 1'000'000; ++i) grown.push_back(i);
    CHECK(grown[999'999] == 999'999);
    CHECK(throws_bad_alloc([] { return new char[opaque_size(SIZE_MAX - 100)]; }));
    CHECK(throws_bad_alloc([] { return new Counted[opaque_size(SIZE_MAX / 8)]; }));  // bad_array_new_length
}

}  // namespace

int main() {
    plain_forms();
    nothrow_forms();
    aligned_forms();
    deleting_null_does_nothing();
    absurd_sizes_throw();
    new_handler_is_called();
    new_handler_can_help();
    expressions();
    return check_summary();
}
