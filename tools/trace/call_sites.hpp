// Call sites: a return address of a live process as file and offset, which outlive the process.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <unordered_map>
#include <vector>

#include "trace/event.hpp"
#include "trace/writer.hpp"

namespace cairn::trace {

class CallSites {
public:
    // `maps`: /proc/PID/maps as it was at the beginning.
    CallSites(std::uint32_t pid, const std::string& maps, Writer& writer);

    // The number of the site that holds `address`; made known to the writer when it is new. 0 for 0.
    std::uint32_t number_of(std::uint64_t address) {
        if (address == 0) return 0;
        Recent& recent = recent_[address % recent_count];
        if (recent.address == address) return recent.number;
        recent = {address, look_up(address)};
        return recent.number;
    }

private:
    static constexpr unsigned recent_count = 4093;
    struct Recent {
        std::uint64_t address = 0;
        std::uint32_t number = 0;
    };
    struct Mapping {
        std::uint64_t start, end, shift;  // offset in the file's address space = address - shift
        std::string file;
    };

    std::uint32_t look_up(std::uint64_t address);
    [[nodiscard]] const Mapping* mapping_of(std::uint64_t address) const;
    void read_maps(std::istream& in);

    std::uint32_t pid_;
    Writer& writer_;
    std::vector<Mapping> maps_;
    std::unordered_map<std::uint64_t, std::uint32_t> numbers_;
    std::vector<Recent> recent_ = std::vector<Recent>(recent_count);
    unsigned misses_ = 0;
};

}  // namespace cairn::trace
