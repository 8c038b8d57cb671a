// What one operation waits for: a message of 1 KiB replaces the oldest of a ring, beside live linked objects.
//
// Unpaced (`pace_ns=0`), an operation begins when the one before ends. Paced, it is due at a fixed time, and
// its latency counts from then, so those that queue up behind a long one count too.
// SPDX-License-Identifier: MIT
#include "linked.hpp"
#include "policy.hpp"
#include "programs.hpp"

namespace {

constexpr std::size_t message_bytes = 1024;

using Ring = policy::Field<char>*;

// What messages are copied from: each begins a byte later than the one before.
char master[message_bytes + 128];

char* write_message(std::uint64_t order) {
    char* message = policy::make_bytes(message_bytes);
    std::memcpy(message, master + order % 128, message_bytes);
    return message;
}

// The operation: returns a byte of the message that goes.
unsigned replace(Ring ring, std::uint64_t slot, std::uint64_t order) {
    char* message = write_message(order);
    char* old = ring[slot];
    const auto byte = static_cast<unsigned>(old[order % message_bytes]);
    ring[slot] = message;
    policy::release_array(old);
    return byte;
}

bench::Latencies latencies;

std::uint64_t run(Ring ring, std::uint64_t messages, std::uint64_t operations, std::uint64_t pace_ns) {
    std::uint64_t sum = 0, slot = 0;
    std::uint64_t due = bench::now_ns();
    for (std::uint64_t i = 0; i < operations; ++i) {
        if (pace_ns != 0) {
            due += pace_ns;
            while (bench::now_ns() < due) {
            }
        }
        sum = sum * 31 + replace(ring, slot, i);
        if (++slot == messages) slot = 0;
        const std::uint64_t done = bench::now_ns();
        latencies.add(done - due);
        if (pace_ns == 0) due = done;
    }
    return sum;
}

}  // namespace

void bench::latency(const Arguments& sizes, Record& record) {
    const auto objects = static_cast<std::uint32_t>(sizes["objects"]);
    const std::uint64_t messages = sizes["messages"], operations = sizes["operations"];
    Linked* live = link(objects);
    Ring ring = policy::make_array<policy::Field<char>>(messages);
    for (std::size_t i = 0; i < sizeof master; ++i) master[i] = static_cast<char>(i % 101);
    for (std::uint64_t i = 0; i < messages; ++i) {
        char* message = write_message(i);
        ring[i] = message;
    }
    const std::uint64_t start = now_ns();
    const std::uint64_t sum = run(ring, messages, operations, sizes["pace_ns"]);
    const std::uint64_t spent = now_ns() - start;
    record.seconds(spent);
    record.checksum(sum + round_trip(live, objects));
    record.add("mean_ns", static_cast<double>(spent) / static_cast<double>(operations));
    latencies.report(record);
}
