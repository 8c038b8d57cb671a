// Buffers of 1 MB in a window of a few, left alone or copied into from end to end: what large objects cost.
// SPDX-License-Identifier: MIT
#include "policy.hpp"
#include "programs.hpp"

void bench::large(const Arguments& sizes, Record& record) {
    const std::uint64_t buffers = sizes["buffers"], window = sizes["window"], bytes = sizes["bytes"];
    const bool touch = sizes["touch"] != 0;
    policy::Field<char>* held = policy::make_array<policy::Field<char>>(window);
    char* master = policy::make_bytes(bytes);
    std::memset(master, 1, bytes);
    std::uint64_t sum = 0;
    const std::uint64_t start = now_ns();
    for (std::uint64_t i = 0; i < buffers; ++i) {
        char* buffer = policy::make_bytes(bytes);
        const auto value = static_cast<char>(i % 100);
        if (touch) std::memcpy(buffer, master, bytes);
        buffer[0] = value;
        buffer[bytes - 1] = value;
        char* old = held[i % window];
        if (old != nullptr) {
            const int middle = touch ? old[bytes / 2] : 0;
            sum = sum * 31 + static_cast<std::uint64_t>(old[0] + old[bytes - 1] + middle);
            policy::release_array(old);
        }
        held[i % window] = buffer;
    }
    const std::uint64_t spent = now_ns() - start;
    record.seconds(spent);
    record.checksum(sum);
    record.add("each_us", static_cast<double>(spent) * 1e-3 / static_cast<double>(buffers));
}
