// Fuzzer of the snapshot reader: any bytes as a file, and any bytes as a heap inside a sound frame.
//
// What is taken for a heap is added up and drawn in every form: a forged one may look absurd, not more.
// The first byte of an input says what it is: 'F' a file, else what a file holds unpacked.
// SPDX-License-Identifier: MIT
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "fuzz_main.hpp"
#include "map/heap_model.hpp"
#include "map/picture.hpp"

namespace {

void read_file(const unsigned char* bytes, std::size_t size) {
    const int file = memfd_create("snapshot", MFD_CLOEXEC);
    if (file < 0 || write(file, bytes, size) != static_cast<ssize_t>(size)) std::abort();
    cairn::map::HeapModel model;
    std::string error;
    const bool is_heap = model.load("/proc/self/fd/" + std::to_string(file), error);
    close(file);
    if (is_heap != error.empty()) std::abort();
    if (!is_heap) return;
    std::uint64_t pages = 0;
    for (const auto& arena : model.arenas) pages += arena.pages.size();
    const cairn::map::Totals sums = model.totals();
    const std::uint64_t kept = sums.free_bytes + sums.returned_bytes + sums.cached_page_bytes;
    if (sums.spans != model.spans.size() || kept > pages * model.page_bytes) std::abort();
    if (cairn::map::to_html(model).empty() || cairn::map::to_picture(model).svg().empty()) std::abort();
}

// Puts what a file would hold into a frame with a right checksum, which no change of bytes would hit.
void read_heap(const unsigned char* bytes, std::size_t size) {
    std::vector<unsigned char> file(24 + ZSTD_compressBound(size));
    const std::uint32_t version = 2;
    const std::uint64_t raw = size;
    std::memcpy(file.data(), "CAIRNMAP", 8);
    std::memcpy(file.data() + 8, &version, sizeof version);
    std::memcpy(file.data() + 16, &raw, sizeof raw);
    const std::size_t packed = ZSTD_compress(file.data() + 24, file.size() - 24, bytes, size, 1);
    if (ZSTD_isError(packed) != 0) std::abort();
    read_file(file.data(), 24 + packed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* bytes, std::size_t size) {
    if (size == 0) return 0;
    bytes[0] == 'F' ? read_file(bytes + 1, size - 1) : read_heap(bytes + 1, size - 1);
    return 0;
}
