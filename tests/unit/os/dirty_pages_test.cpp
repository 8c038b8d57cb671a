// Dirty pages on the real kernel: every write is found, whoever makes it and whatever happens to the tracker.
//
// Where the kernel cannot do it (or the tests run under an emulator) the cases skip with the reason.
// SPDX-License-Identifier: MIT
#include "os/dirty_pages.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/config.hpp"
#include "os/memory.hpp"

namespace cairn::os {
namespace {

constexpr int user_mode_only = 1;  // UFFD_USER_MODE_ONLY
constexpr std::size_t mib = std::size_t{1} << 20;

// A mapping of `pages` OS pages, given back at the end.
class Pages {
public:
    explicit Pages(std::size_t pages, int protection = PROT_READ | PROT_WRITE)
        : bytes(pages * page_bytes()),
          memory_(mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)),
          start(reinterpret_cast<std::uintptr_t>(memory_)) {
        EXPECT_NE(memory_, MAP_FAILED);
        madvise(memory_, bytes, MADV_NOHUGEPAGE);
    }
    ~Pages() { munmap(memory_, bytes); }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;

    std::atomic<std::uint64_t>* word(std::size_t page, std::size_t index = 0) const {
        return reinterpret_cast<std::atomic<std::uint64_t>*>(start + page * page_bytes()) + index;
    }
    void write(std::size_t page) const { word(page)->fetch_add(1); }
    void write_all() const {
        for (std::size_t page = 0; page < bytes / page_bytes(); ++page) write(page);
    }

    const std::size_t bytes;

private:
    void* const memory_;

public:
    const std::uintptr_t start;
};

struct PageRun {
    std::size_t first;
    std::size_t count;
    bool operator==(const PageRun&) const = default;
};

void PrintTo(const PageRun& run, std::ostream* out) {
    *out << run.first << '+' << run.count;
}

using Runs = std::vector<PageRun>;

bool holds(const Runs& runs, std::size_t page) {
    return std::any_of(runs.begin(), runs.end(), [page](const PageRun& run) {
        return run.first <= page && page < run.first + run.count;
    });
}

Runs collect(DirtyTracker& tracker, const Pages& pages, bool is_rearmed = true) {
    Runs runs;
    EXPECT_TRUE(tracker.collect(pages.start, pages.bytes, is_rearmed, [&](auto low, auto high) {
        runs.push_back({(low - pages.start) / page_bytes(), (high - low) / page_bytes()});
    }));
    return runs;
}

class DirtyPages : public testing::Test {
protected:
    void SetUp() override {
        if (!tracker_.start()) GTEST_SKIP() << tracker_.unavailable_reason();
    }
    ~DirtyPages() override { tracker_.after_fork_child(); }

    void watch_and_arm(const Pages& pages) {
        ASSERT_TRUE(tracker_.watch(pages.start, pages.bytes));
        ASSERT_TRUE(tracker_.arm(pages.start, pages.bytes));
    }

    DirtyTracker tracker_;
};

TEST_F(DirtyPages, FindsWhatWasWritten) {
    Pages pages(64);
    pages.write_all();
    watch_and_arm(pages);
    EXPECT_EQ(collect(tracker_, pages), Runs{});
    pages.write(3);
    pages.write(4);
    pages.write(63);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{3, 2}, {63, 1}}));
    EXPECT_EQ(collect(tracker_, pages), Runs{}) << "armed again";
    pages.write(4);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{4, 1}}));
}

TEST_F(DirtyPages, WithoutRearmingTheyStayDirty) {
    Pages pages(8);
    pages.write_all();
    watch_and_arm(pages);
    pages.write(1);
    EXPECT_EQ(collect(tracker_, pages, false), (Runs{{1, 1}}));
    pages.write(2);
    EXPECT_EQ(collect(tracker_, pages, false), (Runs{{1, 2}}));
}

TEST_F(DirtyPages, ReadingIsNoWriting) {
    Pages pages(8);
    pages.write_all();
    watch_and_arm(pages);
    std::uint64_t sum = 0;
    for (std::size_t page = 0; page < 8; ++page) sum += pages.word(page)->load();
    EXPECT_EQ(sum, 8u);
    EXPECT_EQ(collect(tracker_, pages), Runs{});
}

TEST_F(DirtyPages, FindsWritesOfTheKernel) {
    Pages pages(8);
    pages.write_all();
    watch_and_arm(pages);
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    ASSERT_EQ(::write(ends[1], "cairn", 5), 5);
    ASSERT_EQ(::read(ends[0], pages.word(5), 5), 5) << "the kernel writes into an armed page";
    close(ends[0]);
    close(ends[1]);
    EXPECT_EQ(std::memcmp(pages.word(5), "cairn", 5), 0);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{5, 1}}));
}

TEST_F(DirtyPages, NewPagesAreReportedAndUntouchedOnesAreNot) {
    Pages pages(16);
    pages.write(0);
    watch_and_arm(pages);
    EXPECT_EQ(collect(tracker_, pages), Runs{});
    pages.write(7);
    EXPECT_EQ(pages.word(9)->load(), 0u);
    const Runs runs = collect(tracker_, pages);
    EXPECT_TRUE(runs == (Runs{{7, 1}}) || runs == (Runs{{7, 1}, {9, 1}})) << "a first read may count as well";
    pages.write(9);
    pages.write(10);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{9, 2}})) << "read before, and never touched before";
}

TEST_F(DirtyPages, PresentPagesAreFoundArmedOrNot) {
    Pages pages(16);
    pages.write(2);
    pages.write(3);
    const auto present = [&] {
        Runs runs;
        const auto note = [](void* context, std::uintptr_t low, std::uintptr_t high) {
            static_cast<Runs*>(context)->push_back({low, (high - low) / page_bytes()});
        };
        EXPECT_TRUE(tracker_.visit_present(pages.start, pages.bytes, note, &runs));
        for (PageRun& run : runs) run.first = (run.first - pages.start) / page_bytes();
        return runs;
    };
    EXPECT_EQ(present(), (Runs{{2, 2}})) << "watched by nobody";
    watch_and_arm(pages);
    pages.write(15);
    EXPECT_EQ(present(), (Runs{{2, 2}, {15, 1}}));
    EXPECT_EQ(collect(tracker_, pages), (Runs{{15, 1}})) << "looking arms nothing";
}

TEST_F(DirtyPages, PagesGivenBackAreNewWhenTheyReturn) {
    Pages pages(8);
    pages.write_all();
    watch_and_arm(pages);
    ASSERT_EQ(madvise(pages.word(2), 2 * page_bytes(), MADV_DONTNEED), 0);
    EXPECT_EQ(collect(tracker_, pages), Runs{});
    pages.write(2);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{2, 1}}));
}

TEST_F(DirtyPages, FindsMoreRunsThanOneAnswerHolds) {
    Pages pages(4'000);
    pages.write_all();
    watch_and_arm(pages);
    Runs expected;
    for (std::size_t page = 1; page < 4'000; page += 3) {
        pages.write(page);
        expected.push_back({page, 1});
    }
    EXPECT_EQ(collect(tracker_, pages), expected);
    EXPECT_EQ(collect(tracker_, pages), Runs{});
}

TEST_F(DirtyPages, JoinsARunAcrossSteps) {
    const std::size_t count = 80 * mib / page_bytes();
    Pages pages(count);
    pages.write_all();
    watch_and_arm(pages);
    for (std::size_t page = 1; page + 1 < count; ++page) pages.write(page);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{1, count - 2}}));
}

std::size_t page_table_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("VmPTE:", 0) == 0) return std::stoul(line.substr(6)) * 1024;
    }
    return 0;
}

TEST_F(DirtyPages, ASparseRangeCostsWhatIsInIt) {
    if (base::sanitized_build) GTEST_SKIP() << "sanitizers limit the address space";
    const std::size_t count = (std::size_t{64} << 30) / page_bytes();
    Pages pages(count, PROT_NONE);
    ASSERT_EQ(mprotect(pages.word(count / 2), 64 * mib, PROT_READ | PROT_WRITE), 0);
    pages.write(count / 2);
    const std::size_t tables_before = page_table_bytes();
    watch_and_arm(pages);
    pages.write(count / 2);
    pages.write(count / 2 + 5);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{count / 2, 1}, {count / 2 + 5, 1}}));
    EXPECT_LT(page_table_bytes(), tables_before + mib) << "untouched pages must not get page tables";
}

TEST_F(DirtyPages, ProtectionMayChangeMeanwhile) {
    Pages pages(8);
    pages.write_all();
    watch_and_arm(pages);
    ASSERT_EQ(mprotect(pages.word(0), pages.bytes, PROT_READ), 0);
    ASSERT_EQ(mprotect(pages.word(0), pages.bytes, PROT_READ | PROT_WRITE), 0);
    EXPECT_EQ(collect(tracker_, pages), Runs{});
    pages.write(1);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{1, 1}}));
}

TEST_F(DirtyPages, AnotherMappingInTheMiddleIsFollowed) {
    Pages pages(8);
    pages.write_all();
    watch_and_arm(pages);
    ASSERT_NE(mmap(pages.word(2), 2 * page_bytes(), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
              MAP_FAILED);
    pages.write(3);
    const Runs runs = collect(tracker_, pages);
    EXPECT_TRUE(holds(runs, 3));
    EXPECT_EQ(collect(tracker_, pages), Runs{});
    pages.write(2);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{2, 1}}));
}

TEST_F(DirtyPages, DisarmedPagesAllCountAsWritten) {
    Pages pages(8);
    pages.write_all();
    watch_and_arm(pages);
    tracker_.disarm(pages.start, pages.bytes);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{0, 8}}));
    EXPECT_EQ(collect(tracker_, pages), Runs{});
}

TEST_F(DirtyPages, WatchingIsIdempotentAndEndsByUnwatch) {
    Pages pages(8);
    pages.write_all();
    watch_and_arm(pages);
    pages.write(1);
    EXPECT_TRUE(tracker_.watch(pages.start, pages.bytes));
    EXPECT_EQ(collect(tracker_, pages), (Runs{{1, 1}})) << "watching again forgets nothing";
    tracker_.unwatch(pages.start, pages.bytes);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{0, 8}})) << "watched again, with nothing armed";
}

TEST_F(DirtyPages, SomebodyElsesRangeIsReportedWhole) {
    Pages pages(8);
    pages.write_all();
    // The program uses userfaultfd itself.
    const int theirs = static_cast<int>(syscall(SYS_userfaultfd, O_CLOEXEC | user_mode_only));
    ASSERT_GE(theirs, 0);
    std::uint64_t api[3] = {0xAA, 0, 0};
    ASSERT_EQ(ioctl(theirs, _IOWR(0xAA, 0x3F, std::uint64_t[3]), api), 0);
    std::uint64_t request[4] = {pages.start, pages.bytes, 1, 0};  // missing pages
    ASSERT_EQ(ioctl(theirs, _IOWR(0xAA, 0x00, std::uint64_t[4]), request), 0);
    EXPECT_FALSE(tracker_.watch(pages.start, pages.bytes));
    EXPECT_FALSE(tracker_.arm(pages.start, pages.bytes));
    std::size_t all = 0;
    const bool is_known =
        tracker_.collect(pages.start, pages.bytes, true, [&](auto low, auto high) { all = high - low; });
    EXPECT_FALSE(is_known);
    EXPECT_EQ(all, pages.bytes);
    close(theirs);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{0, 8}})) << "free again";
}

TEST_F(DirtyPages, ARangeNobodyWatchesIsWatchedWhenCollected) {
    Pages pages(8);
    pages.write(2);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{2, 1}}));
    EXPECT_EQ(collect(tracker_, pages), Runs{});
}

// The kernel walks and arms the first part before it refuses the second, and then tells nothing of either.
TEST_F(DirtyPages, WhatWasWrittenInTheWatchedPartOfARangeIsNotLost) {
    Pages pages(8);
    pages.write_all();
    const std::size_t half = pages.bytes / 2;
    ASSERT_TRUE(tracker_.watch(pages.start, half));
    ASSERT_TRUE(tracker_.arm(pages.start, half));
    pages.write(1);
    pages.write(6);
    const Runs found = collect(tracker_, pages);
    EXPECT_TRUE(holds(found, 1));
    EXPECT_TRUE(holds(found, 6));
    EXPECT_EQ(collect(tracker_, pages), Runs{});
}

TEST_F(DirtyPages, GlobalsAreTrackedToo) {
    alignas(65536) static unsigned char globals[8 * 65536];
    const auto start = reinterpret_cast<std::uintptr_t>(globals);
    std::memset(globals, 1, sizeof globals);
    ASSERT_TRUE(tracker_.watch(start, sizeof globals));
    ASSERT_TRUE(tracker_.arm(start, sizeof globals));
    *static_cast<volatile unsigned char*>(&globals[3 * 65536]) = 2;
    std::uintptr_t found = 0;
    EXPECT_TRUE(tracker_.collect(start, sizeof globals, true, [&](auto low, auto) { found = low; }));
    EXPECT_EQ(found, start + 3 * 65536);
    tracker_.unwatch(start, sizeof globals);
}

// Writers count up words at random; the tracker's user copies dirty pages. In the end the copy is right.
void copy_under_fire(DirtyTracker& tracker, bool is_huge, unsigned writer_count) {
    const std::size_t page_count = (base::sanitized_build ? 2 : 16) * mib / page_bytes();
    Pages pages(page_count);
    if (is_huge) madvise(pages.word(0), pages.bytes, MADV_HUGEPAGE);
    const std::size_t words = page_bytes() / 8;
    std::vector<std::uint64_t> copy(page_count * words);
    pages.write_all();
    const auto copy_run = [&](std::uintptr_t low, std::uintptr_t high) {
        const std::size_t first = (low - pages.start) / 8;
        for (std::size_t i = first; i < (high - pages.start) / 8; ++i)
            copy[i] = pages.word(0, i)->load(std::memory_order_relaxed);
    };
    ASSERT_TRUE(tracker.watch(pages.start, pages.bytes));
    ASSERT_TRUE(tracker.arm(pages.start, pages.bytes));
    copy_run(pages.start, pages.start + pages.bytes);
    std::atomic<bool> is_over{false};
    std::vector<std::thread> writers;
    for (unsigned w = 0; w < writer_count; ++w) {
        writers.emplace_back([&, state = std::uint64_t{88172645463325252} + w]() mutable {
            while (!is_over.load(std::memory_order_relaxed)) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                pages.word(0, state % copy.size())->fetch_add(1, std::memory_order_relaxed);
            }
        });
    }
    std::size_t scans = 0;
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(400);
    for (; scans < 4 || std::chrono::steady_clock::now() < until; ++scans)
        EXPECT_TRUE(tracker.collect(pages.start, pages.bytes, true, copy_run));
    is_over = true;
    for (std::thread& writer : writers) writer.join();
    EXPECT_TRUE(tracker.collect(pages.start, pages.bytes, true, copy_run));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < copy.size(); ++i) wrong += copy[i] != pages.word(0, i)->load();
    EXPECT_EQ(wrong, 0u) << "after " << scans << " scans";
}

TEST_F(DirtyPages, TwoWritersLoseNothing) {
    copy_under_fire(tracker_, false, 2);
}
TEST_F(DirtyPages, WritersOnHugePagesLoseNothing) {
    copy_under_fire(tracker_, true, 2);
}
TEST_F(DirtyPages, OneWriterLosesNothing) {
    copy_under_fire(tracker_, false, 1);
}

// Runs `body` in a forked child and wants it to return true.
template <class Body>
void expect_in_child(Body body) {
    const pid_t child = fork();
    if (child == 0) _exit(body() ? 0 : 1);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

TEST_F(DirtyPages, AForkedChildStartsAnewAndTheParentGoesOn) {
    Pages pages(8);
    pages.write_all();
    watch_and_arm(pages);
    pages.write(1);
    for (const bool is_told : {true, false}) {
        expect_in_child([&] {
            if (is_told) {
                tracker_.after_fork_child();
                if (tracker_.is_started() || !tracker_.start() || !tracker_.watch(pages.start, pages.bytes) ||
                    !tracker_.arm(pages.start, pages.bytes))
                    return false;
            } else {
                if (collect(tracker_, pages) != Runs{{0, 8}}) return false;
            }
            pages.write(6);
            return collect(tracker_, pages) == Runs{{6, 1}};
        });
    }
    pages.write(3);
    EXPECT_EQ(collect(tracker_, pages), (Runs{{1, 1}, {3, 1}})) << "the child has its own tracking";
}

TEST_F(DirtyPages, AClosedDescriptorIsNoticed) {
    Pages pages(8);
    pages.write_all();
    watch_and_arm(pages);
    expect_in_child([] { return true; });
    pages.write(2);
    expect_in_child([&] {
        DirtyTracker own;
        tracker_.after_fork_child();
        if (!own.start() || !own.watch(pages.start, pages.bytes) || !own.arm(pages.start, pages.bytes))
            return false;
        for (unsigned round = 0; round < 3; ++round) {
            pages.write(5);
            close_range(3, ~0u, 0);
            // Something else under each number: a mistaken call would act on it.
            while (open("/dev/zero", O_RDWR) < 1010 && errno != EMFILE) {
            }
            struct rlimit limit {
                2048, 2048
            };
            if (round == 0) setrlimit(RLIMIT_NOFILE, &limit);
            if (collect(own, pages) != Runs{{0, 8}}) return false;
            pages.write(1);
            if (collect(own, pages) != Runs{{1, 1}}) return false;
        }
        return true;
    });
    EXPECT_EQ(collect(tracker_, pages), (Runs{{2, 1}}));
}

std::vector<int> own_descriptors() {
    std::vector<int> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code error;
        const std::string target = std::filesystem::read_symlink(entry, error).string();
        if (target.find("userfaultfd") != std::string::npos || target.find("pagemap") != std::string::npos)
            found.push_back(std::stoi(entry.path().filename()));
    }
    std::sort(found.begin(), found.end());
    return found;
}

TEST_F(DirtyPages, OneClosedDescriptorLosesNothing) {
    Pages pages(8);
    pages.write_all();
    watch_and_arm(pages);
    const std::vector<int> files = own_descriptors();
    ASSERT_EQ(files.size(), 4u);
    for (const int file : files) {
        ASSERT_EQ(close(file), 0);
        pages.write(4);
        ASSERT_TRUE(tracker_.start());
        EXPECT_EQ(collect(tracker_, pages), (Runs{{4, 1}}));
        pages.write(6);
        EXPECT_EQ(collect(tracker_, pages), (Runs{{6, 1}}));
        EXPECT_EQ(own_descriptors().size(), 4u) << "mended";
    }
}

TEST_F(DirtyPages, DescriptorsKeepOutOfTheWay) {
    struct rlimit limit {};
    getrlimit(RLIMIT_NOFILE, &limit);
    const std::vector<int> files = own_descriptors();
    ASSERT_EQ(files.size(), 4u);
    for (const int file : files) {
        EXPECT_GE(file, limit.rlim_cur > 64 ? 60 : 3);
        EXPECT_LT(file, 64) << "the table of descriptors was made larger, which takes 10 ms";
        EXPECT_EQ(fcntl(file, F_GETFD), FD_CLOEXEC);
    }
    tracker_.after_fork_child();
    EXPECT_TRUE(own_descriptors().empty()) << "all given back";
    EXPECT_TRUE(tracker_.start());
    expect_in_child([] {
        struct rlimit low {
            64, 64
        };
        DirtyTracker tracker;
        return setrlimit(RLIMIT_NOFILE, &low) == 0 && tracker.start();
    });
}

// A filter that answers `number` with `error`.
bool refuse_call(unsigned number, unsigned error) {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog filter{4, program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(DirtyPages, ARefusalIsNamed) {
    struct {
        unsigned number;
        unsigned error;
        const char* reason;
    } const cases[] = {
        {SYS_userfaultfd, EPERM, "not permitted"},
        {SYS_userfaultfd, ENOSYS, "no userfaultfd"},
        {SYS_userfaultfd, EINVAL, "too old"},
        {SYS_ioctl, EINVAL, "no asynchronous write-protection"},
        {SYS_openat, EACCES, "pagemap cannot be opened"},
    };
    for (const auto& one : cases) {
        SCOPED_TRACE(one.reason);
        expect_in_child([&] {
            DirtyTracker tracker;
            Pages pages(4);
            std::size_t all = 0;
            if (!refuse_call(one.number, one.error) || tracker.start() || tracker.is_started()) return false;
            if (tracker.watch(pages.start, pages.bytes) || tracker.arm(pages.start, pages.bytes))
                return false;
            const bool is_exact = tracker.collect(pages.start, pages.bytes, true,
                                                  [&](auto low, auto high) { all = high - low; });
            tracker.disarm(pages.start, pages.bytes);
            tracker.unwatch(pages.start, pages.bytes);
            return !is_exact && all == pages.bytes &&
                   std::strstr(tracker.unavailable_reason(), one.reason) != nullptr;
        });
    }
}

double microseconds(auto&& work) {
    const auto before = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - before).count();
}

// Prints what a cycle pays for 1 GiB, measured on a quarter of it; the bound catches what is wrong by far.
TEST_F(DirtyPages, CostOfAGibibyte) {
    if (base::sanitized_build) GTEST_SKIP() << "figures of an uninstrumented build";
    const std::size_t count = 256 * mib / page_bytes();
    constexpr double scale = 4;
    for (const bool is_huge : {false, true}) {
        Pages pages(count);
        if (is_huge) madvise(pages.word(0), pages.bytes, MADV_HUGEPAGE);
        pages.write_all();
        const auto arm = [&] { EXPECT_TRUE(tracker_.arm(pages.start, pages.bytes)); };
        const auto collect_all = [&] { (void)collect(tracker_, pages); };
        ASSERT_TRUE(tracker_.watch(pages.start, pages.bytes));
        const double first = microseconds(arm);
        const double again = microseconds(arm);
        const double clean = microseconds(collect_all);
        const auto write_some = [&] {
            for (std::size_t i = 0; i < count / 100; ++i) pages.write(i * 7919 % count);
        };
        const double faults = microseconds(write_some) / static_cast<double>(count / 100);
        const double dirty = microseconds(collect_all);
        const double disarm = microseconds([&] { tracker_.disarm(pages.start, pages.bytes); });
        std::printf("[   COST   ] 1 GiB of %s pages, us: arm %.0f, again %.0f, collect clean %.0f, ",
                    is_huge ? "huge" : "small", scale * first, scale * again, scale * clean);
        std::printf("1 %% dirty %.0f, disarm %.0f; first write to a page %.2f\n", scale * dirty,
                    scale * disarm, faults);
        EXPECT_LT(clean, 100'000);
    }
}

}  // namespace
}  // namespace cairn::os
