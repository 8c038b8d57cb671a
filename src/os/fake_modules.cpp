// The fake's modules, and safe reading as the fake has it: pages that are not ready cannot be read.
// SPDX-License-Identifier: MIT
#include "os/fake_modules.hpp"

#include <cstring>

#include "base/bits.hpp"
#include "base/check.hpp"
#include "os/fake.hpp"
#include "os/memory.hpp"
#include "os/safe_read.hpp"

namespace cairn::os {
namespace {

struct Script {
    ModuleSegment segments[fake::segments_max];  // [owner] the test's thread, as all here
    std::size_t count = 0;                       // [owner]
    ModuleVersion version;                       // [owner]
};

constinit Script script{};

}  // namespace

namespace fake {

void set_modules(const ModuleSegment* segments, std::size_t count) {
    CAIRN_CHECK(count <= segments_max);
    if (count != 0) std::memcpy(script.segments, segments, count * sizeof *segments);
    script.count = count;
    ++script.version.loads;
    ++script.version.unloads;
}

}  // namespace fake

ModuleListing for_each_module_segment(VisitSegment visit, void* context) {
    for (std::size_t i = 0; i < script.count; ++i) visit(context, script.segments[i]);
    return {script.version, print_of_module_list()};
}

ModuleListing for_each_module_storage(VisitStorage, void*) {
    return {script.version, print_of_module_list()};
}

ModuleVersion module_version() {
    return script.version;
}
std::uint64_t print_of_module_list() {
    return script.version.loads + 1;
}

std::size_t copy_readable(void* to, const Piece* pieces, std::size_t count) {
    std::size_t copied = 0;
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t done = 0; done < pieces[i].bytes;) {
            const auto at = reinterpret_cast<std::uintptr_t>(pieces[i].start) + done;
            if (!is_readable(at)) return copied;
            const std::size_t left_on_page = page_bytes() - at % page_bytes();
            const std::size_t left = pieces[i].bytes - done;
            const std::size_t bytes = left < left_on_page ? left : left_on_page;
            std::memcpy(static_cast<char*>(to) + copied, reinterpret_cast<const void*>(at), bytes);
            copied += bytes;
            done += bytes;
        }
    }
    return copied;
}

bool is_readable(std::uintptr_t address) {
    const fake::State state = fake::state_of(reinterpret_cast<const void*>(address));
    return state == fake::State::ready || state == fake::State::none;  // none: the test's own memory
}

}  // namespace cairn::os
