/* A library with variables, loaded and unloaded by roots_test.cpp. */
/* SPDX-License-Identifier: MIT */
void *initialised = &initialised;
void *blank[20000];
void *const constant = &blank[1];

static _Thread_local void *local;
static _Thread_local void *locals[600];

void *module_variable(int which) {
    if (which == 3) return (void *)&local;
    if (which == 4) return (void *)locals;
    if (which == 0) return (void *)&initialised;
    return which == 1 ? (void *)blank : (void *)&constant;
}
