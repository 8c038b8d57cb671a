// The functions that tell about the heap or tune it: usable size, mallinfo, malloc_info, mallopt, trim.
//
// malloc_usable_size is a promise: all of it may be written, and no neighbour feels it.
// run: timeout=60
// SPDX-License-Identifier: MIT
#include "check.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <initializer_list>

namespace {

// A row of equal blocks, each written to its last usable byte, then each looked at.
void usable_size_is_usable(size_t bytes) {
    constexpr size_t most = 64;
    static void* row[most];
    static size_t usable[most];
    const size_t count = bytes > 100'000 ? 4 : most;
    for (size_t i = 0; i < count; ++i) {
        row[i] = opaque(malloc(bytes));
        usable[i] = malloc_usable_size(row[i]);
        CHECK_AT(usable[i] >= bytes, bytes);
        fill_block(row[i], usable[i], static_cast<unsigned>(i));
    }
    for (size_t i = 0; i < count; ++i)
        CHECK_AT(block_holds(row[i], usable[i], static_cast<unsigned>(i)), bytes);
    for (size_t i = 0; i < count; i += 2) {  // the usable part is kept by realloc within it, too
        row[i] = opaque(realloc(row[i], usable[i]));
        CHECK_AT(malloc_usable_size(row[i]) >= usable[i], bytes);
        CHECK_AT(block_holds(row[i], bytes, static_cast<unsigned>(i)), bytes);
    }
    for (size_t i = 0; i < count; ++i) free(row[i]);
}

void usable_sizes() {
    CHECK(malloc_usable_size(nullptr) == 0);
    for (size_t bytes = 0; bytes < 1200; ++bytes) usable_size_is_usable(bytes);
    for (size_t bytes = 1200; bytes < 70'000; bytes += 509) usable_size_is_usable(bytes);
    for (size_t bytes : {size_t{200'001}, size_t{1} << 20, (size_t{5} << 20) + 3})
        usable_size_is_usable(bytes);
}

void mallinfo_is_plausible() {
    constexpr size_t count = 300, each = 10'000;
    static void* blocks[count];
    const struct mallinfo2 before = mallinfo2();
    for (void*& p : blocks) {
        p = malloc(each);
        memset(p, 1, each);
    }
    void* large = malloc(8 << 20);
    memset(large, 1, 8 << 20);
    const struct mallinfo2 live = mallinfo2();
    const size_t in_use_before = before.uordblks + before.hblkhd, in_use_live = live.uordblks + live.hblkhd;
    CHECK_AT(in_use_live >= in_use_before + count * each + (8 << 20), in_use_live - in_use_before);
    CHECK_AT(in_use_live <= in_use_before + 4 * (count * each + (8 << 20)), in_use_live - in_use_before);
    CHECK(live.arena + live.hblkhd >= live.uordblks);
    for (void* p : blocks) free(p);
    free(large);
    const struct mallinfo2 after = mallinfo2();
    CHECK_AT(after.uordblks + after.hblkhd + count * each / 2 < in_use_live, after.uordblks);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    const struct mallinfo old_form = mallinfo();
#pragma GCC diagnostic pop
    CHECK(old_form.uordblks > 0 || old_form.hblkhd > 0 || after.uordblks + after.hblkhd == 0);
}

void malloc_info_writes_xml() {
    char* text = nullptr;
    size_t length = 0;
    FILE* out = open_memstream(&text, &length);
    CHECK(malloc_info(0, out) == 0);
    fclose(out);
    CHECK(length > 20 && strstr(text, "<malloc") != nullptr && strstr(text, "</malloc>") != nullptr);
    free(text);
    CHECK(malloc_info(opaque_size(1) != 0 ? 1 : 0, stdout) == EINVAL);
}

void malloc_stats_writes_to_stderr() {
    const int kept = dup(2);
    const int file = memfd_create("stats", 0);
    dup2(file, 2);
    malloc_stats();
    fflush(stderr);
    dup2(kept, 2);
    const off_t written = lseek(file, 0, SEEK_END);
    CHECK_AT(written > 10, written);
    close(file);
    close(kept);
}

void mallopt_is_accepted() {
    const struct {
        int name, value;
    } options[] = {{M_MMAP_THRESHOLD, 256 * 1024},
                   {M_TRIM_THRESHOLD, 512 * 1024},
                   {M_TOP_PAD, 64 * 1024},
                   {M_MMAP_MAX, 1000},
                   {M_ARENA_MAX, 2},
                   {M_MXFAST, 64}};
    for (const auto& option : options) CHECK_AT(mallopt(option.name, option.value) == 1, option.name);
    free(opaque(malloc(300'000)));
}

void trim_says_zero_or_one() {
    void* p = malloc(32 << 20);
    memset(p, 1, 32 << 20);
    free(p);
    const int first = malloc_trim(0), second = malloc_trim(1 << 20);
    CHECK(first == 0 || first == 1);
    CHECK(second == 0 || second == 1);
}

// libc keeps cfree for very old programs: whoever finds one may free our blocks with it.
void cfree_pairs_with_malloc_if_it_exists() {
    using Free = void (*)(void*);
    const auto cfree_found = reinterpret_cast<Free>(dlsym(RTLD_DEFAULT, "cfree"));
    if (cfree_found != nullptr) cfree_found(opaque(malloc(40)));
    CHECK(true);
}

// A program that looks the family up by name finds the same functions that it is linked to.
void names_resolve_to_one_allocator() {
    const struct {
        const char* name;
        void* address;
    } family[] = {{"malloc", reinterpret_cast<void*>(malloc)},
                  {"free", reinterpret_cast<void*>(free)},
                  {"calloc", reinterpret_cast<void*>(calloc)},
                  {"realloc", reinterpret_cast<void*>(realloc)},
                  {"memalign", reinterpret_cast<void*>(memalign)},
                  {"aligned_alloc", reinterpret_cast<void*>(aligned_alloc)},
                  {"valloc", reinterpret_cast<void*>(valloc)},
                  {"pvalloc", reinterpret_cast<void*>(pvalloc)},
                  {"malloc_usable_size", reinterpret_cast<void*>(malloc_usable_size)},
                  {"posix_memalign", reinterpret_cast<void*>(posix_memalign)},
                  {"reallocarray", reinterpret_cast<void*>(reallocarray)}};
    Dl_info malloc_home{}, home{};
    CHECK(dladdr(dlsym(RTLD_DEFAULT, "malloc"), &malloc_home) != 0);
    for (const auto& f : family) {
        void* found = dlsym(RTLD_DEFAULT, f.name);
        const bool is_same_library =
            found != nullptr && dladdr(found, &home) != 0 && home.dli_fbase == malloc_home.dli_fbase;
        if (!CHECK(is_same_library)) SAY(2, "  %s lives elsewhere than malloc\n", f.name);
        CHECK(found == f.address);
    }
}

}  // namespace

int main() {
    usable_sizes();
    mallinfo_is_plausible();
    malloc_info_writes_xml();
    malloc_stats_writes_to_stderr();
    mallopt_is_accepted();
    trim_says_zero_or_one();
    cfree_pairs_with_malloc_if_it_exists();
    names_resolve_to_one_allocator();
    return check_summary();
}
