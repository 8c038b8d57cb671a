// Memory before main and after it: constructors, static objects, atexit, thread_locals, libraries.
//
// Whatever was allocated early is used and freed late. A failure after main cannot change the exit code by
// returning, so it leaves by _exit with a code of its own. The library beside this program stays loaded
// until the very end.
// run: timeout=30
// run: timeout=30 args=quick_exit
// run: timeout=30 args=threads_at_exit
// SPDX-License-Identifier: MIT
#include "check.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#include <string>
#include <thread>
#include <vector>

namespace {

char* early;  // allocated by the first constructor of the program
std::vector<std::string>* gone_late;

__attribute__((constructor(101))) void first_constructor() {
    early = static_cast<char*>(malloc(5000));
    memset(early, 'e', 5000);
    gone_late = new std::vector<std::string>(100, std::string(200, 'g'));
}

__attribute__((destructor(101))) void last_destructor() {
    if (early[0] != 'e') _exit(43);
    early = static_cast<char*>(realloc(early, 100'000));
    if (early == nullptr || early[4999] != 'e') _exit(44);
    free(early);
    if ((*gone_late)[99][199] != 'g') _exit(45);
    delete gone_late;
    for (size_t bytes = 1; bytes < 5000; bytes += 17) free(opaque(calloc(1, bytes)));
}

struct Static {
    std::vector<std::string> texts;
    Static() : texts(500, "a static object that holds strings on the heap") {}
    ~Static() {
        texts.resize(2000, "and grows while the program ends, because nothing forbids it");
        if (texts.size() != 2000) _exit(46);
    }
} static_object;

thread_local std::vector<std::string> per_thread(10, "a thread_local text that is not small at all");

void at_exit() {
    void* p = malloc(3000);
    if (p == nullptr) _exit(47);
    free(p);
}

bool load_library_beside() {
    char path[4096];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 64);
    if (length <= 0) return false;
    path[length] = 0;
    strcpy(strrchr(path, '/') + 1, "liblifecycle_so.so");
    return dlopen(path, RTLD_NOW) != nullptr;
}

void* allocate_for_ever(void*) {
    for (;;) free(opaque(malloc(200)));
}

}  // namespace

int main(int argc, char** argv) {
    const std::string mode = argc > 1 ? argv[1] : "";
    CHECK(early[0] == 'e' && early[4999] == 'e');
    CHECK(gone_late->size() == 100 && static_object.texts.size() == 500);
    CHECK(load_library_beside());
    CHECK(per_thread.size() == 10);
    std::thread([] {
        per_thread.resize(1000, "strings of a thread that ends before the program");
        static thread_local std::vector<int> later(100);
        CHECK(later.size() == 100);
    }).join();
    CHECK(atexit(at_exit) == 0);
    const int code = check_summary();
    if (mode == "quick_exit") {
        at_quick_exit([] { free(opaque(malloc(100))); });
        quick_exit(code);
    }
    if (mode == "threads_at_exit") {  // exit while others are in the allocator
        for (int i = 0; i < 4; ++i) {
            pthread_t thread;
            pthread_create(&thread, nullptr, allocate_for_ever, nullptr);
        }
        sleep_ms(20);
    }
    return code;
}
