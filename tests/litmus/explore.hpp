// Explorer: runs a few small threads through every interleaving of their atomic steps, and through what weak
// memory may show.
//
// The code under test is the product's own, instantiated with Atomic, Lock and Memory from here. Each
// operation on an Atomic is one step. Threads are fibers of one OS thread; before each step the explorer
// chooses who goes on, and a depth-first search over the choices repeats the run from the start until every
// choice was made both ways.
//
// Weak memory: an Atomic keeps all values ever stored, in order, and each thread has a view: for each Atomic
// the oldest value it may still read. A load chooses among those; an acquire load of a value stored with
// release takes over the storing thread's view; an exchange reads the newest value and carries the release
// sequence on. This is the C++ model without stores that are delayed past earlier ones (load buffering, and
// stores into the middle of the order).
//
// A state is what is in memory and what each thread may still do; one seen before is not explored again, its
// number of interleavings is known. A thread that waits (pause) goes on when another has stored something, so
// waiting is finite, and threads that wait for each other for ever are found.
// SPDX-License-Identifier: MIT
#pragma once

#undef _FORTIFY_SOURCE  // its longjmp refuses to change stacks, which is what fibers do

#include <setjmp.h>
#include <ucontext.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace cairn::litmus {

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
    std::uint64_t x = (a ^ b * 0x9e3779b97f4a7c15ULL) + 0x2545f4914f6cdd1dULL;
    x = (x ^ x >> 31) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 29) * 0x94d049bb133111ebULL;
    return x ^ x >> 32;
}

// What goes wrong on purpose, to see that it is noticed.
struct Faults {
    bool stores_are_relaxed = false;  // release is forgotten
    bool loads_are_relaxed = false;   // acquire is forgotten
    bool exchanges_are_torn = false;  // compare-and-swap is a load, then a store
    std::uint64_t ignored_bits = 0;   // compare-and-swap overlooks these: a tag that is not there
};

class Explorer {
public:
    static constexpr unsigned unlimited = ~0U;

    struct Scenario {
        std::string name;
        std::function<void()> set_up;  // before the threads; builds the objects in place()
        std::vector<std::function<void()>> threads;
        std::function<void()> check;  // after the threads
        // Of a scenario too large to explore whole, the runs with at most so many detours: another thread
        // goes on though the last one could, or a load reads an old value. Errors need few.
        unsigned detours = unlimited;
    };
    struct Outcome {
        std::string failure;  // empty: every interleaving is right
        std::string trace;    // the steps that led there
        std::uint64_t runs = 0;
        std::uint64_t states = 0;
        double interleavings = 0;
    };

    static Explorer& instance() {
        static Explorer explorer;
        return explorer;
    }

    Faults faults;

    // While one lives the thread's operations are no steps of their own: for what no other thread touches
    // meanwhile.
    class Quiet {
    public:
        Quiet() { instance().is_quiet_ = true; }
        ~Quiet() { instance().is_quiet_ = false; }
    };

    Outcome explore(const Scenario& scenario) {
        scenario_ = &scenario;
        outcome_ = {};
        trail_.clear();
        known_.clear();
        do {
            ++outcome_.runs;
            const double paths = run();
            if (!outcome_.failure.empty()) break;
            backtrack(paths);
        } while (!trail_.empty());
        outcome_.states = known_.size();
        std::printf("%-40s %8llu runs %8llu states %10.4g interleavings", scenario.name.c_str(),
                    static_cast<unsigned long long>(outcome_.runs),
                    static_cast<unsigned long long>(outcome_.states), outcome_.interleavings);
        if (scenario.detours != unlimited) std::printf(", at most %u detours", scenario.detours);
        std::printf("\n");
        std::fflush(stdout);
        return outcome_;
    }

    // Memory of the run, at the same addresses in every run; zeroed. Returns nullptr above memory_limit.
    // No step of its own: in whose order memory is given is of no interest.
    void* allocate(std::size_t bytes, std::size_t alignment) {
        const std::size_t at = (used_ + alignment - 1) & ~(alignment - 1);
        if (at + bytes > memory_limit || at + bytes > arena_bytes) {
            observe(~std::uint64_t{0});
            return nullptr;
        }
        used_ = at + bytes;
        observe(at);
        return arena_ + at;
    }
    std::size_t memory_limit = arena_bytes;

    // Makes an object of the scenario; only in set_up.
    template <class T, class... Arguments>
    T* place(Arguments&&... arguments) {
        return new (allocate(sizeof(T), alignof(T))) T(static_cast<Arguments&&>(arguments)...);
    }

    // Says that the thread finished an operation with `result`, and keeps nothing else in mind: more states
    // are equal.
    void finished(std::uint64_t result) {
        if (current_ == nobody) return;
        Thread& self = threads_[current_];
        self.results = mix(self.results, result);
        self.past = mix(self.results, hash_of(self.view));
    }

    void expect(bool claim, const char* text) {
        if (!claim) fail(text);
    }

    // The thread looked in vain: it waits until somebody else has stored something, and then sees the newest.
    void pause() {
        if (current_ == nobody) return fail("waits outside a thread");
        Thread& self = threads_[current_];
        self.reads_newest = true;
        if (!self.last_read_was_stale) self.is_waiting = true;
        observe(0x9a05e);
    }

    std::uint32_t register_location(const void* address, std::uint64_t value) {
        const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(address) - arena_);
        if (offset >= arena_bytes) std::abort();  // scenarios build their objects with place()
        const auto [found, is_new] = ids_.try_emplace(offset, static_cast<std::uint32_t>(ids_.size()));
        const std::uint32_t id = found->second;
        if (id >= max_locations) std::abort();
        append(id, 0, View{});  // what was there before: whoever can read it has not been told of the object
        View view{};
        if (current_ != nobody) view = threads_[current_].view;
        view[id] = 1;
        append(id, value, view);
        if (current_ != nobody) threads_[current_].view[id] = 1;
        return id;
    }

    std::uint64_t load(std::uint32_t id, std::memory_order order) {
        step();
        const std::vector<Message>& history = histories_[id];
        const std::uint32_t newest = static_cast<std::uint32_t>(history.size()) - 1;
        if (current_ == nobody) return history[newest].value;
        Thread& self = threads_[current_];
        std::uint32_t at = newest;
        if (!self.reads_newest && detours_ != 0) at -= choose(newest - self.view[id] + 1);
        if (at != newest) take_detour();
        if (at == 0) fail("an object was read before it was made");
        self.reads_newest = false;
        read(self, id, at, order);
        log("load", id, history[at].value, at);
        return history[at].value;
    }

    void store(std::uint32_t id, std::uint64_t value, std::memory_order order) {
        step();
        write(id, value, order, false);
        log("store", id, value, histories_[id].size() - 1);
    }

    bool exchange_if(std::uint32_t id, std::uint64_t& expected, std::uint64_t desired,
                     std::memory_order success, std::memory_order failure) {
        step();
        const auto newest = static_cast<std::uint32_t>(histories_[id].size()) - 1;
        const std::uint64_t value = histories_[id][newest].value;
        const bool is_equal = ((value ^ expected) & ~faults.ignored_bits) == 0;
        if (current_ != nobody) read(threads_[current_], id, newest, is_equal ? success : failure);
        log(is_equal ? "exchange" : "exchange fails", id, is_equal ? desired : value, newest);
        if (!is_equal) {
            expected = value;
            return false;
        }
        if (faults.exchanges_are_torn) step();
        write(id, desired, success, true);
        return true;
    }

    // A step that reads the newest value and stores change(value).
    template <class Change>
    std::uint64_t modify(const char* what, std::uint32_t id, std::memory_order order, Change change) {
        step();
        const auto newest = static_cast<std::uint32_t>(histories_[id].size()) - 1;
        const std::uint64_t value = histories_[id][newest].value;
        if (current_ != nobody) read(threads_[current_], id, newest, order);
        write(id, change(value), order, true);
        log(what, id, change(value), newest + 1);
        return value;
    }

private:
    static constexpr std::size_t arena_bytes = 64 * 1024;
    static constexpr std::size_t stack_bytes = 64 * 1024;
    static constexpr std::size_t max_threads = 4;
    static constexpr std::size_t max_locations = 64;  // and at most 255 values each
    static constexpr unsigned nobody = ~0U;

    using View = std::array<std::uint8_t, max_locations>;
    struct Message {
        std::uint64_t value;
        View view;
        std::uint64_t hash;
    };
    struct Thread {
        View view;
        std::uint64_t past = 0;     // hash of what it observed since its last finished operation
        std::uint64_t results = 0;  // hash of the results of finished operations
        bool is_done = false;
        bool is_waiting = false;
        bool reads_newest = false;
        bool last_read_was_stale = false;
        jmp_buf at;
    };
    struct Choice {
        unsigned taken;
        unsigned count;
        std::uint64_t state;  // 0: a choice in the middle of a step
        double paths;
    };
    struct Event {
        unsigned thread;
        const char* what;
        std::uint32_t location;
        std::uint64_t value;
        std::size_t index;
    };

    Explorer() {
        for (auto& stack : stacks_) stack = std::make_unique<std::byte[]>(stack_bytes);
        storage_ = std::make_unique<std::byte[]>(arena_bytes + 4096);
        const auto start = (reinterpret_cast<std::uintptr_t>(storage_.get()) + 4095) & ~std::uintptr_t{4095};
        arena_ = reinterpret_cast<std::byte*>(start);
    }

    static std::uint64_t hash_of(const View& view) {
        std::uint64_t words[max_locations / 8];
        static_assert(sizeof words == sizeof view);
        __builtin_memcpy(words, view.data(), sizeof words);
        std::uint64_t hash = 0;
        for (std::uint64_t word : words) hash = mix(hash, word);
        return hash;
    }

    // ---- one run

    // Builds the scenario and brings each thread to its first step. Returns: how many threads.
    unsigned begin_run() {
        depth_ = 0;
        used_ = 0;
        memory_ = 0;
        for (auto& history : histories_) history.clear();
        __builtin_memset(arena_, 0, arena_bytes);
        events_.clear();
        current_ = nobody;
        is_quiet_ = false;
        detours_ = unlimited;
        scenario_->set_up();
        const auto count = static_cast<unsigned>(scenario_->threads.size());
        View seen{};
        for (const auto& [offset, id] : ids_)
            if (!histories_[id].empty()) seen[id] = static_cast<std::uint8_t>(histories_[id].size() - 1);
        for (unsigned i = 0; i < count; ++i) {
            threads_[i] = {};
            threads_[i].view = seen;
            start(i);
        }
        return count;
    }

    // Follows the choices of the trail, then takes the first side of each new one.
    // Returns: how many interleavings this run stands for.
    double run() {
        const unsigned count = begin_run();
        unsigned last = nobody;
        detours_ = scenario_->detours;
        while (outcome_.failure.empty()) {
            unsigned ready[max_threads];
            unsigned ready_count = 0;
            unsigned done_count = 0;
            for (unsigned i = 0; i < count; ++i) {
                if (threads_[i].is_done) ++done_count;
                else if (!threads_[i].is_waiting) ready[ready_count++] = i;
            }
            if (done_count == count) {
                scenario_->check();
                break;
            }
            if (ready_count == 0) {
                fail("all threads wait for each other");
                break;
            }
            bool may_go_on = false;  // who ran last stands first, and alone when no detour is left
            for (unsigned i = 0; i < ready_count; ++i) {
                if (ready[i] != last) continue;
                may_go_on = true;
                ready[i] = ready[0];
                ready[0] = last;
            }
            if (may_go_on && detours_ == 0) ready_count = 1;
            unsigned next = ready[0];
            if (ready_count > 1) {
                std::uint64_t state = hash_of_state(count);
                if (detours_ != unlimited) state = mix(mix(state, detours_), last) | 1;
                if (depth_ == trail_.size()) {
                    const auto known = known_.find(state);
                    if (known != known_.end()) return known->second;
                }
                next = ready[choose(ready_count, state)];
            }
            if (may_go_on && next != last) take_detour();
            last = next;
            resume(next);
        }
        if (!outcome_.failure.empty()) describe_failure();
        return 1;
    }

    std::uint64_t hash_of_state(unsigned count) const {
        std::uint64_t state = mix(memory_, used_);
        for (unsigned i = 0; i < count; ++i) {
            const Thread& t = threads_[i];
            const unsigned flags =
                t.is_done | t.is_waiting << 1 | t.reads_newest << 2 | t.last_read_was_stale << 3;
            state = mix(mix(state, t.past), flags);
        }
        return state | 1;
    }

    void take_detour() {
        if (detours_ != unlimited) --detours_;
    }

    unsigned choose(unsigned count, std::uint64_t state = 0) {
        if (count == 1) return 0;
        if (depth_ == trail_.size()) trail_.push_back({0, count, state, 0});
        return trail_[depth_++].taken;
    }

    // The deepest choice that has another side is turned; those below it are done.
    void backtrack(double paths) {
        while (!trail_.empty()) {
            Choice& last = trail_.back();
            last.paths += paths;
            if (++last.taken < last.count) return;
            paths = last.paths;
            if (last.state != 0) known_.emplace(last.state, paths);
            trail_.pop_back();
        }
        outcome_.interleavings = paths;
    }

    // ---- memory

    void append(std::uint32_t id, std::uint64_t value, const View& view) {
        std::vector<Message>& history = histories_[id];
        if (history.size() == 255) std::abort();
        const std::uint64_t hash = mix(mix(mix(id, history.size()), value), hash_of(view));
        history.push_back({value, view, hash});
        memory_ ^= hash;
    }

    static bool acquires(std::memory_order order) {
        return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
               order == std::memory_order_seq_cst;
    }
    static bool releases(std::memory_order order) {
        return order == std::memory_order_release || order == std::memory_order_acq_rel ||
               order == std::memory_order_seq_cst;
    }

    static void join(View& into, const View& other) {
        for (std::size_t i = 0; i < max_locations; ++i)
            if (other[i] > into[i]) into[i] = other[i];
    }

    void read(Thread& self, std::uint32_t id, std::uint32_t at, std::memory_order order) {
        const Message& message = histories_[id][at];
        self.view[id] = static_cast<std::uint8_t>(at);
        self.last_read_was_stale = at + 1 != histories_[id].size();
        if (acquires(order) && !faults.loads_are_relaxed) join(self.view, message.view);
        self.past = mix(self.past, message.hash);
    }

    void write(std::uint32_t id, std::uint64_t value, std::memory_order order, bool is_exchange) {
        const auto at = static_cast<std::uint8_t>(histories_[id].size());
        View view{};
        view[id] = at;
        if (current_ != nobody) {
            Thread& self = threads_[current_];
            self.view[id] = at;
            if (releases(order) && !faults.stores_are_relaxed) view = self.view;
            self.past = mix(self.past, mix(id, value));
        }
        if (is_exchange) join(view, histories_[id].back().view);  // carries the release sequence on
        append(id, value, view);
        for (unsigned i = 0; i < max_threads; ++i)
            if (i != current_) threads_[i].is_waiting = false;
    }

    void observe(std::uint64_t what) {
        if (current_ != nobody) threads_[current_].past = mix(threads_[current_].past, what);
    }

    // ---- fibers

    // Gives the explorer its choice; returns when this thread is chosen.
    void step() {
        if (current_ == nobody || is_quiet_) return;
        if (_setjmp(threads_[current_].at) == 0) _longjmp(main_, 1);
    }

    void resume(unsigned i) {
        current_ = i;
        if (_setjmp(main_) == 0) _longjmp(threads_[i].at, 1);
        current_ = nobody;
    }

    // To the thread's first step.
    void start(unsigned i) {
        current_ = i;
        if (_setjmp(main_) == 0) {
            if (has_fiber_[i]) _longjmp(fibers_[i], 1);
            has_fiber_[i] = true;
            make_fiber(i);
        }
        current_ = nobody;
    }

    void make_fiber(unsigned i) {
        ucontext_t context;
        getcontext(&context);
        context.uc_stack.ss_sp = stacks_[i].get();
        context.uc_stack.ss_size = stack_bytes;
        context.uc_link = nullptr;
        makecontext(&context, &Explorer::enter, 0);
        setcontext(&context);
    }

    static void enter() {
        // the next run starts here, on the same stack
        (void)_setjmp(instance().fibers_[instance().current_]);
        Explorer& self = instance();
        const unsigned i = self.current_;
        self.scenario_->threads[i]();
        self.threads_[i].is_done = true;
        self.threads_[i].past = self.threads_[i].results;
        _longjmp(self.main_, 1);
    }

    // ---- telling

    void fail(const char* text) {
        if (outcome_.failure.empty()) outcome_.failure = text;
        if (current_ != nobody) _longjmp(main_, 1);
    }

    void log(const char* what, std::uint32_t id, std::uint64_t value, std::size_t index) {
        if (current_ != nobody) events_.push_back({current_, what, id, value, index});
    }

    void describe_failure() {
        for (const Event& event : events_) {
            char line[128];
            std::snprintf(line, sizeof line, "  thread %u: %s of %u: %llx (#%zu)\n", event.thread, event.what,
                          event.location, static_cast<unsigned long long>(event.value), event.index);
            outcome_.trace += line;
        }
    }

    const Scenario* scenario_ = nullptr;
    Outcome outcome_;
    std::vector<Choice> trail_;
    std::size_t depth_ = 0;
    std::unordered_map<std::uint64_t, double> known_;     // state → interleavings from there
    std::unordered_map<std::size_t, std::uint32_t> ids_;  // place in the arena → Atomic, the same in all runs
    std::array<std::vector<Message>, max_locations> histories_;
    std::uint64_t memory_ = 0;  // hash of all messages
    std::array<Thread, max_threads> threads_;
    std::array<std::unique_ptr<std::byte[]>, max_threads> stacks_;
    std::array<jmp_buf, max_threads> fibers_;
    std::array<bool, max_threads> has_fiber_{};
    std::unique_ptr<std::byte[]> storage_;
    std::byte* arena_ = nullptr;
    std::size_t used_ = 0;
    unsigned current_ = nobody;
    bool is_quiet_ = false;
    unsigned detours_ = unlimited;
    jmp_buf main_;
    std::vector<Event> events_;
};

// std::atomic's interface, a step an operation.
template <class T>
class Atomic {
public:
    Atomic() : Atomic(T{}) {}
    // NOLINT: as std::atomic
    Atomic(T value) : id_(Explorer::instance().register_location(this, word(value))) {}
    Atomic(const Atomic&) = delete;
    Atomic& operator=(const Atomic&) = delete;

    T load(std::memory_order order) const { return value(Explorer::instance().load(id_, order)); }
    void store(T desired, std::memory_order order) { Explorer::instance().store(id_, word(desired), order); }
    T fetch_add(T n, std::memory_order order) {
        return modify("add", order, [n](T before) { return static_cast<T>(before + n); });
    }
    T fetch_or(T bits, std::memory_order order) {
        return modify("or", order, [bits](T before) { return static_cast<T>(before | bits); });
    }
    T exchange(T desired, std::memory_order order) {
        return modify("swap", order, [desired](T) { return desired; });
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                                 std::memory_order failure) {
        std::uint64_t seen = word(expected);
        const bool is_done = Explorer::instance().exchange_if(id_, seen, word(desired), success, failure);
        expected = value(seen);
        return is_done;
    }

private:
    template <class Change>
    T modify(const char* what, std::memory_order order, Change change) {
        return value(Explorer::instance().modify(
            what, id_, order, [&](std::uint64_t before) { return word(change(value(before))); }));
    }
    static std::uint64_t word(T value) {
        std::uint64_t bits = 0;
        __builtin_memcpy(&bits, &value, sizeof value);
        return bits;
    }
    static T value(std::uint64_t bits) {
        T out;
        __builtin_memcpy(&out, &bits, sizeof out);
        return out;
    }
    std::uint32_t id_;
};

class Lock {
public:
    void lock() {
        bool is_held = false;
        while (!is_held_.compare_exchange_strong(is_held, true, std::memory_order_acquire,
                                                 std::memory_order_relaxed)) {
            is_held = false;
            Explorer::instance().pause();
        }
    }
    void unlock() { is_held_.store(false, std::memory_order_release); }

private:
    Atomic<bool> is_held_{false};
};

struct Memory {
    void* allocate(std::size_t bytes, std::size_t alignment) {
        return Explorer::instance().allocate(bytes, alignment);
    }
};

}  // namespace cairn::litmus
