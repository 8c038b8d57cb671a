// The root set on the real system: what it covers, and that nothing a program does to its memory hurts it.
//
// Roots hold marked numbers; a visit is judged by the numbers it shows.
// SPDX-License-Identifier: MIT
#include "gc/roots.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/config.hpp"
#include "os/memory.hpp"

namespace cairn::gc {
namespace {

constexpr std::uintptr_t mark = 0xC0DE'0000'0000'0000;
constexpr std::uintptr_t mark_mask = 0xFFFF'0000'0000'0000;
constexpr std::size_t mib = std::size_t{1} << 20;

std::uintptr_t address_of(const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer);
}

// How often each marked number was shown, and how many bytes there were.
struct Seen {
    std::map<std::uintptr_t, unsigned> times;
    std::size_t bytes = 0;

    [[nodiscard]] unsigned of(std::uintptr_t number) const {
        const auto found = times.find(number);
        return found == times.end() ? 0 : found->second;
    }
};

// Reads globals, red zones between them included.
__attribute__((no_sanitize("address", "thread"))) void look(void* context, std::uintptr_t low,
                                                            std::uintptr_t high) {
    auto& seen = *static_cast<Seen*>(context);
    seen.bytes += high - low;
    for (; low < high; low += sizeof(void*)) {
        const std::uintptr_t word = *reinterpret_cast<const volatile std::uintptr_t*>(low);
        if ((word & mark_mask) == mark) ++seen.times[word & ~mark_mask];
    }
}

class Memory {
public:
    explicit Memory(std::size_t size)
        : bytes(size),
          words(static_cast<std::uintptr_t*>(mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
    ~Memory() { munmap(words, bytes); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    [[nodiscard]] std::uintptr_t low() const { return address_of(words); }
    [[nodiscard]] std::uintptr_t high() const { return low() + bytes; }
    [[nodiscard]] std::size_t word_count() const { return bytes / sizeof *words; }
    // Marked numbers from 0 on.
    void number() const {
        for (std::size_t i = 0; i < word_count(); ++i) words[i] = mark | i;
    }

    const std::size_t bytes;
    std::uintptr_t* const words;
};

class Roots : public testing::Test {
protected:
    Roots() { roots_.initialize(metadata_); }

    Seen visit(Reading reading, os::DirtyTracker* tracker = nullptr) {
        roots_.prepare_jobs();
        Seen seen;
        for (std::size_t job = 0; job < roots_.job_count(); ++job)
            roots_.visit_job(job, reading, tracker, look, &seen);
        return seen;
    }
    Seen visit_changed(os::DirtyTracker* tracker, bool is_rearmed = true) {
        roots_.prepare_jobs();
        Seen seen;
        for (std::size_t job = 0; job < roots_.job_count(); ++job)
            roots_.visit_changed(job, Reading::while_stopped, tracker, is_rearmed, look, &seen);
        return seen;
    }

    pages::Metadata metadata_;
    RootSet roots_;
};

class BothReadings : public Roots, public testing::WithParamInterface<Reading> {
protected:
    Seen visit() { return Roots::visit(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(Roots, BothReadings,
                         testing::Values(Reading::beside_program, Reading::while_stopped),
                         [](const auto& info) {
                             return info.param == Reading::beside_program ? "BesideProgram" : "WhileStopped";
                         });

TEST_P(BothReadings, RangesAreAddedRemovedAndExcluded) {
    Memory memory(64 * 1024);
    memory.number();
    EXPECT_EQ(visit().bytes, 0u);
    EXPECT_EQ(roots_.job_count(), 0u);
    ASSERT_TRUE(roots_.add_range(memory.low() + 80, memory.low() + 160));
    Seen seen = visit();
    EXPECT_EQ(seen.bytes, 80u);
    EXPECT_EQ(seen.of(10), 1u);
    EXPECT_EQ(seen.of(19), 1u);
    EXPECT_EQ(roots_.total_bytes(), 80u);
    ASSERT_TRUE(roots_.remove_range(memory.low() + 96, memory.low() + 104));
    seen = visit();
    EXPECT_EQ(seen.bytes, 72u);
    EXPECT_EQ(seen.of(12), 0u);
    ASSERT_TRUE(roots_.exclude_range(memory.low() + 112, memory.low() + 1000));
    ASSERT_TRUE(roots_.add_range(memory.low() + 96, memory.low() + 2000));
    seen = visit();
    EXPECT_EQ(seen.of(12), 1u);
    EXPECT_EQ(seen.of(13), 1u);
    EXPECT_EQ(seen.of(14), 0u) << "excluded, whoever adds it";
    EXPECT_EQ(seen.of(124), 0u);
    EXPECT_EQ(seen.of(125), 1u);
    ASSERT_TRUE(roots_.readmit_range(memory.low() + 112, memory.low() + 120));
    seen = visit();
    EXPECT_EQ(seen.of(14), 1u);
    EXPECT_EQ(seen.of(15), 0u);
    ASSERT_TRUE(roots_.remove_range(0, UINTPTR_MAX));
    EXPECT_EQ(visit().bytes, 0u);
}

TEST_P(BothReadings, ExclusionsCutAnywhere) {
    Memory memory(64 * 1024);
    memory.number();
    const auto at = [&](std::size_t word) { return memory.low() + word * 8; };
    ASSERT_TRUE(roots_.exclude_range(at(0), at(10)) && roots_.exclude_range(at(15), at(20)) &&
                roots_.exclude_range(at(25), at(30)) && roots_.exclude_range(at(38), at(50)) &&
                roots_.exclude_range(at(60), at(61)));
    ASSERT_TRUE(roots_.add_range(at(5), at(27)) && roots_.add_range(at(28), at(29)) &&
                roots_.add_range(at(30), at(40)) && roots_.add_range(at(41), at(42)) &&
                roots_.add_range(at(58), at(62)));
    const Seen seen = visit();
    std::vector<std::uintptr_t> words;
    for (const auto& [number, times] : seen.times) {
        EXPECT_EQ(times, 1u);
        words.push_back(number);
    }
    EXPECT_EQ(words, (std::vector<std::uintptr_t>{10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 30,
                                                  31, 32, 33, 34, 35, 36, 37, 58, 59, 61}));
}

TEST_P(BothReadings, BoundsAreCutToWholeWords) {
    Memory memory(4096);
    memory.number();
    ASSERT_TRUE(roots_.add_range(memory.low() + 9, memory.low() + 31));
    const Seen seen = visit();
    EXPECT_EQ(seen.bytes, 8u);
    EXPECT_EQ(seen.of(2), 1u);
    ASSERT_TRUE(roots_.add_range(memory.low() + 65, memory.low() + 71));
    EXPECT_EQ(visit().bytes, 8u) << "no word in it";
}

TEST_P(BothReadings, EachWordIsShownOnceAcrossShards) {
    Memory memory(3 * mib + 4096);
    memory.number();
    ASSERT_TRUE(roots_.add_range(memory.low() + 8, memory.high() - 8));
    const Seen seen = visit();
    EXPECT_EQ(roots_.job_count(), 3 * mib / RootSet::shard_bytes + 1);
    EXPECT_EQ(seen.bytes, memory.bytes - 16);
    EXPECT_EQ(seen.times.size(), memory.word_count() - 2);
    for (const auto& [number, times] : seen.times) ASSERT_EQ(times, 1u) << number;
}

TEST_P(BothReadings, ManySmallRanges) {
    Memory memory(4 * mib);
    memory.number();
    constexpr std::size_t count = 10'000;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uintptr_t low = memory.low() + i * 7919 % count * 400;
        ASSERT_TRUE(roots_.add_range(low, low + 8 * (1 + i % 5)));
    }
    const Seen seen = visit();
    EXPECT_EQ(seen.times.size(), count * 3);
    for (const auto& [number, times] : seen.times) ASSERT_EQ(times, 1u) << number;
    EXPECT_GT(roots_.job_count(), 5u) << "a small range takes room, so that no job has too many";
}

TEST_P(BothReadings, WhatCannotBeReadIsSkipped) {
    const std::size_t page = os::page_bytes();
    Memory memory(64 * page);
    memory.number();
    mprotect(memory.words + 3 * page / 8, page, PROT_NONE);
    mprotect(memory.words + 5 * page / 8, 2 * page, PROT_NONE);
    munmap(memory.words + 40 * page / 8, page);
    mprotect(memory.words + 63 * page / 8, page, PROT_NONE);
    ASSERT_TRUE(roots_.add_range(memory.low() + 8, memory.high()));
    for (std::size_t i = 0; i < 40; ++i) {  // small neighbours, some of them on bad pages
        const std::uintptr_t low = memory.low() + i * page;
        ASSERT_TRUE(roots_.remove_range(low + 16, low + 24) && roots_.remove_range(low + 64, low + 72));
    }
    const Seen seen = visit();
    EXPECT_EQ(seen.bytes, 59 * page - 8 - 37 * 16);
    EXPECT_EQ(seen.of(0), 0u);
    EXPECT_EQ(seen.of(1), 1u);
    for (const std::size_t bad : {3, 5, 6, 40, 63}) {
        EXPECT_EQ(seen.of(bad * page / 8), 0u) << bad;
        EXPECT_EQ(seen.of((bad - 1) * page / 8), bad == 6 ? 0u : 1u) << bad;
    }
    for (const auto& [number, times] : seen.times) ASSERT_EQ(times, 1u) << number;
}

TEST_P(BothReadings, CellsComeFirst) {
    RootCell* cell = roots_.cells().allocate();
    roots_.cells().set(cell, reinterpret_cast<void*>(mark | 42));
    EXPECT_EQ(visit().of(42), 1u);
    EXPECT_EQ(roots_.job_count(), 1u);
    EXPECT_EQ(roots_.total_bytes(), RootCells::slab_bytes);
}

TEST_F(Roots, MemoryMayVanishWhileItIsRead) {
    Memory memory(mib);
    ASSERT_TRUE(roots_.add_range(memory.low(), memory.high()));
    std::atomic<bool> is_over{false};
    std::thread owner([&] {
        while (!is_over) {
            mprotect(memory.words, mib / 2, PROT_NONE);
            munmap(memory.words + mib / 16, mib / 2);
            (void)mmap(memory.words, mib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                       0);
        }
    });
    for (unsigned round = 0; round < 200; ++round) (void)visit(Reading::beside_program);
    is_over = true;
    owner.join();
    EXPECT_EQ(visit(Reading::beside_program).bytes, mib);
}

// ---- modules

std::uintptr_t global_root = mark | 1001;
volatile std::uintptr_t zero_root[100];
extern const std::uintptr_t constant_root;
const std::uintptr_t constant_root = mark | 1003;

TEST_F(Roots, AModulesVariablesAreRoots) {
    zero_root[50] = mark | 1002;
    asm volatile("" : : "r"(&constant_root), "r"(&global_root));  // they are used
    ASSERT_TRUE(roots_.refresh() && roots_.is_current());
    EXPECT_EQ(visit(Reading::while_stopped).of(1001), 0u) << "not unless asked";
    ASSERT_TRUE(roots_.add_module(address_of(&global_root)));
    EXPECT_FALSE(roots_.is_current()) << "a new choice is to be looked up";
    ASSERT_TRUE(roots_.refresh());
    EXPECT_TRUE(roots_.is_current());
    for (const Reading reading : {Reading::beside_program, Reading::while_stopped}) {
        const Seen seen = visit(reading);
        EXPECT_GE(seen.of(1001), 1u);
        EXPECT_GE(seen.of(1002), 1u);
        EXPECT_EQ(seen.of(1003), 0u) << "constants hold no pointers into the heap";
    }
    ASSERT_TRUE(roots_.remove_module(address_of(&global_root)) && roots_.refresh());
    EXPECT_EQ(visit(Reading::while_stopped).bytes, 0u);
}

TEST_F(Roots, AnExcludedModuleIsNoRoot) {
    roots_.add_all_modules();
    ASSERT_TRUE(roots_.refresh());
    const Seen all = visit(Reading::while_stopped);
    EXPECT_GE(all.of(1001), 1u);
    ASSERT_TRUE(roots_.exclude_module(address_of(&global_root)) && roots_.refresh());
    const Seen rest = visit(Reading::while_stopped);
    EXPECT_EQ(rest.of(1001), 0u);
    EXPECT_GT(rest.bytes, 0u) << "libc has variables";
    EXPECT_LT(rest.bytes, all.bytes);
}

// What a filter is asked, and says.
struct Filter {
    static inline unsigned asked = 0;
    static inline bool wants_ours = true;
    static bool wants(const char* name, std::uintptr_t low, std::uintptr_t high) {
        EXPECT_NE(name, nullptr);
        EXPECT_LT(low, high);
        ++asked;
        const bool is_ours = low <= address_of(&global_root) && address_of(&global_root) < high;
        return !is_ours || wants_ours;
    }
};

TEST_F(Roots, AFilterIsAskedBeforeEachCycle) {
    roots_.add_all_modules();
    roots_.filter_modules(Filter::wants);
    const auto cycle = [&] {
        Filter::asked = 0;
        EXPECT_TRUE(roots_.refresh() && roots_.is_current());
        return visit(Reading::while_stopped);
    };
    EXPECT_GE(cycle().of(1001), 1u);
    EXPECT_GE(Filter::asked, 3u) << "the program, libc, the loader";
    Filter::wants_ours = false;
    const Seen rest = cycle();
    EXPECT_EQ(rest.of(1001), 0u);
    EXPECT_GT(rest.bytes, 0u);
    EXPECT_GE(Filter::asked, 3u);
    ASSERT_TRUE(roots_.add_module(address_of(&global_root)));
    EXPECT_GE(cycle().of(1001), 1u) << "chosen by itself";
    ASSERT_TRUE(roots_.remove_module(address_of(&global_root)));
    EXPECT_EQ(cycle().of(1001), 0u);
    Filter::wants_ours = true;
    EXPECT_GE(cycle().of(1001), 1u);
    Filter::wants_ours = false;
    EXPECT_EQ(cycle().of(1001), 0u);
    roots_.filter_modules(nullptr);
    EXPECT_GE(cycle().of(1001), 1u);
    EXPECT_EQ(Filter::asked, 0u);
    Filter::wants_ours = true;
}

#ifdef CAIRN_ROOTS_MODULE
struct Library {
    Library() : handle(dlopen(CAIRN_ROOTS_MODULE, RTLD_NOW)) {}
    ~Library() { close(); }
    void close() {
        if (handle != nullptr) dlclose(handle);
        handle = nullptr;
    }
    std::uintptr_t* variable(int which) const {
        auto* find = reinterpret_cast<void* (*)(int)>(dlsym(handle, "module_variable"));
        return static_cast<std::uintptr_t*>(find(which));
    }
    void* handle;
};

TEST_F(Roots, ALibraryComesAndGoes) {
    roots_.add_all_modules();
    ASSERT_TRUE(roots_.refresh() && roots_.is_current());
    for (unsigned round = 0; round < 3; ++round) {
        Library library;
        ASSERT_NE(library.handle, nullptr) << dlerror();
        EXPECT_FALSE(roots_.is_current()) << "its variables may hold the only pointer to an object";
        ASSERT_TRUE(roots_.refresh());
        EXPECT_TRUE(roots_.is_current());
        *library.variable(0) = mark | 2001;
        library.variable(1)[10'000] = mark | 2002;
        const Seen seen = visit(Reading::while_stopped);
        EXPECT_EQ(seen.of(2001), 1u);
        EXPECT_EQ(seen.of(2002), 1u);
        bool is_constant_listed = false;
        const std::uintptr_t constant = address_of(library.variable(2));
        const auto check = [&](void*, const os::ModuleSegment& segment) {
            is_constant_listed |= segment.low <= constant && constant < segment.high;
        };
        os::for_each_module_segment(
            [](void* context, const os::ModuleSegment& segment) {
                (*static_cast<decltype(check)*>(context))(nullptr, segment);
            },
            const_cast<void*>(static_cast<const void*>(&check)));
        EXPECT_FALSE(is_constant_listed) << "read-only after relocation";
        library.close();
        EXPECT_EQ(visit(Reading::beside_program).of(2002), 0u) << "gone, and reading it is safe";
        EXPECT_FALSE(roots_.is_current());
        ASSERT_TRUE(roots_.refresh() && roots_.is_current());
        EXPECT_EQ(visit(Reading::while_stopped).of(2002), 0u);
    }
}

TEST_F(Roots, LibrariesComeAndGoBesideAVisit) {
    roots_.add_all_modules();
    std::atomic<bool> is_over{false};
    std::atomic<unsigned> loads{0};
    std::thread loader([&] {
        for (; !is_over; ++loads) {
            Library library;
            library.variable(1)[loads % 20'000] = mark | 3000;
        }
    });
    const unsigned rounds = base::sanitized_build ? 20 : 200;
    for (unsigned round = 0; round < rounds || loads < 20; ++round) {
        ASSERT_TRUE(roots_.refresh());
        (void)visit(Reading::beside_program);
    }
    is_over = true;
    loader.join();
    ASSERT_TRUE(roots_.refresh() && roots_.is_current());
}
#endif

// ---- tracked parts

class TrackedRoots : public Roots {
protected:
    void SetUp() override {
        if (!tracker_.start()) GTEST_SKIP() << tracker_.unavailable_reason();
    }
    ~TrackedRoots() override { tracker_.after_fork_child(); }

    // As a cycle does: armed, then all is looked at.
    Seen begin() {
        roots_.prepare_jobs();
        roots_.watch_parts(tracker_);
        return visit(Reading::beside_program, &tracker_);
    }

    os::DirtyTracker tracker_;
};

TEST_F(TrackedRoots, OnlyWhatChangedIsShownAgain) {
    Memory memory(2 * mib);
    memory.number();
    RootCell* cell = roots_.cells().allocate();
    roots_.cells().set(cell, reinterpret_cast<void*>(mark | 999'999));
    ASSERT_TRUE(roots_.add_range(memory.low() + 8, memory.high() - 8));
    const Seen all = begin();
    EXPECT_EQ(all.times.size(), memory.word_count() - 2 + 1);
    roots_.cells().begin_epoch();
    EXPECT_EQ(visit_changed(&tracker_).times.size(), 0u);
    memory.words[100'000] = mark | 777'777;
    const Seen changed = visit_changed(&tracker_, false);
    EXPECT_EQ(changed.of(777'777), 1u);
    EXPECT_EQ(changed.of(999'999), 0u) << "an unchanged cell";
    EXPECT_EQ(changed.bytes, os::page_bytes());
    EXPECT_EQ(visit_changed(&tracker_).of(777'777), 1u) << "it was not armed again";
    EXPECT_EQ(visit_changed(&tracker_).bytes, 0u);
    EXPECT_EQ(visit_changed(nullptr).times.size(), memory.word_count() - 2)
        << "without a tracker all may have";
}

TEST_F(TrackedRoots, NeighboursInOnePageLoseNothing) {
    Memory memory(512 * 1024);
    memory.number();
    const std::uintptr_t middle = memory.low() + 256 * 1024 + 1024;
    ASSERT_TRUE(roots_.add_range(memory.low(), middle) && roots_.add_range(middle + 64, memory.high()));
    (void)begin();
    EXPECT_EQ(visit_changed(&tracker_).bytes, 0u);
    memory.words[(middle - 8 - memory.low()) / 8] = mark | 500'001;
    memory.words[(middle + 64 - memory.low()) / 8] = mark | 500'002;
    const Seen changed = visit_changed(&tracker_);
    EXPECT_GE(changed.of(500'001), 1u);
    EXPECT_GE(changed.of(500'002), 1u) << "whoever took the page's mark visits both parts";
    EXPECT_EQ(visit_changed(&tracker_).bytes, 0u);
}

TEST_F(TrackedRoots, UntouchedMemoryCostsNothing) {
    if (base::sanitized_build) GTEST_SKIP() << "sanitizers limit the address space";
    Memory memory(1024 * mib);
    memory.words[memory.word_count() / 2] = mark | 600'001;
    ASSERT_TRUE(roots_.add_range(memory.low(), memory.high()));
    const Seen seen = begin();
    EXPECT_EQ(seen.of(600'001), 1u);
    EXPECT_LE(seen.bytes, 4 * mib) << "a huge page at most";
    memory.words[9] = mark | 600'002;
    EXPECT_EQ(visit_changed(&tracker_).of(600'002), 1u);
}

TEST_F(TrackedRoots, ANewRangeIsShownWithoutBeingArmed) {
    Memory memory(mib);
    memory.number();
    (void)begin();
    ASSERT_TRUE(roots_.add_range(memory.low(), memory.high()));
    EXPECT_EQ(visit_changed(&tracker_).times.size(), memory.word_count());
}

TEST_F(TrackedRoots, ModulesAreTrackedToo) {
    roots_.add_all_modules();
    ASSERT_TRUE(roots_.refresh());
    [[maybe_unused]] alignas(65536) static volatile std::uintptr_t large[65536];
    large[7] = mark | 700'001;
    EXPECT_EQ(begin().of(700'001), 1u);
    const Seen before = visit_changed(&tracker_);
    large[40'000] = mark | 700'002;
    const Seen after = visit_changed(&tracker_);
    EXPECT_EQ(before.of(700'002), 0u);
    EXPECT_EQ(after.of(700'002), 1u);
    EXPECT_EQ(after.of(700'001), 0u) << "its page was not written";
}

// ---- threads and forks

TEST_F(Roots, ThreadsChangeThemBesideVisits) {
    Memory memory(4 * mib);
    memory.number();
    constexpr unsigned thread_count = 3;
    std::atomic<unsigned> running{thread_count};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < thread_count; ++t) {
        threads.emplace_back([&, t] {
            std::uint64_t state = t + 1;
            for (unsigned step = 0; step < 4'000; ++step) {
                state = state * 6364136223846793005 + 1442695040888963407;
                // Each thread its own third of the words.
                const std::uintptr_t low = memory.low() + ((state >> 33) % 20'000 * 3 + t) * 64;
                EXPECT_TRUE((state >> 62) != 0 ? roots_.add_range(low, low + 64)
                                               : roots_.remove_range(low, low + 64));
            }
            for (std::uintptr_t i = t; i < 60'000; i += thread_count)
                EXPECT_TRUE(roots_.remove_range(memory.low() + i * 64, memory.low() + i * 64 + 64));
            EXPECT_TRUE(roots_.add_range(memory.low() + t * 64, memory.low() + t * 64 + 32));
            --running;
        });
    }
    while (running != 0) {
        for (const auto& [number, times] : visit(Reading::beside_program).times)
            ASSERT_EQ(times, 1u) << number;
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(visit(Reading::while_stopped).bytes, thread_count * 32);
}

TEST_F(Roots, AForkedChildHasThemAll) {
    Memory memory(4096);
    memory.number();
    ASSERT_TRUE(roots_.add_range(memory.low(), memory.low() + 80));
    roots_.lock();
    const pid_t child = fork();
    if (child == 0) {
        roots_.reset_locks_after_fork();
        const bool is_good = roots_.add_range(memory.low() + 160, memory.low() + 168) &&
                             visit(Reading::beside_program).bytes == 88 &&
                             roots_.cells().allocate() != nullptr;
        _exit(is_good ? 0 : 1);
    }
    roots_.unlock();
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    EXPECT_EQ(visit(Reading::beside_program).bytes, 80u);
}

// ---- cost

void add_up(void* context, std::uintptr_t low, std::uintptr_t high) {
    std::uintptr_t inside = 0;
    for (; low < high; low += sizeof(void*))
        inside += *reinterpret_cast<const std::uintptr_t*>(low) - mark < mib;
    *static_cast<std::uintptr_t*>(context) += inside;
}

TEST_F(TrackedRoots, CostOfAMebibyte) {
    if (base::sanitized_build) GTEST_SKIP() << "figures of an uninstrumented build";
    constexpr std::size_t size = 64;
    Memory memory(size * mib);
    madvise(memory.words, memory.bytes, MADV_NOHUGEPAGE);
    memory.number();
    ASSERT_TRUE(roots_.add_range(memory.low(), memory.high()));
    roots_.prepare_jobs();
    std::uintptr_t sum = 0;
    const auto each = [&](auto&& work) {
        std::vector<double> times;
        for (unsigned round = 0; round < 5; ++round) {
            const auto start = std::chrono::steady_clock::now();
            for (std::size_t job = 0; job < roots_.job_count(); ++job) work(job);
            const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
            times.push_back(took.count() / size);
        }
        std::sort(times.begin(), times.end());
        return times[2];
    };
    const double bare = each([&](std::size_t job) {
        add_up(&sum, memory.low() + job * RootSet::shard_bytes,
               memory.low() + (job + 1) * RootSet::shard_bytes);
    });
    const double stopped =
        each([&](std::size_t job) { roots_.visit_job(job, Reading::while_stopped, nullptr, add_up, &sum); });
    const double beside =
        each([&](std::size_t job) { roots_.visit_job(job, Reading::beside_program, nullptr, add_up, &sum); });
    roots_.watch_parts(tracker_);
    const double clean = each([&](std::size_t job) {
        roots_.visit_changed(job, Reading::while_stopped, &tracker_, true, add_up, &sum);
    });
    std::printf(
        "[   COST   ] a MiB of roots, us: bare loop %.1f, while stopped %.1f, beside the program %.1f, "
        "tracked and unchanged %.2f\n",
        bare, stopped, beside, clean);
    EXPECT_GT(sum, 0u);
}

}  // namespace
}  // namespace cairn::gc
