// Modules on Linux: dl_iterate_phdr(), and the list that the loader keeps for debuggers.
//
// The debugger's list hangs off DT_DEBUG of the main program. It changes one pointer at a time, so that a
// debugger may walk it whenever it stops the program, and so may we. While the program runs we walk it only
// inside dl_iterate_phdr(), under the lock that changes take.
// SPDX-License-Identifier: MIT
#include <link.h>

#include <atomic>
#include <cstddef>

#include "base/bits.hpp"
#include "os/memory.hpp"
#include "os/modules.hpp"

namespace cairn::os {
namespace {

constinit std::atomic<const r_debug*> loader_list{nullptr};  // [atomic] found once, then fixed

struct Listing {
    VisitSegment visit;
    VisitStorage visit_storage;
    void* context;
    ModuleListing result;
    std::size_t modules = 0;
};

std::uintptr_t low_of(const dl_phdr_info& info, const ElfW(Phdr) & header) {
    return info.dlpi_addr + header.p_vaddr;
}

// The loader writes the address of its list there, in the main program only.
void find_loader_list(const dl_phdr_info& info) {
    for (std::size_t i = 0; i < info.dlpi_phnum; ++i) {
        if (info.dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
        const auto* entry = reinterpret_cast<const ElfW(Dyn)*>(low_of(info, info.dlpi_phdr[i]));
        for (; entry->d_tag != DT_NULL; ++entry) {
            if (entry->d_tag != DT_DEBUG) continue;
            // release: pairs with the acquire of the readers; the loader wrote it long ago
            loader_list.store(reinterpret_cast<const r_debug*>(entry->d_un.d_ptr), std::memory_order_release);
        }
    }
}

struct Bounds {
    std::uintptr_t low = UINTPTR_MAX;
    std::uintptr_t high = 0;
};

// What is left of `whole` without `fixed`.
void visit_around(const Bounds& whole, const Bounds& fixed, ModuleSegment segment, const Listing& listing) {
    const bool is_touched = fixed.low < whole.high && fixed.high > whole.low;
    const Bounds before{whole.low, is_touched ? fixed.low : whole.high};
    const Bounds after{is_touched ? fixed.high : whole.high, whole.high};
    for (const Bounds& piece : {before, after}) {
        segment.low = piece.low;
        segment.high = piece.high;
        if (segment.low < segment.high) listing.visit(listing.context, segment);
    }
}

void visit_segments(const dl_phdr_info& info, const Listing& listing) {
    Bounds image;
    Bounds fixed;
    for (std::size_t i = 0; i < info.dlpi_phnum; ++i) {
        const ElfW(Phdr)& header = info.dlpi_phdr[i];
        const std::uintptr_t low = low_of(info, header);
        const std::uintptr_t high = low + header.p_memsz;
        if (header.p_type == PT_LOAD) {
            image.low = low < image.low ? low : image.low;
            image.high = high > image.high ? high : image.high;
        } else if (header.p_type == PT_GNU_RELRO) {
            // As the loader protects it: rounded down on both sides.
            fixed = {base::align_down(low, page_bytes()), base::align_down(high, page_bytes())};
        }
    }
    ModuleSegment segment{0, 0, image.low, image.high, listing.modules == 0};
    if (info.dlpi_name != nullptr) segment.name = info.dlpi_name;
    for (std::size_t i = 0; i < info.dlpi_phnum; ++i) {
        const ElfW(Phdr)& header = info.dlpi_phdr[i];
        if (header.p_type != PT_LOAD || (header.p_flags & PF_W) == 0) continue;
        segment.mapped_low = low_of(info, header);
        segment.mapped_high = segment.mapped_low + header.p_memsz;
        visit_around({segment.mapped_low, segment.mapped_high}, fixed, segment, listing);
    }
}

void visit_storage(const dl_phdr_info& info, const Listing& listing) {
    for (std::size_t i = 0; i < info.dlpi_phnum; ++i) {
        const ElfW(Phdr)& header = info.dlpi_phdr[i];
        if (header.p_type == PT_TLS && info.dlpi_tls_modid != 0)
            listing.visit_storage(listing.context, {info.dlpi_tls_modid, header.p_memsz});
    }
}

int visit_module(dl_phdr_info* info, std::size_t bytes, void* context) {
    auto& listing = *static_cast<Listing*>(context);
    if (bytes >= offsetof(dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs)
        listing.result.version = {info->dlpi_adds, info->dlpi_subs};
    // relaxed: only whether it is there
    if (listing.modules == 0 && loader_list.load(std::memory_order_relaxed) == nullptr)
        find_loader_list(*info);
    if (listing.visit == nullptr && listing.visit_storage == nullptr) return 1;
    if (listing.modules == 0) listing.result.print = print_of_module_list();
    if (listing.visit != nullptr) visit_segments(*info, listing);
    else visit_storage(*info, listing);
    ++listing.modules;
    return 0;
}

}  // namespace

ModuleListing for_each_module_segment(VisitSegment visit, void* context) {
    Listing listing{visit, nullptr, context, {}};
    (void)dl_iterate_phdr(visit_module, &listing);
    return listing.result;
}

ModuleListing for_each_module_storage(VisitStorage visit, void* context) {
    Listing listing{nullptr, visit, context, {}};
    (void)dl_iterate_phdr(visit_module, &listing);
    return listing.result;
}

ModuleVersion module_version() {
    return for_each_module_segment(nullptr, nullptr).version;
}

// Thread sanitizer does not see the loader's lock.
__attribute__((no_sanitize("thread"))) std::uint64_t print_of_module_list() {
    const r_debug* list =
        loader_list.load(std::memory_order_acquire);  // acquire: pairs with find_loader_list()
    if (list == nullptr) return 0;
    std::uint64_t print = 0xcbf29ce484222325;  // FNV-1a, by words
    for (const link_map* module = list->r_map; module != nullptr; module = module->l_next) {
        print = (print ^ module->l_addr) * 0x100000001b3;
        print = (print ^ reinterpret_cast<std::uintptr_t>(module->l_ld)) * 0x100000001b3;
    }
    return print | 1;
}

}  // namespace cairn::os
