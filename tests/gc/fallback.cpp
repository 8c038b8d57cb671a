// Where the kernel does not tell what is written, a cycle with conservative objects stops the world, says
// why, and loses nothing; without such objects it stays concurrent.
//
// A seccomp filter refuses userfaultfd, or only the question which pages were written, as a container does.
// SPDX-License-Identifier: MIT
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <thread>

#include "gc/gc_test.hpp"

namespace {

struct Loose {
    Loose* next;
    long value;
    long pad[6];
};

// `call` fails with EPERM from here on, if its second argument is `argument` (or whatever it is, for 0).
void refuse(unsigned call, unsigned argument) {
    constexpr unsigned load = BPF_LD | BPF_W | BPF_ABS;
    const sock_filter filter[] = {
        BPF_STMT(load, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 4),
        BPF_STMT(load, offsetof(seccomp_data, args[1])),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, argument == 0 ? 0 : ~0u),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, argument, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{sizeof filter / sizeof *filter, const_cast<sock_filter*>(filter)};
    REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

// Moves a list's nodes from one conservative object to another while cycles run.
void churn() {
    gc_test::Random random(gc_test::seed());
    auto** kept = static_cast<Loose**>(cairn_alloc_conservative(64 * sizeof(Loose*)));
    REQUIRE(kept != nullptr);
    // More than is marked in a short stop, so that the kernel is asked at all.
    Loose* volatile ballast = nullptr;
    for (long i = 0; i < 700'000; ++i) {
        auto* node = static_cast<Loose*>(cairn_alloc_conservative(sizeof(Loose)));
        REQUIRE(node != nullptr);
        node->value = 78;
        node->next = ballast;
        ballast = node;
    }
    for (long i = 0; i < 1'500'000; ++i) {
        const std::uint64_t from = random.below(64);
        const std::uint64_t to = random.below(64);
        if (random.one_in(3)) {
            auto* node = static_cast<Loose*>(cairn_alloc_conservative(sizeof(Loose)));
            REQUIRE(node != nullptr && node->next == nullptr);
            node->value = 77;
            node->next = kept[to];
            kept[to] = node;
        } else if (Loose* moved = kept[from]) {
            kept[from] = moved->next;
            moved->next = kept[to];
            kept[to] = moved;
        }
        if (random.one_in(5000)) kept[from] = nullptr;
        if (!random.one_in(2000)) continue;
        for (const Loose* at = kept[to]; at != nullptr; at = at->next) REQUIRE_AT(at->value == 77, at->value);
    }
    cairn_collect();
    long length = 0;
    for (const Loose* at = ballast; at != nullptr; at = at->next) length += at->value == 78;
    REQUIRE_AT(length == 700'000, length);
    REQUIRE(gc_test::stats().cycles > 3);
}

constexpr unsigned pagemap_scan = 0xc060'6610;  // _IOWR('f', 16, struct pm_scan_arg)

void userfaultfd_refused() {
    refuse(SYS_userfaultfd, 0);
    churn();
}
void scan_refused() {
    refuse(SYS_ioctl, pagemap_scan);
    churn();
}
void nothing_refused() { churn(); }
void typed_alone() {
    refuse(SYS_userfaultfd, 0);
    static std::uint32_t cell;
    static constexpr std::uint64_t map[] = {1};
    static constexpr cairn_type type = {32, 8, CAIRN_TYPED, 4, map, nullptr, "typed", &cell};
    void** list = nullptr;
    for (long i = 0; i < 1'000'000; ++i) {
        auto** node = static_cast<void**>(cairn_alloc(32, &type));
        REQUIRE(node != nullptr);
        cairn_store(node, i % 1000 == 0 ? nullptr : list);
        list = node;
    }
    cairn_collect();
}

}  // namespace

int main(int count, char** words) {
    const std::vector<const char*> traced = {"CAIRN_TRACE=gc", "CAIRN_POISON=on"};
    const std::vector<gc_test::Case> cases = {
        {"userfaultfd_refused", userfaultfd_refused, 0, "rounds, stw", traced},
        {"scan_refused", scan_refused, 0, "rounds, stw", traced},
        {"nothing_refused", nothing_refused, 0, "cairn: gc ", traced},
        {"typed_alone", typed_alone, 0, "rounds, concurrent", traced},
    };
    const gc_test::Arguments arguments(count, words);
    int failed = gc_test::run_cases(cases, arguments);
    if (!arguments.only.empty()) return failed;
    // The reason is in the trace, and no cycle with conservative objects ran without it.
    const gc_test::Outcome refused = gc_test::run_case("userfaultfd_refused", traced);
    REQUIRE(refused.says("userfaultfd") && !refused.says("rounds, concurrent"));
    return failed;
}
