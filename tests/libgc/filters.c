/* The program chooses which writable segments of itself and of its libraries are roots, cycle by cycle; and
   takes back what it excluded.
   SPDX-License-Identifier: MIT */
#include "check.h"
#include <dlfcn.h>
#include <unistd.h>

/* Links in memory that nobody scans. */
static void** links;
static int live(void) {
    int count = 0;
    for (int i = 0; i < tries; ++i) count += links[i] != NULL;
    return most(count) ? 1 : few(count) ? 0 : -count;
}

static void* held[tries];         /* of the program */
static void** of_library;         /* of a library that is loaded later */
static void** place;
static void fill(void) {
    for (int i = 0; i < tries; ++i) {
        GC_unregister_disappearing_link(&links[i]);
        place[i] = links[i] = GC_MALLOC(20);
        CHECK(GC_general_register_disappearing_link(&links[i], links[i]) == GC_SUCCESS);
    }
}
static int kept(void** in) {
    place = in;
    make_and_forget(fill);
    collect(2);
    const int result = live();
    memset(in, 0, tries * sizeof *in);
    return result;
}

static int asked, asked_program, asked_libc, asked_library;
static int refuses_program, refuses_library;
static int wants(const char* name, void* start, size_t bytes) {
    CHECK(name != NULL && start != NULL && bytes > 0);
    ++asked;
    const int is_program = (char*)held >= (char*)start && (char*)(held + tries) <= (char*)start + bytes;
    const int is_library = of_library != NULL && (char*)of_library >= (char*)start &&
                           (char*)of_library < (char*)start + bytes;
    CHECK(!is_library || strstr(name, "held-") != NULL);
    asked_program += is_program;
    asked_library += is_library;
    asked_libc += strstr(name, "libc.so") != NULL;
    return is_program ? !refuses_program : is_library ? !refuses_library : 1;
}

/* A library with `tries` variables that are no constants. */
static void load_library(void) {
    char source[] = "held-XXXXXX.c", command[200], path[100];
    const int file = mkstemps(source, 2);
    CHECK(file >= 0 && dprintf(file, "void* held_there[%d]; int number = 5;\n", tries) > 0);
    CHECK(close(file) == 0);
    snprintf(path, sizeof path, "./%.*s.so", (int)strlen(source) - 2, source);
    snprintf(command, sizeof command, "gcc -shared -fPIC %s -o %s", source, path);
    CHECK(system(command) == 0);
    void* const library = dlopen(path, RTLD_NOW);
    CHECK(library != NULL && unlink(path) == 0 && unlink(source) == 0);
    of_library = dlsym(library, "held_there");
    CHECK(of_library != NULL);
}

int main(void) {
    links = calloc(tries, sizeof *links);
    GC_register_has_static_roots_callback(wants);
    GC_INIT();
    TELL("program %d", kept(held));
    TELL("asked %d, of the program %d, of libc %d", asked >= 4, asked_program >= 2, asked_libc >= 2);
    refuses_program = 1;
    TELL("refused %d", kept(held));
    refuses_program = 0;
    TELL("and back %d", kept(held));
    load_library();
    const int in_library = kept(of_library);
    TELL("library %d %d", in_library, asked_library >= 2);
    refuses_library = 1;
    TELL("refused %d", kept(of_library));
    refuses_program = 1;
    TELL("both %d %d", kept(of_library), kept(held));
    GC_add_roots(held, held + tries);
    TELL("added %d", kept(held));
    GC_register_has_static_roots_callback(NULL);
    asked = 0;
    TELL("no filter %d %d, asked %d", kept(of_library), kept(held), asked);
    return 0;
}
