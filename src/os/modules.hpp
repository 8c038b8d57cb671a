// The program and its shared libraries as the loader has them: where their variables live.
//
// Listing takes a lock of libc's loader, which a thread may hold while it is stopped: nobody may be stopped
// then. While threads are stopped only print_of_module_list() may be called: it reads without a lock and
// tells whether the list is still what it was. Libraries in other dlmopen() namespaces are not seen.
//
// One file an OS; fake_modules.cpp plays a script.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn::os {

// A part of a module that the program may write: .data, .bss. What is read-only after relocation is left out.
struct ModuleSegment {
    std::uintptr_t low;
    std::uintptr_t high;
    std::uintptr_t module_low;  // the whole image, code included
    std::uintptr_t module_high;
    bool is_main_program;
    // The loader's: valid in the visit. "" for the program. What it is a part of, as it was mapped.
    const char* name = "";
    std::uintptr_t mapped_low = 0;
    std::uintptr_t mapped_high = 0;
};

// How often modules were loaded and unloaded so far.
struct ModuleVersion {
    std::uint64_t loads = 0;
    std::uint64_t unloads = 0;
    bool operator==(const ModuleVersion&) const = default;
};

// What a listing saw.
struct ModuleListing {
    ModuleVersion version;
    std::uint64_t print = 0;  // as print_of_module_list() would say
};

// Calls visit(context, segment) for each, in the loader's order. Needs: nobody is stopped.
using VisitSegment = void (*)(void* context, const ModuleSegment& segment);
ModuleListing for_each_module_segment(VisitSegment visit, void* context);

// Thread-local storage that a module has: under which number, and how much.
struct ModuleStorage {
    std::size_t id;  // for block_of_module()
    std::size_t bytes;
};
// Calls visit(context, storage) for each module that has some. Needs: nobody is stopped.
using VisitStorage = void (*)(void* context, const ModuleStorage& storage);
ModuleListing for_each_module_storage(VisitStorage visit, void* context);

// Needs: nobody is stopped. Cost: a fraction of a microsecond.
[[nodiscard]] ModuleVersion module_version();

// A number that changes when a module comes or goes: before the code of a new one runs, after that of an old
// one is gone. 0 when it cannot be told: in a statically linked program, and before the first listing.
// Needs: all other threads are stopped; one that runs might free a record under our eyes.
[[nodiscard]] std::uint64_t print_of_module_list();

}  // namespace cairn::os
