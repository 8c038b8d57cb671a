// The background thread for real: it starts by itself, gives memory back, and the program works on.
//
// Each test runs in a child process, so that its thread ends with it.
// SPDX-License-Identifier: MIT
#include "heap/background.hpp"

#include <unistd.h>

#include <cstring>
#include <vector>

#include "os/process.hpp"
#include "unit/heap/malloc_heap.hpp"

namespace cairn::heap {
namespace {

constinit Background background;
constexpr Hooks hooks{.freed = [] { background.start_if_needed(); }};

// Waits for `is_done`; a time-out is an error of the child.
template <class Condition>
void wait_for(Condition is_done) {
    const std::uint64_t deadline = os::monotonic_ns() + 20'000'000'000;
    while (!is_done()) {
        if (os::monotonic_ns() > deadline) _exit(2);
        os::sleep_ns(5'000'000);
    }
}

[[noreturn]] void spike_and_wait() {
    MallocHeap heap;
    if (!heap.start({}, hooks)) _exit(3);
    background.initialize(*heap, true, false);
    ThreadCache* cache = heap->attach();
    std::vector<void*> objects;
    for (unsigned i = 0; i < 64; ++i) {
        objects.push_back(heap.allocate(*cache, mib));
        std::memset(objects.back(), 1, mib);
    }
    for (void* object : objects) heap.free(*cache, object);
    if (!os::is_background_running()) _exit(4);
    // The program works on meanwhile.
    wait_for([&] {
        for (unsigned i = 0; i < 100; ++i) heap.free(*cache, heap.allocate(*cache, 48 + i * 97));
        return heap->spans().returned_total_bytes() > 24 * mib;
    });
    heap->verify();
    _exit(0);
}

TEST(Background, GivesASpikeBackBesideTheProgram) {
    if (base::sanitized_build) GTEST_SKIP() << "its thread is unknown to sanitizers";
    EXPECT_EXIT(spike_and_wait(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace cairn::heap
