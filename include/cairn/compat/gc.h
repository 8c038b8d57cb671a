/* The Boehm collector's interface on Cairn's collector, for sources that say #include <gc.h>.
   SPDX-License-Identifier: MIT */
#ifndef CAIRN_COMPAT_GC_H
#define CAIRN_COMPAT_GC_H
#include "gc/gc.h"
#endif
