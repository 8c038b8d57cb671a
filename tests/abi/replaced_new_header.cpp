// A program whose operator new puts a header before each object: a form that bypasses its delete is seen.
//
// Only the plain pair is replaced, so the array, sized and nothrow forms come from the library. Each must
// reach the replacement on both sides, as the default ones of libstdc++ do; freeing such a pointer directly
// is an interior free.
// run: timeout=30
// SPDX-License-Identifier: MIT
#include "check.h"

#include <stdlib.h>

#include <new>
#include <string>
#include <vector>

namespace {

struct alignas(16) Header {
    uint64_t magic;
    uint64_t bytes;
};
constexpr uint64_t magic_live = 0x1157'0F6E'A112'E5D5, magic_dead = 0xDEAD'0F6E'A112'E5D5;
long live;

}  // namespace

void* operator new(size_t bytes) {
    auto* header = static_cast<Header*>(malloc(bytes + sizeof(Header)));
    if (header == nullptr) throw std::bad_alloc();
    *header = {magic_live, bytes};
    ++live;
    return header + 1;
}
void operator delete(void* p) noexcept {
    if (p == nullptr) return;
    Header* header = static_cast<Header*>(p) - 1;
    CHECK(header->magic == magic_live);
    header->magic = magic_dead;
    --live;
    free(header);
}

namespace {

bool has_header(void* p, size_t bytes) {
    const Header* header = static_cast<Header*>(p) - 1;
    return header->magic == magic_live && header->bytes == bytes;
}

void every_form_reaches_the_replacement() {
    for (size_t bytes = 1; bytes < 60'000; bytes += 331) {
        void* p = opaque(::operator new(bytes));
        CHECK_AT(has_header(p, bytes), bytes);
        ::operator delete(p);
        p = opaque(::operator new(bytes));
        ::operator delete(p, bytes);
        p = opaque(::operator new[](bytes));
        CHECK_AT(has_header(p, bytes), bytes);
        ::operator delete[](p);
        p = opaque(::operator new[](bytes));
        ::operator delete[](p, bytes);
        p = opaque(::operator new(bytes, std::nothrow));
        CHECK_AT(has_header(p, bytes), bytes);
        ::operator delete(p, std::nothrow);
        p = opaque(::operator new[](bytes, std::nothrow));
        CHECK_AT(has_header(p, bytes), bytes);
        ::operator delete[](p, std::nothrow);
    }
    CHECK_AT(live == 0, live);
}

void library_code_reaches_the_replacement() {
    {
        std::vector<std::string> texts;
        for (int i = 0; i < 5000; ++i) texts.push_back(std::string(static_cast<size_t>(i % 100), 'z') + "!");
        CHECK(live > 4000);
    }
    CHECK_AT(live == 0, live);
}

}  // namespace

int main() {
    every_form_reaches_the_replacement();
    library_code_reaches_the_replacement();
    return check_summary();
}
