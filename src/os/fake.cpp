// The strict operating system of fake.hpp: a sorted table of ranges over real mappings.
//
// Every move first asks the table whether it is legal for each byte, then does it for real, then notes the
// new state. Neighbours of one state are one entry, so the table stays as short as the kernel's own.
// SPDX-License-Identifier: MIT
#include "os/fake.hpp"

#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <cstring>

#include "base/bits.hpp"
#include "base/check.hpp"
#include "os/memory.hpp"

namespace cairn::os {
namespace fake {
namespace {

// `lost` is prepared after ready: its next user finds junk.
enum class Mark : std::uint8_t { none, reserved, prepared, lost, ready, foreign };
using Marks = unsigned;  // a set of them
constexpr Marks set_of(Mark mark) { return 1u << static_cast<unsigned>(mark); }
constexpr Marks prepared_marks = set_of(Mark::prepared) | set_of(Mark::lost);

constexpr const char* mark_names[] = {"none", "reserved", "prepared", "prepared", "ready", "foreign"};
constexpr const char* move_names[] = {"alloc", "free", "reserve", "release", "map", "used", "unused", "fault",
                                      "back", "want_huge_pages", "refuse_huge_pages", "any"};

[[noreturn]] void die(Move move, const void* start, std::size_t bytes, const char* why) {
    base::Message text;
    text << "fake OS: illegal " << move_names[static_cast<unsigned>(move)] << " of ";
    text << static_cast<std::uint64_t>(bytes) << " bytes at ";
    text.hex(reinterpret_cast<std::uintptr_t>(start)) << ": " << why;
    base::fatal(text.view());
}

struct Range {
    std::uintptr_t start;
    std::uintptr_t end;
    Mark mark;
};

// Ranges in address order, none empty, none overlapping, no two neighbours of one mark.
class Table {
public:
    constexpr Table() = default;

    // Index of the first range that ends after `address`.
    [[nodiscard]] std::size_t find(std::uintptr_t address) const {
        std::size_t low = 0;
        std::size_t high = count_;
        while (low < high) {
            const std::size_t middle = (low + high) / 2;
            if (ranges_[middle].end <= address) low = middle + 1;
            else high = middle;
        }
        return low;
    }

    [[nodiscard]] Mark at(std::uintptr_t address) const {
        const std::size_t i = find(address);
        return i < count_ && ranges_[i].start <= address ? ranges_[i].mark : Mark::none;
    }

    // Calls visit(start, end, mark) for each piece of [start, end), gaps included.
    template <class Visit>
    void each(std::uintptr_t start, std::uintptr_t end, Visit visit) const {
        std::uintptr_t at = start;
        for (std::size_t i = find(start); at < end; ++i) {
            const bool is_past = i >= count_ || ranges_[i].start >= end;
            const std::uintptr_t next = is_past ? end : ranges_[i].start;
            if (at < next) visit(at, next, Mark::none);
            if (is_past) return;
            const std::uintptr_t from = at < next ? next : at;
            at = ranges_[i].end < end ? ranges_[i].end : end;
            visit(from, at, ranges_[i].mark);
        }
    }

    void set(std::uintptr_t start, std::uintptr_t end, Mark mark) {
        cut(start);
        cut(end);
        const std::size_t first = find(start);
        std::size_t last = first;
        while (last < count_ && ranges_[last].end <= end) ++last;
        replace(first, last, Range{start, end, mark}, mark != Mark::none);
        if (mark == Mark::none) return;
        join(first + 1);
        join(first);
    }

    template <class Visit>
    void each_known(Visit visit) const {
        for (std::size_t i = 0; i < count_; ++i) visit(ranges_[i].start, ranges_[i].end, ranges_[i].mark);
    }

    void clear() { count_ = 0; }

private:
    // Makes `address` a border.
    void cut(std::uintptr_t address) {
        const std::size_t i = find(address);
        if (i >= count_ || ranges_[i].start >= address) return;
        const Range whole = ranges_[i];
        ranges_[i].start = address;
        replace(i, i, Range{whole.start, address, whole.mark}, true);
    }

    // Joins the range at `i` with the one before when they touch and agree.
    void join(std::size_t i) {
        if (i == 0 || i >= count_) return;
        Range& before = ranges_[i - 1];
        if (before.end != ranges_[i].start || before.mark != ranges_[i].mark) return;
        before.end = ranges_[i].end;
        replace(i, i + 1, Range{}, false);
    }

    // Puts one range, or none, where [first, last) were.
    void replace(std::size_t first, std::size_t last, Range range, bool is_put) {
        if (ranges_ == nullptr) make_room();
        const std::size_t put = is_put ? 1 : 0;
        CAIRN_CHECK(count_ - (last - first) + put <= capacity);
        std::memmove(ranges_ + first + put, ranges_ + last, (count_ - last) * sizeof(Range));
        count_ = count_ - (last - first) + put;
        if (is_put) ranges_[first] = range;
    }

    void make_room() {
        void* room = mmap(nullptr, capacity * sizeof(Range), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CAIRN_CHECK(room != MAP_FAILED);
        ranges_ = static_cast<Range*>(room);
    }

    static constexpr std::size_t capacity = std::size_t{1} << 20;  // the real kernel allows 65530

    Range* ranges_ = nullptr;  // [lock] of the world
    std::size_t count_ = 0;    // [lock] of the world
};

struct Refusal {
    std::uint64_t nth = 0;    // [lock] calls until it begins, 0: none
    std::uint64_t times = 0;  // [lock]
};

constexpr std::size_t machine_page = 4096;

// All there is, under one spin lock; the memory moves come from any thread.
struct World {
    std::atomic_flag is_held{};                            // [atomic]
    Table table{};                                         // [lock]
    Refusal refusals[move_count]{};                        // [lock]
    std::uint64_t calls[move_count] = {};                  // [lock]
    std::uint64_t cost_ns[move_count] = {};                // [lock]
    bool is_hint_refused = false;                          // [lock]
    std::size_t page = machine_page;                       // [fixed] during a test
    std::size_t huge_page = std::size_t{2} << 20;          // [fixed] during a test
    std::atomic<std::uint64_t> ready_bytes{0};             // [atomic]
    std::atomic<std::uint64_t> ready_peak{0};              // [atomic]
};

constinit World world;

class [[nodiscard]] Hold {
public:
    Hold() {
        // acquire: pairs with the release in ~Hold
        while (world.is_held.test_and_set(std::memory_order_acquire)) (void)sched_yield();
    }
    ~Hold() { world.is_held.clear(std::memory_order_release); }  // release: pairs with Hold
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
};

bool is_due(Refusal& refusal) {
    if (refusal.nth == 0) return false;
    if (refusal.nth > 1) {
        --refusal.nth;
        return false;
    }
    if (refusal.times != for_ever && --refusal.times == 0) refusal.nth = 0;
    return true;
}

// Counts a call and charges its cost; true when it was ordered to be refused.
bool begin(Move move) {
    const auto i = static_cast<unsigned>(move);
    ++world.calls[i];
    ++world.calls[static_cast<unsigned>(Move::any)];
    advance_time(world.cost_ns[i]);
    advance_thread_cpu_time(world.cost_ns[i]);
    if (move != Move::alloc && move != Move::reserve && move != Move::map) return false;
    const bool is_one = is_due(world.refusals[i]);
    const bool is_any = is_due(world.refusals[static_cast<unsigned>(Move::any)]);
    return is_one || is_any;
}

void check_range(Move move, const void* start, std::size_t bytes) {
    if (bytes == 0) die(move, start, bytes, "the range is empty");
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    if (!base::is_aligned(address, world.page) || !base::is_aligned(bytes, world.page)) {
        die(move, start, bytes, "not whole OS pages");
    }
    if (address + bytes < address) die(move, start, bytes, "the range wraps");
}

// Dies unless every byte bears one of `allowed`.
void check_marks(Move move, const void* start, std::size_t bytes, Marks allowed) {
    check_range(move, start, bytes);
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    world.table.each(address, address + bytes, [&](std::uintptr_t from, std::uintptr_t, Mark mark) {
        if ((set_of(mark) & allowed) != 0) return;
        base::Message why;
        why.hex(from) << " is " << mark_names[static_cast<unsigned>(mark)];
        why << std::string_view("\0", 1);
        die(move, start, bytes, why.view().data());
    });
}

void note(const void* start, std::size_t bytes, Mark mark) {
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    world.table.set(address, address + bytes, mark);
}

void change_ready(std::uint64_t more, std::uint64_t less) {
    // relaxed: a statistic; the tests that compare it have one thread
    const std::uint64_t before = world.ready_bytes.fetch_add(more - less, std::memory_order_relaxed);
    const std::uint64_t now = before + more - less;
    if (now > world.ready_peak.load(std::memory_order_relaxed)) {  // relaxed: as above
        world.ready_peak.store(now, std::memory_order_relaxed);    // relaxed: a statistic
    }
}

void shrink_stat(Move move, const void* start, std::size_t bytes, Stat& stat) {
    if (stat.value() < bytes) die(move, start, bytes, "more than its statistic holds");
    stat.subtract(bytes);
}

// A mapping aligned to the fake's own page size, which may be larger than the machine's.
void* map_somewhere(void* hint, std::size_t bytes, int protection) {
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* start = mmap(hint, bytes, protection, flags, -1, 0);
    if (start == MAP_FAILED) return nullptr;
    if (base::is_aligned(reinterpret_cast<std::uintptr_t>(start), world.page)) return start;
    (void)munmap(start, bytes);
    start = mmap(nullptr, bytes + world.page, protection, flags, -1, 0);
    if (start == MAP_FAILED) return nullptr;
    const auto low = reinterpret_cast<std::uintptr_t>(start);
    const std::uintptr_t aligned = base::align_up(low, world.page);
    if (aligned > low) (void)munmap(start, aligned - low);
    const std::size_t behind = low + world.page - aligned;
    if (behind > 0) (void)munmap(reinterpret_cast<void*>(aligned + bytes), behind);
    return reinterpret_cast<void*>(aligned);
}

void protect(std::uintptr_t start, std::uintptr_t end, int protection) {
    CAIRN_CHECK(mprotect(reinterpret_cast<void*>(start), end - start, protection) == 0);
}

// Junk at the start of a run is enough to be noticed, and spares gigabytes.
constexpr std::size_t junk_bytes_max = std::size_t{64} << 10;
constexpr int junk = 0xdb;

void fill_with_junk(std::uintptr_t start, std::uintptr_t end) {
    const std::size_t bytes = end - start < junk_bytes_max ? end - start : junk_bytes_max;
    std::memset(reinterpret_cast<void*>(start), junk, bytes);
}

bool is_into_foreign(void* hint, std::size_t bytes) {
    bool is_found = false;
    const auto address = reinterpret_cast<std::uintptr_t>(hint);
    world.table.each(address, address + bytes, [&](std::uintptr_t, std::uintptr_t, Mark mark) {
        is_found = is_found || mark == Mark::foreign;
    });
    return is_found;
}

constexpr State state_for(Mark mark) {
    switch (mark) {
        case Mark::none: return State::none;
        case Mark::reserved: return State::reserved;
        case Mark::prepared:
        case Mark::lost: return State::prepared;
        case Mark::ready: return State::ready;
        case Mark::foreign: return State::foreign;
    }
    return State::none;
}

}  // namespace

void reset() {
    reset_process();
    Hold hold;
    world.table.each_known([](std::uintptr_t start, std::uintptr_t end, Mark) {
        (void)munmap(reinterpret_cast<void*>(start), end - start);
    });
    world.table.clear();
    for (unsigned i = 0; i < move_count; ++i) {
        world.refusals[i] = {};
        world.calls[i] = world.cost_ns[i] = 0;
    }
    world.is_hint_refused = false;
    world.page = machine_page;
    world.huge_page = std::size_t{2} << 20;
    world.ready_bytes.store(0, std::memory_order_relaxed);  // relaxed: the test's own thread
    world.ready_peak.store(0, std::memory_order_relaxed);   // relaxed: the test's own thread
}

State state_of(const void* address) {
    Hold hold;
    return state_for(world.table.at(reinterpret_cast<std::uintptr_t>(address)));
}

bool is_all(const void* start, std::size_t bytes, State state) {
    Hold hold;
    bool is_same = true;
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    world.table.each(address, address + bytes, [&](std::uintptr_t, std::uintptr_t, Mark mark) {
        is_same = is_same && state_for(mark) == state;
    });
    return is_same;
}

std::uint64_t bytes_in(State state) {
    Hold hold;
    std::uint64_t bytes = 0;
    world.table.each_known([&](std::uintptr_t start, std::uintptr_t end, Mark mark) {
        if (state_for(mark) == state) bytes += end - start;
    });
    return bytes;
}

std::uint64_t calls(Move move) {
    Hold hold;
    return world.calls[static_cast<unsigned>(move)];
}

void fail(Move move, std::uint64_t nth, std::uint64_t times) {
    Hold hold;
    world.refusals[static_cast<unsigned>(move)] = {times == 0 ? 0 : nth, times};
}

void occupy(void* start, std::size_t bytes) {
    Hold hold;
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    CAIRN_CHECK(mmap(start, bytes, PROT_NONE, flags, -1, 0) == start);
    note(start, bytes, Mark::foreign);
}

void refuse_hints_into_foreign(bool is_refused) {
    Hold hold;
    world.is_hint_refused = is_refused;
}

void set_cost(Move move, std::uint64_t ns_per_call) {
    Hold hold;
    world.cost_ns[static_cast<unsigned>(move)] = ns_per_call;
}

void set_page_bytes(std::size_t page, std::size_t huge_page) {
    CAIRN_CHECK(base::is_power_of_two(page) && page >= machine_page);
    world.page = page;
    world.huge_page = huge_page;
}

std::uint64_t ready_peak() {
    return world.ready_peak.load(std::memory_order_relaxed);  // relaxed: a statistic
}

}  // namespace fake

using fake::Hold;
using fake::Mark;
using fake::Move;
using fake::set_of;
using fake::world;

// ---- the moves

std::size_t page_bytes() { return world.page; }
std::size_t huge_page_bytes() { return world.huge_page; }
std::uint64_t address_space_limit() { return UINT64_MAX; }
std::uint64_t mapped_ready() {
    return world.ready_bytes.load(std::memory_order_relaxed);  // relaxed: a statistic
}

void* alloc(std::size_t bytes, Stat& stat) {
    Hold hold;
    fake::check_range(Move::alloc, nullptr, bytes);
    if (fake::begin(Move::alloc)) return nullptr;
    void* start = fake::map_somewhere(nullptr, bytes, PROT_READ | PROT_WRITE);
    if (start == nullptr) return nullptr;
    fake::note(start, bytes, Mark::ready);
    stat.add(bytes);
    fake::change_ready(bytes, 0);
    return start;
}

void free(void* start, std::size_t bytes, Stat& stat) {
    Hold hold;
    (void)fake::begin(Move::free);
    fake::check_marks(Move::free, start, bytes, set_of(Mark::ready));
    fake::shrink_stat(Move::free, start, bytes, stat);
    CAIRN_CHECK(munmap(start, bytes) == 0);
    fake::note(start, bytes, Mark::none);
    fake::change_ready(0, bytes);
}

void* reserve(void* hint, std::size_t bytes) {
    Hold hold;
    fake::check_range(Move::reserve, hint, bytes);
    if (fake::begin(Move::reserve)) return nullptr;
    if (world.is_hint_refused && hint != nullptr && fake::is_into_foreign(hint, bytes)) return nullptr;
    void* start = fake::map_somewhere(hint, bytes, PROT_NONE);
    if (start != nullptr) fake::note(start, bytes, Mark::reserved);
    return start;
}

bool would_grant(std::size_t) { return true; }

void* reserve_aligned(std::size_t bytes, std::size_t alignment) {
    if (!base::is_power_of_two(alignment)) {
        fake::die(Move::reserve, nullptr, bytes, "the alignment is no power of two");
    }
    if (alignment <= page_bytes()) return reserve(nullptr, bytes);
    void* whole = reserve(nullptr, bytes + alignment);
    if (whole == nullptr) return nullptr;
    const auto low = reinterpret_cast<std::uintptr_t>(whole);
    const std::uintptr_t start = base::align_up(low, alignment);
    if (start > low) release(whole, start - low);
    if (start < low + alignment) release(reinterpret_cast<void*>(start + bytes), low + alignment - start);
    return reinterpret_cast<void*>(start);
}

void release(void* start, std::size_t bytes) {
    Hold hold;
    (void)fake::begin(Move::release);
    fake::check_marks(Move::release, start, bytes, set_of(Mark::reserved));
    CAIRN_CHECK(munmap(start, bytes) == 0);
    fake::note(start, bytes, Mark::none);
}

bool map(void* start, std::size_t bytes, Stat& stat) {
    Hold hold;
    const bool is_refused = fake::begin(Move::map);
    fake::check_marks(Move::map, start, bytes, set_of(Mark::reserved));
    if (is_refused) return false;
    fake::note(start, bytes, Mark::prepared);
    stat.add(bytes);
    return true;
}

bool map_sparse(void* start, std::size_t bytes, Stat& stat) {
    if (!map(start, bytes, stat)) return false;
    Hold hold;
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    fake::protect(address, address + bytes, PROT_READ | PROT_WRITE);
    fake::note(start, bytes, Mark::ready);
    return true;
}

void used(void* start, std::size_t bytes, std::size_t prepared_bytes) {
    Hold hold;
    (void)fake::begin(Move::used);
    fake::check_marks(Move::used, start, bytes, fake::prepared_marks | set_of(Mark::ready));
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    std::size_t found = 0;
    world.table.each(address, address + bytes, [&](std::uintptr_t from, std::uintptr_t to, Mark mark) {
        if (mark == Mark::ready) return;
        found += to - from;
        fake::protect(from, to, PROT_READ | PROT_WRITE);
        if (mark == Mark::lost) fake::fill_with_junk(from, to);
    });
    if (found != prepared_bytes) {
        base::Message why;
        why << "the caller counts " << static_cast<std::uint64_t>(prepared_bytes);
        why << " prepared bytes, there are " << static_cast<std::uint64_t>(found);
        why << std::string_view("\0", 1);
        fake::die(Move::used, start, bytes, why.view().data());
    }
    fake::note(start, bytes, Mark::ready);
    fake::change_ready(found, 0);
}

namespace {

// ready → `mark`, contents gone, any access faults.
void take_away(Move move, void* start, std::size_t bytes, Mark mark) {
    (void)fake::begin(move);
    fake::check_marks(move, start, bytes, set_of(Mark::ready));
    const auto address = reinterpret_cast<std::uintptr_t>(start);
    fake::protect(address, address + bytes, PROT_NONE);
    CAIRN_CHECK(madvise(start, bytes, MADV_DONTNEED) == 0);
    fake::note(start, bytes, mark);
    fake::change_ready(0, bytes);
}

void hint(Move move, void* start, std::size_t bytes) {
    (void)fake::begin(move);
    const fake::Marks ours = set_of(Mark::reserved) | fake::prepared_marks | set_of(Mark::ready);
    fake::check_marks(move, start, bytes, ours);
}

}  // namespace

void unused(void* start, std::size_t bytes) {
    Hold hold;
    take_away(Move::unused, start, bytes, Mark::lost);
}

void fault(void* start, std::size_t bytes) {
    Hold hold;
    take_away(Move::fault, start, bytes, Mark::reserved);
}

void back(void* start, std::size_t bytes) {
    Hold hold;
    (void)fake::begin(Move::back);
    fake::check_marks(Move::back, start, bytes, set_of(Mark::ready));
}

void want_huge_pages(void* start, std::size_t bytes) {
    Hold hold;
    hint(Move::want_huge_pages, start, bytes);
}

void refuse_huge_pages(void* start, std::size_t bytes) {
    Hold hold;
    hint(Move::refuse_huge_pages, start, bytes);
}

}  // namespace cairn::os
