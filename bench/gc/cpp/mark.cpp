// Forced collections of live objects linked at random: how fast they are marked.
//
// The figure is objects over the time of the whole collection, the fastest of the rounds; ../walk.cpp tells
// what this machine can do at most.
// SPDX-License-Identifier: MIT
#include "linked.hpp"
#include "policy.hpp"
#include "programs.hpp"

void bench::mark(const Arguments& sizes, Record& record) {
    const auto objects = static_cast<std::uint32_t>(sizes["objects"]);
    Linked* live = link(objects);
    policy::collect();  // the table of link() goes
    std::uint64_t least = UINT64_MAX, all = 0;
    for (std::uint64_t i = 0; i < sizes["rounds"]; ++i) {
        const std::uint64_t start = now_ns();
        policy::collect();
        const std::uint64_t spent = now_ns() - start;
        if (spent < least) least = spent;
        all += spent;
    }
    const double per_second = static_cast<double>(objects) * 1e9 / static_cast<double>(least);
    record.seconds(all);
    record.checksum(round_trip(live, objects));
    record.add("collect_ms", static_cast<double>(least) * 1e-6);
    record.add("million_per_s", per_second * 1e-6);
    record.add("gb_per_s", per_second * sizeof(Linked) * 1e-9);
}
