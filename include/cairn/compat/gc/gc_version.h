/* The version of the Boehm collector whose interface this is.
   SPDX-License-Identifier: MIT */
#ifndef GC_VERSION_H
#define GC_VERSION_H
#define GC_VERSION_MAJOR 8
#define GC_VERSION_MINOR 2
#define GC_VERSION_MICRO 2
#define GC_VERSION ((GC_VERSION_MAJOR << 16) | (GC_VERSION_MINOR << 8) | GC_VERSION_MICRO)
#endif
