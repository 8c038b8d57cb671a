// The programs of the set; each is told in its own file, and each is written again in ../go and ../java.
//
// They are written once for every memory manager of C++: `policy.hpp` is found in the folder of the one that
// the executable is built for (manual, libgc, cairn, cairn_conservative) and offers, in namespace `policy`,
//
//   Field<T>                     a pointer that lies in an object of the heap
//   pointers<T>(&T::a, &T::b)    the line by which a type names its fields; `pointers<T>()`: it has none
//   make<T>(arguments...)        an object
//   make_array<T>(count)         objects, zeroed; T is a Field or a number
//   make_bytes(size)             bytes without pointers, not zeroed where that can be had
//   release(p), release_array(p) frees where that is done by hand, else nothing
//   collects                     whether garbage goes by itself
//   begin(), collect(), report(record), in_threads(count, body)
//
// Locals are plain pointers, and so are parameters.
// SPDX-License-Identifier: MIT
#pragma once

#include "record.hpp"

namespace bench {

void trees(const Arguments& sizes, Record& record);
void mix(const Arguments& sizes, Record& record);
void graph(const Arguments& sizes, Record& record);
void latency(const Arguments& sizes, Record& record);
void large(const Arguments& sizes, Record& record);
void alloc(const Arguments& sizes, Record& record);
void mark(const Arguments& sizes, Record& record);
void stops(const Arguments& sizes, Record& record);

}  // namespace bench
