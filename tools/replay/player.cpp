// Plays a plan: the loop over events, and what is read between its runs.
// SPDX-License-Identifier: MIT
#include "replay/player.hpp"

#include <cairn/textbook.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "replay/address_map.hpp"
#include "replay/outcome.hpp"
#include "replay/plan.hpp"

namespace cairn::replay {

namespace {

constexpr std::size_t os_page_bytes = 4096;
constexpr std::uint64_t table_ahead = 8;  // events; about a miss of work

std::uint64_t clock_ns(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

// Bytes of this process's memory that are neither of a file nor shared. No stdio: it would allocate.
class OwnMemory {
public:
    [[nodiscard]] std::uint64_t bytes() const {
        char text[128];
        const ssize_t length = pread(file_, text, sizeof text - 1, 0);
        if (length <= 0) return 0;
        text[length] = 0;
        char* at = text;
        (void)std::strtoull(at, &at, 10);
        const std::uint64_t resident = std::strtoull(at, &at, 10);
        const std::uint64_t shared = std::strtoull(at, &at, 10);
        return (resident - std::min(shared, resident)) * os_page_bytes;
    }

private:
    int file_ = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
};

// ---- what can be played on

class Malloc {
public:
    static constexpr bool writes_objects = true;

    void* take(std::uint64_t bytes, unsigned align_shift) {
        const std::size_t align = std::size_t{1} << align_shift;
        return align <= 16 ? std::malloc(bytes) : memalign(align, bytes);
    }
    void* take_zeroed(std::uint64_t bytes) { return std::calloc(1, bytes); }
    void* resize(void* at, std::uint64_t, std::uint64_t bytes) {
        return std::realloc(at, bytes == 0 ? 1 : bytes);
    }
    void give(void* at) { std::free(at); }
    [[nodiscard]] std::uint64_t used_bytes(const MappedArray<Object>& objects) const {
        std::uint64_t sum = 0;
        for (const Object& object : objects)
            if (object.at != nullptr) sum += malloc_usable_size(object.at);
        return sum;
    }
    [[nodiscard]] bool counts(cairn_textbook_counts&) const { return false; }
    [[nodiscard]] const char* check() const { return nullptr; }
};

class Textbook {
public:
    static constexpr bool writes_objects = true;

    explicit Textbook(cairn_textbook* heap) : heap_(heap) {}

    void* take(std::uint64_t bytes, unsigned align_shift) {
        return cairn_textbook_allocate(heap_, bytes, std::size_t{1} << (align_shift < 4 ? 4 : align_shift));
    }
    void* take_zeroed(std::uint64_t bytes) {
        void* at = cairn_textbook_allocate(heap_, bytes, 16);
        if (at != nullptr) std::memset(at, 0, bytes);
        return at;
    }
    void* resize(void* at, std::uint64_t old_bytes, std::uint64_t bytes) {
        if (cairn_textbook_resize(heap_, at, bytes) != 0) return at;
        void* moved = cairn_textbook_allocate(heap_, bytes, 16);
        if (moved == nullptr) return nullptr;
        std::memcpy(moved, at, std::min(old_bytes, bytes));
        cairn_textbook_free(heap_, at);
        return moved;
    }
    void give(void* at) { cairn_textbook_free(heap_, at); }
    [[nodiscard]] std::uint64_t used_bytes(const MappedArray<Object>&) const {
        cairn_textbook_counts now{};
        cairn_textbook_counts_get(heap_, &now);
        return now.used_bytes;
    }
    [[nodiscard]] bool counts(cairn_textbook_counts& out) const {
        cairn_textbook_counts_get(heap_, &out);
        return true;
    }
    [[nodiscard]] const char* check() const { return cairn_textbook_check(heap_); }

private:
    cairn_textbook* heap_;
};

// Costs what the player itself costs.
class None {
public:
    static constexpr bool writes_objects = false;

    void* take(std::uint64_t, unsigned) { return this; }
    void* take_zeroed(std::uint64_t) { return this; }
    void* resize(void* at, std::uint64_t, std::uint64_t) { return at; }
    void give(void*) {}
    [[nodiscard]] std::uint64_t used_bytes(const MappedArray<Object>&) const { return 0; }
    [[nodiscard]] bool counts(cairn_textbook_counts&) const { return false; }
    [[nodiscard]] const char* check() const { return nullptr; }
};

// ---- what objects hold

constexpr std::uint64_t word_of(std::uint32_t slot) {
    return (slot + 1) * 0x9E3779B97F4A7C15u;
}

void sign(void* at, std::uint64_t bytes, std::uint32_t slot) {
    if (bytes < sizeof(std::uint64_t)) return;
    const std::uint64_t word = word_of(slot);
    std::memcpy(at, &word, sizeof word);
}

bool is_signed(const void* at, std::uint64_t bytes, std::uint32_t slot) {
    if (bytes < sizeof(std::uint64_t)) return true;
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    return word == word_of(slot);
}

// Writes a byte of each OS page of [from, bytes).
void touch(void* at, std::uint64_t from, std::uint64_t bytes) {
    auto* start = static_cast<volatile unsigned char*>(at);
    for (std::uint64_t i = (from + os_page_bytes - 1) / os_page_bytes * os_page_bytes; i < bytes;
         i += os_page_bytes)
        start[i] = 1;
}

// ---- the player

template <class Heap>
class Player {
public:
    Player(Heap heap, const Plan& plan, Outcome& outcome)
        : heap_(heap), plan_(plan), outcome_(outcome), map_(outcome), objects_(plan.head().slots) {
        // Written now, so that no page of it is fetched under the clock.
        std::fill(objects_.begin(), objects_.end(), Object{});
        order_runs();
    }

    void play(double most_seconds) {
        baseline_ = memory_.bytes();
        sample();
        const std::uint64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        const auto most_ns = static_cast<std::uint64_t>(most_seconds * 1e9);
        const std::uint64_t events = plan_.head().events;
        std::uint64_t measuring_cpu = 0;
        End end = End::complete;
        while (next_ < events && end == End::complete) {
            end = play_run(end_of_run(events));
            const std::uint64_t paused = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
            sample();
            measuring_cpu += clock_ns(CLOCK_PROCESS_CPUTIME_ID) - paused;
            if (ns_ > most_ns && end == End::complete && next_ < events) end = End::out_of_time;
        }
        outcome_.ns = ns_;
        outcome_.cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu - measuring_cpu;
        finish(end);
    }

private:
    void order_runs() {
        const std::uint64_t events = plan_.head().events;
        run_events_ = std::max<std::uint64_t>((events + most_samples - 3) / (most_samples - 2), 64);
        const std::uint64_t runs = (events + run_events_ - 1) / run_events_;
        runs_a_frame_ = std::max<std::uint64_t>((runs + most_frames - 4) / (most_frames - 3), 1);
    }

    // Runs are of equal length but for one that ends where most is alive: the peak shall be seen.
    [[nodiscard]] std::uint64_t end_of_run(std::uint64_t events) const {
        const std::uint64_t peak = plan_.head().peak_event + 1;
        const std::uint64_t end = std::min((next_ / run_events_ + 1) * run_events_, events);
        return next_ < peak && peak < end ? peak : end;
    }

    // Plays up to `last`; what ended it is told, and `next_` is where it ended.
    End play_run(std::uint64_t last) {
        const PlannedEvent* events = plan_.events();
        const std::uint64_t start = clock_ns(CLOCK_MONOTONIC);
        End end = End::complete;
        std::uint64_t at = next_;
        for (; at < last && end == End::complete; ++at) {
            // The player's own table shall cost no misses: a program has its pointers at hand.
            if (at + table_ahead < last) __builtin_prefetch(&objects_[events[at + table_ahead].slot], 1);
            end = step(events[at]);
        }
        ns_ += clock_ns(CLOCK_MONOTONIC) - start;
        next_ = end == End::complete ? at : at - 1;
        return end;
    }

    End step(const PlannedEvent& event) {
        Object& object = objects_[event.slot];
        switch (event.step) {
        case Step::take:
            object = {heap_.take(event.bytes, event.align_shift), event.bytes};
            return begin(object, event);
        case Step::take_zeroed:
            object = {heap_.take_zeroed(event.bytes), event.bytes};
            return begin(object, event);
        case Step::resize: return resize(object, event);
        case Step::give: break;
        }
        live_bytes_ -= object.bytes;
        --live_objects_;
        const bool is_good = !Heap::writes_objects || is_signed(object.at, object.bytes, event.slot);
        heap_.give(object.at);
        object.at = nullptr;
        return is_good ? End::complete : End::corrupted;
    }

    End begin(const Object& object, const PlannedEvent& event) {
        if (object.at == nullptr) [[unlikely]]
            return End::out_of_memory;
        if constexpr (Heap::writes_objects) {
            touch(object.at, 0, object.bytes);
            sign(object.at, object.bytes, event.slot);
        }
        live_bytes_ += object.bytes;
        ++live_objects_;
        return End::complete;
    }

    End resize(Object& object, const PlannedEvent& event) {
        void* moved = heap_.resize(object.at, object.bytes, event.bytes);
        if (moved == nullptr) [[unlikely]]
            return End::out_of_memory;
        const std::uint64_t before = object.bytes;
        live_bytes_ += event.bytes - before;
        object = {moved, event.bytes};
        if constexpr (Heap::writes_objects) {
            if (!is_signed(moved, std::min(before, event.bytes), event.slot)) return End::corrupted;
            touch(moved, before, event.bytes);
            sign(moved, event.bytes, event.slot);
        }
        return End::complete;
    }

    // Reads what there is to read, with the clock standing.
    void sample() {
        // relaxed: this process is the only one that writes it
        const std::uint32_t number = outcome_.moments.load(std::memory_order_relaxed);
        const std::uint64_t footprint = memory_.bytes();
        const std::uint64_t grown = footprint - std::min(baseline_, footprint);
        outcome_.peak_footprint_bytes = std::max(outcome_.peak_footprint_bytes, grown);
        cairn_textbook_counts counts{};
        (void)heap_.counts(counts);
        outcome_.moment[number] = {next_, ns_, live_bytes_, grown, counts.visited};
        const bool is_last = next_ == plan_.head().events;
        if (Heap::writes_objects && outcome_.frames < most_frames &&
            (number % runs_a_frame_ == 0 || next_ == plan_.head().peak_event + 1 || is_last))
            add_frame(grown);
        outcome_.played.store(next_, std::memory_order_relaxed);  // relaxed: for the eye only
        // release: pairs with the parent, to whom this moment is complete
        if (number + 1 < most_samples) outcome_.moments.store(number + 1, std::memory_order_release);
    }

    void add_frame(std::uint64_t footprint) {
        map_.add_frame(objects_, live_bytes_);
        outcome_.frame[outcome_.frames++] = {next_, live_bytes_, live_objects_, heap_.used_bytes(objects_),
                                             footprint};
    }

    void finish(End end) {
        cairn_textbook_counts counts{};
        if (heap_.counts(counts)) {
            outcome_.is_textbook = true;
            outcome_.extent_bytes = counts.extent_bytes;
            outcome_.visited = counts.visited;
            outcome_.most_visited = counts.most_visited;
            outcome_.splits = counts.splits;
            outcome_.merges = counts.merges;
            outcome_.growths = counts.growths;
            outcome_.operations = counts.allocations + counts.frees + counts.failures;
        }
        if (const char* complaint = heap_.check(); complaint != nullptr)
            std::snprintf(outcome_.complaint, sizeof outcome_.complaint, "%s", complaint);
        map_.finish();
        outcome_.end = end;
    }

    Heap heap_;
    const Plan& plan_;
    Outcome& outcome_;
    AddressMap map_;
    MappedArray<Object> objects_;
    OwnMemory memory_;
    std::uint64_t baseline_ = 0;
    std::uint64_t run_events_ = 0;
    std::uint64_t runs_a_frame_ = 0;
    std::uint64_t next_ = 0;  // event to be played
    std::uint64_t ns_ = 0;
    std::uint64_t live_bytes_ = 0;
    std::uint64_t live_objects_ = 0;
};

// Notes whose malloc is called. False when it is not the library's that was wanted.
bool find_provider(const std::string& library, Outcome& outcome) {
    Dl_info found{};
    void* (*function)(std::size_t) = &std::malloc;
    if (dladdr(reinterpret_cast<void*>(function), &found) != 0 && found.dli_fname != nullptr)
        std::snprintf(outcome.provider, sizeof outcome.provider, "%s", found.dli_fname);
    std::error_code failure;
    return library.empty() || std::filesystem::equivalent(library, outcome.provider, failure);
}

}  // namespace

int play(const PlayerOrder& order) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // no one would read the outcome
    Plan plan;
    plan.attach(order.plan_file);
    SharedMemory memory = SharedMemory::attach(order.outcome_file);
    auto& outcome = *static_cast<Outcome*>(memory.data());
    if (!find_provider(order.library, outcome)) {
        outcome.end = End::not_loaded;
        return 1;
    }
    if (order.policy == "malloc") {
        Player(Malloc(), plan, outcome).play(order.most_seconds);
    } else if (order.policy == "none") {
        Player(None(), plan, outcome).play(order.most_seconds);
    } else {
        cairn_textbook* heap = cairn_textbook_open(order.policy.c_str(), order.region_bytes);
        if (heap == nullptr) {
            outcome.end = End::refused;
            return 1;
        }
        Player(Textbook(heap), plan, outcome).play(order.most_seconds);
    }
    return 0;
}

}  // namespace cairn::replay
