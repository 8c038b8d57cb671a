/* A library with variables, loaded and unloaded by roots_test.cpp. */
/* SPDX-License-Identifier: MIT */
void *initialised = &initialised;
void *blank[20000];
void *const constant = &blank[1];

void *module_variable(int which) {
    if (which == 0) return (void *)&initialised;
    return which == 1 ? (void *)blank : (void *)&constant;
}
