// A program that replaces plain operator new and delete to count them: every other form must still pair up.
//
// The replacement takes its memory from malloc. Array, nothrow and sized forms are not replaced; the
// standard says that they end in the replaced ones.
// run: timeout=30
// SPDX-License-Identifier: MIT
#include "check.h"

#include <stdlib.h>

#include <map>
#include <new>
#include <string>
#include <thread>
#include <vector>

static long news, deletes;

void* operator new(size_t bytes) {
    __atomic_fetch_add(&news, 1, __ATOMIC_RELAXED);  // relaxed: a count, read after all threads are joined
    if (void* p = malloc(bytes != 0 ? bytes : 1)) return p;
    throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
    if (p != nullptr) __atomic_fetch_add(&deletes, 1, __ATOMIC_RELAXED);  // relaxed: as above
    free(p);
}
void operator delete(void* p, size_t) noexcept {
    ::operator delete(p);
}

namespace {

void direct_forms() {
    for (size_t bytes = 0; bytes < 50'000; bytes += 97) {
        void* const blocks[] = {::operator new(bytes), ::operator new[](bytes),
                                ::operator new(bytes, std::nothrow), ::operator new[](bytes, std::nothrow)};
        for (void* p : blocks) {
            CHECK_AT(p != nullptr, bytes);
            fill_block(p, bytes, 1);
        }
        ::operator delete(blocks[0]);
        ::operator delete[](blocks[1]);
        ::operator delete(blocks[2], std::nothrow);
        ::operator delete[](blocks[3], std::nothrow);
        void* aligned = ::operator new (bytes, std::align_val_t{128});  // not in terms of plain new
        CHECK_AT(is_aligned(aligned, 128), bytes);
        ::operator delete (aligned, std::align_val_t{128});
    }
}

void containers(int seed) {
    std::map<int, std::string> map;
    std::vector<std::string*> strings;
    for (int i = 0; i < 3000; ++i) {
        map[i * seed % 1009] = std::string(static_cast<size_t>(i % 300), 'x');
        strings.push_back(new std::string(40, 'y'));
    }
    for (std::string* s : strings) delete s;
    delete[] static_cast<int*>(opaque(new int[1000]));
}

}  // namespace

int main() {
    direct_forms();
    {
        std::vector<std::thread> threads;
        for (int i = 1; i <= 4; ++i) threads.emplace_back(containers, i);
        for (auto& t : threads) t.join();
    }
    CHECK(news > 12'000);
    CHECK_AT(news == deletes, news - deletes);
    return check_summary();
}
