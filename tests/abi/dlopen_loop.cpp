// Loads, uses and unloads a library hundreds of times, also from threads: nothing breaks and nothing leaks.
//
// With RTLD_DEEPBIND the library looks names up in libc before the preloaded library, so it may sit on
// another allocator: it then keeps its blocks to itself. The argument `crossing` frees such blocks in the
// program as well.
// run: timeout=60
// run: timeout=60 args=deepbind
// run: timeout=60 args=crossing
// run: timeout=60 args=threads
// SPDX-License-Identifier: MIT
#include "check.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

namespace {

char plugin_path[4096];

void find_plugin() {
    const ssize_t length = readlink("/proc/self/exe", plugin_path, sizeof plugin_path - 64);
    plugin_path[length > 0 ? length : 0] = 0;
    char* slash = strrchr(plugin_path, '/');
    if (slash != nullptr) strcpy(slash + 1, "libplugin_so.so");
}

void load_use_unload(int flags, int seed, bool takes_text) {
    void* library = dlopen(plugin_path, flags);
    if (!CHECK(library != nullptr)) return;
    const auto work = reinterpret_cast<int (*)(int)>(dlsym(library, "plugin_work"));
    const auto make_text = reinterpret_cast<char* (*)(int)>(dlsym(library, "plugin_make_text"));
    char* text = nullptr;
    CHECK_AT(work(seed) == 1, seed);
    if (takes_text) text = make_text(seed + 10);
    CHECK(dlclose(library) == 0);
    if (takes_text) {  // the block outlives the library
        CHECK(text[0] == 't' && text[seed + 9] == 't');
        free(text);
    }
}

void* many_loads(void* flags) {
    for (int i = 0; i < 60; ++i) load_use_unload(*static_cast<int*>(flags), i, true);
    return nullptr;
}

void threads_that_load(int flags) {
    for (int round = 0; round < 5; ++round) {
        pthread_t threads[6];
        for (pthread_t& t : threads) pthread_create(&t, nullptr, many_loads, &flags);
        for (pthread_t& t : threads) pthread_join(t, nullptr);
    }
}

}  // namespace

int main(int argc, char** argv) {
    const char* mode = argc > 1 ? argv[1] : "";
    const bool is_deep = strcmp(mode, "deepbind") == 0 || strcmp(mode, "crossing") == 0;
    const int flags = RTLD_NOW | (is_deep ? RTLD_DEEPBIND : 0);
    find_plugin();
    if (strcmp(mode, "threads") == 0) {
        threads_that_load(flags);
        return check_summary();
    }
    const bool takes_text = !is_deep || strcmp(mode, "crossing") == 0;
    size_t early = 0;
    for (int i = 0; i < 400; ++i) {
        load_use_unload(flags, i, takes_text);
        if (i == 50) early = rss_bytes();
    }
    const size_t late = rss_bytes();
    CHECK_AT(late < early + (size_t{4} << 20), late - early);
    return check_summary();
}
