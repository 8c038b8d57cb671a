// Why arenas lie anywhere: three situations in which one reservation for the whole heap fails, tried.
//
//   before   other libraries were there first, a page in each range that the linear layout could take
//   small    the process may have 4 GiB of addresses (`ulimit -v`)
//   later    a library wants a place of its own inside the range, after the heap began
//
// Each is run in a process of its own under each layout; the program prints what came of it, and fails when
// that is not what docs/design/why-sparse-arenas.md says.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cairn/cairn.hpp"

namespace {

constexpr std::uintptr_t gib = std::uintptr_t{1} << 30;
constexpr std::uintptr_t heap_begin = 0xc000000000;  // where both layouts try first
constexpr std::size_t page = 4096;

// A mapping of somebody else's, exactly there. Returns 0, or what the system said.
int map_at(std::uintptr_t address) {
    void* wanted = reinterpret_cast<void*>(address);
    void* got =
        mmap(wanted, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED) return errno;
    *static_cast<char*>(got) = 1;
    return 0;
}

struct Node {
    cairn::Ptr<Node> next;
    cairn::Ptr<unsigned char> payload;
    int mark = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Node::next, &Node::payload);
};

// Arrays of `bytes` each, written at both ends, all alive through a cycle. True when every one is as written.
bool use_heap(int count, std::size_t bytes) {
    cairn::Root<Node> all;
    for (int mark = 0; mark < count; ++mark) {
        auto* node = cairn::make<Node>();
        cairn::Root<Node> kept = node;
        auto* payload = cairn::make_array<unsigned char>(bytes);
        payload[0] = payload[bytes - 1] = static_cast<unsigned char>(mark);
        node->payload = payload;
        node->mark = mark;
        node->next = all.get();
        all = node;
    }
    cairn::collect();
    int found = 0;
    for (const Node* node = all.get(); node != nullptr; node = node->next, ++found)
        if (node->payload.get()[0] != node->mark || node->payload.get()[bytes - 1] != node->mark)
            return false;
    return found == count;
}

constexpr int works = 0;
constexpr int neighbour_refused = 3;
constexpr int broken = 4;

// One situation, in a process of its own.
int live_through(const std::string& situation) {
    if (situation == "before")
        for (std::uintptr_t i = 0; i < 128; ++i) (void)map_at(i << 40 | (heap_begin + 100 * gib));
    if (situation == "small") {
        const rlimit limit{4 * gib, 4 * gib};
        if (setrlimit(RLIMIT_AS, &limit) != 0) return broken;
    }
    if (!use_heap(100, 1 << 20)) return broken;
    if (situation == "later") {
        if (map_at(heap_begin + gib) != 0) return neighbour_refused;
        if (!use_heap(5, gib / 2)) return broken;  // the heap grows past the neighbour
    }
    return works;
}

// Runs a situation under a layout. Returns how it ended, as wait() gives it.
int try_out(const char* program, const char* layout, const char* situation) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        setenv("CAIRN_LAYOUT", layout, 1);
        execl(program, program, situation, static_cast<char*>(nullptr));
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return status;
}

const char* said(int status) {
    if (WIFSIGNALED(status)) return "no heap";
    if (WEXITSTATUS(status) == works) return "works";
    return WEXITSTATUS(status) == neighbour_refused ? "neighbour refused" : "broken";
}

}  // namespace

int main(int count, char** words) {
    if (count > 1) return live_through(words[1]);
    bool is_as_told = true;
    for (const char* situation : {"before", "small", "later"}) {
        const int sparse = try_out("/proc/self/exe", "sparse", situation);
        const int linear = try_out("/proc/self/exe", "linear", situation);
        std::printf("%-8s sparse: %-10s linear: %s\n", situation, said(sparse), said(linear));
        is_as_told &= WIFEXITED(sparse) && WEXITSTATUS(sparse) == works;
        is_as_told &= !(WIFEXITED(linear) && WEXITSTATUS(linear) == works);
    }
    return is_as_told ? 0 : 1;
}
