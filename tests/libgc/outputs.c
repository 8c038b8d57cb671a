/* How a program ends that is out of memory or uses the interface wrongly, what it is warned of, where output
   goes, all objects there are, time measured.
   SPDX-License-Identifier: MIT */
#include "check.h"
#include <fcntl.h>
#include <gc/gc_mark.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

extern void GC_err_printf(const char* format, ...), GC_log_printf(const char* format, ...);
extern void GC_printf(const char* format, ...);

/* ---- ends */

static int told[2];
static void on_abort(const char* message) {
    const char word = message == NULL ? 'n' : 'm';
    CHECK(write(told[1], &word, 1) == 1);
}
static void run_out(void) {
    GC_set_oom_fn((GC_oom_func)GC_abort_on_oom);
    void* volatile refused = GC_MALLOC((size_t)1 << 60);
    (void)refused;
}
static void register_wrongly(void) {
    static void* link;
    GC_register_disappearing_link(&link);
}
static void leave_object(void) {
    char* object = GC_MALLOC(16);
    GC_same_obj(object, object + 5000);
}
static struct GC_ms_entry* mark(GC_word* object, struct GC_ms_entry* top, struct GC_ms_entry* limit,
                                GC_word environment) {
    return top;
}
static void make_procedures(void) {
    for (int i = 0; i < GC_MAX_MARK_PROCS; ++i) GC_new_proc(mark);
}
static void end(const char* what, void (*wrong)(void)) {
    CHECK(pipe(told) == 0);
    const pid_t child = fork();
    if (child == 0) {
        CHECK(dup2(open("/dev/null", O_WRONLY), 2) == 2);
        GC_set_abort_func(on_abort);
        CHECK(GC_get_abort_func() == on_abort);
        wrong();
        _exit(0);
    }
    int status = 0;
    char word = 0;
    CHECK(waitpid(child, &status, 0) == child && close(told[1]) == 0);
    if (read(told[0], &word, 1) != 1) word = '-';
    TELL("%s: exit %d, abort %d, told %c", what, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
         WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, word);
    close(told[0]);
}

/* ---- warnings */

static uintptr_t rings[tries]; /* complemented */
static int warned, known;
static void on_warning(char* format, GC_word argument) {
    if (strstr(format, "Finalization cycle") == NULL) return;
    CHECK(strncmp(format, "GC Warning: ", 12) == 0);
    ++warned;
    for (int i = 0; i < tries; ++i) known += ~rings[i] == argument;
}
static void finalize(void* object, void* data) { CHECK(!"in a ring"); }
static void make_rings(void) {
    for (int i = 0; i < tries; ++i) {
        void** object = GC_MALLOC(16);
        *object = object;
        rings[i] = ~(uintptr_t)object;
        GC_REGISTER_FINALIZER(object, finalize, NULL, NULL, NULL);
    }
}

/* ---- objects */

enum { numbered = 5000 };
struct object {
    long number;
    struct object* next;
    char rest[80];
};
static struct object* all;
static int numbers, blank;
static void on_object(void* object, size_t bytes, void* data) {
    CHECK(data == &all && object != NULL && bytes >= 1);
    if (bytes < sizeof(struct object) || bytes > 2 * sizeof(struct object)) return;
    if (((struct object*)object)->number == 0x1234567) ++numbers;
    else if (((struct object*)object)->number == 0) ++blank;
}
static void* enumerate(void* unused) {
    GC_enumerate_reachable_objects_inner(on_object, &all);
    return NULL;
}

/* ---- output, by another program: this one with an argument */

static int print(void) {
    GC_INIT();
    GC_printf("printed\n");
    GC_err_printf("wrong\n");
    GC_log_printf("logged\n");
    return 0;
}
static void run_again(char* self, int only) {
    char name[] = "log-XXXXXX", said[200] = {0}, text[200] = {0};
    const int file = mkstemp(name);
    CHECK(file >= 0 && pipe(told) == 0);
    const pid_t child = fork();
    if (child == 0) {
        setenv("GC_LOG_FILE", name, 1);
        if (only) setenv("GC_ONLY_LOG_TO_FILE", "1", 1);
        CHECK(dup2(told[1], 1) == 1 && dup2(told[1], 2) == 2);
        execl(self, self, "print", NULL);
        _exit(1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0 && close(told[1]) == 0);
    CHECK(read(told[0], said, sizeof said - 1) >= 0 && read(file, text, sizeof text - 1) > 0);
    TELL("said: %s", said);
    TELL("logged: %s", text);
    CHECK(close(told[0]) == 0 && close(file) == 0 && unlink(name) == 0);
}

int main(int count, char** words) {
    setvbuf(stdout, NULL, _IONBF, 0);
    if (count > 1) return print();
    GC_INIT();
    end("out of memory", run_out);
    end("a link in no object", register_wrongly);
    end("out of an object", leave_object);
    end("too many procedures", make_procedures);
    run_again(words[0], 0);
    run_again(words[0], 1);

    GC_set_warn_proc(on_warning);
    make_and_forget(make_rings);
    GC_gcollect();
    TELL("warned of each %d", most(warned) && warned == known);
    GC_set_warn_proc(GC_ignore_warn_proc);

    TELL("time %lu", GC_get_full_gc_total_time());
    GC_start_performance_measurement();
    for (int i = 0; i < numbered; ++i) {
        struct object* made = GC_NEW(struct object);
        made->number = 0x1234567;
        made->next = all;
        all = made;
    }
    for (int i = 0; i < 200; ++i) GC_FREE(GC_NEW(struct object));
    collect(300);
    GC_call_with_alloc_lock(enumerate, NULL);
    TELL("objects %d, blank %d", numbers == numbered, blank > 20);
    TELL("time %d", GC_get_full_gc_total_time() > 0);
    return 0;
}
