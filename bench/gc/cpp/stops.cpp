// Cycles one after another, beside a thread that allocates and turns links of live objects: how long are the
// stops, and how far does the thread get? It ends after some seconds or a number of cycles.
// SPDX-License-Identifier: MIT
#include <atomic>

#include "linked.hpp"
#include "policy.hpp"
#include "programs.hpp"

namespace {

// Walks, swaps the `other` links of neighbours and drops a new object at every step, until told to stop.
std::uint64_t disturb(bench::Linked* at, const std::atomic<bool>& done) {
    std::uint64_t steps = 0;
    for (; !done.load(std::memory_order_relaxed); ++steps) {  // relaxed: it ends a little later
        bench::Linked* next = at->next;
        bench::Linked* mine = at->other;
        bench::Linked* its = next->other;
        at->other = its;
        next->other = mine;
        auto* garbage = policy::make<bench::Linked>(steps);
        bench::escape(garbage);
        policy::release(garbage);
        at = next;
    }
    return steps == 0 ? 1 : steps;  // it may come too late for short cycles
}

std::uint64_t keys(const bench::Linked* first, std::uint32_t count) {
    std::uint64_t sum = 0;
    const bench::Linked* at = first;
    for (std::uint32_t i = 0; i < count; ++i) {
        const bench::Linked* other = at->other;
        sum += at->key * 31 + other->key;
        const bench::Linked* next = at->next;
        at = next;
    }
    return sum;
}

}  // namespace

void bench::stops(const Arguments& sizes, Record& record) {
    const auto objects = static_cast<std::uint32_t>(sizes["objects"]);
    const std::uint64_t most = sizes["cycles"], limit_ns = sizes["seconds"] * 1'000'000'000;
    Linked* live = link(objects);
    std::atomic<bool> done = false;
    std::uint64_t steps = 0, cycles = 0;
    const std::uint64_t start = now_ns();
    policy::in_threads(2, [&, live](unsigned index) {
        if (index == 0) {
            steps = disturb(live, done);
            return;
        }
        while (cycles < most && now_ns() - start < limit_ns) {
            policy::collect();
            ++cycles;
        }
        done.store(true, std::memory_order_relaxed);  // relaxed: it says nothing but itself
    });
    const std::uint64_t spent = now_ns() - start;
    record.seconds(spent);
    record.checksum(keys(live, objects));
    record.count("forced", cycles);
    record.add("cycle_ms", static_cast<double>(spent) * 1e-6 / static_cast<double>(cycles));
    record.add("step_ns", static_cast<double>(spent) / static_cast<double>(steps));
}
