// The parts of libc that allocate on their own: strdup, asprintf, getline, streams, regex, qsort, iconv.
//
// What libc hands out is freed by the program, and what the program hands in (getline's buffer, a stream's)
// is resized and freed by libc.
// run: timeout=30
// SPDX-License-Identifier: MIT
#include "check.h"

#include <dirent.h>
#include <glob.h>
#include <iconv.h>
#include <limits.h>
#include <locale.h>
#include <netdb.h>
#include <regex.h>
#include <search.h>
#include <stdlib.h>
#include <wchar.h>

static void strings(void) {
    for (int i = 0; i < 2000; ++i) {
        char text[300];
        memset(text, 'a' + i % 26, sizeof text);
        text[i % 299] = 0;
        char* copy = strdup(text);
        char* part = strndup(text, (size_t)(i % 50));
        char* made = NULL;
        CHECK(strcmp(copy, text) == 0);
        CHECK(asprintf(&made, "%s/%d/%s", copy, i, part) > 0);
        made = realloc(made, strlen(made) + 100);
        CHECK(made != NULL && strstr(made, "/") != NULL);
        free(copy);
        free(part);
        free(made);
    }
    wchar_t* wide = wcsdup(L"wide text of some length");
    CHECK(wcslen(wide) == 24);
    free(wide);
}

static void streams(void) {
    char name[] = "/tmp/cairn-libc-users-XXXXXX";
    int fd = mkstemp(name);
    FILE* out = fdopen(fd, "w+");
    for (int i = 0; i < 3000; ++i) fprintf(out, "%0*d\n", i % 700 + 1, i);
    rewind(out);
    char* line = NULL;
    size_t capacity = 0;
    int lines = 0;
    for (; getline(&line, &capacity, out) > 0; ++lines) CHECK_AT(atoi(line) == lines, lines);
    CHECK(lines == 3000 && capacity >= 700);
    free(line);
    line = malloc(4);  // too small: getline must realloc ours
    capacity = 4;
    rewind(out);
    fseek(out, 100000, SEEK_SET);
    CHECK(getline(&line, &capacity, out) > 4);
    free(line);
    fclose(out);
    unlink(name);
    char* memory = NULL;
    size_t length = 0;
    FILE* stream = open_memstream(&memory, &length);
    for (int i = 0; i < 10000; ++i) fprintf(stream, "line %d\n", i);
    fclose(stream);
    CHECK(length > 90000 && strncmp(memory, "line 0\n", 7) == 0);
    free(memory);
    for (int i = 0; i < 300; ++i) {
        FILE* f = fopen("/proc/self/status", "r");
        char text[64];
        CHECK(f != NULL && fgets(text, sizeof text, f) != NULL);
        if (f != NULL) fclose(f);
    }
}

static int compare_ints(const void* a, const void* b) {
    const int x = *(const int*)a, y = *(const int*)b;
    return (x > y) - (x < y);
}

static void sort_and_search(void) {
    enum { count = 200000 };
    int* numbers = malloc(count * sizeof *numbers);
    uint64_t random = 5;
    for (int i = 0; i < count; ++i) numbers[i] = (int)(next_random(&random) % 1000000);
    qsort(numbers, count, sizeof *numbers, compare_ints);  // glibc takes a buffer for merging
    int is_sorted = 1;
    for (int i = 1; i < count; ++i) is_sorted &= numbers[i - 1] <= numbers[i];
    CHECK(is_sorted);
    void* root = NULL;
    for (int i = 0; i < 5000; ++i) tsearch(&numbers[i * 7], &root, compare_ints);
    CHECK(tfind(&numbers[70], &root, compare_ints) != NULL);
    while (root != NULL) tdelete(*(int**)root, &root, compare_ints);
    free(numbers);
    regex_t pattern;
    for (int i = 0; i < 50; ++i) {
        CHECK(regcomp(&pattern, "^([a-z]+)-([0-9]{2,4})(x|yy)*$", REG_EXTENDED) == 0);
        CHECK(regexec(&pattern, "cairn-2024xyyx", 0, NULL, 0) == 0);
        CHECK(regexec(&pattern, "cairn-1z", 0, NULL, 0) != 0);
        regfree(&pattern);
    }
}

static void places(void) {
    char* here = getcwd(NULL, 0);
    CHECK(here != NULL && here[0] == '/');
    free(here);
    char* resolved = realpath("/usr/../usr/./bin", NULL);
    CHECK(resolved != NULL && strcmp(resolved, "/usr/bin") == 0);
    free(resolved);
    glob_t found;
    CHECK(glob("/etc/*", 0, NULL, &found) == 0 && found.gl_pathc > 10);
    globfree(&found);
    struct dirent** entries = NULL;
    int count = scandir("/usr/lib", &entries, NULL, alphasort);
    CHECK(count > 2);
    for (int i = 0; i < count; ++i) free(entries[i]);
    free(entries);
    for (int i = 0; i < 200; ++i) {
        DIR* directory = opendir("/etc");
        CHECK(directory != NULL && readdir(directory) != NULL);
        if (directory != NULL) closedir(directory);
    }
}

static void environment_and_locale(void) {
    for (int i = 0; i < 2000; ++i) {
        char name[32];
        snprintf(name, sizeof name, "CAIRN_TEST_%d", i % 200);
        CHECK(setenv(name, i % 2 ? "short" : "a rather longer value than the other one", 1) == 0);
    }
    CHECK(strcmp(getenv("CAIRN_TEST_7"), "short") == 0);
    for (int i = 0; i < 20; ++i) {
        setlocale(LC_ALL, i % 2 ? "C.UTF-8" : "C");
        locale_t mine = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
        if (mine != (locale_t)0) freelocale(mine);
    }
    for (int i = 0; i < 20; ++i) {
        iconv_t converter =
            iconv_open("UTF-16LE", "LATIN1");  // loads a module, which allocates in the loader
        CHECK(converter != (iconv_t)-1);
        if (converter != (iconv_t)-1) iconv_close(converter);
    }
    struct addrinfo* list = NULL;
    if (getaddrinfo("127.0.0.1", "80", NULL, &list) == 0) freeaddrinfo(list);
}

int main(void) {
    strings();
    streams();
    sort_and_search();
    places();
    environment_and_locale();
    return check_summary();
}
