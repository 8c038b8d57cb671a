// Fuzzer of the trace reader: any bytes as a file, and any bytes as a block behind a sound frame.
//
// Built twice (cmake/fuzz.cmake): with libFuzzer where clang is, and with fuzz_main.hpp everywhere.
// The first byte of an input says what it is: 'F' a file, else a block.
// SPDX-License-Identifier: MIT
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "fuzz_main.hpp"
#include "trace/reader.hpp"
#include "trace/statistics.hpp"

namespace {

using cairn::trace::Event;

// What every consumer relies on.
void check(const Event& event, std::uint64_t made, std::uint64_t last_ns, std::size_t sites) {
    const bool is_right = event.time_ns >= last_ns && event.id <= made && event.site <= sites &&
                          event.size < cairn::trace::size_limit && event.thread < 1u << 20 &&
                          (event.align & (event.align - 1)) == 0;
    if (!is_right) std::abort();
}

void read_file(const unsigned char* bytes, std::size_t size) {
    const int file = memfd_create("trace", MFD_CLOEXEC);
    if (file < 0 || write(file, bytes, size) != static_cast<ssize_t>(size)) std::abort();
    cairn::trace::Reader reader;
    if (reader.open("/proc/self/fd/" + std::to_string(file))) {
        cairn::trace::Statistics sums;
        std::uint64_t made = 0, last_ns = 0;
        for (Event event; reader.next(event); last_ns = event.time_ns) {
            made += makes_object(event.op);
            check(event, made, last_ns, reader.sites().size());
            sums.add(event);
        }
    }
    close(file);
}

void read_block(const unsigned char* bytes, std::size_t size) {
    cairn::trace::BlockView view;
    cairn::trace::Running running;
    cairn::trace::Statistics sums;
    const std::uint32_t events = size < 24 ? 0 : bytes[20] | bytes[21] << 8;  // as long as its ops
    if (!view.begin({bytes, size}, events, true, 3, running)) return;
    std::uint64_t last_ns = 0;
    Event event;
    for (; !view.is_empty() && view.next(event, running); last_ns = event.time_ns) {
        check(event, running.next_id - 1, last_ns, 3);
        sums.add(event);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* bytes, std::size_t size) {
    if (size == 0) return 0;
    bytes[0] == 'F' ? read_file(bytes + 1, size - 1) : read_block(bytes + 1, size - 1);
    return 0;
}
